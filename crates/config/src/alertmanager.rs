//! Alertmanager's configuration file: sections, what holds across them, and the printed form.
//!
//! ```text
//! text ─ yaml ─► tree ─ sections ─► inherit from global ─► receivers, routes, intervals checked ─► AlertmanagerConfig
//!                                                                              └── to_yaml ─► /api/v2/status
//! ```
//!
//! Here: reading and checking. Elsewhere: routing, grouping, sending. Always true of a loaded configuration: every
//! integration has what it inherits, every name that a route uses exists, no item is null, and every regular
//! expression compiles.

mod files;
mod global;
mod inherit;
mod load;
mod matchers;
pub mod receiver;
mod route;
pub(crate) mod syntax;
mod texts;
mod time_interval;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use ferula_go::quote::go_quote;

pub use self::files::{FilePlace, LoadOptions};
pub use self::global::GlobalConfig;
pub use self::matchers::{
    MatchOp, Matcher, MatcherError, MatcherWarning, Matchers, Parsed, is_label_name, parse_matcher,
    parse_matchers,
};
pub use self::receiver::Receiver;
pub use self::route::{GROUP_BY_ALL, GroupBy, InhibitRule, MatchRegexps, Route, WholeRegexp};
pub use self::syntax::MatcherSyntax;
pub use self::texts::{ConfiguredText, IntegrationTexts};
pub use self::time_interval::{
    Location, NamedTimeInterval, Range, RangeKind, Ranges, TimeInterval, TimeRange,
};
pub use self::values::{AnyValue, GoDuration, HostPort, HttpConfig, HttpUrl, SecretTemplateUrl, SecretUrl};
use crate::error::{ConfigError, Problem};
use crate::http_client::FileNames;
use crate::section::section;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::dialect::Dialect;
use crate::yaml::emit::emit;
use crate::yaml::tree::Tree;

section! {
    /// Every section of the file.
    pub struct Sections as "config.Config" read as "config.plain" {
        omit global: Option<GlobalConfig>;
        omit route: Option<Route>;
        omit inhibit_rules: Vec<InhibitRule>;
        omit receivers: Vec<Receiver>;
        keep templates: FileNames;
        /// Patterns of additional files; Alertmanager has no such key.
        omit config_files: FileNames;
        omit mute_time_intervals: Vec<NamedTimeInterval>;
        omit time_intervals: Vec<NamedTimeInterval>;
    }
}

/// A configuration that was read, checked and filled in. Read its sections as fields.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertmanagerConfig {
    sections: Sections,
    warnings: Vec<String>,
    /// File and line of the texts of integrations, by paths such as `receivers[0].slack_configs[1].title`.
    places: BTreeMap<String, FilePlace>,
}

impl std::ops::Deref for AlertmanagerConfig {
    type Target = Sections;

    fn deref(&self) -> &Sections {
        &self.sections
    }
}

impl AlertmanagerConfig {
    /// Reads and checks a configuration. Relative file names stay relative.
    ///
    /// # Errors
    /// Alertmanager's text for what is wrong, with line and key.
    pub fn parse(text: &str, syntax: MatcherSyntax) -> Result<Self, ConfigError> {
        let mut sections = Sections::default();
        let tree = Tree::parse(text.as_bytes()).map_err(|error| ConfigError::bare(error.to_string()))?;
        // Alertmanager's check of an empty file differs from that of a file without a route.
        let Some(tree) = tree else { return Err(ConfigError::bare("no route provided in config")) };
        let mut decoder = Decoder::new(&tree, Dialect::V2);
        decoder.matcher_syntax = syntax;
        let warnings = decoder.run(&mut sections)?;
        if let Some(problem) = sections.complete(syntax).first() {
            return Err(ConfigError::of_problem(problem, &tree));
        }
        let show = |warning: &Problem| ConfigError::of_problem(warning, &tree).to_string();
        let warnings = warnings.iter().map(show).collect();
        Ok(AlertmanagerConfig { sections, warnings, places: BTreeMap::new() })
    }

    /// File and line of a text of an integration; `None` for other paths, and for a configuration that is not from a file.
    pub fn place(&self, path: &str) -> Option<&FilePlace> {
        self.places.get(path)
    }

    /// What was accepted, although it should be written differently.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The root of the routing tree.
    pub fn root_route(&self) -> &Route {
        self.sections.route.as_ref().expect("a loaded configuration has a route")
    }

    /// What receivers have in common.
    pub fn global(&self) -> &GlobalConfig {
        self.sections.global.as_ref().expect("a loaded configuration has this section")
    }

    /// The effective configuration, secrets masked.
    pub fn to_yaml(&self) -> String {
        emit(&self.sections.print())
    }
}

