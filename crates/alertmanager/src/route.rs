//! The routing tree: which receivers an alert goes to, how it is grouped, and when it is sent.
//!
//! An alert enters at the root and goes to the first matching child, and also to later siblings if that child
//! has `continue`. If a node matches but none of its children do, the alert ends up there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ferula_config::alertmanager::{
    GROUP_BY_ALL, MatchOp, MatchRegexps, Matcher, Matchers, Route as RouteConfig,
};
use ferula_model::LabelSet;

/// Labels of an alert.
pub type Labels = BTreeMap<String, String>;

/// Something with labels. A missing label counts as empty.
pub trait LabelValues<'l> {
    /// The value of a label, or "".
    fn value_of(&'l self, name: &str) -> &'l str;
}

impl<'l> LabelValues<'l> for Labels {
    fn value_of(&'l self, name: &str) -> &'l str {
        self.get(name).map_or("", String::as_str)
    }
}

impl<'l> LabelValues<'l> for LabelSet {
    fn value_of(&'l self, name: &str) -> &'l str {
        self.value(name)
    }
}

/// The labels by which alerts are grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Every label set is a group of its own.
    All,
    Labels(BTreeSet<String>),
}

/// A node of the tree, including everything inherited from the nodes above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub receiver: String,
    pub group_by: GroupBy,
    pub group_wait: Duration,
    pub group_interval: Duration,
    pub repeat_interval: Duration,
    /// Not inherited, and neither is `active_time_intervals`.
    pub mute_time_intervals: Vec<String>,
    pub active_time_intervals: Vec<String>,
    pub matchers: Matchers,
    /// Whether a matching alert is also offered to the following siblings.
    pub continues: bool,
    /// The matchers from the root to here, `{}/{team="x"}`. Not unique.
    pub key: String,
    /// The same with the position among the siblings, which makes it unique.
    pub id: Arc<str>,
    pub children: Vec<Route>,
}

impl Route {
    /// The tree of a checked configuration.
    pub fn tree(root: &RouteConfig) -> Self {
        let defaults = Route {
            receiver: String::new(),
            group_by: GroupBy::Labels(BTreeSet::new()),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(5 * 60),
            repeat_interval: Duration::from_secs(4 * 3600),
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            matchers: Matchers::default(),
            continues: false,
            key: String::new(),
            id: "".into(),
            children: Vec::new(),
        };
        let mut root = defaults.child(root);
        root.name_below();
        root
    }

    /// Sets the keys of the whole tree; the root's key consists of its matchers only.
    fn name_below(&mut self) {
        if self.key.is_empty() {
            self.key = self.matchers.to_string();
            self.id = self.key.as_str().into();
        }
        for (at, child) in self.children.iter_mut().enumerate() {
            child.key = format!("{}/{}", self.key, child.matchers);
            child.id = format!("{}/{}/{at}", self.id, child.matchers).into();
            child.name_below();
        }
    }

    fn child(&self, config: &RouteConfig) -> Route {
        let receiver = if config.receiver.is_empty() { &self.receiver } else { &config.receiver };
        let mut node = Route {
            receiver: receiver.clone(),
            group_by: config.group_by.0.as_deref().map_or_else(|| self.group_by.clone(), group_by),
            group_wait: config.group_wait.unwrap_or(self.group_wait),
            group_interval: config.group_interval.unwrap_or(self.group_interval),
            repeat_interval: config.repeat_interval.unwrap_or(self.repeat_interval),
            mute_time_intervals: config.mute_time_intervals.clone(),
            active_time_intervals: config.active_time_intervals.clone(),
            matchers: matchers_of(&config.match_equal, &config.match_re, &config.matchers),
            continues: config.continue_matching,
            key: String::new(),
            id: "".into(),
            children: Vec::new(),
        };
        node.children = config.children().map(|child| node.child(child)).collect();
        node
    }

    /// Whether the labels match the node's own matchers.
    pub fn takes<'l>(&self, labels: &'l impl LabelValues<'l>) -> bool {
        self.matchers.matches(|name| labels.value_of(name))
    }

    /// This node and all below it.
    pub fn all(&self) -> Vec<&Route> {
        let below = self.children.iter().flat_map(Route::all);
        std::iter::once(self).chain(below).collect()
    }

    /// The nodes in which an alert with these labels ends up, in the order of the tree; empty if this node
    /// does not match.
    pub fn matching<'l>(&self, labels: &'l impl LabelValues<'l>) -> Vec<&Route> {
        if !self.takes(labels) {
            return Vec::new();
        }
        let mut all = Vec::new();
        for child in &self.children {
            let found = child.matching(labels);
            let stops = !found.is_empty() && !child.continues;
            all.extend(found);
            if stops {
                break;
            }
        }
        if all.is_empty() { vec![self] } else { all }
    }
}

