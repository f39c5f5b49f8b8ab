//! How a caller stops a query, and lends it a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use ferula_storage::Stop;

use crate::QueryError;

/// Why a caller stops a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// `--query.timeout` is over.
    Timeout,
    /// The client has gone.
    Canceled,
    /// The server is being shut down.
    Shutdown,
}

/// Shared by a running query and the code that may stop it. Clones control the same query.
#[derive(Clone, Default)]
pub struct QueryControl {
    stop: Arc<AtomicU8>,
    clock: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    source: Option<Arc<dyn Fn() -> Option<StopReason> + Send + Sync>>,
    /// Set for a query that gives up as soon as it turns out not to be small: how often the store may still ask whether
    /// to continue.
    look_ups_left: Option<Arc<AtomicU32>>,
}

/// How often the store may ask a small query whether to continue: every 64 comparisons of a value with a matcher.
const LOOK_UPS_MAX: u32 = 64;

impl std::fmt::Debug for QueryControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryControl").field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl QueryControl {
    /// A control without a clock: all timings stay 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a clock in nanoseconds from any fixed point, for the timings in the statistics.
    pub fn with_clock(clock: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        QueryControl { clock: Some(clock), ..Self::default() }
    }

    /// A control that asks `source` at every check whether to stop.
    pub fn with_source(source: Arc<dyn Fn() -> Option<StopReason> + Send + Sync>) -> Self {
        QueryControl { source: Some(source), ..Self::default() }
    }

    /// A control of a query that gives up, stopped as canceled, as soon as it turns out to be more than some hundred
    /// microseconds of work, or to need more than memory. With the clock of this one.
    #[must_use]
    pub fn brief(&self) -> Self {
        let look_ups_left = Some(Arc::new(AtomicU32::new(LOOK_UPS_MAX)));
        QueryControl { clock: self.clock.clone(), look_ups_left, ..Self::default() }
    }

    /// The same for a store that looks for series.
    pub fn as_stop(&self) -> Stop {
        let control = self.clone();
        Stop::when(Arc::new(move || {
            if let Some(left) = &control.look_ups_left
                && left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_err()
            {
                control.stop(StopReason::Canceled);
            }
            control.check("").is_err()
        }))
    }

    /// The query has done the work between two checks, or is about to wait for something. A small one does neither.
    pub(crate) fn worked(&self) {
        if self.look_ups_left.is_some() {
            self.stop(StopReason::Canceled);
        }
    }

    /// Stops the query at its next check. The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        let word = match reason {
            StopReason::Timeout => 1,
            StopReason::Canceled => 2,
            StopReason::Shutdown => 3,
        };
        // A query that was already stopped keeps its first reason; both outcomes are fine.
        let _ = self.stop.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Fails when the query has been stopped. `place` ends the error's text.
    pub fn check(&self, place: &'static str) -> Result<(), QueryError> {
        if let Some(reason) = self.source.as_ref().and_then(|source| source()) {
            self.stop(reason);
        }
        match self.stop.load(Ordering::Relaxed) {
            0 => Ok(()),
            1 => Err(QueryError::Timeout(place)),
            _ => Err(QueryError::Canceled(place)),
        }
    }

    /// Nanoseconds on the caller's clock; 0 without one.
    pub(crate) fn nanos(&self) -> u64 {
        self.clock.as_ref().map_or(0, |clock| clock())
    }
}
