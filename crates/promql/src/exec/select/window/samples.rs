//! Samples of one series as functions over windows see them: without staleness markers.

use std::sync::Arc;

use ferula_model::FloatHistogram;
use ferula_model::value::is_stale;
use ferula_storage::SeriesSamples;

use crate::QueryError;
use crate::exec::context::QueryContext;

/// Samples of one series without staleness markers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples<'a> {
    pub float_times: &'a [i64],
    pub floats: &'a [f64],
    /// Empty when start timestamps do not matter or no sample has one.
    pub float_starts: &'a [i64],
    pub histogram_times: &'a [i64],
    pub histograms: &'a [Arc<FloatHistogram>],
    pub histogram_starts: &'a [i64],
}

impl<'a> Samples<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.float_times.is_empty() && self.histogram_times.is_empty()
    }

    /// A view of columns that may hold staleness markers; they are copied without them if so.
    pub(super) fn without_stale(
        samples: &'a SeriesSamples,
        scratch: &'a mut SeriesSamples,
        with_starts: bool,
        query: &QueryContext<'_>,
    ) -> Result<Samples<'a>, QueryError> {
        let mut stale = samples.histograms.values.iter().any(|histogram| is_stale(histogram.sum));
        query.in_pieces(&samples.floats.values, |piece| {
            stale = stale || piece.iter().any(|&value| is_stale(value));
        })?;
        let samples = if stale {
            copy_without_stale(samples, scratch, query)?;
            &*scratch
        } else {
            samples
        };
        let starts = |starts: &'a [i64]| if with_starts { starts } else { &[] };
        Ok(Samples {
            float_times: &samples.floats.timestamps,
            floats: &samples.floats.values,
            float_starts: starts(&samples.floats.start_timestamps),
            histogram_times: &samples.histograms.timestamps,
            histograms: &samples.histograms.values,
            histogram_starts: starts(&samples.histograms.start_timestamps),
        })
    }

    pub(super) fn slice(&self, floats: (usize, usize), histograms: (usize, usize)) -> Samples<'a> {
        let starts = |starts: &'a [i64], (from, to): (usize, usize)| starts.get(from..to).unwrap_or(&[]);
        Samples {
            float_times: &self.float_times[floats.0..floats.1],
            floats: &self.floats[floats.0..floats.1],
            float_starts: starts(self.float_starts, floats),
            histogram_times: &self.histogram_times[histograms.0..histograms.1],
            histograms: &self.histograms[histograms.0..histograms.1],
            histogram_starts: starts(self.histogram_starts, histograms),
        }
    }
}

fn copy_without_stale(
    from: &SeriesSamples,
    to: &mut SeriesSamples,
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    to.clear();
    let count = from.floats.values.len() + from.histograms.values.len();
    let had = to.floats.values.capacity() + to.histograms.values.capacity();
    // Time, value and start; twice, because a column that grows is copied.
    query.account.charge(count.saturating_sub(had).saturating_mul(48))?;
    for (index, &value) in from.floats.values.iter().enumerate() {
        query.work(1)?;
        if !is_stale(value) {
            to.floats.timestamps.push(from.floats.timestamps[index]);
            to.floats.values.push(value);
            to.floats.start_timestamps.extend(from.floats.start_timestamps.get(index));
        }
    }
    for (index, value) in from.histograms.values.iter().enumerate() {
        query.work(4)?;
        if !is_stale(value.sum) {
            to.histograms.timestamps.push(from.histograms.timestamps[index]);
            to.histograms.values.push(value.clone());
            to.histograms.start_timestamps.extend(from.histograms.start_timestamps.get(index));
        }
    }
    Ok(())
}
