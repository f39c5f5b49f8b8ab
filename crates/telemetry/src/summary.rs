//! Quantiles over the last ten minutes.
//!
//! Observations are counted in buckets whose bounds grow by 1 %, so a quantile has a relative error of at most 0.5 %
//! and memory is bounded by the range of the values, not by their number. Old observations leave in slices of two
//! minutes, as in Prometheus' client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::{MetricType, MetricValue};

use crate::family::Instrument;

/// Ratio of neighbouring bucket bounds.
const GROWTH: f64 = 1.01;
const SLICES: usize = 5;
const SLICE_AGE: Duration = Duration::from_secs(120);

/// A clock: the time since some moment. It never decreases.
pub(crate) type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Sum, count, and quantiles over the last ten minutes. Clones are handles to the same summary.
#[derive(Clone)]
pub struct Summary(Arc<Cell>);

struct Cell {
    uptime: Uptime,
    state: Mutex<State>,
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Summary").field(&self.0.state).finish()
    }
}

#[derive(Debug)]
struct State {
    /// Rising.
    quantiles: Vec<f64>,
    sum: f64,
    count: u64,
    /// The last slice is the one being filled.
    slices: Vec<Slice>,
    slice_start: Duration,
}

/// Observations by bucket; the key rises with the value.
type Slice = BTreeMap<i32, u64>;

impl Summary {
    pub(crate) fn new(quantiles: &[f64], uptime: Uptime) -> Self {
        let mut quantiles = quantiles.to_vec();
        quantiles.sort_by(f64::total_cmp);
        let slice_start = uptime();
        let state = State { quantiles, sum: 0.0, count: 0, slices: vec![Slice::new()], slice_start };
        Summary(Arc::new(Cell { uptime, state: Mutex::new(state) }))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        let mut state = self.current();
        state.sum += value;
        state.count += 1;
        let newest = state.slices.last_mut().expect("there is always a slice to fill");
        *newest.entry(bucket_of(value)).or_default() += 1;
    }

    /// Counts one observation in seconds.
    pub fn observe_duration(&self, took: Duration) {
        self.observe(took.as_secs_f64());
    }

    /// The state without observations that are now too old.
    fn current(&self) -> MutexGuard<'_, State> {
        let now = (self.0.uptime)();
        let mut state = self.0.state.locked();
        state.rotate(now);
        state
    }
}

impl Instrument for Summary {
    const KIND: MetricType = MetricType::Summary;

    fn read(&self) -> MetricValue {
        let state = self.current();
        let mut merged = Slice::new();
        for (bucket, count) in state.slices.iter().flatten() {
            *merged.entry(*bucket).or_default() += count;
        }
        let quantiles = state.quantiles.iter().map(|q| (*q, quantile_of(&merged, *q))).collect();
        MetricValue::Summary { quantiles, sum: state.sum, count: state.count }
    }
}

impl State {
    /// Starts new slices for the time that has passed, and drops those that are too old.
    fn rotate(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.slice_start).as_secs() / SLICE_AGE.as_secs();
        if passed == 0 {
            return;
        }
        let fresh = usize::try_from(passed).unwrap_or(SLICES).min(SLICES);
        self.slices.extend((0..fresh).map(|_| Slice::new()));
        let surplus = self.slices.len().saturating_sub(SLICES);
        self.slices.drain(..surplus);
        self.slice_start = now;
    }
}

/// The bucket of a value. Durations are observed here; zero, negative values and NaN share the lowest bucket.
fn bucket_of(value: f64) -> i32 {
    if value > 0.0 { (value.ln() / GROWTH.ln()).floor() as i32 } else { i32::MIN }
}

/// The middle of a bucket.
fn value_of(bucket: i32) -> f64 {
    if bucket == i32::MIN { 0.0 } else { GROWTH.powf(f64::from(bucket) + 0.5) }
}

fn quantile_of(slice: &Slice, quantile: f64) -> f64 {
    let total: u64 = slice.values().sum();
    if total == 0 {
        return f64::NAN;
    }
    let rank = (quantile * total as f64).ceil().max(1.0) as u64;
    let mut seen = 0;
    for (bucket, count) in slice {
        seen += count;
        if seen >= rank {
            return value_of(*bucket);
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    fn quantiles(value: MetricValue) -> Vec<f64> {
        match value {
            MetricValue::Summary { quantiles, .. } => quantiles.into_iter().map(|(_, v)| v).collect(),
            other => panic!("not a summary: {other:?}"),
        }
    }

    /// A summary and its clock in seconds.
    fn summary(quantiles: &[f64]) -> (Summary, Arc<AtomicU64>) {
        let seconds = Arc::new(AtomicU64::new(0));
        let hand = seconds.clone();
        (Summary::new(quantiles, Arc::new(move || Duration::from_secs(seconds.load(Relaxed)))), hand)
    }

    #[test]
    fn quantiles_are_within_half_a_percent() {
        let (summary, _) = summary(&[0.99, 0.5]);
        for n in 1..=1000 {
            summary.observe(f64::from(n) / 1000.0);
        }
        for (got, want) in quantiles(summary.read()).into_iter().zip([0.5, 0.99]) {
            assert!((got / want - 1.0).abs() < 0.0051, "{got} for {want}");
        }
    }

    #[test]
    fn old_observations_leave_the_quantiles_and_stay_in_sum_and_count() {
        let (summary, seconds) = summary(&[0.5]);
        let slice = SLICE_AGE.as_secs();
        summary.observe(8.0);
        seconds.store(slice * 3, Relaxed);
        summary.observe(2.0);
        seconds.store(slice * 4, Relaxed);
        assert!(quantiles(summary.read())[0] < 3.0);
        seconds.store(slice * 20, Relaxed);
        let later = summary.read();
        assert!(matches!(later, MetricValue::Summary { sum: 10.0, count: 2, .. }), "{later:?}");
        assert!(quantiles(later)[0].is_nan());
    }
}
