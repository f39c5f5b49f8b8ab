//! The index against a plain list of label sets.

use ferula_model::MatchOp;
use proptest::prelude::*;

use super::*;

fn slots(numbers: &[u32]) -> Vec<SlotId> {
    numbers.iter().copied().map(SlotId::new).collect()
}

fn set(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::from_pairs(pairs.iter().copied())
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).expect("a good regex")
}

#[test]
fn a_missing_label_matches_like_an_empty_one() {
    let mut index = Index::default();
    let sets = [
        set(&[("n", "1")]),
        set(&[("n", "1"), ("i", "a")]),
        set(&[("n", "1"), ("i", "b")]),
        set(&[("n", "2")]),
        set(&[("n", "2.5")]),
    ];
    for (slot, labels) in (0..).zip(&sets) {
        index.insert(labels, SlotId::new(slot)).expect("room");
    }
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    // From the table in Prometheus' own test of postings for matchers.
    let cases: &[(&[(MatchOp, &str, &str)], &[u32])] = &[
        (&[(Equal, "n", "1")], &[0, 1, 2]),
        (&[(Equal, "n", "1"), (Equal, "i", "a")], &[1]),
        (&[(Equal, "n", "1"), (Equal, "i", "missing")], &[]),
        (&[(Equal, "missing", "")], &[0, 1, 2, 3, 4]),
        (&[(NotEqual, "n", "1")], &[3, 4]),
        (&[(NotEqual, "i", "")], &[1, 2]),
        (&[(NotEqual, "missing", "")], &[]),
        (&[(Equal, "n", "1"), (NotEqual, "i", "a")], &[0, 2]),
        (&[(Equal, "n", "1"), (NotEqual, "i", "")], &[1, 2]),
        (&[(Regex, "n", "^1$")], &[0, 1, 2]),
        (&[(Equal, "n", "1"), (Regex, "i", "^a?$")], &[0, 1]),
        (&[(Regex, "i", "^$")], &[0, 3, 4]),
        (&[(Regex, "i", "^.*$")], &[0, 1, 2, 3, 4]),
        (&[(Equal, "n", "1"), (Regex, "i", "^.+$")], &[1, 2]),
        (&[(NotRegex, "n", "^1$")], &[3, 4]),
        (&[(NotRegex, "n", "1")], &[3, 4]),
        (&[(NotRegex, "n", "")], &[0, 1, 2, 3, 4]),
        (&[(Equal, "n", "1"), (NotRegex, "i", "^a?$")], &[2]),
        (&[(Equal, "n", "1"), (NotRegex, "i", "^.*$")], &[]),
        (&[(Equal, "n", "1"), (NotRegex, "i", "^.+$")], &[0]),
        (&[(Equal, "n", "1"), (NotEqual, "i", "b"), (Regex, "i", "^(b|a).*$")], &[1]),
        (&[(Regex, "n", "(1|2)")], &[0, 1, 2, 3]),
        (&[(Regex, "n", "2.*"), (Equal, "i", "")], &[3, 4]),
        (&[], &[0, 1, 2, 3, 4]),
    ];
    for (matchers, expected) in cases {
        let matchers: Vec<Matcher> = matchers.iter().map(|(op, n, v)| matcher(*op, n, v)).collect();
        assert_eq!(index.select(&matchers), slots(expected), "{matchers:?}");
    }
    assert_eq!(index.label_names(), ["i", "n"]);
    assert_eq!(index.label_values("n"), ["1", "2", "2.5"]);
    assert_eq!(index.label_values_of("i", &slots(&[0, 1, 3])), ["a"]);
    assert_eq!(index.label_names_of(&slots(&[3, 4])), ["n"]);
}

#[test]
fn labels_with_equal_concatenations_are_different_series() {
    let mut index = Index::default();
    index.insert(&set(&[("a", "bc")]), SlotId::new(0)).expect("room");
    assert_eq!(index.find(&set(&[("ab", "c")])), None);
    assert_eq!(index.find(&set(&[("a", "bc")])), Some(SlotId::new(0)));
}

