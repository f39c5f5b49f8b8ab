//! The slow, literal evaluator: PromQL as its documentation tells it, one step at a time, with no thought for speed.
//!
//! It is the oracle for the engine. Nothing is shared with the engine but the syntax tree: selectors scan all
//! series, every step is evaluated from scratch, windows are filtered lists. Float samples only; native histograms
//! are covered by the scripts of `promqltest`.
//!
//! Here: values, the walk over the tree, selectors and subqueries. Elsewhere: `functions`, `aggregate`, `binary`.

pub mod aggregate;
pub mod binary;
pub mod functions;
pub mod generate;

use ferula_model::labels::METRIC_NAME;
use ferula_model::value::is_stale;
use ferula_model::{LabelSet, Matcher};
use ferula_promql_syntax::ast::{
    AtModifier, DurationExpr, DurationExprKind, DurationValue, Expr, ExprKind, Subquery, TimeShift, UnaryOp,
    ValueType, VectorSelector,
};

/// A series with its samples, oldest first.
pub type Series = (LabelSet, Vec<(i64, f64)>);

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub labels: LabelSet,
    pub value: f64,
}

/// One element of a range vector.
#[derive(Clone, Debug)]
pub struct Window {
    pub labels: LabelSet,
    pub samples: Vec<(i64, f64)>,
}

/// What an expression is at one moment.
#[derive(Clone, Debug)]
pub enum Value {
    Scalar(f64),
    Text(String),
    Vector(Vec<Element>),
    Matrix(Vec<Window>),
}

/// The query's surroundings.
pub struct Literal<'a> {
    /// All data, in order of creation.
    pub data: &'a [Series],
    /// First step, last step and distance in milliseconds; the distance is 0 for an instant query.
    pub start: i64,
    pub end: i64,
    pub step: i64,
    pub lookback: i64,
    /// Step of subqueries that state none.
    pub default_step: i64,
}

/// What went wrong, in Prometheus' words.
pub type Outcome<T> = Result<T, String>;

