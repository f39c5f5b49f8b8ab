//! What a target's pages said about its metric families: type, unit, help.
//!
//! Bounded in bytes, whatever a target states: beyond [`BYTES_MAX`], families of the last page are kept only if the page
//! had a sample of theirs, and families of earlier pages not at all.
//!
//! Pages keep their order from scrape to scrape, so the family that followed last time is expected next; only others are looked up.

use std::collections::HashMap;
use std::sync::Arc;

use ferula_model::{MetricMetadata, MetricType};

/// Metadata is kept for this many rounds after its family was last on a page.
const ROUNDS_KEPT: u64 = 10;
/// Bytes that a target's families may take, but for those that the last page had samples of.
const BYTES_MAX: usize = 1 << 20;
/// Bytes that a family takes beside its texts, about.
const FAMILY_BYTES: usize = 160;

/// Metadata of one target's families.
#[derive(Debug, Default)]
pub struct MetadataCache {
    families: Vec<Family>,
    /// Positions in `families` by name.
    index: HashMap<Arc<str>, usize>,
    /// What the families take, without the current one.
    bytes: usize,
    /// The position of the family that the page stated last.
    current: Option<usize>,
    /// The position of the family expected next.
    expected: usize,
    round: u64,
    /// The last round whose page was stored.
    stored: Option<u64>,
}

#[derive(Debug)]
struct Family {
    name: Arc<str>,
    metadata: MetricMetadata,
    seen: u64,
    /// The last round that had a sample of it.
    sampled: Option<u64>,
    /// The round in which it changed last.
    changed: u64,
}

impl Family {
    fn bytes(&self) -> usize {
        FAMILY_BYTES + self.name.len() + self.metadata.help.len() + self.metadata.unit.len()
    }
}

impl MetadataCache {
    /// Sets a family's type, as the page states it.
    pub fn set_kind(&mut self, family: &[u8], kind: MetricType) {
        self.change(family, |metadata| {
            let differs = metadata.kind != kind;
            metadata.kind = kind;
            differs
        });
    }

    /// Sets a family's help text.
    pub fn set_help(&mut self, family: &[u8], help: &str) {
        self.change(family, |metadata| {
            let differs = metadata.help != help;
            if differs {
                help.clone_into(&mut metadata.help);
            }
            differs
        });
    }

    /// Sets a family's unit.
    pub fn set_unit(&mut self, family: &[u8], unit: &[u8]) {
        let unit = String::from_utf8_lossy(unit);
        self.change(family, |metadata| {
            let differs = metadata.unit != unit;
            if differs {
                metadata.unit = unit.into_owned();
            }
            differs
        });
    }

    /// A sample stands below the family that the page stated last.
    pub(crate) fn note_sample(&mut self) {
        if let Some(at) = self.current {
            self.families[at].sampled = Some(self.round);
        }
    }

    /// Changes a family's metadata by `set`, which says whether anything differs.
    fn change(&mut self, name: &[u8], set: impl FnOnce(&mut MetricMetadata) -> bool) {
        let at = self.stated(name);
        let family = &mut self.families[at];
        family.seen = self.round;
        if set(&mut family.metadata) {
            family.changed = self.round;
        }
    }

    /// Makes a family the current one, and returns its position.
    fn stated(&mut self, name: &[u8]) -> usize {
        let is = |family: Option<&Family>| family.is_some_and(|family| family.name.as_bytes() == name);
        if let Some(at) = self.current
            && is(self.families.get(at))
        {
            return at;
        }
        self.leave_current();
        if is(self.families.get(self.expected)) {
            return self.make_current(self.expected);
        }
        let name = String::from_utf8_lossy(name);
        if let Some(at) = self.index.get(&*name).copied() {
            return self.make_current(at);
        }
        self.add(&name);
        let at = self.families.len() - 1;
        (self.current, self.expected) = (Some(at), at + 1);
        at
    }

    fn make_current(&mut self, at: usize) -> usize {
        self.bytes -= self.families[at].bytes();
        (self.current, self.expected) = (Some(at), at + 1);
        at
    }

    /// Adds a family of which nothing is known yet.
    fn add(&mut self, name: &str) {
        let name: Arc<str> = name.into();
        self.index.insert(name.clone(), self.families.len());
        self.families.push(Family {
            name,
            metadata: MetricMetadata::default(),
            seen: self.round,
            sampled: None,
            changed: self.round,
        });
    }

