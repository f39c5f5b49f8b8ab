//! Silences: which alerts are suppressed, and when.
//!
//! Here: all silences, and every transition between pending, active and expired. Below: one silence and its
//! format in the file `silences`. Times and new identifiers are passed in as values.
//!
//! Always true: the past of a silence does not change. A change that would alter it ends the silence and
//! creates a new one.

mod entry;
mod options;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use ferula_config::alertmanager::MatcherSyntax;
use ferula_go::sync::MutexExt;
use ferula_model::{LabelSet, UnixNanos};

pub use self::entry::{Silence, SilenceError, SilenceState};
use self::entry::{read_file, validate};
pub use self::options::{END_WHEN_RESOLVED, REMIND_BEFORE, REMINDED_AT, REPEAT_IN, SilenceOptions};
use crate::matcher_index::{MatcherIndex, matches};
use crate::wire::WireError;

/// A matcher set: the sequence of its silence, and its position there.
type SetKey = (u64, usize);

/// From so many silences on that have to be looked at, the result is remembered.
const REMEMBERED_FROM: usize = 8;
/// How many results are remembered.
const REMEMBERED_MAX: usize = 100_000;

/// Limits on silences.
#[derive(Clone, Copy, Debug)]
pub struct SilenceLimits {
    /// How long a silence is kept after its end.
    pub retention: Duration,
    /// Maximum number of silences, including expired ones; 0 means no limit.
    pub silences_max: usize,
    /// Maximum size of one silence on disk in bytes; 0 means no limit.
    pub silence_bytes_max: usize,
    pub syntax: MatcherSyntax,
}

/// All silences.
#[derive(Debug)]
pub struct Silences {
    limits: SilenceLimits,
    by_id: HashMap<String, StoredSilence>,
    /// Index of the silences that have not expired. The number is the position in `StoredSilence::matcher_sets`.
    index: MatcherIndex<SetKey>,
    /// Label sets for which many silences had to be looked at, and those that match.
    remembered: Mutex<HashMap<LabelSet, Box<[SetKey]>>>,
    by_sequence: HashMap<u64, String>,
    next_sequence: u64,
}

#[derive(Debug)]
struct StoredSilence {
    silence: Silence,
    expires_at: UnixNanos,
    /// Increases from silence to silence.
    sequence: u64,
    is_indexed: bool,
    options: SilenceOptions,
}

impl Silences {
    /// No silences yet.
    pub fn new(limits: SilenceLimits) -> Self {
        Silences {
            limits,
            by_id: HashMap::new(),
            index: MatcherIndex::default(),
            remembered: Mutex::default(),
            by_sequence: HashMap::new(),
            next_sequence: 0,
        }
    }

    /// Creates or changes a silence. `id` is the identifier for a new one. Returns every silence that
    /// changed: the one that was set comes last, after the one that it replaces.
    pub fn set(
        &mut self,
        mut silence: Silence,
        new_id: impl FnOnce() -> String,
        now: UnixNanos,
    ) -> Result<Vec<Silence>, SilenceError> {
        validate(&silence, self.limits.syntax).map_err(SilenceError::Invalid)?;
        let previous = match silence.id.as_str() {
            "" => None,
            id => Some(self.by_id.get(id).ok_or(SilenceError::NotFound)?.silence.clone()),
        };
        silence.updated_at = after(now, previous.as_ref());
        if previous.as_ref().is_some_and(|previous| previous.can_become(&silence, now)) {
            self.check_size(&silence)?;
            self.merge(silence.clone(), now);
            return Ok(vec![silence]);
        }
        let (count, limit) = (self.by_id.len(), self.limits.silences_max);
        if limit > 0 && count >= limit {
            return Err(SilenceError::TooMany { count, limit });
        }
        silence.id = new_id();
        silence.starts_at = silence.starts_at.max(now);
        self.check_size(&silence)?;
        let mut changed = Vec::new();
        if let Some(previous) = previous {
            changed.extend(self.expire(&previous.id, now)?);
        }
        self.merge(silence.clone(), now);
        changed.push(silence);
        Ok(changed)
    }

