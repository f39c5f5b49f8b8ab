//! Finds the few matcher sets that may match a label set, without checking all of them.
//!
//! A set with a matcher `name="value"` matches only labels with this pair, so it is indexed by the pair. Of several such
//! pairs, the one that the fewest other sets are indexed by is taken. Sets without such a matcher are always candidates.

use std::collections::HashMap;

use ferula_config::alertmanager::{MatchOp, Matcher};
use ferula_model::LabelSet;

/// Keys of matcher sets, by a label pair that they require.
#[derive(Debug)]
pub struct MatcherIndex<K> {
    by_pair: HashMap<String, HashMap<String, Vec<K>>>,
    rest: Vec<K>,
}

impl<K> Default for MatcherIndex<K> {
    fn default() -> Self {
        MatcherIndex { by_pair: HashMap::new(), rest: Vec::new() }
    }
}

impl<K: Clone + PartialEq> MatcherIndex<K> {
    /// Adds a matcher set.
    pub fn insert<'m>(&mut self, matchers: impl IntoIterator<Item = &'m Matcher>, key: K) {
        let rarest = needed_pairs(matchers).min_by_key(|(name, value)| self.keys_of(name, value).len());
        match rarest {
            Some((name, value)) => {
                let values = self.by_pair.entry(name.to_owned()).or_default();
                values.entry(value.to_owned()).or_default().push(key);
            }
            None => self.rest.push(key),
        }
    }

    fn keys_of(&self, name: &str, value: &str) -> &[K] {
        self.by_pair.get(name).and_then(|values| values.get(value)).map_or(&[], Vec::as_slice)
    }

    /// Removes a matcher set.
    pub fn remove<'m>(&mut self, matchers: impl IntoIterator<Item = &'m Matcher>, key: &K) {
        let Some((name, value)) =
            needed_pairs(matchers).find(|(name, value)| self.keys_of(name, value).contains(key))
        else {
            self.rest.retain(|known| known != key);
            return;
        };
        let Some(values) = self.by_pair.get_mut(name) else { return };
        if let Some(keys) = values.get_mut(value) {
            keys.retain(|known| known != key);
            if keys.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.by_pair.remove(name);
        }
    }

    /// The keys of all sets that may match.
    pub fn candidates<'i>(&'i self, labels: &'i LabelSet) -> impl Iterator<Item = &'i K> {
        // Iterates over the smaller of the two.
        let few_names = self.by_pair.len() < labels.len();
        let by_name = self
            .by_pair
            .iter()
            .filter(move |_| few_names)
            .filter_map(|(name, values)| labels.get(name).and_then(|value| values.get(value)));
        let by_label = labels
            .iter()
            .filter(move |_| !few_names)
            .filter_map(|(name, value)| self.by_pair.get(name).and_then(|values| values.get(value)));
        by_name.chain(by_label).flatten().chain(&self.rest)
    }
}

/// The pairs without which the matchers cannot match.
fn needed_pairs<'m>(
    matchers: impl IntoIterator<Item = &'m Matcher>,
) -> impl Iterator<Item = (&'m str, &'m str)> {
    let equal = matchers.into_iter().filter(|matcher| matcher.op() == MatchOp::Equal);
    equal.map(|matcher| (matcher.name(), matcher.value())).filter(|(_, value)| !value.is_empty())
}

/// Whether all matchers match.
pub fn matches<'m>(matchers: impl IntoIterator<Item = &'m Matcher>, labels: &LabelSet) -> bool {
    matchers.into_iter().all(|matcher| matcher.matches(labels.value(matcher.name())))
}

#[cfg(test)]
mod tests {
    use ferula_config::alertmanager::{MatcherSyntax, parse_matchers};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sets_that_share_a_pair_are_found_by_another_one() {
        let mut index = MatcherIndex::default();
        for key in 0..100 {
            let text = format!("severity=warning,service=s{key}");
            index.insert(&parse_matchers(&text, MatcherSyntax::Utf8).expect("good").value, key);
        }
        let labels = LabelSet::from_pairs([("severity", "warning"), ("service", "s7")]);
        let candidates: Vec<i32> = index.candidates(&labels).copied().collect();
        assert!(candidates.len() <= 2 && candidates.contains(&7), "{candidates:?}");
    }

    proptest! {
        #[test]
        fn the_index_misses_no_matching_set(
            sets in proptest::collection::vec(
                proptest::collection::vec(("[ab]", "=|!=|=~|!~", "[xy]?"), 1..3), 0..12),
            removed in proptest::collection::vec(any::<bool>(), 12),
            labels in proptest::collection::vec(("[ab]", "[xy]"), 0..3),
        ) {
            let sets: Vec<Vec<Matcher>> = sets
                .iter()
                .map(|set| {
                    let text: Vec<String> = set.iter().map(|(n, op, v)| format!("{n}{op}\"{v}\"")).collect();
                    parse_matchers(&text.join(","), MatcherSyntax::Utf8).expect("good matchers").value
                })
                .collect();
            let labels = LabelSet::from_pairs(labels);
            let mut index = MatcherIndex::default();
            for (key, set) in sets.iter().enumerate() {
                index.insert(set, key);
            }
            for (key, set) in sets.iter().enumerate().filter(|(key, _)| removed[*key]) {
                index.remove(set, &key);
            }
            let mut found: Vec<usize> =
                index.candidates(&labels).copied().filter(|key| matches(&sets[*key], &labels)).collect();
            found.sort_unstable();
            let slow: Vec<usize> =
                (0..sets.len()).filter(|key| !removed[*key] && matches(&sets[*key], &labels)).collect();
            prop_assert_eq!(found, slow);
        }
    }
}
