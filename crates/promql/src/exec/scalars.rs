//! The value of a scalar expression at every step.

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
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
    pub(crate) fn per_step(steps: usize, value: impl FnMut(usize) -> f64) -> Self {
        Scalars::PerStep((0..steps).map(value).collect())
    }

    /// The values changed one by one.
    pub(crate) fn map(self, mut change: impl FnMut(f64) -> f64) -> Self {
        match self {
            Scalars::Constant(value) => Scalars::Constant(change(value)),
            Scalars::PerStep(mut values) => {
                values.iter_mut().for_each(|value| *value = change(*value));
                Scalars::PerStep(values)
            }
        }
    }

    /// Two scalars combined step by step.
    pub(crate) fn zip(&self, other: &Scalars, mut combine: impl FnMut(f64, f64) -> f64) -> Scalars {
        match (self, other) {
            (Scalars::Constant(a), Scalars::Constant(b)) => Scalars::Constant(combine(*a, *b)),
            (Scalars::PerStep(values), _) => {
                Scalars::per_step(values.len(), |step| combine(values[step], other.at(step)))
            }
            (_, Scalars::PerStep(values)) => {
                Scalars::per_step(values.len(), |step| combine(self.at(step), values[step]))
            }
        }
    }

    /// Smallest and largest value over `steps` steps, and whether any is NaN, folded as Prometheus folds parameters.
    pub(crate) fn extremes(&self, steps: usize) -> Extremes {
        match self {
            Scalars::Constant(value) => Extremes { min: *value, max: *value, any_nan: value.is_nan() },
            Scalars::PerStep(values) => {
                let start = Extremes { min: f64::MAX, max: f64::MIN, any_nan: false };
                values.iter().take(steps).fold(start, |so_far, &value| Extremes {
                    min: crate::numeric::go_math::min(so_far.min, value),
                    max: crate::numeric::go_math::max(so_far.max, value),
                    any_nan: so_far.any_nan || value.is_nan(),
                })
            }
        }
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
pub(crate) struct ScalarSeries {
    series: SeriesTable,
    values: Option<Scalars>,
}

impl ScalarSeries {
    pub(crate) fn new(values: Scalars) -> Self {
        let mut series = SeriesTable::new();
        series.push(LabelSet::empty(), false);
        ScalarSeries { series, values: Some(values) }
    }
}

impl Operator for ScalarSeries {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        let Some(values) = self.values.take() else { return Ok(false) };
        let steps = out.steps();
        query.samples.hold(steps as u64)?;
        let row = out.push(0);
        match values {
            Scalars::Constant(value) => row.values.fill(value),
            Scalars::PerStep(values) => row.values.copy_from_slice(&values[..steps]),
        }
        bitmap::fill(row.present, steps);
        Ok(true)
    }
}