impl Literal<'_> {
    /// The value of `expr` at `t`.
    pub fn eval(&self, expr: &Expr, t: i64) -> Outcome<Value> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Value::Scalar(number.value)),
            ExprKind::String(text) => Ok(Value::Text(text.clone())),
            ExprKind::Paren(inner) => self.eval(inner, t),
            ExprKind::VectorSelector(selector) => {
                let found = self.instant(selector, t)?;
                Ok(Value::Vector(
                    found.into_iter().map(|(labels, _, value)| Element { labels, value }).collect(),
                ))
            }
            ExprKind::MatrixSelector(matrix) => {
                let (end, range) = (self.moved(&matrix.selector.at, t)?, self.millis(&matrix.range, true)?);
                Ok(Value::Matrix(
                    self.matching(&matrix.selector.matchers)
                        .map(|(l, s)| window(l, s, end - range, end))
                        .collect(),
                ))
            }
            ExprKind::Subquery(subquery) => Ok(Value::Matrix(self.subquery(subquery, t)?)),
            ExprKind::Unary(op, inner) => Ok(match (op, self.eval(inner, t)?) {
                (UnaryOp::Plus, value) => value,
                (UnaryOp::Minus, Value::Scalar(v)) => Value::Scalar(-v),
                (UnaryOp::Minus, Value::Vector(elements)) => {
                    let negated = elements
                        .into_iter()
                        .map(|e| Element { labels: nameless(&e.labels), value: -e.value });
                    Value::Vector(unique(negated.collect())?)
                }
                (UnaryOp::Minus, other) => other,
            }),
            ExprKind::Binary(binary) => binary::eval(self, binary, t),
            ExprKind::Aggregate(aggregate) => aggregate::eval(self, aggregate, t).map(Value::Vector),
            ExprKind::Call(call) => functions::eval(self, call, t),
        }
    }

    /// A vector; scalars and the rest are a mistake of the test.
    pub fn vector(&self, expr: &Expr, t: i64) -> Outcome<Vec<Element>> {
        match self.eval(expr, t)? {
            Value::Vector(elements) => Ok(elements),
            other => panic!("a vector was expected, got {other:?}"),
        }
    }

    /// A scalar.
    pub fn scalar(&self, expr: &Expr, t: i64) -> Outcome<f64> {
        match self.eval(expr, t)? {
            Value::Scalar(v) => Ok(v),
            other => panic!("a scalar was expected, got {other:?}"),
        }
    }

    /// The newest sample of each matching series in `(at − lookback, at]`, with its own time; stale ones are absent.
    pub fn instant(&self, selector: &VectorSelector, t: i64) -> Outcome<Vec<(LabelSet, i64, f64)>> {
        let at = self.moved(&selector.at, t)?;
        let newest = self.matching(&selector.matchers).filter_map(|(labels, samples)| {
            let (time, value) =
                samples.iter().rev().find(|(time, _)| *time <= at && *time > at - self.lookback)?;
            (!is_stale(*value)).then(|| (labels.clone(), *time, *value))
        });
        Ok(newest.collect())
    }

    fn matching<'b>(&'b self, matchers: &'b [Matcher]) -> impl Iterator<Item = &'b Series> {
        self.data.iter().filter(|(labels, _)| matchers.iter().all(|m| m.matches(labels.value(&m.name))))
    }

    fn subquery(&self, subquery: &Subquery, t: i64) -> Outcome<Vec<Window>> {
        let end = self.moved(&subquery.at, t)?;
        let start = end - self.millis(&subquery.range, true)?;
        let step = match &subquery.step {
            Some(step) => self.millis(step, true)?,
            None => self.default_step,
        };
        // Inner times are multiples of the step, whatever the outer time is; the window is open on the left.
        let mut inner = start.div_euclid(step) * step;
        if inner <= start {
            inner += step;
        }
        let mut windows: Vec<Window> = Vec::new();
        while inner <= end {
            let elements = match self.eval(&subquery.expr, inner)? {
                Value::Vector(elements) => elements,
                Value::Scalar(value) => vec![Element { labels: LabelSet::empty(), value }],
                other => panic!("subqueries run over instant vectors, got {other:?}"),
            };
            for element in elements {
                match windows.iter_mut().find(|w| w.labels == element.labels) {
                    Some(window) => window.samples.push((inner, element.value)),
                    None => {
                        windows.push(Window { labels: element.labels, samples: vec![(inner, element.value)] })
                    }
                }
            }
            inner += step;
        }
        Ok(windows)
    }

    fn moved(&self, shift: &TimeShift, t: i64) -> Outcome<i64> {
        let base = match shift.at {
            None => t,
            Some(AtModifier::Time(time)) => time.millis(),
            Some(AtModifier::Start) => self.start,
            Some(AtModifier::End) => self.end,
        };
        Ok(base - shift.offset.as_ref().map_or(Ok(0), |offset| self.millis(offset, false))?)
    }

    fn millis(&self, duration: &DurationValue, positive: bool) -> Outcome<i64> {
        match duration {
            DurationValue::Millis(millis) => Ok(*millis),
            DurationValue::Expr(expr) => {
                let seconds = self.seconds(expr)?;
                if positive && seconds <= 0.0 {
                    return Err("duration must be greater than 0".to_owned());
                }
                Ok((seconds * 1000.0).round() as i64)
            }
        }
    }

    fn seconds(&self, expr: &DurationExpr) -> Outcome<f64> {
        use ferula_promql_syntax::ast::BinaryOp;
        Ok(match &expr.kind {
            DurationExprKind::Number(number) => number.value,
            DurationExprKind::Step => self.step as f64 / 1000.0,
            DurationExprKind::Range => (self.end - self.start) as f64 / 1000.0,
            DurationExprKind::Unary(UnaryOp::Minus, inner) => -self.seconds(inner)?,
            DurationExprKind::Unary(UnaryOp::Plus, inner) => self.seconds(inner)?,
            DurationExprKind::MinOf(a, b) => self.seconds(a)?.min(self.seconds(b)?),
            DurationExprKind::MaxOf(a, b) => self.seconds(a)?.max(self.seconds(b)?),
            DurationExprKind::Binary(op, a, b) => {
                let (a, b) = (self.seconds(a)?, self.seconds(b)?);
                match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Div if b == 0.0 => return Err("division by zero".to_owned()),
                    BinaryOp::Div => a / b,
                    BinaryOp::Mod if b == 0.0 => return Err("modulo by zero".to_owned()),
                    BinaryOp::Mod => a % b,
                    BinaryOp::Pow => a.powf(b),
                    other => panic!("{other:?} is no operator of durations"),
                }
            }
        })
    }
}

