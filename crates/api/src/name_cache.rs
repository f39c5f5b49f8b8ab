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
    names: Arc<MetricNames>,
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
    ) -> Result<Arc<MetricNames>, E> {
        let mut cached = self.0.locked();
        if let Some(known) = &*cached
            && known.range == range
            && now.saturating_sub(known.read_at) < NAMES_KEPT
        {
            return Ok(known.names.clone());
        }
        let names = Arc::new(MetricNames::new(read()?));
        *cached = Some(CachedNames { read_at: now, range, names: names.clone() });
        Ok(names)
    }
}

/// Names with the letters of each, so that a look at a number tells which cannot match a word.
pub(crate) struct MetricNames {
    names: Vec<String>,
    letters: Vec<u64>,
}

impl MetricNames {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let letters =
            names.iter().map(|name| if name.is_ascii() { letters(name) } else { u64::MAX }).collect();
        MetricNames { names, letters }
    }

    /// Those that have all letters of a word.
    pub(crate) fn with_letters_of(&self, word: &str) -> impl Iterator<Item = &str> + Clone {
        let wanted = if word.is_ascii() { letters(word) } else { 0 };
        let pairs = self.names.iter().zip(&self.letters);
        pairs.filter(move |(_, letters)| *letters & wanted == wanted).map(|(name, _)| name.as_str())
    }
}

impl std::ops::Deref for MetricNames {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.names
    }
}

/// A bit for each letter, without case, and each digit that occurs; one for each kind of what else there is.
fn letters(text: &str) -> u64 {
    let bit = |byte: u8| match byte.to_ascii_lowercase() {
        lower @ b'a'..=b'z' => lower - b'a',
        digit @ b'0'..=b'9' => 26 + digit - b'0',
        other => 36 + other % 28,
    };
    text.bytes().fold(0, |all, byte| all | 1 << bit(byte))
}
