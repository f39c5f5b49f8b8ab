//! How many remote reads are answered at once.

use std::sync::Arc;

use ferula_telemetry::{Gauge, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits and counts the concurrent requests.
pub(crate) struct ReadGate {
    places: Arc<Semaphore>,
    running: Gauge,
}

/// A request that is being answered: it takes a place and is counted until dropped.
pub(crate) struct RunningRead {
    _place: OwnedSemaphorePermit,
    running: Gauge,
}

impl Drop for RunningRead {
    fn drop(&mut self) {
        self.running.dec();
    }
}

impl ReadGate {
    /// 0 means no limit.
    pub(crate) fn new(places: usize, registry: &Registry) -> Self {
        let places = if places == 0 { Semaphore::MAX_PERMITS } else { places };
        ReadGate {
            places: Arc::new(Semaphore::new(places)),
            running: registry
                .gauge("prometheus_remote_read_handler_queries", "Remote read requests being answered now."),
        }
    }

    /// Waits for a place. Returns `None` only when the gate is closed, which nothing does.
    pub(crate) async fn enter(&self) -> Option<RunningRead> {
        let place = self.places.clone().acquire_owned().await.ok()?;
        self.running.inc();
        Some(RunningRead { _place: place, running: self.running.clone() })
    }
}
