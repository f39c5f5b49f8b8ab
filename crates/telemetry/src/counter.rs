//! Numbers that rise (counters) and numbers that go both ways (gauges), readable and writable from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ferula_model::{MetricType, MetricValue};

use crate::family::Instrument;

/// A number that only rises. A clone is another handle to the same number.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<CounterCells>);

/// Whole and fractional amounts are kept apart, so that the common case is one atomic add.
#[derive(Debug, Default)]
struct CounterCells {
    whole: AtomicU64,
    fraction_bits: AtomicU64,
}

impl Counter {
    /// Adds 1.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.whole.fetch_add(n, Relaxed);
    }

    /// Adds `amount`. A negative amount or NaN is ignored, because a counter never decreases.
    pub fn add_f64(&self, amount: f64) {
        if amount > 0.0 {
            add_to_bits(&self.0.fraction_bits, amount);
        }
    }

    /// The current value.
    pub fn get(&self) -> f64 {
        self.0.whole.load(Relaxed) as f64 + f64::from_bits(self.0.fraction_bits.load(Relaxed))
    }
}

impl Instrument for Counter {
    const KIND: MetricType = MetricType::Counter;

    fn read(&self) -> MetricValue {
        MetricValue::Single(self.get())
    }
}

/// A number that goes up and down. A clone is another handle to the same number.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the number.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Adds `amount`, which may be negative.
    pub fn add(&self, amount: f64) {
        add_to_bits(&self.0, amount);
    }

    /// Adds 1.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Subtracts 1.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// The current value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

impl Instrument for Gauge {
    const KIND: MetricType = MetricType::Gauge;

    fn read(&self) -> MetricValue {
        MetricValue::Single(self.get())
    }
}

/// Adds to a float stored as bits.
pub(crate) fn add_to_bits(bits: &AtomicU64, amount: f64) {
    let mut old = bits.load(Relaxed);
    while let Err(now) =
        bits.compare_exchange_weak(old, (f64::from_bits(old) + amount).to_bits(), Relaxed, Relaxed)
    {
        old = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_whole_and_fractional_amounts_and_never_decrease() {
        let counter = Counter::default();
        counter.inc();
        counter.clone().add(4);
        counter.add_f64(0.5);
        counter.add_f64(-3.0);
        counter.add_f64(f64::NAN);
        assert_eq!(counter.get(), 5.5);
    }

    #[test]
    fn gauges_rise_and_fall() {
        let gauge = Gauge::default();
        gauge.set(3.0);
        gauge.inc();
        gauge.dec();
        gauge.add(-5.0);
        assert_eq!(gauge.get(), -2.0);
    }
}
