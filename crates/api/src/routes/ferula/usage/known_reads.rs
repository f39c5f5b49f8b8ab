//! Which metrics are read: according to the record of reads, the rules of this server and the request.

use std::collections::{HashMap, HashSet};

use ferula_model::labels::METRIC_NAME;
use ferula_model::{Matcher, TimeRange};
use ferula_promql_syntax::{ParserOptions, parse, parse_metric_selector};
use ferula_query::Lookup;
use ferula_query::reads::{LastRead, ReadTables, name_of, selector_text};
use ferula_rules::{GroupSnapshot, RuleSnapshot};
use ferula_scraper::report::is_report;
use ferula_storage::Queryable;

use super::stored;
use crate::error::ApiError;

/// What Prometheus itself writes for every alerting rule.
const ALERT_SERIES: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// All known reads.
pub struct KnownReads {
    recorded: ReadTables,
    /// Names that are read.
    names: HashSet<String>,
    /// Texts of selectors without a name.
    broad: HashSet<String>,
    /// Names that only such a selector reads.
    by_broad: HashSet<String>,
    /// Results of recording rules, with their rule groups.
    recording_groups: HashMap<String, String>,
}

/// A selector without a metric's name.
pub struct BroadSelector {
    pub text: String,
    /// How many stored metrics it selects.
    pub metrics: usize,
    /// How many of them nothing reads by name.
    pub only_read_so: usize,
}

impl KnownReads {
    /// The reads of a record since a moment.
    pub fn new(recorded: ReadTables, from_ms: i64) -> Self {
        let since = |table: &HashMap<String, LastRead>| {
            let recent = table.iter().filter(|(_, last)| last.newest_ms() >= from_ms);
            recent.map(|(text, _)| text.clone()).collect()
        };
        KnownReads {
            names: since(&recorded.metrics),
            broad: since(&recorded.selectors),
            by_broad: HashSet::new(),
            recording_groups: HashMap::new(),
            recorded,
        }
    }

    /// Adds what the rules of this server read, whether they have run or not. A template may run a query, so every stored
    /// metric that such a template names counts.
    pub fn add_rules(&mut self, groups: &[GroupSnapshot], parser: &ParserOptions, stored: &[String]) {
        let stored: HashSet<&str> = stored.iter().map(String::as_str).collect();
        for group in groups {
            for rule in &group.rules {
                let query = match rule {
                    RuleSnapshot::Alerting(rule) => {
                        let texts = rule.labels.values().chain(rule.annotations.values());
                        for text in texts.filter(|text| text.contains("query")) {
                            let named = words(text).filter(|word| stored.contains(word));
                            self.names.extend(named.map(str::to_owned));
                        }
                        &rule.query
                    }
                    RuleSnapshot::Recording(rule) => {
                        let group = format!("{};{}", group.file, group.name);
                        self.recording_groups.insert(rule.name.clone(), group);
                        &rule.query
                    }
                };
                // The printer wrote it, so it can be parsed.
                let Ok(expr) = parse(query, parser) else { continue };
                expr.read_selectors().iter().for_each(|matchers| self.add(matchers));
            }
        }
    }

    /// Adds a selector.
    pub fn add(&mut self, matchers: &[Matcher]) {
        match name_of(matchers) {
            Some(name) => self.names.insert(name.to_owned()),
            None => self.broad.insert(selector_text(matchers)),
        };
    }

    /// Resolves selectors without a name to the stored metrics that they select, which count as read if `counts` is set.
    /// Returns those selectors, the widest first.
    pub fn resolve_selectors(
        &mut self,
        store: &dyn Queryable,
        range: TimeRange,
        counts: bool,
        stored: &[String],
        lookup: &Lookup,
    ) -> Result<Vec<BroadSelector>, ApiError> {
        let mut broad = Vec::new();
        for text in std::mem::take(&mut self.broad) {
            // The text of a selector can always be parsed.
            let Ok(matchers) = parse_metric_selector(&text) else { continue };
            let selected = names_of(store, range, &matchers, stored, lookup)?;
            let only = selected.iter().filter(|name| !self.names.contains(*name)).count();
            broad.push(BroadSelector { text, metrics: selected.len(), only_read_so: only });
            if counts {
                self.by_broad.extend(selected);
            }
        }
        broad.sort_by(|a, b| (b.only_read_so, b.metrics, &a.text).cmp(&(a.only_read_so, a.metrics, &b.text)));
        Ok(broad)
    }

    /// Whether a metric is read, or is one that rules of relabelling cannot drop.
    pub fn is_read(&self, name: &str) -> bool {
        self.names.contains(name)
            || self.by_broad.contains(name)
            || is_report(name)
            || ALERT_SERIES.contains(&name)
    }

    /// The rule group that records a metric.
    pub fn recording_group(&self, name: &str) -> Option<&str> {
        self.recording_groups.get(name).map(String::as_str)
    }

    /// When a metric was read by its name.
    pub fn last_read(&self, name: &str) -> LastRead {
        self.recorded.metrics.get(name).copied().unwrap_or_default()
    }

    /// Reads before this moment may be missing.
    pub fn complete_from_ms(&self) -> i64 {
        self.recorded.complete_from_ms
    }
}

/// Names of stored metrics with series that satisfy the matchers. Conditions on the name alone need no look at series.
fn names_of(
    store: &dyn Queryable,
    range: TimeRange,
    matchers: &[Matcher],
    stored: &[String],
    lookup: &Lookup,
) -> Result<Vec<String>, ApiError> {
    if matchers.iter().all(|matcher| &*matcher.name == METRIC_NAME) {
        let fits = |name: &&String| matchers.iter().all(|matcher| matcher.matches(name));
        return Ok(stored.iter().filter(fits).cloned().collect());
    }
    stored::values_of_name(store, range, matchers, lookup)
}

/// The words of a text that may be names of metrics.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).filter(|word| !word.is_empty())
}
