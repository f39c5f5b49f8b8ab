//! Distributions in fixed buckets and, optionally, in exponential ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::{Exemplar, LabelSet, MetricType, MetricValue, Timestamp};

use crate::counter::add_to_bits;
use crate::family::Instrument;
use crate::native::NativeBuckets;

/// Counts observations by the first bucket whose bound they do not exceed. Clones are handles to the same histogram.
///
/// A reader may see the buckets of one moment and the sum of the next; the count always equals that of the buckets. A
/// histogram with native buckets is locked for each observation and each read, so a read is consistent.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    /// Rising, without `+Inf`.
    bounds: Box<[f64]>,
    /// Not cumulative; one more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum_bits: AtomicU64,
    native: Option<Mutex<NativeBuckets>>,
    /// The latest exemplar of each bucket, by its index.
    exemplars: Mutex<BTreeMap<usize, Exemplar>>,
}

impl Histogram {
    /// A histogram with these upper bounds, which must rise; `+Inf` is implied.
    pub(crate) fn new(bounds: &[f64]) -> Self {
        Self::with(bounds, None)
    }

    /// Like `new`, with native buckets in addition to the classic ones.
    pub(crate) fn with_native(bounds: &[f64]) -> Self {
        Self::with(bounds, Some(Mutex::default()))
    }

    fn with(bounds: &[f64], native: Option<Mutex<NativeBuckets>>) -> Self {
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "bucket bounds rise: {bounds:?}");
        Histogram(Arc::new(Cells {
            bounds: bounds.into(),
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_bits: AtomicU64::new(0),
            native,
            exemplars: Mutex::default(),
        }))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        // A NaN is above every bound, as in Prometheus' client.
        let mut native = self.0.native.as_ref().map(|native| native.locked());
        if let Some(native) = &mut native {
            native.observe(value);
        }
        self.0.counts[self.bucket_of(value)].fetch_add(1, Relaxed);
        add_to_bits(&self.0.sum_bits, value);
    }

    /// Counts one observation, which is shown as the exemplar of its bucket until another one is. Labels are a trace's ID,
    /// for instance.
    pub fn observe_with_exemplar(&self, value: f64, labels: LabelSet, at: Timestamp) {
        self.observe(value);
        let exemplar = Exemplar { labels, value, timestamp: at, has_timestamp: true };
        self.exemplars().insert(self.bucket_of(value), exemplar);
    }

    fn bucket_of(&self, value: f64) -> usize {
        self.0.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.0.bounds.len())
    }

    fn exemplars(&self) -> MutexGuard<'_, BTreeMap<usize, Exemplar>> {
        self.0.exemplars.locked()
    }

    /// Counts one observation in seconds.
    pub fn observe_duration(&self, took: Duration) {
        self.observe(took.as_secs_f64());
    }
}

impl Instrument for Histogram {
    const KIND: MetricType = MetricType::Histogram;

    fn read(&self) -> MetricValue {
        let native = self.0.native.as_ref().map(|native| native.locked());
        let mut count = 0;
        let mut cumulative = |cell: &AtomicU64| {
            count += cell.load(Relaxed);
            count
        };
        let buckets = self
            .0
            .bounds
            .iter()
            .zip(&self.0.counts)
            .map(|(bound, cell)| (*bound, cumulative(cell)))
            .collect();
        let count = cumulative(&self.0.counts[self.0.bounds.len()]);
        let sum = f64::from_bits(self.0.sum_bits.load(Relaxed));
        let native = native.map(|native| Arc::new(native.histogram(count, sum)));
        let exemplars =
            self.exemplars().iter().map(|(bucket, exemplar)| (*bucket, exemplar.clone())).collect();
        MetricValue::Histogram { buckets, sum, count, native, exemplars }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_their_bounds_belong_to_them() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.5, 100.0] {
            histogram.observe(value);
        }
        assert_eq!(
            histogram.read(),
            MetricValue::Histogram {
                buckets: vec![(1.0, 2), (2.0, 3)],
                sum: 105.5,
                count: 5,
                native: None,
                exemplars: Vec::new(),
            }
        );
    }

    #[test]
    fn each_bucket_shows_its_latest_exemplar() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for (value, trace, at) in [(0.5, "a", 1), (7.0, "b", 2), (0.25, "c", 3)] {
            histogram.observe_with_exemplar(
                value,
                LabelSet::from_pairs([("trace_id", trace)]),
                Timestamp::from_millis(at),
            );
        }
        histogram.observe(1.5);
        let MetricValue::Histogram { exemplars, count, .. } = histogram.read() else { panic!("a histogram") };
        let shown: Vec<_> =
            exemplars.iter().map(|(bucket, one)| (*bucket, one.labels.get("trace_id"), one.value)).collect();
        assert_eq!((count, shown), (4, vec![(0, Some("c"), 0.25), (2, Some("b"), 7.0)]));
    }
}