    fn check_size(&self, silence: &Silence) -> Result<(), SilenceError> {
        let limit = self.limits.silence_bytes_max;
        let bytes = silence.encoded_len(self.expiry(silence));
        match limit > 0 && bytes > limit {
            true => Err(SilenceError::TooLarge { bytes, limit }),
            false => Ok(()),
        }
    }

    /// Expires a silence now; an expired one does not change. Returns the silence if it changed.
    pub fn expire(&mut self, id: &str, now: UnixNanos) -> Result<Option<Silence>, SilenceError> {
        let mut silence = self.by_id.get(id).ok_or(SilenceError::NotFound)?.silence.clone();
        match silence.state_at(now) {
            SilenceState::Expired => return Ok(None),
            SilenceState::Active => silence.ends_at = now,
            SilenceState::Pending => (silence.starts_at, silence.ends_at) = (now, now),
        }
        silence.updated_at = after(now, Some(&silence));
        self.merge(silence.clone(), now);
        Ok(Some(silence))
    }

    /// Merges a silence from a file or from another cluster member: the one updated last wins.
    pub fn merge(&mut self, silence: Silence, now: UnixNanos) -> bool {
        let expires_at = self.expiry(&silence);
        if expires_at < now {
            return false;
        }
        let previous = self.by_id.get(&silence.id);
        if previous.is_some_and(|previous| previous.silence.updated_at >= silence.updated_at) {
            return false;
        }
        let sequence = match self.by_id.remove(&silence.id) {
            Some(previous) => {
                self.unindex(&previous);
                previous.sequence
            }
            None => {
                self.next_sequence += 1;
                self.next_sequence
            }
        };
        let is_indexed = silence.state_at(now) != SilenceState::Expired;
        self.remembered.locked().clear();
        if is_indexed {
            for (at, set) in silence.matcher_sets.iter().enumerate() {
                self.index.insert(set, (sequence, at));
            }
        }
        self.by_sequence.insert(sequence, silence.id.clone());
        // Another program may have set annotations that are not options.
        let options = SilenceOptions::parse(&silence.annotations).unwrap_or_default();
        self.by_id
            .insert(silence.id.clone(), StoredSilence { silence, expires_at, sequence, is_indexed, options });
        true
    }

    fn unindex(&mut self, kept: &StoredSilence) {
        self.remembered.locked().clear();
        if kept.is_indexed {
            for (at, set) in kept.silence.matcher_sets.iter().enumerate() {
                self.index.remove(set, &(kept.sequence, at));
            }
        }
    }

    fn expiry(&self, silence: &Silence) -> UnixNanos {
        silence.ends_at.plus(self.limits.retention)
    }

    /// The identifiers of the active silences that match an alert with these labels, in the order of
    /// creation.
    pub fn silencing(&self, labels: &LabelSet, now: UnixNanos) -> Vec<&str> {
        self.silencing_counted(labels, now).0
    }

    /// The same, with how many silences were looked at.
    pub fn silencing_counted(&self, labels: &LabelSet, now: UnixNanos) -> (Vec<&str>, usize) {
        let (matching, looked_at) = self.matching(labels);
        let silences = matching.iter().filter_map(|key| self.silence_of(*key));
        let active = silences.filter(|stored| stored.silence.state_at(now) == SilenceState::Active);
        let mut found: Vec<(u64, &str)> =
            active.map(|stored| (stored.sequence, stored.silence.id.as_str())).collect();
        found.sort_unstable();
        // Several matcher sets of one silence may match.
        found.dedup();
        (found.into_iter().map(|(_, id)| id).collect(), looked_at)
    }

    fn silence_of(&self, (sequence, _): SetKey) -> Option<&StoredSilence> {
        self.by_sequence.get(&sequence).and_then(|id| self.by_id.get(id))
    }