    /// Keeps the family that was stated last, if there is room or the page has samples of it.
    fn leave_current(&mut self) {
        let Some(at) = self.current.take() else { return };
        let family = &self.families[at];
        let bytes = family.bytes();
        if family.sampled == Some(self.round) || self.bytes + bytes <= BYTES_MAX {
            self.bytes += bytes;
            return;
        }
        let forgotten = self.families.swap_remove(at);
        self.index.remove(&forgotten.name);
        if let Some(moved) = self.families.get(at) {
            self.index.insert(moved.name.clone(), at);
        }
    }

    fn find(&self, name: &str) -> Option<&Family> {
        let current = self.current.map(|at| &self.families[at]).filter(|family| &*family.name == name);
        current.or_else(|| self.index.get(name).map(|at| &self.families[*at]))
    }

    /// The metadata of a family, and whether it has changed since a page was last stored.
    pub fn news_of(&self, family: &str) -> Option<(&MetricMetadata, bool)> {
        let family = self.find(family)?;
        Some((&family.metadata, self.stored.is_none_or(|stored| family.changed > stored)))
    }

    /// Marks all metadata as changed, because what was last stored is lost.
    pub fn lost(&mut self) {
        self.stored = None;
    }

    /// Ends a round; after a good page, families that have long been missing are forgotten. When all take too much, those
    /// that have been missing for longest are.
    pub fn end_round(&mut self, good: bool) {
        self.leave_current();
        self.expected = 0;
        if good {
            self.forget_missing_for(ROUNDS_KEPT + 1);
            self.stored = Some(self.round);
        }
        for rounds in (1..=ROUNDS_KEPT).rev() {
            if self.bytes <= BYTES_MAX {
                break;
            }
            self.forget_missing_for(rounds);
        }
        self.round += 1;
    }

    /// Forgets the families that the last so many pages did not have.
    fn forget_missing_for(&mut self, rounds: u64) {
        let (round, bytes, before) = (self.round, &mut self.bytes, self.families.len());
        self.families.retain(|family| {
            let kept = round - family.seen < rounds;
            *bytes -= if kept { 0 } else { family.bytes() };
            kept
        });
        if self.families.len() == before {
            return;
        }
        self.index.clear();
        self.index.extend(self.families.iter().enumerate().map(|(at, family)| (family.name.clone(), at)));
        // They keep the room of all that they once had.
        if self.families.capacity() > 4 * self.families.len() + 64 {
            self.families.shrink_to_fit();
            self.index.shrink_to_fit();
        }
    }

    /// All families, sorted by name.
    pub fn list(&self) -> Vec<(String, MetricMetadata)> {
        let mut list: Vec<_> =
            self.families.iter().map(|family| (family.name.to_string(), family.metadata.clone())).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }

    /// The metadata of one family.
    pub fn get(&self, family: &str) -> Option<&MetricMetadata> {
        self.find(family).map(|family| &family.metadata)
    }

    /// The number of families, and the bytes of their texts.
    pub fn size(&self) -> (usize, usize) {
        let bytes = |family: &Family| {
            family.metadata.help.len() + family.metadata.unit.len() + family.metadata.kind.as_str().len()
        };
        (self.families.len(), self.families.iter().map(bytes).sum())
    }
}

/// Whether a metric with this name can belong to the family, given the suffixes of the family's type. Pages may omit
/// `# TYPE` lines, or have others in between.
pub fn is_of_family(metric: &str, family: &str, kind: MetricType) -> bool {
    let without =
        |suffixes: &[&str]| suffixes.iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric);
    match kind {
        // In the text format, the family's name includes the suffix.
        MetricType::Counter => without(&["_total"]) == family.strip_suffix("_total").unwrap_or(family),
        MetricType::Histogram => without(&["_bucket", "_sum", "_count"]) == family,
        MetricType::GaugeHistogram => without(&["_bucket", "_gsum", "_gcount"]) == family,
        MetricType::Summary => without(&["_sum", "_count"]) == family,
        MetricType::Info => without(&["_info"]) == family.strip_suffix("_info").unwrap_or(family),
        _ => metric == family,
    }
}

#[cfg(test)]
mod tests;
