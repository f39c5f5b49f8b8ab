//! Look-ups of series and labels: work on the store that is no query, within the same time and memory.
//!
//! They have places of their own, so that a page full of look-ups does not keep queries waiting, nor the other way round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ferula_runtime::SharedClock;
use ferula_storage::{Hints, Lease, OutOfMemory, Stop};
use tokio::sync::OwnedSemaphorePermit;

use crate::service::{AdmissionError, QueryService};

/// A look-up that has a place. What it holds of the memory goes back when this and all clones of its hints are dropped.
pub struct Lookup {
    ended: Arc<AtomicBool>,
    memory: Arc<Lease>,
    _place: OwnedSemaphorePermit,
}

/// Stops the look-up when its time is over, or when dropped before that.
pub struct LookupGuard {
    ended: Arc<AtomicBool>,
    clock: SharedClock,
    remaining: Duration,
}

impl QueryService {
    /// Waits for a place for a look-up, which then runs on a thread that may block, while the guard watches its time.
    ///
    /// # Errors
    /// The time of `--query.timeout` was over before a place was free.
    pub async fn admit_lookup(&self) -> Result<(Lookup, LookupGuard), AdmissionError> {
        let began = self.clock.elapsed();
        let place = tokio::select! {
            biased;
            place = self.lookup_places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
            () = self.clock.sleep(self.timeout) => return Err(AdmissionError::Timeout),
        };
        let waited = self.clock.elapsed().saturating_sub(began);
        let ended = Arc::new(AtomicBool::new(false));
        let memory = Arc::new(self.engine().options().memory.lease());
        let guard = LookupGuard {
            ended: ended.clone(),
            clock: self.clock.clone(),
            remaining: self.timeout.saturating_sub(waited),
        };
        Ok((Lookup { ended, memory, _place: place }, guard))
    }
}

impl Lookup {
    /// Hints for the store with this look-up's end and memory.
    pub fn hints(&self) -> Hints {
        let ended = self.ended.clone();
        let stop = Stop::when(Arc::new(move || ended.load(Ordering::Relaxed)));
        Hints { stop, memory: Some(self.memory.clone()), ..Hints::default() }
    }

    /// Makes sure that the look-up may hold `bytes` more.
    ///
    /// # Errors
    /// So many are not free.
    pub fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        self.memory.grow(bytes)
    }

    /// Whether nobody waits for it any more.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl LookupGuard {
    /// Awaits `work`, which does the look-up. When the time is over the look-up is stopped, and `work` is still awaited: it
    /// returns soon, with the error to answer.
    pub async fn watch<T>(self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = self.clock.sleep(self.remaining) => self.ended.store(true, Ordering::Relaxed),
        }
        work.await
    }
}

impl Drop for LookupGuard {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
