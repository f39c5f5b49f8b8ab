//! Binary operators, pair by pair.

use ferula_model::LabelSet;
use ferula_model::labels::METRIC_NAME;
use ferula_promql_syntax::ast::{BinaryExpr, BinaryOp, Cardinality, VectorMatching};

use super::{Element, Literal, Outcome, Value, nameless, unique};

pub fn eval(literal: &Literal<'_>, binary: &BinaryExpr, t: i64) -> Outcome<Value> {
    let (left, right) = (literal.eval(&binary.left, t)?, literal.eval(&binary.right, t)?);
    match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => Ok(Value::Scalar(scalars(binary.op, a, b))),
        (Value::Vector(elements), Value::Scalar(scalar)) => with_scalar(binary, elements, scalar, false),
        (Value::Scalar(scalar), Value::Vector(elements)) => with_scalar(binary, elements, scalar, true),
        (Value::Vector(left), Value::Vector(right)) => {
            let matching = binary.matching.as_ref().expect("the parser gives two vectors a matching");
            match binary.op {
                BinaryOp::And => Ok(Value::Vector(keep(left, &right, matching, true))),
                BinaryOp::Unless => Ok(Value::Vector(keep(left, &right, matching, false))),
                BinaryOp::Or => Ok(Value::Vector(or(left, right, matching))),
                _ => unique(pairs(binary, matching, left, right)?).map(Value::Vector),
            }
        }
        (left, right) => panic!("no operator takes {left:?} and {right:?}"),
    }
}

/// The value, and whether a comparison holds.
fn apply(op: BinaryOp, a: f64, b: f64) -> (f64, bool) {
    match op {
        BinaryOp::Add => (a + b, true),
        BinaryOp::Sub => (a - b, true),
        BinaryOp::Mul => (a * b, true),
        BinaryOp::Div => (a / b, true),
        BinaryOp::Mod => (a % b, true),
        BinaryOp::Pow => (a.powf(b), true),
        BinaryOp::Atan2 => (a.atan2(b), true),
        BinaryOp::Eq => (a, a == b),
        BinaryOp::Ne => (a, a != b),
        BinaryOp::Gt => (a, a > b),
        BinaryOp::Lt => (a, a < b),
        BinaryOp::Ge => (a, a >= b),
        BinaryOp::Le => (a, a <= b),
        other => panic!("{other:?} is no operator of numbers"),
    }
}

fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Gt | BinaryOp::Lt | BinaryOp::Ge | BinaryOp::Le)
}

fn scalars(op: BinaryOp, a: f64, b: f64) -> f64 {
    let (value, holds) = apply(op, a, b);
    if is_comparison(op) { f64::from(u8::from(holds)) } else { value }
}

fn with_scalar(
    binary: &BinaryExpr,
    elements: Vec<Element>,
    scalar: f64,
    scalar_is_left: bool,
) -> Outcome<Value> {
    let mut out = Vec::new();
    for element in elements {
        let (a, b) = if scalar_is_left { (scalar, element.value) } else { (element.value, scalar) };
        let (value, holds) = apply(binary.op, a, b);
        let comparison = is_comparison(binary.op);
        if comparison && !binary.return_bool {
            // A filter keeps the element as it is, also when the scalar stands left.
            if holds {
                out.push(element);
            }
            continue;
        }
        let value = if comparison { f64::from(u8::from(holds)) } else { value };
        out.push(Element { labels: nameless(&element.labels), value });
    }
    unique(out).map(Value::Vector)
}

/// The labels by which an element finds its partner.
fn signature(labels: &LabelSet, matching: &VectorMatching) -> LabelSet {
    labels.retain(|name| {
        let listed = matching.labels.iter().any(|l| l == name);
        if matching.on { listed } else { !listed && name != METRIC_NAME }
    })
}

fn keep(left: Vec<Element>, right: &[Element], matching: &VectorMatching, when_found: bool) -> Vec<Element> {
    let found =
        |e: &Element| right.iter().any(|r| signature(&r.labels, matching) == signature(&e.labels, matching));
    left.into_iter().filter(|e| found(e) == when_found).collect()
}

