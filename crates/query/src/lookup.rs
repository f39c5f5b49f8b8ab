//! Look-ups of series and labels: work on the store that is not a query, within the same time and memory.
//!
//! They have places of their own, so that a page full of look-ups does not keep queries waiting, nor the other way round.

use std::sync::Arc;

use ferula_promql::QueryControl;
use ferula_storage::{Hints, Lease, OutOfMemory};
use tokio::sync::OwnedSemaphorePermit;

use crate::service::{AdmissionError, QueryGuard, QueryService};

/// A look-up that has a place. What it holds of the memory goes back when this and all clones of its hints are dropped.
pub struct Lookup {
    control: QueryControl,
    memory: Arc<Lease>,
    _place: OwnedSemaphorePermit,
}

impl QueryService {
    /// Waits for a place for a look-up, which then runs on a thread that may block, while the guard watches its time.
    ///
    /// # Errors
    /// The time of `--query.timeout` was over before a place was free.
    pub async fn admit_lookup(&self) -> Result<(Lookup, QueryGuard), AdmissionError> {
        let began = self.clock.elapsed();
        let place = tokio::select! {
            biased;
            place = self.lookup_places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
            () = self.clock.sleep(self.timeout) => return Err(AdmissionError::Timeout),
        };
        let waited = self.clock.elapsed().saturating_sub(began);
        let control = QueryControl::new();
        let memory = Arc::new(self.engine().options().memory.lease());
        let guard = QueryGuard {
            control: control.clone(),
            clock: self.clock.clone(),
            remaining: self.timeout.saturating_sub(waited),
        };
        Ok((Lookup { control, memory, _place: place }, guard))
    }
}

impl Lookup {
    /// Hints for the store with this look-up's end and memory.
    pub fn hints(&self) -> Hints {
        Hints { stop: self.control.as_stop(), memory: Some(self.memory.clone()), ..Hints::default() }
    }

    /// Makes sure that the look-up may hold `bytes` more.
    ///
    /// # Errors
    /// So many are not free.
    pub fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        self.memory.grow(bytes)
    }

    /// Whether its time is over, or nobody waits for it any more.
    pub fn is_ended(&self) -> bool {
        self.control.check("look-up").is_err()
    }
}
