//! Deltas added up to cumulative values (`otlp-deltatocumulative`), as the processor of that name of the OpenTelemetry
//! Collector does: a stream begins with its first point; points older than the stream's start or last point are omitted.

mod exponential;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::point::{ExponentialPoint, HistogramPoint, Metric, MetricKind, Number, NumberPoint};
use crate::value::Attribute;

/// How long a stream without points is remembered.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);
/// The maximum number of streams; points of others are omitted.
const STREAMS_MAX: usize = 1_000_000;

/// The streams with their sums.
pub struct Deltas {
    streams: HashMap<u128, Stream>,
    now: Duration,
    pruned_at: Duration,
}

struct Stream {
    start: u64,
    time: u64,
    seen_at: Duration,
    state: State,
}

enum State {
    Number(Number),
    Histogram { count: u64, sum: Option<f64>, bucket_counts: Vec<u64>, explicit_bounds: Vec<f64> },
    Exponential(exponential::Sum),
}

/// Identifies the streams of one metric.
pub struct StreamId {
    of_metric: Vec<u8>,
}

/// Two seeds make a hash of 128 bits, so that no sender can construct collisions.
static SEEDS: std::sync::LazyLock<[RandomState; 2]> =
    std::sync::LazyLock::new(|| [RandomState::new(), RandomState::new()]);

impl StreamId {
    /// The streams of this metric, in a resource and scope.
    pub fn of(metric: &Metric<'_>, resource: &[Attribute<'_>], scope: &[u8]) -> Self {
        let mut of_metric = Vec::new();
        put_attributes(&mut of_metric, resource);
        for part in [scope, metric.name.as_bytes(), metric.unit.as_bytes()] {
            put(&mut of_metric, part);
        }
        of_metric.push(kind_number(metric.kind));
        of_metric.push(u8::from(metric.monotonic));
        StreamId { of_metric }
    }

    /// The number of the stream with these attributes.
    pub fn with_point(&self, attributes: &[Attribute<'_>]) -> u128 {
        let mut key = self.of_metric.clone();
        put_attributes(&mut key, attributes);
        let hash = |seed: &RandomState| u128::from(seed.hash_one(&key));
        hash(&SEEDS[0]) << 64 | hash(&SEEDS[1])
    }
}

fn kind_number(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Empty => 0,
        MetricKind::Gauge => 1,
        MetricKind::Sum => 2,
        MetricKind::Histogram => 3,
        MetricKind::ExponentialHistogram => 4,
        MetricKind::Summary => 5,
    }
}

fn put(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&(part.len() as u64).to_le_bytes());
    key.extend_from_slice(part);
}

fn put_attributes(key: &mut Vec<u8>, attributes: &[Attribute<'_>]) {
    let mut pairs: Vec<(&str, String)> =
        attributes.iter().map(|attribute| (attribute.name, attribute.text())).collect();
    pairs.sort();
    key.extend_from_slice(&(pairs.len() as u64).to_le_bytes());
    for (name, value) in pairs {
        put(key, name.as_bytes());
        put(key, value.as_bytes());
    }
}

/// What to do with a point.
enum Step<'s> {
    /// It is the first of its stream.
    Begin,
    Add(&'s mut Stream),
    LeaveOut,
}

impl Deltas {
    /// No streams.
    pub fn new() -> Self {
        Deltas { streams: HashMap::new(), now: Duration::ZERO, pruned_at: Duration::ZERO }
    }

    /// Sets the time of the following points, and removes streams that have had none for a long time.
    pub fn advance(&mut self, now: Duration) {
        const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
        self.now = now;
        if now.saturating_sub(self.pruned_at) >= PRUNE_INTERVAL {
            self.pruned_at = now;
            self.streams.retain(|_, stream| now.saturating_sub(stream.seen_at) <= STALE_AFTER);
        }
    }

    fn step(&mut self, id: u128, start: u64, time: u64) -> Step<'_> {
        let room = self.streams.len() < STREAMS_MAX;
        match self.streams.get_mut(&id) {
            None if room => Step::Begin,
            None => Step::LeaveOut,
            Some(stream) if start < stream.start || time <= stream.time => Step::LeaveOut,
            Some(stream) => {
                stream.time = time;
                stream.seen_at = self.now;
                Step::Add(stream)
            }
        }
    }

    fn begin(&mut self, id: u128, start: u64, time: u64, state: State) -> bool {
        self.streams.insert(id, Stream { start, time, seen_at: self.now, state });
        true
    }

    /// Adds a point and replaces it by the sum. Returns `false` if it is omitted.
    pub fn number(&mut self, id: u128, point: &mut NumberPoint<'_>) -> bool {
        let (start, time) = (point.common.start, point.common.time);
        match self.step(id, start, time) {
            Step::LeaveOut => return false,
            Step::Begin => return self.begin(id, start, time, State::Number(point.value)),
            Step::Add(stream) => {
                if let State::Number(sum) = &mut stream.state {
                    *sum = match (*sum, point.value) {
                        (Number::Double(a), b) => Number::Double(a + b.value()),
                        (a, Number::Double(b)) => Number::Double(a.value() + b),
                        (Number::Int(a), Number::Int(b)) => Number::Int(a.wrapping_add(b)),
                        (a, Number::Empty) => a,
                        (Number::Empty, b) => b,
                    };
                    point.value = *sum;
                }
                point.common.start = stream.start;
            }
        }
        true
    }

    /// [`Deltas::number`] for a histogram. If the bounds change, the sum starts again.
    pub fn histogram(&mut self, id: u128, point: &mut HistogramPoint<'_>) -> bool {
        let (start, time) = (point.common.start, point.common.time);
        let state = |point: &HistogramPoint<'_>| State::Histogram {
            count: point.count,
            sum: point.sum,
            bucket_counts: point.bucket_counts.clone(),
            explicit_bounds: point.explicit_bounds.clone(),
        };
        match self.step(id, start, time) {
            Step::LeaveOut => return false,
            Step::Begin => return self.begin(id, start, time, state(point)),
            Step::Add(stream) => {
                if let State::Histogram { count, sum, bucket_counts, explicit_bounds } = &mut stream.state
                    && *explicit_bounds == point.explicit_bounds
                {
                    *count = count.wrapping_add(point.count);
                    *sum = sum.zip(point.sum).map(|(a, b)| a + b);
                    for (sum, more) in bucket_counts.iter_mut().zip(&point.bucket_counts) {
                        *sum = sum.wrapping_add(*more);
                    }
                    (point.count, point.sum) = (*count, *sum);
                    point.bucket_counts.clone_from(bucket_counts);
                } else {
                    stream.state = state(point);
                    stream.start = start;
                }
                point.common.start = stream.start;
            }
        }
        true
    }

    /// [`Deltas::number`] for an exponential histogram.
    pub fn exponential(&mut self, id: u128, point: &mut ExponentialPoint<'_>) -> bool {
        let (start, time) = (point.common.start, point.common.time);
        match self.step(id, start, time) {
            Step::LeaveOut => return false,
            Step::Begin => {
                let sum = exponential::Sum::of(point);
                return self.begin(id, start, time, State::Exponential(sum));
            }
            Step::Add(stream) => {
                if let State::Exponential(sum) = &mut stream.state {
                    sum.add(point);
                    sum.write(point);
                }
                point.common.start = stream.start;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
