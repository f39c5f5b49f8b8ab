//! What a target's pages said about its metric families: type, unit, help.
//!
//! Bounded in bytes, whatever a target states: beyond [`BYTES_MAX`], families of the last page are kept only if the page
//! had a sample of theirs, and families of earlier pages not at all.

use std::collections::HashMap;

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
    families: HashMap<String, Family>,
    /// What `families` takes.
    bytes: usize,
    /// The family that the page stated last, which is not in `families`.
    current: Option<(String, Family)>,
    round: u64,
    /// The last round whose page was stored.
    stored: Option<u64>,
}

#[derive(Debug, Default)]
struct Family {
    metadata: MetricMetadata,
    seen: u64,
    /// The last round that had a sample of it.
    sampled: Option<u64>,
    /// The round in which it changed last.
    changed: u64,
}

impl Family {
    fn bytes(&self, name: &str) -> usize {
        FAMILY_BYTES + name.len() + self.metadata.help.len() + self.metadata.unit.len()
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
        if let Some((_, family)) = &mut self.current {
            family.sampled = Some(self.round);
        }
    }

    /// Changes a family's metadata by `set`, which says whether anything differs.
    fn change(&mut self, name: &[u8], set: impl FnOnce(&mut MetricMetadata) -> bool) {
        let round = self.round;
        let name = String::from_utf8_lossy(name);
        if self.current.as_ref().is_none_or(|(current, _)| *current != name) {
            self.put_back();
            let known = self.families.remove_entry(&*name);
            self.bytes -= known.as_ref().map_or(0, |(name, family)| family.bytes(name));
            let new = || (name.into_owned(), Family { changed: round, ..Family::default() });
            self.current = Some(known.unwrap_or_else(new));
        }
        if let Some((_, family)) = &mut self.current {
            family.seen = round;
            if set(&mut family.metadata) {
                family.changed = round;
            }
        }
    }

    /// Puts the family that was stated last among the others, if there is room or the page has samples of it.
    fn put_back(&mut self) {
        let Some((name, family)) = self.current.take() else { return };
        let bytes = family.bytes(&name);
        if family.sampled == Some(self.round) || self.bytes + bytes <= BYTES_MAX {
            self.bytes += bytes;
            self.families.insert(name, family);
        }
    }

    fn all(&self) -> impl Iterator<Item = (&String, &Family)> {
        self.families.iter().chain(self.current.iter().map(|(name, family)| (name, family)))
    }

    fn find(&self, name: &str) -> Option<&Family> {
        match &self.current {
            Some((current, family)) if current == name => Some(family),
            _ => self.families.get(name),
        }
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
        self.put_back();
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
        let (round, bytes) = (self.round, &mut self.bytes);
        self.families.retain(|name, family| {
            let kept = round - family.seen < rounds;
            *bytes -= if kept { 0 } else { family.bytes(name) };
            kept
        });
        // The map keeps the room of all that it once had.
        if self.families.capacity() > 4 * self.families.len() + 64 {
            self.families.shrink_to_fit();
        }
    }

    /// All families, sorted by name.
    pub fn list(&self) -> Vec<(String, MetricMetadata)> {
        let mut list: Vec<_> =
            self.all().map(|(name, family)| (name.clone(), family.metadata.clone())).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }

    /// The metadata of one family.
    pub fn get(&self, family: &str) -> Option<&MetricMetadata> {
        self.find(family).map(|family| &family.metadata)
    }

