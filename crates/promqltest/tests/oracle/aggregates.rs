//! Aggregations of one step.

use ferula_go::float::format_f;
use ferula_go::float::format_g;
use ferula_model::LabelSet;
use ferula_promql_syntax::ast::{AggregateExpr, AggregateOp, ExprKind};

use super::numbers::{mean, quantile, sum};
use super::{Element, Failure, Oracle, Sample, Steps, Value};

fn group_labels(aggregate: &AggregateExpr, grouping: &[String], labels: &LabelSet) -> LabelSet {
    let listed = |name: &str| grouping.iter().any(|label| label == name);
    if aggregate.without {
        labels.retain(|name| name != "__name__" && !listed(name))
    } else {
        labels.retain(listed)
    }
}

impl Oracle<'_> {
    pub fn aggregate(&self, aggregate: &AggregateExpr, time: i64, steps: Steps) -> Result<Value, Failure> {
        let elements = self.vector(&aggregate.expr, time, steps)?;
        if aggregate.op == AggregateOp::CountValues {
            return count_values(aggregate, elements);
        }
        let param = match &aggregate.param {
            Some(param) => self.scalar(param, time, steps)?,
            None => 0.0,
        };
        if let Some(param) = &aggregate.param {
            self.check_param(aggregate, param, steps)?;
        }
        let mut groups: Vec<(LabelSet, Vec<Element>)> = Vec::new();
        for element in &elements {
            let labels = group_labels(aggregate, &aggregate.grouping, &element.labels);
            match groups.iter_mut().find(|(group, _)| *group == labels) {
                Some((_, members)) => members.push(element.clone()),
                None => groups.push((labels, vec![element.clone()])),
            }
        }
        let mut out = Vec::new();
        for (labels, members) in groups {
            match aggregate.op {
                AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK => {
                    let k = (param as i64).min(i64::try_from(elements.len()).unwrap_or(i64::MAX));
                    out.extend(select(aggregate.op, usize::try_from(k).unwrap_or(0), members)?);
                }
                _ => out.extend(
                    fold(aggregate.op, param, &members)?
                        .map(|value| Element { labels, sample: Sample::Float(value) }),
                ),
            }
        }
        Ok(Value::Vector(out))
    }

    /// The parameter of `topk` and its like is refused for all steps together.
    fn check_param(
        &self,
        aggregate: &AggregateExpr,
        param: &ferula_promql_syntax::Expr,
        steps: Steps,
    ) -> Result<(), Failure> {
        if !matches!(aggregate.op, AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK) {
            return Ok(());
        }
        let mut values = Vec::new();
        for time in steps.times() {
            values.push(self.scalar(param, time, steps)?);
        }
        let any_nan = values.iter().any(|value| value.is_nan());
        // With a NaN among them the largest value is NaN, which is not below 1.
        if !any_nan && values.iter().all(|value| *value < 1.0) {
            return Ok(());
        }
        if any_nan {
            return Err("Parameter value is NaN".to_owned());
        }
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if least <= i64::MIN as f64 {
            return Err(format!("Scalar value {} underflows int64", format_g(least)));
        }
        if most >= 9_223_372_036_854_774_784.0 {
            return Err(format!("Scalar value {} overflows int64", format_g(most)));
        }
        Ok(())
    }
}

/// `None` when the group has no result.
fn fold(op: AggregateOp, param: f64, members: &[Element]) -> Result<Option<f64>, Failure> {
    let floats: Vec<f64> = members.iter().filter_map(|member| member.sample.float()).collect();
    let mixed = floats.len() < members.len();
    Ok(match op {
        AggregateOp::Count => Some(members.len() as f64),
        AggregateOp::Group => Some(1.0),
        AggregateOp::Sum | AggregateOp::Avg if mixed && !floats.is_empty() => None,
        AggregateOp::Sum | AggregateOp::Avg if mixed => {
            return Err("sums of histograms are not asked of the oracle".to_owned());
        }
        _ if floats.is_empty() => None,
        AggregateOp::Sum => Some(sum(&floats)),
        AggregateOp::Avg => Some(mean(&floats)),
        AggregateOp::Min => Some(floats.iter().copied().fold(f64::NAN, f64::min)),
        AggregateOp::Max => Some(floats.iter().copied().fold(f64::NAN, f64::max)),
        AggregateOp::Quantile => Some(quantile(param, &floats)),
        AggregateOp::Stddev => Some(variance(&floats).sqrt()),
        AggregateOp::Stdvar => Some(variance(&floats)),
        _ => return Err("not an aggregation of this kind".to_owned()),
    })
}

fn variance(values: &[f64]) -> f64 {
    let mut mean = values[0];
    let mut squares = if mean.is_finite() { 0.0 } else { f64::NAN };
    let mut count = 1.0;
    for &value in &values[1..] {
        count += 1.0;
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    squares / count
}

/// The samples that stay. Which of several equal ones does is up to the shape of a heap, so such cases are left out.
fn select(op: AggregateOp, k: usize, members: Vec<Element>) -> Result<Vec<Element>, Failure> {
    if op == AggregateOp::LimitK {
        return Ok(members.into_iter().take(k).collect());
    }
    let value = |member: &Element| member.sample.float().unwrap_or(f64::NAN);
    let mut ranked: Vec<Element> =
        members.into_iter().filter(|member| member.sample.float().is_some()).collect();
    ranked.sort_by(|a, b| match (value(a).is_nan(), value(b).is_nan()) {
        (false, false) if op == AggregateOp::TopK => value(b).partial_cmp(&value(a)).expect("no NaN"),
        (false, false) => value(a).partial_cmp(&value(b)).expect("no NaN"),
        (a, b) => a.cmp(&b),
    });
    if k > 0 && k < ranked.len() {
        let (last, next) = (value(&ranked[k - 1]), value(&ranked[k]));
        if last == next || (last.is_nan() && next.is_nan()) {
            return Err("ties are not asked of the oracle".to_owned());
        }
    }
    ranked.truncate(k);
    Ok(ranked)
}

fn count_values(aggregate: &AggregateExpr, elements: Vec<Element>) -> Result<Value, Failure> {
    let Some(ExprKind::String(label)) = aggregate.param.as_ref().map(|param| &param.kind) else {
        return Err("count_values without a label".to_owned());
    };
    if label.is_empty() {
        return Err("invalid label name \"\"".to_owned());
    }
    let mut grouping = aggregate.grouping.clone();
    if !aggregate.without {
        grouping.push(label.clone());
    }
    let mut out: Vec<(LabelSet, f64)> = Vec::new();
    for element in elements {
        let text = match &element.sample {
            Sample::Float(value) => format_f(*value),
            Sample::Histogram(histogram) => histogram.to_string(),
        };
        let mut labels = element.labels.to_builder();
        labels.set(label, &text);
        let labels = group_labels(aggregate, &grouping, &labels.finish());
        match out.iter_mut().find(|(other, _)| *other == labels) {
            Some((_, count)) => *count += 1.0,
            None => out.push((labels, 1.0)),
        }
    }
    let elements = out.into_iter().map(|(labels, count)| Element { labels, sample: Sample::Float(count) });
    Ok(Value::Vector(elements.collect()))
}
