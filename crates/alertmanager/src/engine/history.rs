//! Recent decisions: what was sent, what was not, and why.
//!
//! Entries are kept encoded: there are many, and they are rarely read. Who reads them takes a [`HistoryView`], which costs little
//! while the engine is locked, and decodes it afterwards.

mod entry;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ferula_model::UnixNanos;

pub use self::entry::{AttemptNote, Event, HistoryEntry, Outcome, PastAlert, SilenceChange};
use self::entry::{List, list_and_time};

/// How many attempts of a notification are kept: the latest ones.
const ATTEMPTS_KEPT: usize = 8;
/// How many bytes of a service's answer are kept.
pub(super) const RESULT_BYTES_MAX: usize = 512;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    pub retention: Duration,
    /// The size of everything that is kept, as on disk.
    pub bytes_max: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        HistoryLimits { retention: Duration::from_secs(7 * 86_400), bytes_max: 16 << 20 }
    }
}

/// Recent entries, encoded, oldest first.
#[derive(Debug, Default)]
struct Bounded {
    entries: VecDeque<(UnixNanos, Arc<[u8]>)>,
    bytes: usize,
}

impl Bounded {
    fn push(&mut self, at: UnixNanos, entry: &[u8], bytes_max: usize) {
        self.bytes += entry.len();
        self.entries.push_back((at, entry.into()));
        while self.bytes > bytes_max && self.entries.len() > 1 {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, entry)) = self.entries.pop_front() {
            self.bytes -= entry.len();
        }
    }

    fn drop_before(&mut self, oldest: UnixNanos) {
        while self.entries.front().is_some_and(|(at, _)| *at < oldest) {
            self.drop_first();
        }
    }

    fn latest_first(&self) -> Vec<Arc<[u8]>> {
        self.entries.iter().rev().map(|(_, bytes)| bytes.clone()).collect()
    }
}

/// The latest entries, oldest first.
#[derive(Debug, Default)]
pub struct History {
    limits: HistoryLimits,
    decisions: Bounded,
    alerts: Bounded,
    /// Not written yet.
    fresh: Vec<Vec<u8>>,
}

impl History {
    /// An empty history.
    pub fn new(limits: HistoryLimits) -> Self {
        History { limits, ..History::default() }
    }

    /// Adds a decision.
    pub(super) fn note(&mut self, mut event: Event) {
        let dropped = event.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        event.attempts.drain(..dropped);
        self.add(&HistoryEntry::Decision(event));
    }

    /// Adds an entry, and keeps its bytes to be written.
    pub(super) fn add(&mut self, entry: &HistoryEntry) {
        let bytes = entry.encode();
        if self.read(&bytes) {
            self.fresh.push(bytes);
        }
    }

    /// Adds an encoded entry, for example of an earlier run. Returns whether it could be read.
    pub fn read(&mut self, bytes: &[u8]) -> bool {
        let half = self.limits.bytes_max / 2;
        match list_and_time(bytes) {
            Ok(Some((List::Alerts, at))) => self.alerts.push(at, bytes, half),
            Ok(Some((List::Decisions, at))) => self.decisions.push(at, bytes, half),
            Ok(None) => {}
            Err(_) => return false,
        }
        true
    }

    /// The bytes of entries that were added since the last call.
    pub(super) fn take_fresh(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.fresh)
    }

    /// Removes entries that are too old.
    pub(super) fn collect_garbage(&mut self, now: UnixNanos) {
        let age = i64::try_from(self.limits.retention.as_nanos()).unwrap_or(i64::MAX);
        let oldest = UnixNanos(now.0.saturating_sub(age));
        self.decisions.drop_before(oldest);
        self.alerts.drop_before(oldest);
    }

    /// The bytes of all entries, oldest first in each list.
    pub fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        self.alerts.entries.iter().chain(&self.decisions.entries).map(|(_, entry)| &**entry)
    }

    /// How many bytes the entries have.
    pub fn bytes(&self) -> usize {
        self.alerts.bytes + self.decisions.bytes
    }

    /// The limit of [`History::bytes`].
    pub fn bytes_max(&self) -> usize {
        self.limits.bytes_max
    }

    /// Decisions and changes of silences as they are now.
    pub fn decisions(&self) -> HistoryView {
        HistoryView(self.decisions.latest_first())
    }

    /// Resolved alerts as they are now.
    pub fn past_alerts(&self) -> HistoryView {
        HistoryView(self.alerts.latest_first())
    }
}

/// Entries of the history at one moment. They are decoded one by one, when they are looked at; those that cannot be read are left
/// out.
#[derive(Clone, Debug, Default)]
pub struct HistoryView(
    /// Latest first.
    Vec<Arc<[u8]>>,
);

impl HistoryView {
    fn entries(&self) -> impl Iterator<Item = HistoryEntry> {
        self.0.iter().filter_map(|bytes| HistoryEntry::decode(bytes).ok().flatten())
    }

    /// The decisions, latest first.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.entries().filter_map(|entry| match entry {
            HistoryEntry::Decision(event) => Some(event),
            _ => None,
        })
    }

    /// The changes of silences, latest first.
    pub fn silence_changes(&self) -> impl Iterator<Item = SilenceChange> {
        self.entries().filter_map(|entry| match entry {
            HistoryEntry::Silence(change) => Some(change),
            _ => None,
        })
    }

    /// The resolved alerts, latest first.
    pub fn alerts(&self) -> impl Iterator<Item = PastAlert> {
        self.entries().filter_map(|entry| match entry {
            HistoryEntry::Alert(alert) => Some(alert),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::LabelSet;

    use super::entry::tests::event;
    use super::*;

    #[test]
    fn history_is_bounded_in_bytes_and_age() {
        let one = HistoryEntry::Decision(event(1 << 40, Outcome::Silenced)).encode().len();
        let limits = HistoryLimits { retention: Duration::from_nanos(100), bytes_max: one * 10 };
        let mut history = History::new(limits);
        for at in 0..100 {
            history.note(event((1 << 40) + at, Outcome::Silenced));
            let labels = LabelSet::from_pairs([("a", "b")]);
            let (starts_at, ends_at) = (UnixNanos(0), UnixNanos((1 << 40) + at));
            history.add(&HistoryEntry::Alert(PastAlert { labels, starts_at, ends_at }));
            assert!(history.bytes() <= limits.bytes_max);
        }
        // Alerts did not push decisions out.
        assert_eq!(history.decisions().events().count(), 5);
        assert_eq!(history.take_fresh().len(), 200);
        let mut read = History::new(limits);
        assert!(history.encoded().all(|bytes| read.read(bytes)));
        assert!(read.decisions().events().eq(history.decisions().events()));
        read.collect_garbage(UnixNanos((1 << 40) + 197));
        assert_eq!(read.decisions().events().count(), 3);
        read.collect_garbage(UnixNanos((1 << 40) + 500));
        assert_eq!((read.bytes(), read.past_alerts().alerts().count()), (0, 0));
    }
}
