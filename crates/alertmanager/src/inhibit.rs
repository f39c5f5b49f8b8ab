//! Inhibition: suppresses alerts while others fire.
//!
//! An alert that matches the target of a rule is inhibited while an alert that matches the rule's source
//! fires, and both have equal values for the rule's labels; a missing label counts as empty. An alert that
//! matches both sides is not inhibited by another one that does.
//!
//! Sources are indexed by rule and by the values of the equal labels, and rules by a label that they require,
//! so that checking an alert is cheap even with a thousand rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ferula_config::alertmanager::{InhibitRule as RuleConfig, Matchers};
use ferula_model::LabelSet;

use crate::matcher_index::{MatcherIndex, matches};
use crate::route::matchers_of;
use crate::stored_alert::{StoredAlert, fingerprint};
use crate::time::Time;

/// The rules, and the alerts that may inhibit others.
#[derive(Debug, Default)]
pub struct Inhibitor {
    rules: Vec<Rule>,
    sources: MatcherIndex<usize>,
    targets: MatcherIndex<usize>,
}

#[derive(Debug)]
struct Rule {
    source: Matchers,
    target: Matchers,
    equal: Vec<String>,
    /// Source alerts by fingerprint, indexed by the values of the equal labels.
    alerts: HashMap<Vec<u8>, BTreeMap<u64, Arc<StoredAlert>>>,
}

impl Rule {
    fn new(config: &RuleConfig) -> Self {
        Rule {
            source: matchers_of(&config.source_match, &config.source_match_re, &config.source_matchers),
            target: matchers_of(&config.target_match, &config.target_match_re, &config.target_matchers),
            equal: config.equal.clone(),
            alerts: HashMap::new(),
        }
    }

    /// The values of the equal labels, each with a byte behind it that no text contains.
    fn equal_values(&self, labels: &LabelSet) -> Vec<u8> {
        let mut key = Vec::with_capacity(64);
        for name in &self.equal {
            key.extend_from_slice(labels.value(name).as_bytes());
            key.push(0xff);
        }
        key
    }

    /// The fingerprint of a source that inhibits an alert with these labels.
    fn inhibiting(&self, labels: &LabelSet, now: Time) -> Option<u64> {
        if self.alerts.is_empty() || !matches(self.target.iter(), labels) {
            return None;
        }
        let sources = self.alerts.get(&self.equal_values(labels))?;
        let is_source_too = matches(self.source.iter(), labels);
        let inhibits = |source: &&Arc<StoredAlert>| {
            let is_both = is_source_too && matches(self.target.iter(), &source.labels);
            !source.is_resolved_at(now) && !is_both
        };
        // The one that has been firing longest.
        let source = sources.values().filter(inhibits).max_by_key(|source| source.ends_at)?;
        Some(fingerprint(&source.labels))
    }
}

impl Inhibitor {
    /// Creates the rules of a checked configuration, without any alerts.
    pub fn new(configs: &[RuleConfig]) -> Self {
        let mut inhibitor =
            Inhibitor { rules: configs.iter().map(Rule::new).collect(), ..Inhibitor::default() };
        for (at, rule) in inhibitor.rules.iter().enumerate() {
            inhibitor.sources.insert(rule.source.iter(), at);
            inhibitor.targets.insert(rule.target.iter(), at);
        }
        inhibitor
    }

    /// Number of rules.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Adds an alert, or updates its state. Returns whether it is a source of a rule.
    pub fn update(&mut self, alert: &Arc<StoredAlert>) -> bool {
        let mut is_source = false;
        for at in self.sources.candidates(&alert.labels) {
            let rule = &mut self.rules[*at];
            if matches(rule.source.iter(), &alert.labels) {
                let key = rule.equal_values(&alert.labels);
                rule.alerts.entry(key).or_default().insert(alert.fingerprint(), alert.clone());
                is_source = true;
            }
        }
        is_source
    }

    /// Whether an alert with these labels is the target of a rule.
    pub fn is_target(&self, labels: &LabelSet) -> bool {
        self.targets.candidates(labels).any(|at| matches(self.rules[*at].target.iter(), labels))
    }

    /// The fingerprint of an alert that inhibits one with these labels: of several rules, the first one decides.
    pub fn inhibiting(&self, labels: &LabelSet, now: Time) -> Option<u64> {
        let mut first: Option<(usize, u64)> = None;
        for at in self.targets.candidates(labels).copied() {
            if first.is_none_or(|(known, _)| at < known)
                && let Some(source) = self.rules[at].inhibiting(labels, now)
            {
                first = Some((at, source));
            }
        }
        first.map(|(_, source)| source)
    }

