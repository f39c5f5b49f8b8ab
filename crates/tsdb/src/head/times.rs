//! The time range of a head's samples, and the time from which it accepts new ones.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::ids::TimeSpan;

/// Bounds of the samples in a head. They are read without a lock; each is correct by itself.
pub(super) struct Times {
    in_order: Bounds,
    out_of_order: Bounds,
    /// In-order samples before this time are in blocks.
    floor: AtomicI64,
}

/// Timestamps of the first and last sample; `MAX` and `MIN` if there is none.
struct Bounds {
    first: AtomicI64,
    last: AtomicI64,
}

impl Bounds {
    const fn new() -> Self {
        Bounds { first: AtomicI64::new(i64::MAX), last: AtomicI64::new(i64::MIN) }
    }

    fn get(&self) -> TimeSpan {
        TimeSpan::closed(self.first.load(Ordering::SeqCst), self.last.load(Ordering::SeqCst))
    }

    fn cover(&self, span: TimeSpan) {
        if !span.is_empty() {
            self.last.fetch_max(span.last(), Ordering::SeqCst);
            self.first.fetch_min(span.start(), Ordering::SeqCst);
        }
    }
}

impl Times {
    /// Times of an empty head whose in-order samples begin at `floor`.
    pub fn new(floor: i64) -> Self {
        Times { in_order: Bounds::new(), out_of_order: Bounds::new(), floor: AtomicI64::new(floor) }
    }

    /// From the first to the last in-order sample.
    pub fn in_order(&self) -> TimeSpan {
        self.in_order.get()
    }

    /// From the first to the last out-of-order sample.
    pub fn out_of_order(&self) -> TimeSpan {
        self.out_of_order.get()
    }

    /// Extends the range of in-order samples.
    pub fn cover_in_order(&self, span: TimeSpan) {
        self.in_order.cover(span);
    }

    /// Extends the range of out-of-order samples.
    pub fn cover_out_of_order(&self, span: TimeSpan) {
        self.out_of_order.cover(span);
    }

    /// Records that in-order samples before this were removed. Commits must not be able to add any meanwhile.
    pub fn forget_before(&self, first: i64) {
        self.in_order.first.store(first, Ordering::SeqCst);
    }

    /// Records the range of all out-of-order samples. Commits must not be able to add any meanwhile.
    pub fn set_out_of_order(&self, span: TimeSpan) {
        let (first, last) = if span.is_empty() { (i64::MAX, i64::MIN) } else { (span.start(), span.last()) };
        self.out_of_order.first.store(first, Ordering::SeqCst);
        self.out_of_order.last.store(last, Ordering::SeqCst);
    }

    /// In-order samples before this time are in blocks.
    pub fn floor(&self) -> i64 {
        self.floor.load(Ordering::SeqCst)
    }

    /// Raises the floor.
    pub fn raise_floor(&self, floor: i64) {
        self.floor.fetch_max(floor, Ordering::SeqCst);
    }

    /// Timestamps of the first and last in-order sample for metrics: `MAX` and `MIN` if there is none.
    pub fn raw(&self) -> (i64, i64) {
        (self.in_order.first.load(Ordering::SeqCst), self.in_order.last.load(Ordering::SeqCst))
    }
}
