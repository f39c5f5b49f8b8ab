//! Series for random queries: one hour of everything that makes PromQL interesting.
//!
//! Counters that restart, gauges with infinities, NaN and staleness markers, gaps longer than the lookback, irregular intervals, classic
//! histograms with and without `+Inf`, native histograms that restart, change resolution and turn into floats, series that differ in one label only, labels that are missing. Times are round
//! milliseconds, so that every way to bring the data into a store keeps them.

use std::sync::Arc;

use ferula_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use ferula_model::value::STALE_NAN;
use ferula_model::{CounterResetHint, FloatHistogram, HistogramValue, LabelSet, Timestamp};
use ferula_storage::{Appendable, Durability, HistogramSample, SampleBatch};

use crate::MemStorage;

/// Time of the first sample: 14 November 2023, 22:13:20 UTC.
pub const START_MS: i64 = 1_700_000_000_000;

/// Length of the data.
pub const LENGTH_MS: i64 = 3_600_000;

/// A series with its samples in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct QuerySeries {
    /// The labels, with the metric name.
    pub labels: LabelSet,
    /// Milliseconds and value.
    pub samples: Vec<(i64, QueryValue)>,
}

/// A sample's value.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// A float; may be the staleness marker.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// Names of all metrics in [`series`].
pub const METRICS: [&str; 9] = [
    "requests_total",
    "temperature",
    "latency_bucket",
    "latency_count",
    "sparse",
    "build_info",
    "native",
    "native_custom",
    "native_gauge",
];

/// Labels in [`series`] with values, some of which no series has.
pub const LABELS: [(&str, &[&str]); 4] = [
    ("job", &["api", "db", "web"]),
    ("instance", &["a:80", "b:80", "c:80"]),
    ("le", &["0.1", "1", "+Inf"]),
    ("version", &["1.0", "2.0"]),
];

/// Small repeatable random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        self.below(1 << 32) as f64 / (1u64 << 32) as f64
    }
}

/// The data, sorted by labels; the same for the same seed.
pub fn series(seed: u64) -> Vec<QuerySeries> {
    let mut random = Random(seed);
    let mut all = Vec::new();
    for job in ["api", "db"] {
        for instance in ["a:80", "b:80", "c:80"] {
            all.push(counter(&mut random, job, instance));
            all.push(gauge(&mut random, job, instance));
            all.push(native(&mut random, job, instance));
        }
        all.push(native_custom(&mut random, job));
        all.push(native_gauge(&mut random, job));
        all.push(build_info(&mut random, job));
        all.extend(histogram(&mut random, job));
        all.push(sparse(&mut random, job));
    }
    // The order of a block, which decides where results depend on the order of series.
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

/// Writes the data to a store.
pub fn store(seed: u64) -> MemStorage {
    let storage = MemStorage::new();
    for series in series(seed) {
        let mut appender = storage.appender();
        let to = appender.resolve(&series.labels).expect("every series has labels");
        let mut batch = SampleBatch::default();
        for (timestamp, value) in series.samples {
            let timestamp = Timestamp::from_millis(timestamp);
            match value {
                QueryValue::Float(value) => batch.push_float(to, timestamp, value),
                QueryValue::Histogram(value) => batch.histograms.push(HistogramSample {
                    series: to,
                    timestamp,
                    start_timestamp: Timestamp::EPOCH,
                    value: HistogramValue::Float(value),
                }),
            }
            // One by one: a batch would take all its floats before its histograms.
            let refused = appender.append(&mut batch).refused;
            assert!(refused.is_empty(), "{refused:?}");
        }
        appender.commit(Durability::Written).expect("a store in memory commits");
    }
    storage
}

/// Scrape times: every 15 s, a little off, some missed, sometimes for longer than the lookback.
fn times(random: &mut Random) -> Vec<i64> {
    let offset = random.below(15_000) as i64;
    let gap = (random.below(2400) as i64 * 1000, 360_000 * (random.below(2) as i64));
    (0..LENGTH_MS / 15_000)
        .map(|scrape| offset + scrape * 15_000)
        .filter(|at| !(gap.0..gap.0 + gap.1).contains(at))
        .filter(|_| random.below(20) > 0)
        .map(|at| START_MS + at)
        .collect()
}

fn counter(random: &mut Random, job: &str, instance: &str) -> QuerySeries {
    let mut value = random.below(1000) as f64;
    let fractions = random.below(2) == 0;
    let samples = times(random)
        .into_iter()
        .map(|at| {
            value += if fractions { random.unit() * 7.0 } else { random.below(30) as f64 };
            if random.below(60) == 0 {
                value = random.below(5) as f64;
            }
            (at, QueryValue::Float(value))
        })
        .collect();
    let labels = LabelSet::from_pairs([("__name__", "requests_total"), ("job", job), ("instance", instance)]);
    QuerySeries { labels, samples }
}

fn gauge(random: &mut Random, job: &str, instance: &str) -> QuerySeries {
    let special = random.below(2) == 0;
    let samples = times(random)
        .into_iter()
        .map(|at| {
            let value = match random.below(if special { 25 } else { 1 << 40 }) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                3 => -0.0,
                5 => STALE_NAN,
                4 => 0.0,
                _ => (random.unit() - 0.3) * 40.0,
            };
            (at, QueryValue::Float(value))
        })
        .collect();
    let labels = LabelSet::from_pairs([("__name__", "temperature"), ("job", job), ("instance", instance)]);
    QuerySeries { labels, samples }
}