    /// The number of families, and the bytes of their texts.
    pub fn size(&self) -> (usize, usize) {
        let bytes = |(_, family): (&String, &Family)| {
            family.metadata.help.len() + family.metadata.unit.len() + family.metadata.kind.as_str().len()
        };
        (self.all().count(), self.all().map(bytes).sum())
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
mod tests {
    use super::*;

    #[test]
    fn suffixes_go_with_the_type() {
        for (metric, family, kind, expected) in [
            ("a_total", "a", MetricType::Counter, true),
            ("a_total", "a_total", MetricType::Counter, true),
            ("a", "a_total", MetricType::Counter, true),
            ("a_count", "a", MetricType::Counter, false),
            ("a_bucket", "a", MetricType::Histogram, true),
            ("a_sum", "a", MetricType::Histogram, true),
            ("a", "a", MetricType::Histogram, true),
            ("a_gsum", "a", MetricType::Histogram, false),
            ("a_gsum", "a", MetricType::GaugeHistogram, true),
            ("a_count", "a", MetricType::Summary, true),
            ("a_bucket", "a", MetricType::Summary, false),
            ("a_info", "a", MetricType::Info, true),
            ("a_b", "a", MetricType::Gauge, false),
            ("b", "a", MetricType::Unknown, false),
        ] {
            assert_eq!(is_of_family(metric, family, kind), expected, "{metric} {family} {kind:?}");
        }
    }

    #[test]
    fn metadata_is_news_until_a_page_with_it_is_stored() {
        let mut cache = MetadataCache::default();
        let is_news = |cache: &MetadataCache| cache.news_of("a").map(|(_, news)| news);
        assert_eq!(is_news(&cache), None);
        cache.set_help(b"a", "Help.");
        cache.end_round(false);
        cache.set_help(b"a", "Help.");
        assert_eq!(is_news(&cache), Some(true), "the first page was not stored");
        cache.end_round(true);
        cache.set_help(b"a", "Help.");
        assert_eq!(is_news(&cache), Some(false));
        cache.set_kind(b"a", MetricType::Counter);
        assert_eq!(is_news(&cache), Some(true));
        cache.end_round(true);
        assert_eq!(is_news(&cache), Some(false));
        cache.lost();
        assert_eq!(is_news(&cache), Some(true));
    }

    #[test]
    fn families_are_kept_for_ten_rounds_after_their_last_page() {
        let mut cache = MetadataCache::default();
        cache.set_kind(b"a_total", MetricType::Counter);
        cache.set_help(b"a_total", "Help.");
        cache.set_unit(b"b_seconds", b"seconds");
        cache.end_round(true);
        assert_eq!(cache.size(), (2, 5 + 7 + 7 + 7));
        for round in 1..=11 {
            cache.set_kind(b"b_seconds", MetricType::Gauge);
            cache.end_round(true);
            assert_eq!(cache.get("a_total").is_some(), round <= 10, "round {round}");
        }
        let expected =
            MetricMetadata { kind: MetricType::Gauge, unit: "seconds".into(), help: String::new() };
        assert_eq!(cache.list(), [("b_seconds".to_owned(), expected)]);
    }

    #[test]
    fn what_a_target_states_is_bounded_in_bytes() {
        let mut cache = MetadataCache::default();
        // New names each round: those without a sample stay within the bound, those with one stay for their round.
        for good in [true, true, false, false, true] {
            let round = cache.round;
            for index in 0..20_000 {
                cache.set_help(format!("empty_{round}_{index}").as_bytes(), "Help.");
                assert!(
                    cache.bytes <= 3 * BYTES_MAX,
                    "what may be, and the page before's families with samples"
                );
            }
            for index in 0..10_000 {
                cache.set_kind(format!("used_{round}_{index}").as_bytes(), MetricType::Gauge);
                cache.note_sample();
                cache.set_help(format!("used_{round}_{index}").as_bytes(), "Help.");
            }
            cache.end_round(good);
            let used = |round: u64| {
                let names = (0..10_000).map(|index| format!("used_{round}_{index}"));
                names.filter(|name| cache.get(name).is_some()).count()
            };
            assert_eq!(used(round), 10_000);
            assert_eq!(round.checked_sub(1).map_or(0, used), 0, "those of the page before");
            let all: usize = cache.families.iter().map(|(name, family)| family.bytes(name)).sum();
            assert_eq!(cache.bytes, all);
        }
        // One that was known and grows beyond the bound is forgotten, unless it has samples.
        let mut cache = MetadataCache::default();
        cache.set_help(b"a", "Help.");
        cache.set_help(b"b", "Help.");
        cache.note_sample();
        let long = "x".repeat(BYTES_MAX);
        cache.set_help(b"a", &long);
        cache.set_help(b"b", &long);
        cache.end_round(true);
        assert_eq!((cache.get("a").is_some(), cache.get("b").is_some()), (false, true));
    }
}
