//! The value of a scalar expression at every step.

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::context::{PIECE, QueryContext};
use crate::exec::operator::Operator;
use crate::exec::series::SeriesTable;
use ferula_model::LabelSet;

/// One number per step.
#[derive(Clone, Debug)]
pub(crate) enum Scalars {
    /// The same at every step.
    Constant(f64),
    /// One per step.
    PerStep(Vec<f64>),
}

impl Scalars {
    /// The value at `step`.
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Scalars::Constant(value) => *value,
            Scalars::PerStep(values) => values[step],
        }
    }

    /// The values at `steps` steps, made by a function of the step.
    pub(crate) fn per_step(
        steps: usize,
        query: &QueryContext<'_>,
        mut value: impl FnMut(usize) -> f64,
    ) -> Result<Self, QueryError> {
        query.account.charge(steps.saturating_mul(8))?;
        let mut values = Vec::with_capacity(steps);
        while values.len() < steps {
            let next = (values.len() + PIECE).min(steps);
            query.work(next - values.len())?;
            values.extend((values.len()..next).map(&mut value));
        }
        Ok(Scalars::PerStep(values))
    }

    fn bytes(&self) -> usize {
        match self {
            Scalars::Constant(_) => 0,
            Scalars::PerStep(values) => values.len().saturating_mul(size_of::<f64>()),
        }
    }

    /// The values changed one by one.
    pub(crate) fn map(
        self,
        query: &QueryContext<'_>,
        mut change: impl FnMut(f64) -> f64,
    ) -> Result<Self, QueryError> {
        match self {
            Scalars::Constant(value) => Ok(Scalars::Constant(change(value))),
            Scalars::PerStep(mut values) => {
                for piece in values.chunks_mut(PIECE) {
                    query.work(piece.len())?;
                    piece.iter_mut().for_each(|value| *value = change(*value));
                }
                Ok(Scalars::PerStep(values))
            }
        }
    }

    /// Two scalars combined step by step.
    pub(crate) fn zip(
        &self,
        other: &Scalars,
        query: &QueryContext<'_>,
        mut combine: impl FnMut(f64, f64) -> f64,
    ) -> Result<Scalars, QueryError> {
        match (self, other) {
            (Scalars::Constant(a), Scalars::Constant(b)) => Ok(Scalars::Constant(combine(*a, *b))),
            (Scalars::PerStep(values), _) => {
                Scalars::per_step(values.len(), query, |step| combine(values[step], other.at(step)))
            }
            (_, Scalars::PerStep(values)) => {
                Scalars::per_step(values.len(), query, |step| combine(self.at(step), values[step]))
            }
        }
    }

    /// Smallest and largest value over `steps` steps, and whether any is NaN, folded as Prometheus folds parameters.
    pub(crate) fn extremes(&self, steps: usize, query: &QueryContext<'_>) -> Result<Extremes, QueryError> {
        let values = match self {
            Scalars::Constant(value) => {
                return Ok(Extremes { min: *value, max: *value, any_nan: value.is_nan() });
            }
            Scalars::PerStep(values) => &values[..steps.min(values.len())],
        };
        let mut found = Extremes { min: f64::MAX, max: f64::MIN, any_nan: false };
        query.in_pieces(values, |piece| {
            found = piece.iter().fold(found, |so_far, &value| Extremes {
                min: ferula_go::math::min(so_far.min, value),
                max: ferula_go::math::max(so_far.max, value),
                any_nan: so_far.any_nan || value.is_nan(),
            });
        })?;
        Ok(found)
    }
}

/// A scalar expression of a running query.
pub(crate) trait ScalarOperator {
    /// Its numbers at all steps. Called once.
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Scalars, QueryError>;
}

/// A scalar expression of any kind.
pub(crate) type BoxScalar<'q> = Box<dyn ScalarOperator + 'q>;

impl<F: FnMut(&QueryContext<'_>) -> Result<Scalars, QueryError>> ScalarOperator for F {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Scalars, QueryError> {
        self(query)
    }
}

impl ScalarOperator for Scalars {
    fn evaluate(&mut self, _query: &QueryContext<'_>) -> Result<Scalars, QueryError> {
        Ok(std::mem::replace(self, Scalars::Constant(f64::NAN)))
    }
}

/// The scalar operands of an operator.
pub(crate) struct Parameters<'q> {
    /// What has not been evaluated yet.
    pending: Vec<BoxScalar<'q>>,
    values: Vec<Scalars>,
}

impl<'q> Parameters<'q> {
    pub(crate) fn new(pending: Vec<BoxScalar<'q>>) -> Self {
        Parameters { pending, values: Vec::new() }
    }

    /// The values, in the order of the operands. The first call evaluates them.
    pub(crate) fn values(&mut self, query: &QueryContext<'_>) -> Result<&[Scalars], QueryError> {
        for mut scalar in std::mem::take(&mut self.pending) {
            let frame = query.account.frame();
            let values = scalar.evaluate(query)?;
            drop(scalar);
            drop(frame);
            query.account.charge(values.bytes())?;
            self.values.push(values);
        }
        Ok(&self.values)
    }

    /// The values, taken out: none from the second call on.
    pub(crate) fn take_values(&mut self, query: &QueryContext<'_>) -> Result<Vec<Scalars>, QueryError> {
        self.values(query)?;
        Ok(std::mem::take(&mut self.values))
    }

    /// The same where Prometheus evaluates a vector before the scalars: when a scalar fails, the vector is run to its
    /// end, because an error of its own comes first.
    pub(crate) fn values_after(
        &mut self,
        first: &mut dyn Operator,
        steps: usize,
        query: &QueryContext<'_>,
    ) -> Result<&[Scalars], QueryError> {
        if let Err(error) = self.values(query) {
            let mut rows = Batch::new(steps);
            while first.next(query, &mut rows)? {
                query.check()?;
            }
            return Err(error);
        }
        Ok(&self.values)
    }
}

/// Bounds of a parameter over all steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extremes {
    pub min: f64,
    pub max: f64,
    pub any_nan: bool,
}

/// A scalar as one series without labels: `vector(s)`, and scalar queries.
pub(crate) struct ScalarSeries<'q> {
    series: SeriesTable,
    scalar: Option<BoxScalar<'q>>,
}

impl<'q> ScalarSeries<'q> {
    pub(crate) fn new(scalar: BoxScalar<'q>) -> Self {
        let mut series = SeriesTable::new();
        series.push(LabelSet::empty(), false);
        ScalarSeries { series, scalar: Some(scalar) }
    }
}

impl Operator for ScalarSeries<'_> {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        let Some(mut scalar) = self.scalar.take() else { return Ok(false) };
        let values = scalar.evaluate(query)?;
        let steps = out.steps();
        query.samples.hold(steps as u64)?;
        let row = out.push(0);
        for (index, piece) in row.values.chunks_mut(PIECE).enumerate() {
            query.work(piece.len())?;
            match &values {
                Scalars::Constant(value) => piece.fill(*value),
                Scalars::PerStep(values) => {
                    piece.copy_from_slice(&values[index * PIECE..index * PIECE + piece.len()]);
                }
            }
        }
        bitmap::fill(row.present, steps);
        Ok(true)
    }
}