fn build_info(random: &mut Random, job: &str) -> QuerySeries {
    let version = if job == "api" { "1.0" } else { "2.0" };
    let samples = times(random).into_iter().map(|at| (at, QueryValue::Float(1.0))).collect();
    let labels = LabelSet::from_pairs([("__name__", "build_info"), ("job", job), ("version", version)]);
    QuerySeries { labels, samples }
}

fn histogram(random: &mut Random, job: &str) -> Vec<QuerySeries> {
    let times = times(random);
    let mut counts = [0.0f64; 4];
    let mut columns: Vec<Vec<(i64, QueryValue)>> = vec![Vec::new(); 5];
    for at in times {
        for (bucket, count) in counts.iter_mut().enumerate() {
            *count += random.below(5 * (bucket as u64 + 1)) as f64;
        }
        let mut total = 0.0;
        for (bucket, count) in counts.iter().enumerate() {
            total += count;
            columns[bucket].push((at, QueryValue::Float(total)));
        }
        columns[4].push((at, QueryValue::Float(total)));
    }
    // The second histogram lacks its last bucket, and has one with a bound that is not a number.
    let bounds = if job == "api" { ["0.1", "0.5", "1", "+Inf"] } else { ["0.1", "1", "5", "many"] };
    let count = columns.pop().unwrap_or_default();
    let mut all: Vec<QuerySeries> = bounds
        .iter()
        .zip(columns)
        .map(|(le, samples)| {
            let labels = LabelSet::from_pairs([("__name__", "latency_bucket"), ("job", job), ("le", le)]);
            QuerySeries { labels, samples }
        })
        .collect();
    let labels = LabelSet::from_pairs([("__name__", "latency_count"), ("job", job)]);
    all.push(QuerySeries { labels, samples: count });
    all
}

/// A sample now and then: single samples in windows, and windows without any.
fn sparse(random: &mut Random, job: &str) -> QuerySeries {
    let mut at = START_MS;
    let mut samples = Vec::new();
    while at < START_MS + LENGTH_MS {
        let value = if random.below(9) == 0 { STALE_NAN } else { (random.below(2000) as f64 - 1000.0) / 8.0 };
        samples.push((at, QueryValue::Float(value)));
        at += 20_000 + random.below(500) as i64 * 1000;
    }
    let labels = LabelSet::from_pairs([("__name__", "sparse"), ("job", job)]);
    QuerySeries { labels, samples }
}

/// A native counter histogram: restarts, changes its resolution, and is a float now and then.
fn native(random: &mut Random, job: &str, instance: &str) -> QuerySeries {
    let mut schema = random.below(3) as i32;
    let mut histogram = exponential(random, schema);
    let mut samples = Vec::new();
    for at in times(random) {
        match random.below(50) {
            0 => histogram = exponential(random, schema),
            1 => {
                schema = (schema + 1) % 3;
                histogram = exponential(random, schema);
            }
            2 => {
                samples.push((at, QueryValue::Float(random.below(100) as f64)));
                continue;
            }
            3 => {
                samples.push((at, QueryValue::Float(STALE_NAN)));
                continue;
            }
            _ => observe(random, &mut histogram),
        }
        samples.push((at, QueryValue::Histogram(Arc::new(histogram.clone()))));
    }
    let labels = LabelSet::from_pairs([("__name__", "native"), ("job", job), ("instance", instance)]);
    QuerySeries { labels, samples }
}

