//! Look-ups of series and labels: store accesses that are not queries, under the same time and memory limits.
//!
//! They have their own places, so that look-ups do not delay queries, nor queries look-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ferula_runtime::SharedClock;
use ferula_storage::{Hints, Lease, OutOfMemory, Stop};
use tokio::sync::OwnedSemaphorePermit;

use crate::service::{AdmissionError, QueryService};

/// An admitted look-up. Its memory is released when it and all clones of its hints are dropped.
pub struct Lookup {
    ended: Arc<AtomicBool>,
    memory: Arc<Lease>,
    _place: OwnedSemaphorePermit,
}

/// Stops the look-up when its time is up, or when dropped before that.
pub struct LookupGuard {
    ended: Arc<AtomicBool>,
    clock: SharedClock,
    remaining: Duration,
}

impl QueryService {
    /// Waits for a place. The look-up then runs on a thread that may block, while the guard enforces the time limit.
    ///
    /// # Errors
    /// The time of `--query.timeout` was up before a place was free.
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
    /// Hints for the store that carry this look-up's stop signal and memory account.
    pub fn hints(&self) -> Hints {
        let ended = self.ended.clone();
        let stop = Stop::when(Arc::new(move || ended.load(Ordering::Relaxed)));
        Hints { stop, memory: Some(self.memory.clone()), ..Hints::default() }
    }

    /// Reserves `bytes` more memory for this look-up.
    ///
    /// # Errors
    /// Not enough memory is free.
    pub fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        self.memory.grow(bytes)
    }

    /// Whether the look-up has been stopped.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl LookupGuard {
    /// Awaits `work`, which does the look-up. When the time is up, the look-up is stopped and `work` is still awaited:
    /// it soon returns with the error to answer with.
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
