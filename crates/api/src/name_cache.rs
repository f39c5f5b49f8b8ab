//! The metric names that the query editor searches, cached between keystrokes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::TimeRange;

/// How long metric names are cached. Typing causes several requests in that time.
const NAMES_KEPT: Duration = Duration::from_secs(5);

/// The cached metric names, in the order of the store.
#[derive(Default)]
pub(crate) struct NameCache(Mutex<Option<CachedNames>>);

struct CachedNames {
    /// Time since the start of the server.
    read_at: Duration,
    range: TimeRange,
    names: Arc<Vec<String>>,
}

impl NameCache {
    /// The names in a time range, from the cache or from `read`. Other callers wait meanwhile.
    ///
    /// # Errors
    /// Those of `read`; what is cached stays.
    pub(crate) fn of_range<E>(
        &self,
        range: TimeRange,
        now: Duration,
        read: impl FnOnce() -> Result<Vec<String>, E>,
    ) -> Result<Arc<Vec<String>>, E> {
        let mut cached = self.0.locked();
        if let Some(known) = &*cached
            && known.range == range
            && now.saturating_sub(known.read_at) < NAMES_KEPT
        {
            return Ok(known.names.clone());
        }
        let names = Arc::new(read()?);
        *cached = Some(CachedNames { read_at: now, range, names: names.clone() });
        Ok(names)
    }
}