fn exponential(random: &mut Random, schema: i32) -> FloatHistogram {
    let mut histogram = FloatHistogram {
        schema,
        zero_threshold: if random.below(3) == 0 { 0.01 } else { 0.001 },
        positive_spans: vec![
            Span { offset: random.below(4) as i32 - 2, length: 2 },
            Span { offset: 1 + random.below(2) as i32, length: 3 },
        ],
        positive_buckets: vec![0.0; 5],
        ..FloatHistogram::default()
    };
    if random.below(2) == 0 {
        histogram.negative_spans = vec![Span { offset: random.below(3) as i32, length: 2 }];
        histogram.negative_buckets = vec![0.0; 2];
    }
    observe(random, &mut histogram);
    histogram
}

/// Some more observations in every bucket.
fn observe(random: &mut Random, histogram: &mut FloatHistogram) {
    let mut more = 0.0;
    for count in histogram.positive_buckets.iter_mut().chain(&mut histogram.negative_buckets) {
        let observed = random.below(6) as f64;
        *count += observed;
        more += observed;
    }
    if histogram.schema != CUSTOM_BUCKETS_SCHEMA {
        let zeros = random.below(3) as f64;
        histogram.zero_count += zeros;
        more += zeros;
    }
    histogram.count += more;
    histogram.sum += more * random.unit() * 3.0;
}

/// A native counter histogram with custom buckets.
fn native_custom(random: &mut Random, job: &str) -> QuerySeries {
    let mut histogram = FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans: vec![Span { offset: 0, length: 4 }],
        positive_buckets: vec![0.0; 4],
        custom_values: Some([0.1, 1.0, 5.0].into()),
        ..FloatHistogram::default()
    };
    let mut samples = Vec::new();
    for at in times(random) {
        if random.below(60) == 0 {
            histogram.positive_buckets.fill(0.0);
            (histogram.count, histogram.sum) = (0.0, 0.0);
        }
        observe(random, &mut histogram);
        samples.push((at, QueryValue::Histogram(Arc::new(histogram.clone()))));
    }
    let labels = LabelSet::from_pairs([("__name__", "native_custom"), ("job", job)]);
    QuerySeries { labels, samples }
}

/// A native gauge histogram: every sample is new, but has the same buckets. (A chunk would give all its samples the
/// buckets of any of them, and empty buckets show in some results.)
fn native_gauge(random: &mut Random, job: &str) -> QuerySeries {
    let layout = FloatHistogram { counter_reset_hint: CounterResetHint::Gauge, ..exponential(random, 1) };
    let samples = times(random)
        .into_iter()
        .map(|at| {
            let mut histogram = layout.clone();
            histogram.positive_buckets.fill(1.0);
            histogram.negative_buckets.fill(1.0);
            histogram.zero_count = 0.0;
            histogram.count = (histogram.positive_buckets.len() + histogram.negative_buckets.len()) as f64;
            histogram.sum = random.unit() - 0.5;
            observe(random, &mut histogram);
            (at, QueryValue::Histogram(Arc::new(histogram)))
        })
        .collect();
    let labels = LabelSet::from_pairs([("__name__", "native_gauge"), ("job", job)]);
    QuerySeries { labels, samples }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_in_order_and_the_same_for_the_same_seed() {
        let data = series(3);
        assert_eq!(format!("{data:?}"), format!("{:?}", series(3)), "text, because of NaN");
        assert!(data.is_sorted_by(|a, b| a.labels < b.labels));
        for series in &data {
            assert!(series.samples.is_sorted_by(|a, b| a.0 < b.0), "{}", series.labels);
            assert!(METRICS.contains(&series.labels.metric_name()));
        }
        assert_eq!(store(3).series().len(), data.len());
    }
}
