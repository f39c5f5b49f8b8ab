//! Aggregations: gather the values of each group, then say what they amount to.

use ferula_model::LabelSet;
use ferula_model::labels::METRIC_NAME;
use ferula_model::number::format_f;
use ferula_promql_syntax::ast::{AggregateExpr, AggregateOp, Expr};

use super::functions::{kahan_mean, kahan_sum, quantile};
use super::{Element, Literal, Outcome};

pub fn eval(literal: &Literal<'_>, aggregate: &AggregateExpr, t: i64) -> Outcome<Vec<Element>> {
    let elements = literal.vector(&aggregate.expr, t)?;
    if aggregate.op == AggregateOp::CountValues {
        return count_values(literal, aggregate, elements, t);
    }
    let mut groups: Vec<(LabelSet, Vec<Element>)> = Vec::new();
    for element in elements {
        let key = group_of(&element.labels, aggregate);
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, members)) => members.push(element),
            None => groups.push((key, vec![element])),
        }
    }
    let param =
        |param: &Option<Expr>| literal.scalar(param.as_ref().expect("the parser asks for a parameter"), t);
    let mut out = Vec::new();
    for (labels, members) in groups {
        let values: Vec<f64> = members.iter().map(|m| m.value).collect();
        let value = match aggregate.op {
            AggregateOp::Sum => kahan_sum(&values),
            AggregateOp::Avg => kahan_mean(&values),
            AggregateOp::Count => values.len() as f64,
            AggregateOp::Group => 1.0,
            AggregateOp::Min => extreme(&values, |new, old| new < old),
            AggregateOp::Max => extreme(&values, |new, old| new > old),
            AggregateOp::Stdvar => variance(&values),
            AggregateOp::Stddev => variance(&values).sqrt(),
            AggregateOp::Quantile => quantile(param(&aggregate.param)?, values),
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK => {
                let k = count_parameter(param(&aggregate.param)?)?;
                out.extend(best(members, k, aggregate.op));
                continue;
            }
            AggregateOp::LimitRatio => panic!("limit_ratio samples by a hash that is not retold here"),
            AggregateOp::CountValues => unreachable!("handled above"),
        };
        out.push(Element { labels, value });
    }
    Ok(out)
}

fn group_of(labels: &LabelSet, aggregate: &AggregateExpr) -> LabelSet {
    labels.retain(|name| {
        let listed = aggregate.grouping.iter().any(|g| g == name);
        if aggregate.without { !listed && name != METRIC_NAME } else { listed }
    })
}

fn count_values(
    literal: &Literal<'_>,
    aggregate: &AggregateExpr,
    elements: Vec<Element>,
    t: i64,
) -> Outcome<Vec<Element>> {
    let label = match literal.eval(aggregate.param.as_ref().expect("the parser asks for a label"), t)? {
        super::Value::Text(label) => label,
        other => panic!("count_values takes a string, got {other:?}"),
    };
    let mut out: Vec<Element> = Vec::new();
    for element in elements {
        let mut with_value = element.labels.to_builder();
        with_value.set(&label, &format_f(element.value));
        let with_value = with_value.finish();
        // The new label is part of the group, also when it is not listed.
        let labels = with_value.retain(|name| {
            let listed = aggregate.grouping.iter().any(|g| g == name);
            if aggregate.without { !listed && name != METRIC_NAME } else { listed || name == label }
        });
        match out.iter_mut().find(|e| e.labels == labels) {
            Some(counted) => counted.value += 1.0,
            None => out.push(Element { labels, value: 1.0 }),
        }
    }
    Ok(out)
}

fn extreme(values: &[f64], better: impl Fn(f64, f64) -> bool) -> f64 {
    values
        .iter()
        .copied()
        .reduce(|old, new| if better(new, old) || old.is_nan() { new } else { old })
        .unwrap_or(f64::NAN)
}

/// Population variance by Welford's method, which is the one the documentation promises to be stable.
fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for (index, &value) in values.iter().enumerate() {
        count += 1.0;
        if index == 0 {
            mean = value;
            squares = if value.is_finite() { 0.0 } else { f64::NAN };
            continue;
        }
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    squares / count
}

fn count_parameter(k: f64) -> Outcome<usize> {
    if k.is_nan() {
        return Err("Parameter value is NaN".to_owned());
    }
    if k >= 9_223_372_036_854_775_807.0 {
        return Err(format!("Scalar value {k} overflows int64"));
    }
    if k <= -9_223_372_036_854_775_808.0 {
        return Err(format!("Scalar value {k} underflows int64"));
    }
    Ok(if k < 1.0 { 0 } else { k as usize })
}

/// The k best, best first. Which of equal values stay is left open by the documentation; a test must not depend on it.
fn best(mut members: Vec<Element>, k: usize, op: AggregateOp) -> Vec<Element> {
    let order = |a: &Element, b: &Element| match (a.value.is_nan(), b.value.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Greater,
        (false, true) => std::cmp::Ordering::Less,
        (false, false) if op == AggregateOp::TopK => b.value.total_cmp(&a.value),
        (false, false) => a.value.total_cmp(&b.value),
    };
    if op != AggregateOp::LimitK {
        members.sort_by(order);
    }
    members.truncate(k);
    members
}