/// The samples of a series in `(start, end]` without stale markers.
fn window(labels: &LabelSet, samples: &[(i64, f64)], start: i64, end: i64) -> Window {
    let inside = samples.iter().filter(|(time, value)| *time > start && *time <= end && !is_stale(*value));
    Window { labels: labels.clone(), samples: inside.copied().collect() }
}

impl FromIterator<Window> for Value {
    fn from_iter<I: IntoIterator<Item = Window>>(windows: I) -> Self {
        Value::Matrix(windows.into_iter().collect())
    }
}

/// The labels without the metric name.
pub fn nameless(labels: &LabelSet) -> LabelSet {
    labels.without(METRIC_NAME)
}

/// The vector, unless two of its elements have the same labels.
pub fn unique(elements: Vec<Element>) -> Outcome<Vec<Element>> {
    for (index, element) in elements.iter().enumerate() {
        if elements[..index].iter().any(|other| other.labels == element.labels) {
            return Err("vector cannot contain metrics with the same labelset".to_owned());
        }
    }
    Ok(elements)
}

/// What an instant or range query gives, ready to compare.
#[derive(Debug)]
pub enum Answer {
    Scalar(f64),
    Text(String),
    Vector(Vec<Element>),
    /// Sorted by labels.
    Matrix(Vec<Series>),
}

/// Evaluates at one moment.
pub fn instant_query(literal: &Literal<'_>, expr: &Expr) -> Outcome<Answer> {
    Ok(match literal.eval(expr, literal.start)? {
        Value::Scalar(v) => Answer::Scalar(v),
        Value::Text(text) => Answer::Text(text),
        Value::Vector(elements) => Answer::Vector(unique(elements)?),
        Value::Matrix(windows) => {
            let mut series: Vec<Series> = windows
                .into_iter()
                .filter(|w| !w.samples.is_empty())
                .map(|w| (w.labels, w.samples))
                .collect();
            series.sort_by(|a, b| a.0.cmp(&b.0));
            Answer::Matrix(series)
        }
    })
}

/// Evaluates at every step and gathers the points of each label set.
pub fn range_query(literal: &Literal<'_>, expr: &Expr) -> Outcome<Answer> {
    assert!(
        matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector),
        "range queries are of scalars and vectors"
    );
    let mut series: Vec<Series> = Vec::new();
    let mut t = literal.start;
    while t <= literal.end {
        let elements = match literal.eval(expr, t)? {
            Value::Scalar(value) => vec![Element { labels: LabelSet::empty(), value }],
            Value::Vector(elements) => unique(elements)?,
            other => panic!("a step is a scalar or a vector, got {other:?}"),
        };
        for element in elements {
            match series.iter_mut().find(|(labels, _)| *labels == element.labels) {
                Some((_, points)) => points.push((t, element.value)),
                None => series.push((element.labels, vec![(t, element.value)])),
            }
        }
        t += literal.step;
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Answer::Matrix(series))
}