fn or(left: Vec<Element>, right: Vec<Element>, matching: &VectorMatching) -> Vec<Element> {
    let missing: Vec<Element> = right
        .into_iter()
        .filter(|r| !left.iter().any(|l| signature(&l.labels, matching) == signature(&r.labels, matching)))
        .collect();
    left.into_iter().chain(missing).collect()
}

fn pairs(
    binary: &BinaryExpr,
    matching: &VectorMatching,
    left: Vec<Element>,
    right: Vec<Element>,
) -> Outcome<Vec<Element>> {
    let nothing_to_fill = matching.fill_left.is_none() && matching.fill_right.is_none();
    if (left.is_empty() && right.is_empty()) || ((left.is_empty() || right.is_empty()) && nothing_to_fill) {
        return Ok(Vec::new());
    }
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    // As upstream, fill_right fills the "one" side and fill_left the other, whichever way they stand.
    let (fill_one, fill_many) = (matching.fill_right, matching.fill_left);
    refuse_duplicates(&one, matching, if swapped { "left" } else { "right" })?;

    let mut out = Vec::new();
    let mut matched: Vec<(LabelSet, LabelSet)> = Vec::new();
    let mut join = |m: &Element, o: &Element, sig: LabelSet| -> Outcome<()> {
        let (a, b) = if swapped { (o.value, m.value) } else { (m.value, o.value) };
        let (value, holds) = apply(binary.op, a, b);
        let labels = result_labels(binary, matching, &m.labels, &o.labels);
        if matching.cardinality == Cardinality::OneToOne {
            if matched.iter().any(|(s, _)| *s == sig) {
                let text = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                return Err(text.to_owned());
            }
        } else if matched.iter().any(|(s, l)| *s == sig && *l == labels) {
            return Err("multiple matches for labels: grouping labels must ensure unique matches".to_owned());
        }
        matched.push((sig, labels.clone()));
        if binary.return_bool {
            out.push(Element { labels, value: f64::from(u8::from(holds)) });
        } else if holds {
            out.push(Element { labels, value });
        }
        Ok(())
    };
    for m in &many {
        let sig = signature(&m.labels, matching);
        let partner = one.iter().find(|o| signature(&o.labels, matching) == sig).cloned();
        let filled = || fill_one.map(|value| Element { labels: sig.clone(), value });
        if let Some(partner) = partner.or_else(filled) {
            join(m, &partner, sig.clone())?;
        }
    }
    if let Some(value) = fill_many {
        for o in &one {
            let sig = signature(&o.labels, matching);
            if !many.iter().any(|m| signature(&m.labels, matching) == sig) {
                join(&Element { labels: sig.clone(), value }, o, sig)?;
            }
        }
    }
    Ok(out)
}

fn refuse_duplicates(one: &[Element], matching: &VectorMatching, side: &str) -> Outcome<()> {
    for (index, element) in one.iter().enumerate() {
        let sig = signature(&element.labels, matching);
        if let Some(other) = one[..index].iter().rfind(|o| signature(&o.labels, matching) == sig) {
            let mut names = [element.labels.to_string(), other.labels.to_string()];
            names.sort();
            return Err(format!(
                "found duplicate series for the match group {sig} on the {side} hand-side of the operation: [{}, {}];\
                 many-to-many matching not allowed: matching labels must be unique on one side",
                names[0], names[1]
            ));
        }
    }
    Ok(())
}

fn result_labels(
    binary: &BinaryExpr,
    matching: &VectorMatching,
    many: &LabelSet,
    one: &LabelSet,
) -> LabelSet {
    let mut labels = many.to_builder();
    if binary.return_bool || !is_comparison(binary.op) {
        labels.remove(METRIC_NAME);
    }
    if matching.cardinality == Cardinality::OneToOne {
        labels.retain(|name| matching.labels.iter().any(|l| l == name) == matching.on);
    }
    for name in &matching.include {
        labels.set(name, one.value(name));
    }
    labels.finish()
}
