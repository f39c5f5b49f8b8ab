//! The cache against plain sets and maps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn series(number: u64) -> SeriesRef {
    SeriesRef::new(number).expect("not zero")
}

/// Looks up a text as a parser does that recognizes the expected one, which must be what a plain look-up returns.
fn look_up(cache: &mut SeriesCache, key: &[u8]) -> Lookup {
    let expected = cache.clone().lookup(key);
    let is_expected = cache.expected_bytes() == Some(key.len()) && cache.is_expected(key);
    let found = if is_expected { cache.take_expected() } else { cache.lookup(key) };
    assert_eq!(found, expected);
    found
}

/// One good page: every text is its own series, tracked.
fn page(cache: &mut SeriesCache, texts: &[u64]) -> Vec<u64> {
    for text in texts {
        let key = format!("m{{n=\"{text}\"}}");
        let entry = match cache.lookup(key.as_bytes()) {
            Lookup::Known { entry, .. } => entry,
            Lookup::Unknown(hash) => cache.insert(hash, Some(series(*text))),
            Lookup::Dropped => panic!("nothing is dropped here"),
        };
        cache.track(entry);
    }
    let ended = cache.ended_series().iter().map(|s| s.get()).collect();
    cache.end_round(true);
    ended
}

#[test]
fn texts_are_recognized_and_their_end_is_detected() {
    let mut cache = SeriesCache::new(7);
    assert_eq!(page(&mut cache, &[1, 2, 3]), [0u64; 0]);
    assert_eq!(page(&mut cache, &[1, 2, 3]), [0u64; 0]);
    assert_eq!(page(&mut cache, &[3, 1]), [2]);
    assert_eq!(page(&mut cache, &[]), [1, 3]);
    assert_eq!(page(&mut cache, &[]), [0u64; 0]);
}

