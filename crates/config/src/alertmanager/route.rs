//! The routing tree, and rules by which alerts inhibit others.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::Regexp;
use ferula_go::quote::go_quote;

use super::matchers::{Matchers, is_classic_label_name, is_label_name};
use super::syntax::MatcherSyntax;
use crate::error::Problem;
use crate::scalars::from_text;
use crate::section::section;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

section! {
    /// A node of the routing tree. It inherits what it leaves out from its parent.
    pub struct Route as "config.Route" read as "config.plain" {
        omit receiver: String;
        /// Labels to group by; `...` alone stands for all.
        omit group_by: GroupBy;
        /// Older way to write matchers.
        omit match_equal as "match": BTreeMap<String, String>;
        omit match_re: MatchRegexps;
        omit matchers: Matchers;
        omit mute_time_intervals: Vec<String>;
        omit active_time_intervals: Vec<String>;
        keep continue_matching as "continue": bool;
        omit routes: Vec<Option<Route>>;
        omit group_wait: Option<Duration>;
        omit group_interval: Option<Duration>;
        omit repeat_interval: Option<Duration>;
    }
}

section! {
    /// Alerts that match the source mute alerts that match the target and have equal labels.
    pub struct InhibitRule as "common.InhibitRule" read as "common.plain" {
        omit name: String;
        omit source_match: BTreeMap<String, String>;
        omit source_match_re: MatchRegexps;
        omit source_matchers: Matchers;
        omit target_match: BTreeMap<String, String>;
        omit target_match_re: MatchRegexps;
        omit target_matchers: Matchers;
        omit equal: Vec<String>;
    }
}

/// The label that stands for all labels in `group_by`.
pub const GROUP_BY_ALL: &str = "...";

/// Labels to group by. An empty list groups everything together; without a list the parent's holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupBy(pub Option<Vec<String>>);

impl Value for GroupBy {
    fn zero() -> Self {
        GroupBy::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0.decode(id, d)
    }

    fn go_type() -> String {
        "[]string".into()
    }

    fn is_zero(&self) -> bool {
        self.0.as_ref().is_none_or(Vec::is_empty)
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }
}

impl Route {
    /// Whether it has matchers of any kind.
    pub(super) fn has_matchers(&self) -> bool {
        !self.match_equal.is_empty() || !self.match_re.0.is_empty() || !self.matchers.is_empty()
    }

    /// The children that are not null; a checked configuration has no others.
    pub fn children(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().flatten()
    }

    /// Checks this node and all nodes below it. Those below come first, because they are read first.
    pub(super) fn check(&self, syntax: MatcherSyntax) -> Vec<Problem> {
        let mut found = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let below = match route {
                Some(route) => route.check(syntax),
                // Alertmanager crashes on a nil pointer here.
                None => vec![Problem::new("empty or null route")],
            };
            found.extend(below.into_iter().map(|problem| problem.at_item("routes", index)));
        }
        found.extend(check_names(&self.match_equal, "match").err());
        found.extend(self.check_group_by(syntax).err().map(|text| Problem::new(text).at("group_by")));
        for (key, interval) in
            [("group_interval", self.group_interval), ("repeat_interval", self.repeat_interval)]
        {
            if interval.is_some_and(|interval| interval.is_zero()) {
                found.push(Problem::new(format!("{key} cannot be zero")).at(key));
            }
        }
        found
    }

    fn check_group_by(&self, syntax: MatcherSyntax) -> Result<(), String> {
        let labels = self.group_by.0.as_deref().unwrap_or_default();
        let named: Vec<&String> = labels.iter().filter(|label| *label != GROUP_BY_ALL).collect();
        if let Some(bad) = named.iter().find(|label| !is_label_name(label, syntax)) {
            return Err(format!("invalid label name {} in group_by list", go_quote(bad)));
        }
        if !named.is_empty() && named.len() < labels.len() {
            return Err("cannot have wildcard group_by (`...`) and other labels at the same time".into());
        }
        for (index, label) in named.iter().enumerate() {
            if named[..index].contains(label) {
                return Err(format!("duplicated label {} in group_by", go_quote(label)));
            }
        }
        Ok(())
    }
}

impl InhibitRule {
    pub(super) fn check(&self, syntax: MatcherSyntax) -> Result<(), Problem> {
        check_names(&self.source_match, "source_match")?;
        check_names(&self.target_match, "target_match")?;
        match self.equal.iter().position(|label| !is_label_name(label, syntax)) {
            Some(at) => {
                let text = format!("invalid label name {} in equal list", go_quote(&self.equal[at]));
                Err(Problem::new(text).at_item("equal", at))
            }
            None => Ok(()),
        }
    }
}

fn check_names(matches: &BTreeMap<String, String>, key: &str) -> Result<(), Problem> {
    match matches.keys().find(|name| !is_classic_label_name(name)) {
        Some(name) => Err(Problem::new(format!("invalid label name {}", go_quote(name))).at(name).at(key)),
        None => Ok(()),
    }
}

/// An anchored regular expression, and as it was written.
#[derive(Clone, Debug)]
pub struct WholeRegexp {
    regexp: Option<Regexp>,
    text: String,
}

impl WholeRegexp {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole value matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.regexp.as_ref().is_some_and(|regexp| regexp.is_match(value))
    }
}

impl PartialEq for WholeRegexp {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.regexp.is_some() == other.regexp.is_some()
    }
}

impl Value for WholeRegexp {
    fn zero() -> Self {
        WholeRegexp { regexp: None, text: String::new() }
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| {
            let regexp = Regexp::new(&format!("^(?:{text})$"));
            regexp.map(|regexp| WholeRegexp { regexp: Some(regexp), text }).map_err(|error| error.to_string())
        })
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.text.is_empty()
    }

    fn print(&self) -> PrintedValue {
        if self.text.is_empty() { PrintedValue::Null } else { PrintedValue::Text(self.text.clone()) }
    }
}

/// Regular expressions by label name: the older way to write matchers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatchRegexps(pub BTreeMap<String, WholeRegexp>);

impl Value for MatchRegexps {
    fn zero() -> Self {
        MatchRegexps::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        let before = d.errors();
        self.0.decode(id, d)?;
        if d.errors() > before {
            return Ok(());
        }
        for (name, regexp) in &self.0 {
            if !is_classic_label_name(name) {
                return Err(d.problem(format!("invalid label name {}", go_quote(name))));
            }
            if regexp.regexp.is_none() {
                return Err(d.problem(format!("invalid regexp value for {}", go_quote(name))));
            }
        }
        Ok(())
    }

    fn go_type() -> String {
        "config.plain".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }
}
