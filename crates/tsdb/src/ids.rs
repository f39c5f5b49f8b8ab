//! Identifiers and time spans, each with its own type, so that they cannot be confused.
//!
//! A label set has three of them. [`SeriesRef`](ferula_model::SeriesRef) is returned by an appender, and is
//! valid until the series leaves the head. [`LogRef`] is stored in the log and in `chunks_head`, and is not
//! reused while they contain it. [`SlotId`] is the series' place in memory, which another series will reuse
//! later.

use ferula_model::TimeRange;
pub use ferula_storage::LogRef;

/// The place of a series in the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u32);

impl SlotId {
    /// The slot with this number.
    pub const fn new(number: u32) -> Self {
        SlotId(number)
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Its number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Milliseconds since the epoch, from `start` up to but not including `end`.
///
/// The range is half-open here and everywhere in this crate. Query ranges and the deleted ranges in files
/// include both ends; they are converted at the interfaces. An end of `i64::MAX` means "no end", so no sample
/// is lost in a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeSpan {
    start: i64,
    end: i64,
}

impl TimeSpan {
    /// The empty span, which [`cover`](Self::cover) extends.
    pub const EMPTY: TimeSpan = TimeSpan { start: i64::MAX, end: i64::MIN };

    /// From `start` up to but not including `end`.
    pub const fn new(start: i64, end: i64) -> Self {
        TimeSpan { start, end }
    }

    /// From `first` to `last`, both included.
    pub const fn closed(first: i64, last: i64) -> Self {
        if first > last {
            return TimeSpan::EMPTY;
        }
        TimeSpan { start: first, end: last.saturating_add(1) }
    }

    /// Its first millisecond.
    #[inline]
    pub const fn start(self) -> i64 {
        self.start
    }

    /// The millisecond after its last one; `i64::MAX` for no end.
    #[inline]
    pub const fn end(self) -> i64 {
        self.end
    }

    /// Its last millisecond.
    #[inline]
    pub const fn last(self) -> i64 {
        if self.end == i64::MAX { i64::MAX } else { self.end.saturating_sub(1) }
    }

    /// Whether it is empty.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.end != i64::MAX && self.start >= self.end
    }

    /// Whether it contains the time.
    #[inline]
    pub const fn contains(self, at: i64) -> bool {
        self.start <= at && (at < self.end || self.end == i64::MAX)
    }

    /// Whether the two have a time in common.
    #[inline]
    pub const fn overlaps(self, other: TimeSpan) -> bool {
        !self.intersect(other).is_empty()
    }

    /// The intersection.
    pub const fn intersect(self, other: TimeSpan) -> Self {
        if self.is_empty() || other.is_empty() {
            return TimeSpan::EMPTY;
        }
        TimeSpan::closed(max(self.start, other.start), min(self.last(), other.last()))
    }

    /// The part at or after `start`.
    pub const fn since(self, start: i64) -> Self {
        TimeSpan { start: max(self.start, start), end: self.end }
    }

    /// The shortest span that contains both.
    pub const fn cover(self, other: TimeSpan) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        TimeSpan { start: min(self.start, other.start), end: max(self.end, other.end) }
    }

    /// The span, unless it is empty.
    pub fn some(self) -> Option<Self> {
        (!self.is_empty()).then_some(self)
    }
}

impl From<TimeRange> for TimeSpan {
    fn from(range: TimeRange) -> Self {
        TimeSpan::closed(range.start.millis(), range.end.millis())
    }
}

const fn min(a: i64, b: i64) -> i64 {
    if a < b { a } else { b }
}

const fn max(a: i64, b: i64) -> i64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few values, so that ends coincide; the largest and smallest are included, but not the second largest:
    /// a span that ends there has no end.
    fn moment() -> impl Strategy<Value = i64> {
        prop_oneof![Just(i64::MIN), -3i64..4, Just(i64::MAX - 2), Just(i64::MAX)]
    }

    fn all() -> Vec<i64> {
        [i64::MIN, i64::MIN + 1]
            .into_iter()
            .chain(-5..6)
            .chain([i64::MAX - 2, i64::MAX - 1, i64::MAX])
            .collect()
    }

    proptest! {
        #[test]
        fn a_span_is_the_set_of_its_times(a in moment(), b in moment(), c in moment(), d in moment()) {
            let (left, right) = (TimeSpan::closed(a, b), TimeSpan::closed(c, d));
            let within = |at: i64, first: i64, last: i64| first <= at && at <= last;
            prop_assert_eq!(left.is_empty(), a > b);
            prop_assert_eq!(left.overlaps(right), a <= b && c <= d && a.max(c) <= b.min(d));
            for at in all() {
                let (in_left, in_right) = (within(at, a, b), within(at, c, d));
                prop_assert_eq!(left.contains(at), in_left);
                prop_assert_eq!(left.intersect(right).contains(at), in_left && in_right);
                prop_assert_eq!(left.since(c).contains(at), in_left && at >= c);
                if in_left || in_right {
                    prop_assert!(left.cover(right).contains(at));
                }
            }
        }

        #[test]
        fn the_end_is_excluded_unless_there_is_none(a in moment(), b in moment()) {
            let span = TimeSpan::new(a, b);
            prop_assert_eq!(span.contains(b), b == i64::MAX);
            prop_assert_eq!(span.some().is_some(), a < b || b == i64::MAX);
        }
    }
}
