//! Writes the samples of a script to a store.

use std::collections::BTreeMap;

use ferula_model::histogram::{ClassicHistogram, ClassicPart};
use ferula_model::labels::{BUCKET_LABEL, METRIC_NAME};
use ferula_model::{HistogramValue, LabelSet, Timestamp};
use ferula_storage::{Appendable, Appender, Durability, HistogramSample, SampleBatch};

use crate::expand::Point;
use crate::script::{Load, LoadSeries};

/// Appends all series of the load in one commit. Stops at the first refused sample.
pub(crate) fn load_into(store: &dyn Appendable, load: &Load) -> Result<(), String> {
    let mut appender = store.appender();
    for series in &load.series {
        append_series(&mut *appender, series, load.step_ms)?;
    }
    if load.with_nhcb {
        for (labels, samples) in converted(load)? {
            append_histograms(&mut *appender, &labels, samples)?;
        }
    }
    appender.commit(Durability::Written).map_err(|error| error.to_string())
}

fn append_series(appender: &mut dyn Appender, series: &LoadSeries, step_ms: i64) -> Result<(), String> {
    let labels = &series.labels;
    let handle = appender.resolve(labels).map_err(|error| format!("{labels}: {error}"))?;
    let mut batch = SampleBatch::default();
    for (i, point) in series.points.iter().enumerate() {
        let timestamp = Timestamp::from_millis(i as i64 * step_ms);
        let start = series.starts.get(i).copied().flatten();
        let start = start.map_or(Timestamp::EPOCH, |offset| timestamp.saturating_add_millis(offset));
        match point {
            Point::Omitted => {}
            Point::Float(v) => {
                // A batch keeps floats and histograms separately; within a series their order in time must be
                // preserved.
                if !batch.histograms.is_empty() {
                    flush(appender, &mut batch, labels)?;
                }
                batch.push_float_with_start(handle, timestamp, *v, start);
            }
            Point::Histogram { value, .. } => {
                if !batch.refs.is_empty() {
                    flush(appender, &mut batch, labels)?;
                }
                batch.histograms.push(HistogramSample {
                    series: handle,
                    timestamp,
                    start_timestamp: start,
                    value: HistogramValue::Float(value.clone()),
                });
            }
        }
    }
    flush(appender, &mut batch, labels)
}

fn append_histograms(
    appender: &mut dyn Appender,
    labels: &LabelSet,
    samples: Vec<(i64, HistogramValue)>,
) -> Result<(), String> {
    let series = appender.resolve(labels).map_err(|error| format!("{labels}: {error}"))?;
    let histograms = samples
        .into_iter()
        .map(|(timestamp, value)| HistogramSample {
            series,
            timestamp: Timestamp::from_millis(timestamp),
            start_timestamp: Timestamp::EPOCH,
            value,
        })
        .collect();
    let mut batch = SampleBatch { histograms, ..SampleBatch::default() };
    flush(appender, &mut batch, labels)
}

fn flush(appender: &mut dyn Appender, batch: &mut SampleBatch, labels: &LabelSet) -> Result<(), String> {
    if batch.is_empty() {
        return Ok(());
    }
    let outcome = appender.append(batch);
    match outcome.refused.first() {
        Some(refusal) => Err(format!("{labels}: {}", refusal.error)),
        None => Ok(()),
    }
}

/// Classic histograms of the load converted to custom buckets, by series and time.
fn converted(load: &Load) -> Result<Vec<(LabelSet, Vec<(i64, HistogramValue)>)>, String> {
    let mut gathered: Vec<(LabelSet, BTreeMap<i64, ClassicHistogram>)> = Vec::new();
    for series in &load.series {
        let Some((name, part)) = ClassicPart::of(series.labels.metric_name()) else { continue };
        let mut le = f64::NAN;
        if part == ClassicPart::Bucket {
            let label = series
                .labels
                .get(BUCKET_LABEL)
                .ok_or_else(|| format!("expected bucket label in metric {}", series.labels))?;
            le = label.parse().unwrap_or(f64::NAN);
            if le.is_nan() {
                continue;
            }
        }
        let base = series.labels.to_builder().set(METRIC_NAME, name).remove(BUCKET_LABEL).finish();
        let place = gathered.iter().position(|(labels, _)| *labels == base).unwrap_or_else(|| {
            gathered.push((base, BTreeMap::new()));
            gathered.len() - 1
        });
        for (i, point) in series.points.iter().enumerate() {
            let Point::Float(v) = point else { continue };
            let histogram = gathered[place].1.entry(i as i64 * load.step_ms).or_default();
            match part {
                ClassicPart::Bucket => histogram.set_bucket(le, *v),
                ClassicPart::Count => histogram.set_count(*v),
                ClassicPart::Sum => histogram.set_sum(*v),
            }
        }
    }
    let mut out = Vec::with_capacity(gathered.len());
    for (labels, by_time) in gathered {
        let mut samples = Vec::with_capacity(by_time.len());
        for (t, classic) in by_time {
            let value = classic.convert().map_err(|error| format!("{labels}: {error}"))?;
            value.validate().map_err(|error| format!("{labels}: {error}"))?;
            samples.push((t, HistogramValue::Float(value.to_float())));
        }
        out.push((labels, samples));
    }
    Ok(out)
}
