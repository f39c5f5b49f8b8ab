//! What a page is collected in before the store gets it: the samples, and for each the series as the cache knows it.

use std::ops::Range;

use ferula_exposition::key::decode_exemplar;
use ferula_exposition::{ExemplarText, LabelScratch};
use ferula_model::{Exemplar, HistogramValue, SeriesRef, Timestamp};
use ferula_storage::{HistogramSample, SampleBatch};

/// The value of a sample, of either kind.
pub(super) enum SampleValue {
    Float(f64),
    Histogram(HistogramValue),
}

/// Buffers for storing one page. They belong to the storing thread, so memory grows with the number of
/// pages being stored, not with the number of targets.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) batch: SampleBatch,
    /// For every float sample of the batch: its cache entry, and whether its series is new.
    pub(super) floats: Vec<(u32, bool)>,
    /// The same for its histograms.
    pub(super) histograms: Vec<(u32, bool)>,
    /// Exemplars of the batch that came with one sample, where there are several; in order.
    pub(super) exemplar_groups: Vec<Range<usize>>,
    pub(super) scratch: LabelScratch,
}

impl Buffers {
    /// Removes what an earlier page left.
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.floats.clear();
        self.histograms.clear();
        self.exemplar_groups.clear();
    }

    /// Adds a sample of a series, of which `entry` is the cache entry. `new`: the cache did not know it.
    #[inline]
    pub(super) fn push(
        &mut self,
        (entry, series, new): (u32, SeriesRef, bool),
        value: SampleValue,
        timestamp: Timestamp,
        start_timestamp: Timestamp,
    ) {
        match value {
            SampleValue::Float(value) => {
                self.batch.push_float_with_start(series, timestamp, value, start_timestamp);
                self.floats.push((entry, new));
            }
            SampleValue::Histogram(value) => {
                self.batch.histograms.push(HistogramSample { series, timestamp, start_timestamp, value });
                self.histograms.push((entry, new));
            }
        }
    }

    /// Adds the exemplars of one sample, ordered by time, value and labels. One with invalid labels is skipped.
    pub(super) fn push_exemplars(
        &mut self,
        series: SeriesRef,
        exemplars: &[ExemplarText<'_>],
        sample_time: i64,
    ) {
        let all = &mut self.batch.exemplars;
        let start = all.len();
        for exemplar in exemplars {
            if decode_exemplar(exemplar.labels, &mut self.scratch).is_err() {
                continue;
            }
            let exemplar = Exemplar {
                labels: self.scratch.to_label_set(),
                value: exemplar.value,
                timestamp: Timestamp::from_millis(exemplar.timestamp.unwrap_or(sample_time)),
                has_timestamp: exemplar.timestamp.is_some(),
            };
            all.push((series, exemplar));
        }
        if all.len() > start + 1 {
            all[start..].sort_by(|(_, a), (_, b)| {
                let by_value = || a.value.total_cmp(&b.value).then_with(|| a.labels.cmp(&b.labels));
                a.timestamp.cmp(&b.timestamp).then_with(by_value)
            });
            self.exemplar_groups.push(start..all.len());
        }
    }

    /// The number of samples whose series the cache did not know.
    pub(super) fn new_series(&self) -> u64 {
        let all = self.floats.iter().chain(&self.histograms);
        all.filter(|(_, new)| *new).count() as u64
    }
}
