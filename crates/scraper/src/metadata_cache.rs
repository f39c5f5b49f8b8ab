//! What a target's pages said about its metric families: type, unit, help.

use std::collections::HashMap;

use ferula_model::{MetricMetadata, MetricType};

/// Metadata is kept for this many rounds after its family was last on a page.
const ROUNDS_KEPT: u64 = 10;

/// Metadata of one target's families.
#[derive(Debug, Default)]
pub struct MetadataCache {
    families: HashMap<String, Family>,
    round: u64,
    /// The last round whose page was stored.
    stored: Option<u64>,
}

#[derive(Debug, Default)]
struct Family {
    metadata: MetricMetadata,
    seen: u64,
    /// The round in which it changed last.
    changed: u64,
}

impl MetadataCache {
    /// A family's type, as a page states it.
    pub fn set_kind(&mut self, family: &[u8], kind: MetricType) {
        self.change(family, |metadata| {
            let differs = metadata.kind != kind;
            metadata.kind = kind;
            differs
        });
    }

    /// A family's help text.
    pub fn set_help(&mut self, family: &[u8], help: &str) {
        self.change(family, |metadata| {
            let differs = metadata.help != help;
            if differs {
                help.clone_into(&mut metadata.help);
            }
            differs
        });
    }

    /// A family's unit.
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

    /// Changes a family's metadata by `set`, which says whether anything differs.
    fn change(&mut self, name: &[u8], set: impl FnOnce(&mut MetricMetadata) -> bool) {
        let round = self.round;
        let name = String::from_utf8_lossy(name);
        // The second look-up is paid for new families only.
        if !self.families.contains_key(&*name) {
            let family = Family { changed: round, ..Family::default() };
            self.families.insert(name.clone().into_owned(), family);
        }
        let family = self.families.get_mut(&*name).expect("it was just put in");
        family.seen = round;
        if set(&mut family.metadata) {
            family.changed = round;
        }
    }

    /// The metadata of a family, and whether it changed since a page was stored last.
    pub fn news_of(&self, family: &str) -> Option<(&MetricMetadata, bool)> {
        let family = self.families.get(family)?;
        Some((&family.metadata, self.stored.is_none_or(|stored| family.changed > stored)))
    }

    /// What was stored last is lost: all metadata is news again.
    pub fn lost(&mut self) {
        self.stored = None;
    }

    /// Ends a round; after a good page, families that have long been missing are forgotten.
    pub fn end_round(&mut self, good: bool) {
        if good {
            let round = self.round;
            self.families.retain(|_, family| round - family.seen <= ROUNDS_KEPT);
            self.stored = Some(round);
        }
        self.round += 1;
    }

    /// All families, sorted by name.
    pub fn list(&self) -> Vec<(String, MetricMetadata)> {
        let mut list: Vec<_> =
            self.families.iter().map(|(name, family)| (name.clone(), family.metadata.clone())).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }

    /// The metadata of one family.
    pub fn get(&self, family: &str) -> Option<&MetricMetadata> {
        self.families.get(family).map(|family| &family.metadata)
    }

    /// How many families there are, and how many bytes their texts take.
    pub fn size(&self) -> (usize, usize) {
        let bytes = |family: &Family| {
            family.metadata.help.len() + family.metadata.unit.len() + family.metadata.kind.as_str().len()
        };
        (self.families.len(), self.families.values().map(bytes).sum())
    }
}

/// Whether a metric of this name can be of the family, by the suffixes that the family's type has. Pages may leave out
/// `# TYPE` lines, or have others in between.
pub fn is_of_family(metric: &str, family: &str, kind: MetricType) -> bool {
    let without =
        |suffixes: &[&str]| suffixes.iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric);
    match kind {
        // The text format has the suffix in the family's name too.
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
    fn news_are_what_no_stored_page_had() {
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
}
