//! Binary operators at one step.

use ferula_model::LabelSet;
use ferula_promql_syntax::ast::{BinaryExpr, BinaryOp, Cardinality, VectorMatching};

use super::{Element, Failure, Oracle, Sample, Steps, Value, distinct, without_name};

fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Gt | BinaryOp::Lt | BinaryOp::Ge | BinaryOp::Le)
}

#[expect(clippy::float_cmp, reason = "the operators compare exactly")]
fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Gt => a > b,
        BinaryOp::Lt => a < b,
        BinaryOp::Ge => a >= b,
        _ => a <= b,
    }
}

fn arithmetic(op: BinaryOp, a: f64, b: f64) -> Result<f64, Failure> {
    Ok(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Atan2 => ferula_go::math::atan2(a, b),
        _ => return Err("this operator is not asked of the oracle".to_owned()),
    })
}

/// What two floats of vectors give, and whether a filter lets it through.
fn operate(op: BinaryOp, a: f64, b: f64) -> Result<(f64, bool), Failure> {
    if is_comparison(op) { Ok((a, compare(op, a, b))) } else { Ok((arithmetic(op, a, b)?, true)) }
}

fn as_number(truth: bool) -> f64 {
    if truth { 1.0 } else { 0.0 }
}

fn signature(matching: &VectorMatching, labels: &LabelSet) -> LabelSet {
    let listed = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.retain(listed)
    } else {
        labels.retain(|name| name != "__name__" && !listed(name))
    }
}

impl Oracle<'_> {
    pub fn binary(&self, binary: &BinaryExpr, time: i64, steps: Steps) -> Result<Value, Failure> {
        let left = self.eval(&binary.left, time, steps)?;
        let right = self.eval(&binary.right, time, steps)?;
        match (left, right) {
            (Value::Scalar(a), Value::Scalar(b)) if is_comparison(binary.op) => {
                Ok(Value::Scalar(as_number(compare(binary.op, a, b))))
            }
            (Value::Scalar(a), Value::Scalar(b)) => arithmetic(binary.op, a, b).map(Value::Scalar),
            (Value::Vector(elements), Value::Scalar(scalar)) => with_scalar(binary, elements, scalar, false),
            (Value::Scalar(scalar), Value::Vector(elements)) => with_scalar(binary, elements, scalar, true),
            (Value::Vector(left), Value::Vector(right)) => {
                let matching = binary.matching.as_ref().ok_or("vectors without a matching")?;
                let elements = match binary.op {
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => set(binary.op, matching, left, right),
                    _ => vectors(binary, matching, left, right)?,
                };
                distinct(elements).map(Value::Vector)
            }
            _ => Err("operands of the wrong type".to_owned()),
        }
    }
}

fn with_scalar(
    binary: &BinaryExpr,
    elements: Vec<Element>,
    scalar: f64,
    scalar_left: bool,
) -> Result<Value, Failure> {
    let drop_name = !is_comparison(binary.op) || binary.return_bool;
    let mut out = Vec::new();
    for element in elements {
        let Sample::Float(value) = element.sample else {
            return Err("histograms in arithmetic are not asked of the oracle".to_owned());
        };
        let (a, b) = if scalar_left { (scalar, value) } else { (value, scalar) };
        let (result, keep) = operate(binary.op, a, b)?;
        let result = if is_comparison(binary.op) { value } else { result };
        let result = if binary.return_bool { as_number(keep) } else { result };
        if keep || binary.return_bool {
            let labels = if drop_name { without_name(&element.labels) } else { element.labels };
            out.push(Element { labels, sample: Sample::Float(result) });
        }
    }
    distinct(out).map(Value::Vector)
}

fn set(op: BinaryOp, matching: &VectorMatching, left: Vec<Element>, right: Vec<Element>) -> Vec<Element> {
    let has = |side: &[Element], element: &Element| {
        let wanted = signature(matching, &element.labels);
        side.iter().any(|other| signature(matching, &other.labels) == wanted)
    };
    match op {
        BinaryOp::And => left.into_iter().filter(|element| has(&right, element)).collect(),
        BinaryOp::Unless => left.into_iter().filter(|element| !has(&right, element)).collect(),
        _ => {
            let added: Vec<Element> = right.into_iter().filter(|element| !has(&left, element)).collect();
            left.into_iter().chain(added).collect()
        }
    }
}

fn vectors(
    binary: &BinaryExpr,
    matching: &VectorMatching,
    left: Vec<Element>,
    right: Vec<Element>,
) -> Result<Vec<Element>, Failure> {
    if left.is_empty() || right.is_empty() {
        return Ok(Vec::new());
    }
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    for (index, element) in one.iter().enumerate() {
        let wanted = signature(matching, &element.labels);
        let same = one[..index].iter().find(|other| signature(matching, &other.labels) == wanted);
        if let Some(other) = same {
            let side = if swapped { "left" } else { "right" };
            let mut pair = [element.labels.to_string(), other.labels.to_string()];
            pair.sort();
            return Err(format!(
                "found duplicate series for the match group {wanted} on the {side} hand-side of the operation: \
                 [{}];many-to-many matching not allowed: matching labels must be unique on one side",
                pair.join(", ")
            ));
        }
    }
    let mut matched: Vec<(LabelSet, LabelSet)> = Vec::new();
    let mut out = Vec::new();
    for element in &many {
        let group = signature(matching, &element.labels);
        let Some(partner) = one.iter().find(|other| signature(matching, &other.labels) == group) else {
            continue;
        };
        let (Sample::Float(of_many), Sample::Float(of_one)) = (&element.sample, &partner.sample) else {
            return Err("histograms in arithmetic are not asked of the oracle".to_owned());
        };
        let (a, b) = if swapped { (*of_one, *of_many) } else { (*of_many, *of_one) };
        let (result, keep) = operate(binary.op, a, b)?;
        let labels = result_labels(binary, matching, &element.labels, &partner.labels);
        // With one-to-one matching a group may match once; otherwise its results must differ.
        let key = if matching.cardinality == Cardinality::OneToOne {
            (group, LabelSet::empty())
        } else {
            (group, labels.clone())
        };
        if matched.contains(&key) {
            let why = if matching.cardinality == Cardinality::OneToOne {
                "many-to-one matching must be explicit (group_left/group_right)"
            } else {
                "grouping labels must ensure unique matches"
            };
            return Err(format!("multiple matches for labels: {why}"));
        }
        matched.push(key);
        if keep || binary.return_bool {
            let result = if binary.return_bool { as_number(keep) } else { result };
            out.push(Element { labels, sample: Sample::Float(result) });
        }
    }
    Ok(out)
}

fn result_labels(
    binary: &BinaryExpr,
    matching: &VectorMatching,
    many: &LabelSet,
    one: &LabelSet,
) -> LabelSet {
    let mut labels = many.clone();
    if !is_comparison(binary.op) || binary.return_bool {
        labels = without_name(&labels);
    }
    if matching.cardinality == Cardinality::OneToOne {
        labels = labels.retain(|name| matching.labels.iter().any(|label| label == name) == matching.on);
    }
    let mut labels = labels.to_builder();
    for name in &matching.include {
        labels.set(name, one.value(name));
    }
    labels.finish()
}
