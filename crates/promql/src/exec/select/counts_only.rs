//! Histograms read without their buckets, for functions that use only count and sum.
//!
//! Without buckets a counter reset cannot be detected, so it is detected here, sample by sample, and stored in the
//! hint. Prometheus does it in its `HistogramStatsIterator`; a hint is explicit there only after a sample that the
//! same iterator has seen, so it matters which samples a reader passes.

use std::sync::Arc;

use ferula_model::value::is_stale;
use ferula_model::{CounterResetHint, FloatHistogram};
use ferula_storage::SeriesSamples;

use crate::Grid;
use crate::QueryError;
use crate::exec::context::QueryContext;
use crate::plan::node::Lookup;

/// The moments that are read and how far back from each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadWindow {
    pub grid: Grid,
    pub lookup: Lookup,
    /// Samples that are at most this much older than a moment are seen.
    pub before_ms: i64,
    /// Samples up to this much later are seen too.
    pub after_ms: i64,
}

impl ReadWindow {
    /// Whether a reader of all moments passes a sample of this time.
    fn sees(&self, time: i64) -> bool {
        let time = time.saturating_sub(self.after_ms);
        let first = self.lookup.time(self.grid.start_ms);
        let step = if self.lookup.at_ms.is_some() { 0 } else { self.grid.step_ms.max(1) };
        let late = i128::from(time) - i128::from(first);
        let moment = if late <= 0 || step == 0 {
            i128::from(first)
        } else {
            // The first moment that is not before the sample.
            let steps = (late + i128::from(step) - 1) / i128::from(step);
            i128::from(first) + steps * i128::from(step)
        };
        i128::from(time) >= moment - i128::from(self.before_ms) - i128::from(self.after_ms)
    }
}

/// Copies `samples` with histograms reduced to hint, schema, count and sum.
pub(crate) fn counts_only(
    samples: &SeriesSamples,
    reach: &ReadWindow,
    out: &mut SeriesSamples,
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    out.clear();
    out.floats.clone_from(&samples.floats);
    out.histograms.timestamps.clone_from(&samples.histograms.timestamps);
    out.histograms.start_timestamps.clone_from(&samples.histograms.start_timestamps);
    let mut last: Option<&FloatHistogram> = None;
    for (time, histogram) in samples.histograms.timestamps.iter().zip(&samples.histograms.values) {
        query.work(histogram.sample_weight())?;
        let mut hint = histogram.counter_reset_hint;
        if !is_stale(histogram.sum) {
            if !reach.sees(*time) {
                last = None;
            } else {
                if let Some(last) = last.filter(|_| hint == CounterResetHint::Unknown) {
                    let reset = histogram.detect_reset(last);
                    hint = if reset { CounterResetHint::Reset } else { CounterResetHint::NotReset };
                }
                last = Some(histogram);
            }
        }
        out.histograms.values.push(Arc::new(FloatHistogram {
            counter_reset_hint: hint,
            schema: histogram.schema,
            count: histogram.count,
            sum: histogram.sum,
            ..FloatHistogram::default()
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::context::tests::with_context;

    fn samples(counts: &[f64]) -> SeriesSamples {
        let mut samples = SeriesSamples::default();
        for (i, count) in counts.iter().enumerate() {
            let histogram = FloatHistogram { count: *count, zero_count: *count, ..FloatHistogram::default() };
            samples.histograms.timestamps.push(i as i64 * 10);
            samples.histograms.values.push(Arc::new(histogram));
        }
        samples
    }

    fn hints(step_ms: i64, before_ms: i64) -> Vec<CounterResetHint> {
        let grid = Grid { start_ms: 0, end_ms: 100, step_ms };
        let lookup = Lookup { at_ms: None, offset_ms: 0 };
        let mut out = SeriesSamples::default();
        let reach = ReadWindow { grid, lookup, before_ms, after_ms: 0 };
        with_context(|query| {
            counts_only(&samples(&[1.0, 2.0, 1.0, 1.0]), &reach, &mut out, query).expect("nobody stops it");
        });
        assert!(out.histograms.values.iter().all(|h| h.zero_count == 0.0));
        out.histograms.values.iter().map(|h| h.counter_reset_hint).collect()
    }

    #[test]
    fn resets_are_found_between_samples_that_are_seen() {
        use CounterResetHint::{NotReset, Reset, Unknown};
        assert_eq!(hints(10, 20), [Unknown, NotReset, Reset, NotReset]);
        // Only 0 and 30 are near a moment; what lies between ends the chain.
        assert_eq!(hints(30, 5), [Unknown, Unknown, Unknown, Unknown]);
    }
}
