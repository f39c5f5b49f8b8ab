//! One objective in a form common to all formats, and the checks that apply to all of them.

use std::collections::BTreeMap;

use ferula_model::duration::format_millis;
use ferula_model::labels::is_legacy_label_name;
use ferula_promql_syntax::{ParseErrors, ParserOptions, parse};

/// A service level objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// Unique across all objectives: the service and the name.
    pub id: String,
    pub name: String,
    pub service: String,
    pub description: String,
    /// Labels of every recorded series.
    pub labels: BTreeMap<String, String>,
    pub period_millis: i64,
    /// Percentage of events that must be good; more than 0, at most 100.
    pub target_percent: f64,
    pub indicator: Indicator,
    /// The alert that pages somebody.
    pub page: Option<AlertText>,
    /// The alert that opens a ticket.
    pub ticket: Option<AlertText>,
    /// The format in which the objective was written, as the label `sloth_spec` states it.
    pub format: &'static str,
}

/// How errors are measured. Queries contain `{{.window}}` in place of the range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indicator {
    /// Bad events and all events, both per second.
    Events { errors: String, total: String },
    /// Bad events per event, 0 to 1.
    Ratio(String),
}

/// Name, labels and annotations of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertText {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl Objective {
    /// The fraction of events that may fail, 0 to 1, computed as in Sloth.
    pub fn budget_ratio(&self) -> f64 {
        (100.0 - self.target_percent) / 100.0
    }

    /// Returns the first error.
    pub(crate) fn check(&self) -> Result<(), ObjectiveError> {
        for (what, name) in [("name", &self.name), ("service", &self.service), ("id", &self.id)] {
            if !is_name(name) {
                return Err(ObjectiveError::Name { what, name: name.clone() });
            }
        }
        if !(self.target_percent > 0.0 && self.target_percent <= 100.0) {
            return Err(ObjectiveError::Target(self.target_percent));
        }
        if let Some(bad) = self.labels.keys().find(|name| !is_legacy_label_name(name)) {
            return Err(ObjectiveError::Label(bad.clone()));
        }
        self.indicator.check()?;
        for (what, alert) in [("page", &self.page), ("ticket", &self.ticket)] {
            let Some(alert) = alert else { continue };
            if alert.name.is_empty() {
                return Err(ObjectiveError::NoAlertName(what));
            }
            if let Some(bad) =
                alert.labels.keys().chain(alert.annotations.keys()).find(|name| !is_legacy_label_name(name))
            {
                return Err(ObjectiveError::AlertLabel { what, name: bad.clone() });
            }
        }
        Ok(())
    }
}

/// Why an objective cannot be met, or not measured as written.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum ObjectiveError {
    #[error(
        "{what} {name:?} must begin and end with a letter or digit, and may contain only letters, digits, '.', '_' and '-'"
    )]
    Name { what: &'static str, name: String },
    #[error("the objective is {0}, expected more than 0 and at most 100")]
    Target(f64),
    #[error("{0:?} is not a label name")]
    Label(String),
    /// `page` or `ticket`.
    #[error("alerting.name is missing; set it, or disable the {0} alert")]
    NoAlertName(&'static str),
    #[error("{what} alert: {name:?} is not a label name")]
    AlertLabel { what: &'static str, name: String },
    #[error("Sloth plugins are not supported; write the query under sli.raw or sli.events")]
    Plugin,
    #[error("sli must have 'events' or 'raw'")]
    NoIndicator,
    #[error("sli has both 'events' and 'raw'; remove one")]
    TwoIndicators,
    #[error("time window with unit {0:?}; only days are supported")]
    WindowUnit(String),
    #[error("invalid time window of {0} days")]
    WindowDays(i64),
    #[error("more than one time window")]
    TwoWindows,
    /// The position of an objective in its document, from 0.
    #[error("objective {0} has no ratioMetrics; other kinds are not supported")]
    NoRatio(usize),
    #[error(
        "objective {index}: {what} is a {query_type} query of source {source_name:?}; expected type promql and source prometheus"
    )]
    Source { index: usize, what: &'static str, query_type: String, source_name: String },
    #[error("the query of errors and the query of all events are the same")]
    SameQueries,
    #[error("{what}: {error}")]
    Window { what: &'static str, error: QueryError },
    #[error("{what}: {error}")]
    Query { what: &'static str, error: ParseErrors },
}

/// Why a query of an indicator cannot be used.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum QueryError {
    /// It lacks the placeholder for the range.
    #[error("the query must contain '{{{{.window}}}}' in place of the range")]
    NoWindow,
    /// It has an unknown placeholder.
    #[error("unknown placeholder '{{{{{0}}}}}'; only '{{{{.window}}}}' exists")]
    UnknownPlaceholder(String),
    /// A placeholder is not closed.
    #[error("'{{{{' without '}}}}'")]
    Unclosed,
}

impl Indicator {
    /// The queries over a window: bad events and all events. For a ratio, the second one is `vector(1)`, so
    /// that all moments weigh the same.
    ///
    /// # Errors
    /// Never for an objective that `read` returned, since its queries were checked.
    pub fn queries(&self, window_millis: i64) -> Result<[String; 2], QueryError> {
        let window = format_millis(window_millis);
        Ok(match self {
            Indicator::Events { errors, total } => {
                [fill_window(errors, &window)?, fill_window(total, &window)?]
            }
            Indicator::Ratio(query) => [fill_window(query, &window)?, "vector(1)".to_owned()],
        })
    }

    fn check(&self) -> Result<(), ObjectiveError> {
        let queries: &[(&'static str, &String)] = match self {
            Indicator::Events { errors, total } if errors == total => {
                return Err(ObjectiveError::SameQueries);
            }
            Indicator::Events { errors, total } => {
                &[("query of errors", errors), ("query of all events", total)]
            }
            Indicator::Ratio(query) => &[("error ratio", query)],
        };
        for (what, query) in queries {
            let filled = fill_window(query, "1m").map_err(|error| ObjectiveError::Window { what, error })?;
            parse(&filled, &ParserOptions::default())
                .map_err(|error| ObjectiveError::Query { what, error })?;
        }
        Ok(())
    }
}

/// Replaces `{{.window}}` in a query by a range.
fn fill_window(query: &str, window: &str) -> Result<String, QueryError> {
    let mut filled = String::with_capacity(query.len());
    let mut rest = query;
    let mut found = false;
    while let Some(open) = rest.find("{{") {
        let inner = &rest[open + 2..];
        let close = inner.find("}}").ok_or(QueryError::Unclosed)?;
        if inner[..close].trim() != ".window" {
            return Err(QueryError::UnknownPlaceholder(inner[..close].to_owned()));
        }
        filled.push_str(&rest[..open]);
        filled.push_str(window);
        found = true;
        rest = &inner[close + 2..];
    }
    filled.push_str(rest);
    if found { Ok(filled) } else { Err(QueryError::NoWindow) }
}

fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() >= 2
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}
