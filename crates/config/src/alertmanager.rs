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
        sections.complete(syntax).map_err(|problem| ConfigError::of_problem(&problem, &tree))?;
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
    /// Fills in what is inherited and checks everything, in Alertmanager's order.
    fn complete(&mut self, syntax: MatcherSyntax) -> Result<(), Problem> {
        if let Some(route) = &self.route {
            route.check(syntax).map_err(|problem| problem.at("route"))?;
        }
        for (index, rule) in self.inhibit_rules.iter().enumerate() {
            rule.check(syntax).map_err(|problem| problem.at_item("inhibit_rules", index))?;
        }
        for (key, intervals, kind) in [
            ("mute_time_intervals", &self.mute_time_intervals, "mute time interval"),
            ("time_intervals", &self.time_intervals, "time interval"),
        ] {
            if let Some(index) = intervals.iter().position(|interval| interval.name.is_empty()) {
                return Err(Problem::new(format!("missing name in {kind}")).at_item(key, index));
            }
        }
        let global = self.global.get_or_insert_default();
        global.check().map_err(|problem| problem.at("global"))?;
        let mut receivers = BTreeSet::new();
        for (index, receiver) in self.receivers.iter_mut().enumerate() {
            let at = |problem: Problem| problem.at_item("receivers", index);
            if receivers.contains(&receiver.name) {
                let name = go_quote(&receiver.name);
                return Err(at(
                    Problem::new(format!("notification config name {name} is not unique")).at("name")
                ));
            }
            receiver.inherit(global).map_err(at)?;
            receivers.insert(receiver.name.clone());
        }
        let root = self.check_root(&receivers)?;
        let intervals = self.interval_names()?;
        check_used_intervals(root, &intervals).map_err(|problem| problem.at("route"))?;
        match root.continue_matching {
            true => Err(Problem::new("cannot have continue in root route").at("continue").at("route")),
            false => Ok(()),
        }
    }

    fn check_root(&self, receivers: &BTreeSet<String>) -> Result<&Route, Problem> {
        let Some(root) = &self.route else { return Err("no routes provided".into()) };
        let refuse = |text: &str| Err(Problem::new(text).at("route"));
        if root.receiver.is_empty() {
            return refuse("root route must specify a default receiver");
        }
        if root.has_matchers() {
            return refuse("root route must not have any matchers");
        }
        if !root.mute_time_intervals.is_empty() {
            return refuse("root route must not have any mute time intervals");
        }
        if !root.active_time_intervals.is_empty() {
            return refuse("root route must not have any active time intervals");
        }
        check_used_receivers(root, receivers).map_err(|problem| problem.at("route"))?;
        Ok(root)
    }

    /// The names of all time intervals, which must differ.
    fn interval_names(&self) -> Result<BTreeSet<&str>, Problem> {
        let mut names = BTreeSet::new();
        for (key, intervals, kind) in [
            ("mute_time_intervals", &self.mute_time_intervals, "mute time interval"),
            ("time_intervals", &self.time_intervals, "time interval"),
        ] {
            for (index, interval) in intervals.iter().enumerate() {
                if !names.insert(interval.name.as_str()) {
                    let text = format!("{kind} {} is not unique", go_quote(&interval.name));
                    return Err(Problem::new(text).at("name").at_item(key, index));
                }
            }
        }
        Ok(names)
    }
}

fn check_used_receivers(route: &Route, known: &BTreeSet<String>) -> Result<(), Problem> {
    for (index, child) in route.children().enumerate() {
        check_used_receivers(child, known).map_err(|problem| problem.at_item("routes", index))?;
    }
    if route.receiver.is_empty() || known.contains(&route.receiver) {
        return Ok(());
    }
    let text = format!("undefined receiver {} used in route", go_quote(&route.receiver));
    Err(Problem::new(text).at("receiver"))
}

fn check_used_intervals(route: &Route, known: &BTreeSet<&str>) -> Result<(), Problem> {
    for (index, child) in route.children().enumerate() {
        check_used_intervals(child, known).map_err(|problem| problem.at_item("routes", index))?;
    }
    for (key, names) in [
        ("active_time_intervals", &route.active_time_intervals),
        ("mute_time_intervals", &route.mute_time_intervals),
    ] {
        if let Some(index) = names.iter().position(|name| !known.contains(name.as_str())) {
            let text = format!("undefined time interval {} used in route", go_quote(&names[index]));
            return Err(Problem::new(text).at_item(key, index));
        }
    }
    Ok(())
}
