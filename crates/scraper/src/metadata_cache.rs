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
}

#[derive(Debug, Default)]
struct Family {
    metadata: MetricMetadata,
    seen: u64,
}

impl MetadataCache {
    /// A family's type, as a page states it.
    pub fn set_kind(&mut self, family: &[u8], kind: MetricType) {
        self.family(family).metadata.kind = kind;
    }

    /// A family's help text.
    pub fn set_help(&mut self, family: &[u8], help: &str) {
        let entry = self.family(family);
        if entry.metadata.help != help {
            help.clone_into(&mut entry.metadata.help);
        }
    }

    /// A family's unit.
    pub fn set_unit(&mut self, family: &[u8], unit: &[u8]) {
        let unit = String::from_utf8_lossy(unit);
        let entry = self.family(family);
        if entry.metadata.unit != unit {
            entry.metadata.unit = unit.into_owned();
        }
    }

    fn family(&mut self, name: &[u8]) -> &mut Family {
        let round = self.round;
        let name = String::from_utf8_lossy(name);
        // The second look-up is paid for new families only.
        if !self.families.contains_key(&*name) {
            self.families.insert(name.clone().into_owned(), Family::default());
        }
        let family = self.families.get_mut(&*name).expect("it was just put in");
        family.seen = round;
        family
    }

    /// Ends a round; after a good page, families that have long been missing are forgotten.
    pub fn end_round(&mut self, good: bool) {
        if good {
            let round = self.round;
            self.families.retain(|_, family| round - family.seen <= ROUNDS_KEPT);
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

#[cfg(test)]
mod tests {
    use super::*;

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
