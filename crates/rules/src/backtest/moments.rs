//! The times at which a group would have been evaluated.

use std::time::Duration;

use ferula_model::UnixNanos;

use crate::group::Group;

/// The slots of a group in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moments {
    first: UnixNanos,
    interval_nanos: i64,
    pub query_offset: Duration,
    /// The number of slots.
    pub count: usize,
}

impl Moments {
    pub fn new(group: &Group, from: UnixNanos, to: UnixNanos) -> Self {
        let interval_nanos = i64::try_from(group.interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        let mut first = group.slot_before(from);
        if first < from {
            first = UnixNanos(first.0.saturating_add(interval_nanos));
        }
        let count = if first > to { 0 } else { to.since(first) / interval_nanos + 1 };
        Moments {
            first,
            interval_nanos,
            query_offset: group.effective_query_offset(),
            count: usize::try_from(count).unwrap_or(usize::MAX),
        }
    }

    /// The slot with this index.
    pub fn at(&self, index: usize) -> UnixNanos {
        UnixNanos(self.first.0.saturating_add(self.interval_nanos.saturating_mul(index as i64)))
    }

    /// The evaluation time of a slot's query, in milliseconds.
    pub fn query_ms(&self, index: usize) -> i64 {
        self.at(index).minus(self.query_offset).timestamp().millis()
    }

    /// The distance between two slots in milliseconds; `None` if it is not a whole number.
    pub fn step_ms(&self) -> Option<i64> {
        const MILLI: i64 = 1_000_000;
        (self.interval_nanos % MILLI == 0).then_some(self.interval_nanos / MILLI)
    }

    /// The slot whose query was evaluated at this millisecond.
    pub fn index_of(&self, query_ms: i64) -> usize {
        let passed = query_ms.saturating_sub(self.query_ms(0));
        usize::try_from(passed / self.step_ms().unwrap_or(1)).unwrap_or(0)
    }
}
