//! `avg`: the compensated sum over the count, or, from where the sum would overflow on, an incremental mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_model::FloatHistogram;
use ferula_promql_syntax::ast::Span;

use super::fold::Fold;
use super::sum::ResetHints;
use crate::annotations::HistogramOperation;
use crate::exec::batch::{RowMut, RowRef};
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::numeric::mean::{HistogramMean, Mean};
use crate::{Annotation, QueryError};

/// `avg`.
pub(super) struct Average {
    span: Span,
}

impl Average {
    pub(super) fn new(span: Span) -> Self {
        Average { span }
    }
}

/// Means of one group by step.
pub(super) struct AverageState {
    means: Vec<Mean>,
    present: Vec<u64>,
    histograms: BTreeMap<usize, HistogramAverage>,
}

/// The histograms of one group at one step.
struct HistogramAverage {
    /// `None` when a float came first: the step has no result then.
    mean: Option<HistogramMean>,
    /// Exponential met custom buckets; later samples are ignored.
    incompatible: bool,
    hints: ResetHints,
}

impl Fold for Average {
    type State = AverageState;

    fn empty(&self, steps: usize, query: &QueryContext<'_>) -> Result<AverageState, QueryError> {
        Ok(AverageState {
            means: query.filled(Mean::default(), steps)?,
            present: vec![0; bitmap::words_for(steps)],
            histograms: BTreeMap::new(),
        })
    }

    fn state_bytes(&self, steps: usize) -> usize {
        steps.saturating_mul(size_of::<Mean>() + 1)
    }

    fn add(
        &mut self,
        state: &mut AverageState,
        row: RowRef<'_>,
        metric_name: &str,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        for step in bitmap::ones(row.present) {
            query.work(1)?;
            if state.histograms.get(&step).is_none_or(|histogram| !histogram.incompatible) {
                bitmap::set(&mut state.present, step);
                state.means[step].add(row.values[step]);
            }
        }
        for (step, histogram) in row.histograms.into_iter().flat_map(|row| row.iter()) {
            query.work(histogram.sample_weight())?;
            let float_came_first = bitmap::get(&state.present, step);
            match state.histograms.get_mut(&step) {
                Some(entry) => self.add_histogram(entry, histogram, metric_name, query),
                None => {
                    let mut hints = ResetHints::default();
                    hints.see(histogram);
                    query.account.charge(size_of::<HistogramAverage>() + 2 * histogram.accounted_bytes())?;
                    let mean = (!float_came_first).then(|| HistogramMean::new(histogram.clone()));
                    state.histograms.insert(step, HistogramAverage { mean, incompatible: false, hints });
                }
            }
        }
        Ok(())
    }

    fn finish(
        &mut self,
        state: AverageState,
        out: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        query.each_one(&state.present, |step| out.set_float(step, state.means[step].value()))?;
        for (step, histogram) in state.histograms {
            query.work(16)?;
            if bitmap::get(&state.present, step) {
                bitmap::clear(out.present, step);
                query.annotate(Annotation::mixed_floats_histograms_in_aggregation(self.span));
                continue;
            }
            let Some(mean) = histogram.mean.filter(|_| !histogram.incompatible) else { continue };
            let mut value = mean.value();
            value.compact(0);
            if histogram.hints.collide() {
                query.annotate(Annotation::counter_reset_collision(
                    HistogramOperation::Aggregation,
                    self.span,
                ));
            }
            out.set_histogram(step, Arc::new(value));
        }
        Ok(())
    }
}

impl Average {
    fn add_histogram(
        &self,
        entry: &mut HistogramAverage,
        histogram: &FloatHistogram,
        metric_name: &str,
        query: &QueryContext<'_>,
    ) {
        let Some(mean) = entry.mean.as_mut().filter(|_| !entry.incompatible) else { return };
        entry.hints.see(histogram);
        match mean.add(histogram) {
            Ok(combined) if combined.bounds_reconciled => {
                query.annotate(Annotation::custom_buckets_reconciled(
                    HistogramOperation::Aggregation,
                    self.span,
                ));
            }
            Ok(_) => {}
            Err(_) => {
                query.annotate(Annotation::mixed_exponential_custom(metric_name, self.span));
                entry.incompatible = true;
            }
        }
    }
}