impl Sections {
    /// Fills in what is inherited and checks everything. Returns everything that is wrong, in Alertmanager's order.
    fn complete(&mut self, syntax: MatcherSyntax) -> Vec<Problem> {
        let mut found = Vec::new();
        if let Some(route) = &self.route {
            found.extend(route.check(syntax).into_iter().map(|problem| problem.at("route")));
        }
        for (index, rule) in self.inhibit_rules.iter().enumerate() {
            found.extend(rule.check(syntax).err().map(|problem| problem.at_item("inhibit_rules", index)));
        }
        for (key, intervals, kind) in self.interval_lists() {
            for (index, _) in intervals.iter().enumerate().filter(|(_, interval)| interval.name.is_empty()) {
                found.push(Problem::new(format!("missing name in {kind}")).at_item(key, index));
            }
        }
        let global = self.global.get_or_insert_default();
        found.extend(global.check().err().map(|problem| problem.at("global")));
        let mut receivers = BTreeSet::new();
        for (index, receiver) in self.receivers.iter_mut().enumerate() {
            if !receivers.insert(receiver.name.clone()) {
                let name = go_quote(&receiver.name);
                let problem =
                    Problem::new(format!("notification config name {name} is not unique")).at("name");
                found.push(problem.at_item("receivers", index));
            }
            let missing = receiver.inherit(global).into_iter();
            found.extend(missing.map(|problem| problem.at_item("receivers", index)));
        }
        let Some(root) = &self.route else {
            found.push(Problem::new("no routes provided"));
            return found;
        };
        let mut in_root =
            |problems: Vec<Problem>| found.extend(problems.into_iter().map(|one| one.at("route")));
        in_root(root_problems(root));
        in_root(undefined_receivers(root, &receivers));
        let (intervals, repeated) = self.interval_names();
        found.extend(repeated);
        let mut in_root =
            |problems: Vec<Problem>| found.extend(problems.into_iter().map(|one| one.at("route")));
        in_root(undefined_intervals(root, &intervals));
        if root.continue_matching {
            in_root(vec![Problem::new("cannot have continue in root route").at("continue")]);
        }
        found
    }

    /// Both lists of time intervals, each with its key and what its items are called.
    fn interval_lists(&self) -> [(&'static str, &[NamedTimeInterval], &'static str); 2] {
        [
            ("mute_time_intervals", &self.mute_time_intervals, "mute time interval"),
            ("time_intervals", &self.time_intervals, "time interval"),
        ]
    }

    /// The names of all time intervals, and those that are repeated.
    fn interval_names(&self) -> (BTreeSet<&str>, Vec<Problem>) {
        let (mut names, mut repeated) = (BTreeSet::new(), Vec::new());
        for (key, intervals, kind) in self.interval_lists() {
            for (index, interval) in intervals.iter().enumerate() {
                if !names.insert(interval.name.as_str()) {
                    let text = format!("{kind} {} is not unique", go_quote(&interval.name));
                    repeated.push(Problem::new(text).at("name").at_item(key, index));
                }
            }
        }
        (names, repeated)
    }
}

/// What the root must have, and what it must not have.
fn root_problems(root: &Route) -> Vec<Problem> {
    let checks = [
        (root.receiver.is_empty(), "root route must specify a default receiver"),
        (root.has_matchers(), "root route must not have any matchers"),
        (!root.mute_time_intervals.is_empty(), "root route must not have any mute time intervals"),
        (!root.active_time_intervals.is_empty(), "root route must not have any active time intervals"),
    ];
    checks.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, text)| Problem::new(text)).collect()
}

fn undefined_receivers(route: &Route, known: &BTreeSet<String>) -> Vec<Problem> {
    let mut found = below(route, |child| undefined_receivers(child, known));
    if !route.receiver.is_empty() && !known.contains(&route.receiver) {
        let text = format!("undefined receiver {} used in route", go_quote(&route.receiver));
        found.push(Problem::new(text).at("receiver"));
    }
    found
}

fn undefined_intervals(route: &Route, known: &BTreeSet<&str>) -> Vec<Problem> {
    let mut found = below(route, |child| undefined_intervals(child, known));
    for (key, names) in [
        ("active_time_intervals", &route.active_time_intervals),
        ("mute_time_intervals", &route.mute_time_intervals),
    ] {
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(name.as_str())) {
            let text = format!("undefined time interval {} used in route", go_quote(name));
            found.push(Problem::new(text).at_item(key, index));
        }
    }
    found
}

/// What is wrong with the children of a route.
fn below(route: &Route, of: impl Fn(&Route) -> Vec<Problem>) -> Vec<Problem> {
    let children = route.children().enumerate();
    let problems = children.flat_map(|(index, child)| of(child).into_iter().map(move |one| (index, one)));
    problems.map(|(index, problem)| problem.at_item("routes", index)).collect()
}
