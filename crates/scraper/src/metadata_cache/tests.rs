//! Which families are kept, and for how long.

use std::collections::BTreeMap;

use proptest::prelude::*;

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
    let expected = MetricMetadata { kind: MetricType::Gauge, unit: "seconds".into(), help: String::new() };
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
            assert!(cache.bytes <= 3 * BYTES_MAX, "what may be, and the page before's families with samples");
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
        let all: usize = cache.families.iter().map(Family::bytes).sum();
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

/// The same without positions: a map, from which the current family is taken.
#[derive(Default)]
struct Plain {
    families: BTreeMap<String, PlainFamily>,
    current: Option<(String, PlainFamily)>,
    round: u64,
}

#[derive(Default)]
struct PlainFamily {
    help: String,
    seen: u64,
    sampled: Option<u64>,
}

impl PlainFamily {
    fn bytes(&self, name: &str) -> usize {
        FAMILY_BYTES + name.len() + self.help.len()
    }
}

impl Plain {
    fn bytes(&self) -> usize {
        self.families.iter().map(|(name, family)| family.bytes(name)).sum()
    }

    fn set_help(&mut self, name: &str, help: &str) {
        if self.current.as_ref().is_none_or(|(current, _)| current != name) {
            self.put_back();
            self.current = Some((name.to_owned(), self.families.remove(name).unwrap_or_default()));
        }
        if let Some((_, family)) = &mut self.current {
            family.seen = self.round;
            family.help = help.to_owned();
        }
    }

    fn put_back(&mut self) {
        let Some((name, family)) = self.current.take() else { return };
        if family.sampled == Some(self.round) || self.bytes() + family.bytes(&name) <= BYTES_MAX {
            self.families.insert(name, family);
        }
    }

    fn end_round(&mut self, good: bool) {
        self.put_back();
        let round = self.round;
        if good {
            self.families.retain(|_, family| round - family.seen <= ROUNDS_KEPT);
        }
        for rounds in (1..=ROUNDS_KEPT).rev() {
            if self.bytes() > BYTES_MAX {
                self.families.retain(|_, family| round - family.seen < rounds);
            }
        }
        self.round += 1;
    }
}

proptest! {
    /// Any pages leave the same as with a map, also where there is no room for all of them.
    #[test]
    fn families_are_those_of_a_plain_map(
        pages in proptest::collection::vec(
            (proptest::collection::vec((0u8..12, 0usize..4, any::<bool>()), 0..20), any::<bool>()), 1..14),
    ) {
        let (mut cache, mut plain) = (MetadataCache::default(), Plain::default());
        for (page, good) in pages {
            for (family, size, has_sample) in page {
                let (name, help) = (format!("family_{family}"), "x".repeat(size * BYTES_MAX / 8));
                cache.set_help(name.as_bytes(), &help);
                plain.set_help(&name, &help);
                if has_sample {
                    cache.note_sample();
                    if let Some((_, family)) = &mut plain.current {
                        family.sampled = Some(plain.round);
                    }
                }
                prop_assert_eq!(cache.get(&name).map(|metadata| metadata.help.len()), Some(help.len()));
            }
            cache.end_round(good);
            plain.end_round(good);
            let listed = cache.list().into_iter().map(|(name, metadata)| (name, metadata.help.len()));
            let expected = plain.families.iter().map(|(name, family)| (name.clone(), family.help.len()));
            prop_assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            prop_assert_eq!(cache.bytes, plain.bytes());
        }
    }
}
