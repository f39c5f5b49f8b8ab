//! `sum`: compensated sums of floats, or of histograms.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_model::{CounterResetHint, FloatHistogram};
use ferula_promql_syntax::ast::Span;

use super::fold::Fold;
use crate::annotations::HistogramOperation;
use crate::exec::batch::{RowMut, RowRef};
use crate::exec::bitmap;
use crate::exec::context::{PIECE, QueryContext};
use crate::numeric::kahan;
use crate::{Annotation, QueryError};

/// `sum`.
pub(super) struct Sum {
    span: Span,
}

impl Sum {
    pub(super) fn new(span: Span) -> Self {
        Sum { span }
    }
}

/// Sums of one group by step.
pub(super) struct SumState {
    sums: Vec<f64>,
    compensations: Vec<f64>,
    /// Steps with a float.
    present: Vec<u64>,
    histograms: BTreeMap<usize, HistogramSum>,
}

/// The histograms of one group at one step.
pub(super) struct HistogramSum {
    /// `None` when a float came first: the step has no result then.
    pub sum: Option<FloatHistogram>,
    pub compensation: Option<FloatHistogram>,
    /// Exponential met custom buckets; later samples are ignored.
    pub incompatible: bool,
    pub hints: ResetHints,
}

/// Which counter reset hints were seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResetHints {
    reset: bool,
    not_reset: bool,
}

impl ResetHints {
    pub(crate) fn see(&mut self, histogram: &FloatHistogram) {
        self.reset |= histogram.counter_reset_hint == CounterResetHint::Reset;
        self.not_reset |= histogram.counter_reset_hint == CounterResetHint::NotReset;
    }

    /// Whether they contradict each other.
    pub(crate) fn collide(self) -> bool {
        self.reset && self.not_reset
    }
}

impl Fold for Sum {
    type State = SumState;

    fn empty(&self, steps: usize, query: &QueryContext<'_>) -> Result<SumState, QueryError> {
        Ok(SumState {
            sums: query.filled(kahan::Kahan::EMPTY.sum, steps)?,
            compensations: vec![0.0; steps],
            present: vec![0; bitmap::words_for(steps)],
            histograms: BTreeMap::new(),
        })
    }

    fn state_bytes(&self, steps: usize) -> usize {
        steps.saturating_mul(17)
    }

    fn add(
        &mut self,
        state: &mut SumState,
        row: RowRef<'_>,
        metric_name: &str,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        if state.histograms.is_empty() {
            add_floats(state, row, query)?;
        } else {
            for step in bitmap::ones(row.present) {
                query.work(1)?;
                if state.histograms.get(&step).is_none_or(|histogram| !histogram.incompatible) {
                    bitmap::set(&mut state.present, step);
                    (state.sums[step], state.compensations[step]) =
                        kahan::add(row.values[step], state.sums[step], state.compensations[step]);
                }
            }
        }
        for (step, histogram) in row.histograms.into_iter().flat_map(|row| row.iter()) {
            query.work(histogram.sample_weight())?;
            let float_came_first = bitmap::get(&state.present, step);
            let Some(entry) = state.histograms.get_mut(&step) else {
                query.account.charge(size_of::<HistogramSum>() + 2 * histogram.accounted_bytes())?;
                state.histograms.insert(step, HistogramSum::first(histogram, float_came_first));
                continue;
            };
            self.add_histogram(entry, histogram, metric_name, query);
        }
        Ok(())
    }

    fn finish(
        &mut self,
        state: SumState,
        out: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        out.present.copy_from_slice(&state.present);
        let mut sums = state.sums.iter().zip(&state.compensations);
        for piece in out.values.chunks_mut(PIECE) {
            query.work(piece.len())?;
            for (value, (sum, compensation)) in piece.iter_mut().zip(&mut sums) {
                *value = sum + compensation;
            }
        }
        for (step, histogram) in state.histograms {
            query.work(histogram.sum.as_ref().map_or(1, FloatHistogram::sample_weight))?;
            if bitmap::get(&state.present, step) {
                bitmap::clear(out.present, step);
                query.annotate(Annotation::mixed_floats_histograms_in_aggregation(self.span));
                continue;
            }
            if histogram.incompatible {
                continue;
            }
            let Some(mut sum) = histogram.sum else { continue };
            if let Some(compensation) = histogram.compensation {
                // Both have one layout, so this cannot fail.
                let _ = sum.add(&compensation);
            }
            sum.compact(0);
            if histogram.hints.collide() {
                query.annotate(Annotation::counter_reset_collision(
                    HistogramOperation::Aggregation,
                    self.span,
                ));
            }
            out.set_histogram(step, Arc::new(sum));
        }
        Ok(())
    }
}

impl HistogramSum {
    pub(super) fn first(histogram: &FloatHistogram, float_came_first: bool) -> Self {
        let mut hints = ResetHints::default();
        hints.see(histogram);
        HistogramSum {
            sum: (!float_came_first).then(|| histogram.clone()),
            compensation: None,
            incompatible: false,
            hints,
        }
    }
}

impl Sum {
    fn add_histogram(
        &self,
        entry: &mut HistogramSum,
        histogram: &FloatHistogram,
        metric_name: &str,
        query: &QueryContext<'_>,
    ) {
        let Some(sum) = entry.sum.as_mut().filter(|_| !entry.incompatible) else { return };
        entry.hints.see(histogram);
        match sum.kahan_add(histogram, &mut entry.compensation) {
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

/// Adds the floats of a row to the sums of its steps.
fn add_floats(state: &mut SumState, row: RowRef<'_>, query: &QueryContext<'_>) -> Result<(), QueryError> {
    let SumState { sums, compensations, present, .. } = state;
    for (word, &bits) in row.present.iter().enumerate() {
        query.work(1 + bits.count_ones() as usize)?;
        present[word] |= bits;
        let from = word * 64;
        let to = row.values.len().min(from + 64);
        if bits.count_ones() as usize == to - from {
            let sums = &mut sums[from..to];
            let compensations = &mut compensations[from..to];
            for ((sum, compensation), &value) in sums.iter_mut().zip(compensations).zip(&row.values[from..to])
            {
                (*sum, *compensation) = kahan::add(value, *sum, *compensation);
            }
        } else {
            for bit in bitmap::ones(&[bits]) {
                let step = from + bit;
                (sums[step], compensations[step]) =
                    kahan::add(row.values[step], sums[step], compensations[step]);
            }
        }
    }
    Ok(())
}
