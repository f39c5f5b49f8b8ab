//! How long things take, as a value that is passed in: the engine itself reads no clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Time since some fixed moment, which never goes back. Only metrics are made of it; nothing is decided by it.
/// The default stands still, so that everything takes no time. A clone is another handle to the same clock.
#[derive(Clone)]
pub struct Stopwatch(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Stopwatch {
    /// A stopwatch that shows what `elapsed` returns.
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Stopwatch(Arc::new(elapsed))
    }

    /// What it shows.
    pub fn elapsed(&self) -> Duration {
        (self.0)()
    }

    /// Does `work`, and returns how long it took.
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
