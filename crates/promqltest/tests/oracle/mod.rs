//! A slow evaluator that does what the text of the language says: one step at a time, every node again at every step,
//! samples in plain lists. No batches, no bitmaps, no windows that move. The engine is compared with it.
//!
//! It knows floats and, where nothing but presence matters, histograms; queries that do more with histograms are not
//! asked. Its errors have the engine's texts.

mod aggregates;
mod binary;
mod functions;
mod numbers;
mod selectors;

use std::sync::Arc;

use ferula_model::{FloatHistogram, LabelSet};
use ferula_promql_syntax::ast::{Expr, ExprKind, UnaryOp};

/// A sample's value.
#[derive(Clone, Debug)]
pub enum Sample {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Sample {
    pub fn float(&self) -> Option<f64> {
        match self {
            Sample::Float(value) => Some(*value),
            Sample::Histogram(_) => None,
        }
    }
}

/// One element of a vector.
#[derive(Clone, Debug)]
pub struct Element {
    pub labels: LabelSet,
    pub sample: Sample,
}

/// One series of a range vector.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: LabelSet,
    pub samples: Vec<(i64, Sample)>,
}

/// What an expression is at one step.
#[derive(Clone, Debug)]
pub enum Value {
    Scalar(f64),
    /// Functions take their strings from the query.
    Text,
    Vector(Vec<Element>),
    Matrix(Vec<Series>),
}

/// Why there is no value.
pub type Failure = String;

/// Moments of evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

impl Steps {
    pub fn times(self) -> impl Iterator<Item = i64> {
        (0..).map(move |index| self.start + index * self.step).take_while(move |time| *time <= self.end)
    }

    pub fn last(self) -> i64 {
        self.times().last().unwrap_or(self.start)
    }
}

/// The data, and the query as a whole.
pub struct Oracle<'a> {
    pub series: &'a [Series],
    pub lookback: i64,
    pub default_step: i64,
    /// The steps of the query, which `start()` and `end()` mean.
    pub query: Steps,
}

/// Vectors at every step.
pub type Answer = Vec<(i64, Vec<Element>)>;

impl Oracle<'_> {
    /// The query at all its steps; a scalar is one element without labels.
    pub fn run(&self, expr: &Expr) -> Result<Answer, Failure> {
        let mut answer = Vec::new();
        for time in self.query.times() {
            let elements = match self.eval(expr, time, self.query)? {
                Value::Vector(elements) => elements,
                Value::Scalar(value) => {
                    vec![Element { labels: LabelSet::empty(), sample: Sample::Float(value) }]
                }
                _ => return Err("neither scalar nor vector".to_owned()),
            };
            answer.push((time, elements));
        }
        Ok(answer)
    }

    /// A node at one moment of `steps`.
    pub fn eval(&self, expr: &Expr, time: i64, steps: Steps) -> Result<Value, Failure> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Value::Scalar(number.value)),
            ExprKind::String(_) => Ok(Value::Text),
            ExprKind::Paren(inner) => self.eval(inner, time, steps),
            ExprKind::VectorSelector(selector) => Ok(Value::Vector(
                self.instant(selector, time).into_iter().map(|found| found.element).collect(),
            )),
            ExprKind::MatrixSelector(matrix) => self.range(matrix, time).map(Value::Matrix),
            ExprKind::Subquery(subquery) => self.subquery(subquery, time, steps).map(Value::Matrix),
            ExprKind::Unary(UnaryOp::Plus, inner) => self.eval(inner, time, steps),
            ExprKind::Unary(UnaryOp::Minus, inner) => self.negate(inner, time, steps),
            ExprKind::Binary(binary) => self.binary(binary, time, steps),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, time, steps),
            ExprKind::Call(call) => self.call(call, time, steps),
        }
    }

    pub fn scalar(&self, expr: &Expr, time: i64, steps: Steps) -> Result<f64, Failure> {
        match self.eval(expr, time, steps)? {
            Value::Scalar(value) => Ok(value),
            _ => Err("no scalar".to_owned()),
        }
    }

    pub fn vector(&self, expr: &Expr, time: i64, steps: Steps) -> Result<Vec<Element>, Failure> {
        match self.eval(expr, time, steps)? {
            Value::Vector(elements) => Ok(elements),
            _ => Err("no vector".to_owned()),
        }
    }

    fn negate(&self, inner: &Expr, time: i64, steps: Steps) -> Result<Value, Failure> {
        match self.eval(inner, time, steps)? {
            Value::Scalar(value) => Ok(Value::Scalar(-value)),
            Value::Vector(elements) => {
                let negated = elements
                    .into_iter()
                    .map(|element| Element {
                        labels: without_name(&element.labels),
                        sample: match element.sample {
                            Sample::Float(value) => Sample::Float(-value),
                            Sample::Histogram(histogram) => {
                                let mut negated = FloatHistogram::clone(&histogram);
                                negated.mul(-1.0);
                                Sample::Histogram(Arc::new(negated))
                            }
                        },
                    })
                    .collect();
                distinct(negated).map(Value::Vector)
            }
            _ => Err("a sign before neither scalar nor vector".to_owned()),
        }
    }
}

/// Labels without those that name the metric.
pub fn without_name(labels: &LabelSet) -> LabelSet {
    labels.retain(|name| !matches!(name, "__name__" | "__type__" | "__unit__"))
}

/// Fails when two elements have the same labels.
pub fn distinct(elements: Vec<Element>) -> Result<Vec<Element>, Failure> {
    for (index, element) in elements.iter().enumerate() {
        if elements[..index].iter().any(|other| other.labels == element.labels) {
            return Err("vector cannot contain metrics with the same labelset".to_owned());
        }
    }
    Ok(elements)
}