fn label_sets() -> impl Strategy<Value = Vec<LabelSet>> {
    let value = || proptest::option::of(0u8..4);
    proptest::collection::vec((value(), value(), 0u8..30), 1..60).prop_map(|rows| {
        let mut sets: Vec<LabelSet> = rows
            .into_iter()
            .map(|(a, b, c)| {
                let text = |v: Option<u8>| v.map_or(String::new(), |v| format!("v{v}"));
                LabelSet::from_pairs([("a", text(a)), ("b", text(b)), ("c", format!("v{c}"))])
            })
            .collect();
        sets.sort();
        sets.dedup();
        sets
    })
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let values = ["", "v0", "v1", "v[01]", "v.*", ".*", ".+", "v1|v20", "|v2", "x"];
    (0usize..4, 0usize..4, 0..values.len()).prop_map(move |(op, name, value)| {
        let op = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex][op];
        matcher(op, ["a", "b", "c", "d"][name], values[value])
    })
}

proptest! {
    #[test]
    fn a_selection_equals_testing_every_series(
        sets in label_sets(),
        dead in proptest::collection::vec(any::<bool>(), 60),
        matchers in proptest::collection::vec(any_matcher(), 0..4),
    ) {
        let mut index = Index::default();
        for (slot, labels) in (0..).zip(&sets) {
            index.insert(labels, SlotId::new(slot)).expect("room");
        }
        let all = || (0..sets.len() as u32).map(SlotId::new);
        let gone: Vec<SlotId> = all().filter(|slot| dead[slot.index()]).collect();
        index.unlink(&gone);
        for slot in &gone {
            prop_assert_eq!(&index.label_set(*slot), &sets[slot.index()]);
        }
        index.release(&gone);
        let living: Vec<SlotId> = all().filter(|slot| !dead[slot.index()]).collect();
        index.compact_lists(&living);
        let expected: Vec<SlotId> = living
            .iter()
            .copied()
            .filter(|slot| matchers.iter().all(|m| m.matches(sets[slot.index()].value(&m.name))))
            .collect();
        prop_assert_eq!(index.select(&matchers), &expected[..]);
        prop_assert_eq!(index.series_count(), living.len());
        for slot in living {
            let labels = &sets[slot.index()];
            prop_assert_eq!(index.find(labels), Some(slot));
            prop_assert_eq!(&index.label_set(slot), labels);
            prop_assert_eq!(index.matches(slot, &matchers), expected.contains(&slot));
        }
        for slot in gone {
            prop_assert_eq!(index.find(&sets[slot.index()]), None);
            // Freed slots are reused.
            index.insert(&sets[slot.index()], slot).expect("room");
            prop_assert_eq!(index.find(&sets[slot.index()]), Some(slot));
        }
    }
}

#[test]
fn a_series_without_a_free_slot_leaves_no_labels_behind() {
    let mut index = Index::default();
    let known = set(&[("a", "1"), ("b", "2")]);
    assert_eq!(index.find_or_insert(known.iter(), || Some(SlotId::new(0))), Ok((SlotId::new(0), true)));
    let new = set(&[("a", "1"), ("b", "3"), ("c", "4")]);
    let before = (index.pairs.len() - index.free_pairs.len(), index.label_values("b"));
    for _ in 0..3 {
        assert_eq!(index.find_or_insert(new.iter(), || None), Err(Full));
        assert_eq!((index.pairs.len() - index.free_pairs.len(), index.label_values("b")), before);
        assert_eq!(index.names.iter().map(|name| name.pairs.len()).sum::<usize>(), 2);
    }
    assert_eq!(index.find_or_insert(known.iter(), || None), Ok((SlotId::new(0), false)));
    assert_eq!(index.find_or_insert(new.iter(), || Some(SlotId::new(1))), Ok((SlotId::new(1), true)));
    assert_eq!(index.find(&new), Some(SlotId::new(1)));
}