    /// Drops resolved alerts.
    pub fn collect_garbage(&mut self, now: Time) {
        for rule in &mut self.rules {
            rule.alerts.retain(|_, alerts| {
                alerts.retain(|_, alert| !alert.is_resolved_at(now));
                !alerts.is_empty()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
    use proptest::prelude::*;

    use super::*;
    use crate::annotations::Annotations;

    fn inhibitor(rules: &str) -> Inhibitor {
        let yaml = format!("route: {{receiver: a}}\nreceivers: [{{name: a}}]\ninhibit_rules:\n{rules}");
        let config = AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback).expect(&yaml);
        Inhibitor::new(&config.inhibit_rules)
    }

    fn labels(text: &str) -> LabelSet {
        LabelSet::from_pairs(text.split(' ').filter_map(|pair| pair.split_once('=')))
    }

    fn alert(text: &str, ends_at: i64) -> Arc<StoredAlert> {
        let time = Time::from_unix_nanos;
        Arc::new(StoredAlert {
            labels: labels(text),
            annotations: Annotations::default(),
            starts_at: time(0),
            ends_at: time(ends_at),
            updated_at: time(0),
            generator_url: "".into(),
            timeout: false,
        })
    }

    #[test]
    fn alerts_are_inhibited_by_firing_sources_with_equal_labels() {
        let rules = "
- source_matchers: [s=1]
  target_matchers: [t=1]
  equal: [cluster, zone]
- source_match: {s: '2'}
  target_match_re: {t: '1|2'}
";
        for (sources, target, inhibited) in [
            (vec![("s=1 cluster=a", 10)], "t=1 cluster=a", true),
            (vec![("s=1 cluster=a", 10)], "t=1 cluster=b", false),
            (vec![("s=1 cluster=a", 10)], "t=1 cluster=a zone=z", false),
            (vec![("s=1", 10)], "t=1", true),
            (vec![("s=1", 5)], "t=1", false),
            (vec![("s=1 x=1", 5), ("s=1 x=2", 10)], "t=1", true),
            (vec![("s=1 x=2", 10), ("s=1 x=1", 5)], "t=1", true),
            (vec![("s=1 t=1", 10)], "s=1 t=1", false),
            (vec![("s=1 t=1", 10)], "t=1", true),
            (vec![("s=1 t=1", 20), ("s=1", 10)], "s=1 t=1 x=1", true),
            (vec![("s=2 cluster=q", 10)], "t=2 cluster=p", true),
            (vec![("s=2", 10)], "t=3", false),
        ] {
            let mut inhibitor = inhibitor(rules);
            for (source, ends_at) in &sources {
                inhibitor.update(&alert(source, *ends_at));
            }
            let found = inhibitor.inhibiting(&labels(target), Time::from_unix_nanos(7));
            assert_eq!(found.is_some(), inhibited, "{sources:?} {target}");
            inhibitor.collect_garbage(Time::from_unix_nanos(7));
            assert_eq!(inhibitor.inhibiting(&labels(target), Time::from_unix_nanos(7)), found);
        }
    }

    proptest! {
        /// Compares with the obvious way, which checks every source of every rule.
        #[test]
        fn the_index_changes_no_result(
            sources in proptest::collection::vec(("[12]", "[12]", "[ab]?", 0_i64..20), 0..8),
            target in ("[12]", "[12]", "[ab]?"),
        ) {
            let rules = "
- {source_matchers: ['s=1'], target_matchers: ['t=1'], equal: [c]}
- {source_matchers: ['s=~\".+\"'], target_matchers: ['t=2'], equal: [c]}
- {source_matchers: ['s!=1'], target_matchers: ['t!=2'], equal: []}
";
            let mut inhibitor = inhibitor(rules);
            let text = |(s, t, c): &(String, String, String)| format!("s={s} t={t} c={c}");
            let mut known: HashMap<LabelSet, i64> = HashMap::new();
            for (s, t, c, ends_at) in &sources {
                let source = alert(&text(&(s.clone(), t.clone(), c.clone())), *ends_at);
                inhibitor.update(&source);
                known.insert(source.labels.clone(), *ends_at);
            }
            let target = labels(&text(&target));
            let slow = inhibitor.rules.iter().any(|rule| {
                matches(rule.target.iter(), &target)
                    && known.iter().any(|(source, ends_at)| {
                        *ends_at > 7
                            && matches(rule.source.iter(), source)
                            && rule.equal.iter().all(|name| source.value(name) == target.value(name))
                            && !(matches(rule.source.iter(), &target) && matches(rule.target.iter(), source))
                    })
            });
            prop_assert_eq!(inhibitor.inhibiting(&target, Time::from_unix_nanos(7)).is_some(), slow);
        }
    }
}