#[test]
fn the_next_text_is_expected_at_its_length_in_the_format_that_had_it() {
    let mut cache = SeriesCache::new(7);
    cache.begin_page(Format::Text);
    assert_eq!((cache.expected_bytes(), cache.is_expected(b"")), (None, false));
    // The length is noted when a text is seen again.
    for _ in 0..2 {
        page(&mut cache, &[1, 200]);
    }
    assert_eq!(cache.expected_bytes(), Some(r#"m{n="1"}"#.len()));
    assert!(cache.is_expected(br#"m{n="1"}"#) && !cache.is_expected(br#"m{n="2"}"#));
    assert!(matches!(cache.take_expected(), Lookup::Known { entry: 0, repeated: false, .. }));
    assert_eq!(cache.expected_bytes(), Some(r#"m{n="200"}"#.len()));
    cache.abandon_round();
    cache.begin_page(Format::Text);
    assert_eq!(cache.expected_bytes(), Some(8));
    cache.begin_page(Format::OpenMetrics);
    assert_eq!(cache.expected_bytes(), None);
    let long = vec![b'x'; usize::from(u16::MAX) + 1];
    let Lookup::Unknown(hash) = cache.lookup(&long) else { panic!("new") };
    let entry = cache.insert(hash, Some(series(3)));
    cache.lookup(&long);
    cache.cursor = entry as usize;
    assert_eq!((cache.expected_bytes(), cache.is_expected(&long)), (None, true));
}

#[test]
fn repeated_and_dropped_texts_are_recognized() {
    let mut cache = SeriesCache::new(7);
    let Lookup::Unknown(hash) = cache.lookup(b"a") else { panic!("new") };
    cache.insert(hash, Some(series(1)));
    assert!(matches!(cache.lookup(b"a"), Lookup::Known { repeated: true, .. }));
    let Lookup::Unknown(hash) = cache.lookup(b"b") else { panic!("new") };
    cache.insert(hash, None);
    assert_eq!(cache.lookup(b"b"), Lookup::Dropped);
    cache.end_round(true);
    assert!(matches!(cache.lookup(b"a"), Lookup::Known { repeated: false, .. }));
    assert_eq!(cache.lookup(b"b"), Lookup::Dropped);
}

#[test]
fn a_series_with_two_texts_ends_with_the_last_of_them() {
    let mut cache = SeriesCache::new(7);
    for texts in [&["a", "b"][..], &["b"], &[]] {
        for text in texts {
            let entry = match cache.lookup(text.as_bytes()) {
                Lookup::Known { entry, .. } => entry,
                Lookup::Unknown(hash) => cache.insert(hash, Some(series(1))),
                Lookup::Dropped => panic!("nothing is dropped here"),
            };
            cache.track(entry);
        }
        assert_eq!(cache.ended_series().len(), usize::from(texts.is_empty()));
        cache.end_round(true);
    }
}

#[test]
fn a_failed_page_ends_everything_and_its_texts_do_not_accumulate() {
    let mut cache = SeriesCache::new(7);
    page(&mut cache, &[1, 2]);
    let Lookup::Known { entry, .. } = cache.lookup(b"m{n=\"1\"}") else { panic!("known") };
    cache.track(entry);
    cache.abandon_round();
    assert_eq!(cache.ended_series(), [series(1), series(2)]);
    assert!(!cache.end_round(false));
    assert!(cache.ended_series().is_empty());
    let mut cleared = 0;
    for round in 0..5u32 {
        for text in 0..600u32 {
            let Lookup::Unknown(hash) = cache.lookup(format!("{round}/{text}").as_bytes()) else {
                panic!("new")
            };
            cache.insert(hash, Some(series(9)));
        }
        cache.abandon_round();
        cleared += usize::from(cache.end_round(false));
        assert!(cache.entries.len() <= 2 * 2 + SURPLUS_MAX, "round {round}");
    }
    assert!(cleared > 0);
}

#[test]
fn a_refused_new_text_is_unknown_again() {
    let mut cache = SeriesCache::new(7);
    let Lookup::Unknown(hash) = cache.lookup(b"a") else { panic!("new") };
    let entry = cache.insert(hash, Some(series(1)));
    cache.track(entry);
    cache.refused(entry, true);
    assert!(matches!(cache.lookup(b"a"), Lookup::Unknown(_)));
    assert_eq!(cache.insert(hash, Some(series(1))), entry);
}

proptest! {
    /// Any sequence of good pages yields the same ends as plain sets.
    #[test]
    fn ends_equal_those_of_plain_sets(pages in proptest::collection::vec(proptest::collection::vec(1u64..200, 0..80), 1..12)) {
        let mut cache = SeriesCache::new(1);
        let mut previous = BTreeSet::new();
        for texts in pages {
            let now: BTreeSet<u64> = texts.iter().copied().collect();
            let ended: BTreeSet<u64> = page(&mut cache, &texts).into_iter().collect();
            let expected: BTreeSet<u64> = previous.difference(&now).copied().collect();
            prop_assert_eq!(ended, expected);
            previous = now;
        }
    }

    /// Whatever happens to pages and samples, repeated texts, lost refs and ended series are those of plain sets.
    #[test]
    fn rounds_equal_those_of_plain_sets(
        rounds in proptest::collection::vec(
            (proptest::collection::vec((0u64..100, any::<u8>()), 0..80), any::<bool>()), 1..10),
    ) {
        let mut cache = SeriesCache::new(1);
        let mut known: BTreeSet<u64> = BTreeSet::new();
        let mut tracked_before: BTreeSet<u64> = BTreeSet::new();
        for (texts, good) in rounds {
            let (mut seen, mut tracked) = (BTreeSet::new(), BTreeSet::new());
            for (text, choice) in texts {
                let entry = match look_up(&mut cache, &text.to_le_bytes()) {
                    Lookup::Known { entry, series, repeated } => {
                        prop_assert!(known.contains(&text) && series.get() == text + 1);
                        prop_assert_eq!(repeated, seen.contains(&text));
                        entry
                    }
                    Lookup::Unknown(hash) => {
                        prop_assert!(!known.contains(&text));
                        known.insert(text);
                        tracked_before.remove(&text);
                        cache.insert(hash, SeriesRef::new(text + 1))
                    }
                    Lookup::Dropped => return Err(TestCaseError::fail("nothing is dropped here")),
                };
                seen.insert(text);
                match choice % 8 {
                    0 => {}
                    1 => {
                        cache.refused(entry, true);
                        known.remove(&text);
                        tracked.remove(&text);
                        tracked_before.remove(&text);
                    }
                    2 => {
                        cache.refused(entry, false);
                        tracked.remove(&text);
                    }
                    3 => {
                        cache.forget([entry]);
                        known.remove(&text);
                        tracked.remove(&text);
                        tracked_before.remove(&text);
                        seen.remove(&text);
                    }
                    _ => {
                        cache.track(entry);
                        tracked.insert(text);
                    }
                }
            }
            if !good {
                cache.abandon_round();
                tracked.clear();
            }
            let ended: BTreeSet<u64> = cache.ended_series().iter().map(|series| series.get() - 1).collect();
            let expected: BTreeSet<u64> = tracked_before.difference(&tracked).copied().collect();
            prop_assert_eq!(ended, expected);
            if good {
                known.retain(|text| seen.contains(text));
            }
            cache.end_round(good);
            tracked_before = tracked;
        }
    }

    /// Refs are those that were inserted, whatever the order of texts.
    #[test]
    fn refs_are_those_that_were_inserted(texts in proptest::collection::vec(0u64..3000, 1..2000)) {
        let mut cache = SeriesCache::new(1);
        let mut known = BTreeMap::new();
        for (number, text) in texts.iter().enumerate() {
            match cache.lookup(&text.to_le_bytes()) {
                Lookup::Known { series, .. } => prop_assert_eq!(Some(&series.get()), known.get(text)),
                Lookup::Unknown(hash) => {
                    let number = number as u64 + 1;
                    prop_assert!(known.insert(*text, number).is_none());
                    cache.insert(hash, SeriesRef::new(number));
                }
                Lookup::Dropped => prop_assert!(false),
            }
        }
    }
}
