//! Writes the samples of instant vectors to the store.

use std::collections::BTreeMap;

use ferula_model::{HistogramValue, Timestamp};
use ferula_promql::{InstantSample, SampleValue};
use ferula_storage::{AppendError, Appender, HistogramSample, SampleBatch, SampleKind};

/// Appends samples and returns the outcome of each.
pub(crate) fn append(
    appender: &mut dyn Appender,
    samples: &[InstantSample],
    mut tell: impl FnMut(&InstantSample, Result<(), AppendError>),
) {
    // A rule evaluated for a time in the past must not insert samples between existing ones.
    let mut batch = SampleBatch { in_order_only: true, ..SampleBatch::default() };
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    for (index, sample) in samples.iter().enumerate() {
        let timestamp = Timestamp::from_millis(sample.timestamp_ms);
        let series = match appender.resolve(&sample.labels) {
            Ok(series) => series,
            Err(error) => {
                tell(sample, Err(error));
                continue;
            }
        };
        match &sample.value {
            SampleValue::Float(value) => {
                batch.push_float(series, timestamp, *value);
                floats.push(index);
            }
            SampleValue::Histogram(histogram) => {
                let value = HistogramValue::Float(histogram.clone());
                batch.histograms.push(HistogramSample {
                    series,
                    timestamp,
                    start_timestamp: Timestamp::EPOCH,
                    value,
                });
                histograms.push(index);
            }
        }
    }
    let mut refused = BTreeMap::new();
    for refusal in appender.append(&mut batch).refused {
        let rows = match refusal.kind {
            SampleKind::Float => &floats,
            SampleKind::Histogram => &histograms,
            SampleKind::Exemplar => continue,
        };
        if let Some(index) = rows.get(refusal.index) {
            refused.insert(*index, refusal.error);
        }
    }
    for index in floats.into_iter().chain(histograms) {
        tell(&samples[index], refused.remove(&index).map_or(Ok(()), Err));
    }
}