    /// The matcher sets that match these labels, whatever the state of their silences, and how many were looked at. If there are
    /// many to look at, the result is remembered until silences change.
    fn matching(&self, labels: &LabelSet) -> (Vec<SetKey>, usize) {
        let are_many = self.index.candidates(labels).nth(REMEMBERED_FROM - 1).is_some();
        if are_many && let Some(known) = self.remembered.locked().get(labels) {
            return (known.to_vec(), known.len());
        }
        let candidates: Vec<SetKey> = self.index.candidates(labels).copied().collect();
        let is_match = |key: &SetKey| {
            let stored = self.silence_of(*key);
            stored.is_some_and(|stored| matches(&stored.silence.matcher_sets[key.1], labels))
        };
        let looked_at = candidates.len();
        let matching: Vec<SetKey> = candidates.into_iter().filter(is_match).collect();
        if are_many {
            let mut remembered = self.remembered.locked();
            if remembered.len() < REMEMBERED_MAX {
                remembered.insert(labels.clone(), matching.as_slice().into());
            }
        }
        (matching, looked_at)
    }

    /// The silence with this identifier.
    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id).map(|kept| &kept.silence)
    }

    /// The options of a silence.
    pub fn options(&self, id: &str) -> Option<&SilenceOptions> {
        self.by_id.get(id).map(|kept| &kept.options)
    }

    /// All silences in the order of their creation.
    pub fn all(&self) -> Vec<&Silence> {
        let mut all: Vec<&StoredSilence> = self.by_id.values().collect();
        all.sort_unstable_by_key(|kept| kept.sequence);
        all.into_iter().map(|kept| &kept.silence).collect()
    }

    /// How many silences are in the index: those that are not over.
    pub fn indexed_len(&self) -> usize {
        self.by_id.values().filter(|kept| kept.is_indexed).count()
    }

    /// Number of silences.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Number of silences in this state.
    pub fn count(&self, state: SilenceState, now: UnixNanos) -> usize {
        self.by_id.values().filter(|kept| kept.silence.state_at(now) == state).count()
    }

    /// Drops silences that ended longer ago than the retention time, and returns their number.
    pub fn collect_garbage(&mut self, now: UnixNanos) -> usize {
        let old: Vec<String> = self
            .by_id
            .values()
            .filter(|kept| kept.expires_at <= now)
            .map(|kept| kept.silence.id.clone())
            .collect();
        for id in &old {
            if let Some(kept) = self.by_id.remove(id) {
                self.unindex(&kept);
                self.by_sequence.remove(&kept.sequence);
            }
        }
        // Silences that have expired since the last run leave the index.
        let ended: Vec<String> = self
            .by_id
            .values()
            .filter(|kept| kept.is_indexed && kept.silence.state_at(now) == SilenceState::Expired)
            .map(|kept| kept.silence.id.clone())
            .collect();
        for id in ended {
            if let Some(mut kept) = self.by_id.remove(&id) {
                self.unindex(&kept);
                kept.is_indexed = false;
                self.by_id.insert(id, kept);
            }
        }
        old.len()
    }

    /// The content of the file `silences`.
    pub fn to_file(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for silence in self.all() {
            silence.append_to(&mut file, self.expiry(silence));
        }
        file
    }

    /// Loads the content of the file `silences`. Silences with invalid matchers are skipped; the returned
    /// texts say which ones and why.
    ///
    /// # Errors
    /// The file is damaged. Nothing of it was used.
    pub fn load_file(&mut self, file: &[u8], now: UnixNanos) -> Result<Vec<String>, WireError> {
        let (silences, refused) = read_file(file)?;
        for silence in silences {
            self.merge(silence, now);
        }
        Ok(refused)
    }
}

/// Now, or just after the last change of a silence if the clock was set back since.
fn after(now: UnixNanos, previous: Option<&Silence>) -> UnixNanos {
    previous.map_or(now, |previous| now.max(UnixNanos(previous.updated_at.0.saturating_add(1))))
}

#[cfg(test)]
mod tests;