fn group_by(labels: &[String]) -> GroupBy {
    // In a checked list, `...` stands alone or not at all.
    match labels.iter().any(|label| label == GROUP_BY_ALL) {
        true => GroupBy::All,
        false => GroupBy::Labels(labels.iter().cloned().collect()),
    }
}

/// Matchers in all three notations. Regular expressions of the old notation are anchored, as Alertmanager
/// shows them.
pub(crate) fn matchers_of(
    equal: &BTreeMap<String, String>,
    regexps: &MatchRegexps,
    matchers: &Matchers,
) -> Matchers {
    let equal = equal.iter().map(|(name, value)| Matcher::new(name, MatchOp::Equal, value));
    let regexps = regexps.0.iter();
    let regexps = regexps
        .map(|(name, regexp)| Matcher::new(name, MatchOp::Regexp, format!("^(?:{})$", regexp.as_str())));
    let old = equal.chain(regexps).map(|matcher| matcher.expect("a checked expression compiles"));
    Matchers::new(old.chain(matchers.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};

    use super::*;

    fn tree(yaml: &str) -> Route {
        let receivers: Vec<String> = "abcdef".chars().map(|name| format!("{{name: {name}}}")).collect();
        let yaml = format!("{yaml}\nreceivers: [{}]\n", receivers.join(", "));
        let config = AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback).expect("a good configuration");
        Route::tree(config.root_route())
    }

    fn labels(text: &str) -> Labels {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn alerts_end_at_the_deepest_matching_node() {
        let root = tree(
            "route:
  receiver: a
  routes:
  - matchers: [team=x]
    receiver: b
    routes:
    - {matchers: [severity=page], receiver: c}
  - {matchers: ['team=~x|y'], receiver: d, continue: true}
  - {match: {team: y}, receiver: e}
  - {match_re: {zone: 'eu.*'}, receiver: f}",
        );
        for (alert, expected) in [
            ("", "a"),
            ("team=x", "b"),
            ("team=x severity=page", "c"),
            ("team=y", "d,e"),
            ("team=y zone=eu-1", "d,e"),
            ("zone=eu-1", "f"),
            ("zone=xeu", "a"),
        ] {
            let found: Vec<&str> =
                root.matching(&labels(alert)).iter().map(|route| route.receiver.as_str()).collect();
            assert_eq!(found.join(","), expected, "{alert}");
        }
    }

    #[test]
    fn children_inherit_all_but_matchers_and_intervals() {
        let root = tree(
            "route:
  receiver: a
  group_by: [x]
  group_wait: 1s
  routes:
  - receiver: b
    matchers: [k=v]
    group_by: ['...']
    repeat_interval: 1h
    mute_time_intervals: [night]
    routes: [{}, {group_by: []}]
time_intervals: [{name: night}]",
        );
        let child = &root.children[0];
        let (plain, ungrouped) = (&child.children[0], &child.children[1]);
        assert_eq!(
            (&root.group_wait, &root.repeat_interval),
            (&Duration::from_secs(1), &Duration::from_secs(14_400))
        );
        assert_eq!((plain.receiver.as_str(), &plain.group_by), ("b", &GroupBy::All));
        assert_eq!(
            (plain.group_wait, plain.repeat_interval),
            (Duration::from_secs(1), Duration::from_secs(3600))
        );
        assert_eq!((plain.mute_time_intervals.len(), plain.matchers.is_empty()), (0, true));
        assert_eq!(ungrouped.group_by, GroupBy::Labels(BTreeSet::new()));
        assert_eq!(root.group_by, GroupBy::Labels(BTreeSet::from(["x".to_owned()])));
        let names: Vec<(&str, &str)> =
            root.all().iter().map(|route| (route.key.as_str(), &*route.id)).collect();
        assert_eq!(
            names,
            [
                ("{}", "{}"),
                ("{}/{k=\"v\"}", "{}/{k=\"v\"}/0"),
                ("{}/{k=\"v\"}/{}", "{}/{k=\"v\"}/0/{}/0"),
                ("{}/{k=\"v\"}/{}", "{}/{k=\"v\"}/0/{}/1"),
            ]
        );
    }
}
