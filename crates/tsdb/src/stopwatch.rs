//! Measures durations. It is passed in as a value, because the engine itself reads no clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Monotonic time since some fixed moment. It is used only for metrics, never for decisions. The default
/// stands still, so that every duration is zero. Clones are handles to the same clock.
#[derive(Clone)]
pub struct Stopwatch(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Stopwatch {
    /// Creates a stopwatch that shows what `elapsed` returns.
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Stopwatch(Arc::new(elapsed))
    }

    /// The elapsed time.
    pub fn elapsed(&self) -> Duration {
        (self.0)()
    }

    /// Calls `work` and returns how long it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> (T, Duration) {
        let start = self.elapsed();
        let done = work();
        (done, self.elapsed().saturating_sub(start))
    }
}

impl Default for Stopwatch {
    fn default() -> Self {
        Stopwatch::new(|| Duration::ZERO)
    }
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopwatch").field(&self.elapsed()).finish()
    }
}
