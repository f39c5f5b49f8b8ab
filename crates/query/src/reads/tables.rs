//! Reads by metric and by selector, bounded: what was read longest ago is forgotten first.

use std::collections::HashMap;

/// How many metrics are remembered.
const METRICS_MAX: usize = 100_000;
/// How many selectors without a name are remembered.
pub(super) const SELECTORS_MAX: usize = 2_000;
/// When a table is full, this part of it (one in so many) is forgotten at once.
const FORGOTTEN_PART: usize = 10;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderKind {
    /// A client: a person, a dashboard, another server.
    Client,
    Rule,
}

/// When something was read last, in milliseconds since the epoch; 0 if never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastRead {
    pub by_client_ms: i64,
    pub by_rule_ms: i64,
}

impl LastRead {
    /// The later of the two.
    pub fn newest_ms(self) -> i64 {
        self.by_client_ms.max(self.by_rule_ms)
    }

    pub(super) fn note(&mut self, reader: ReaderKind, now_ms: i64) {
        let of_reader = match reader {
            ReaderKind::Client => &mut self.by_client_ms,
            ReaderKind::Rule => &mut self.by_rule_ms,
        };
        *of_reader = now_ms.max(*of_reader);
    }
}

/// What is known about reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadTables {
    /// Reads before this moment (in milliseconds since the epoch) may be missing.
    pub complete_from_ms: i64,
    /// By name.
    pub metrics: HashMap<String, LastRead>,
    /// Selectors that do not name their metric, by their text in braces.
    pub selectors: HashMap<String, LastRead>,
    /// Whether anything was noted since the record was last saved.
    pub(super) is_changed: bool,
}

impl ReadTables {
    pub(super) fn insert_metric(&mut self, name: &str, reader: ReaderKind, now_ms: i64) {
        if self.metrics.len() >= METRICS_MAX {
            forget_oldest(&mut self.metrics, METRICS_MAX, &mut self.complete_from_ms);
        }
        self.metrics.entry(name.to_owned()).or_default().note(reader, now_ms);
    }

    pub(super) fn insert_selector(&mut self, text: String, reader: ReaderKind, now_ms: i64) {
        if self.selectors.len() >= SELECTORS_MAX {
            forget_oldest(&mut self.selectors, SELECTORS_MAX, &mut self.complete_from_ms);
        }
        self.selectors.entry(text).or_default().note(reader, now_ms);
    }

    /// A file may come from a version with other bounds.
    pub(super) fn bounded(mut self) -> Self {
        if self.metrics.len() > METRICS_MAX {
            forget_oldest(&mut self.metrics, METRICS_MAX, &mut self.complete_from_ms);
        }
        if self.selectors.len() > SELECTORS_MAX {
            forget_oldest(&mut self.selectors, SELECTORS_MAX, &mut self.complete_from_ms);
        }
        self
    }
}

/// Makes room in a table. Whatever was read up to the newest read that is forgotten is no longer complete.
pub(super) fn forget_oldest(table: &mut HashMap<String, LastRead>, max: usize, complete_from_ms: &mut i64) {
    let mut times: Vec<i64> = table.values().map(|last| last.newest_ms()).collect();
    let surplus = (table.len().saturating_sub(max) + max.div_ceil(FORGOTTEN_PART)).min(times.len());
    let Some(last) = surplus.checked_sub(1) else { return };
    let (_, newest_forgotten, _) = times.select_nth_unstable(last);
    let newest_forgotten = *newest_forgotten;
    table.retain(|_, last| last.newest_ms() > newest_forgotten);
    *complete_from_ms = newest_forgotten.saturating_add(1).max(*complete_from_ms);
}
