//! The rules of an objective: its error ratio over every window, its remaining budget, and two alerts that
//! use two pairs of windows each.
//!
//! Names of series and labels are Sloth's (`pkg/common/conventions` there), because dashboards and routes
//! depend on them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ferula_go::float::{format_f, format_g};
use ferula_go::quote::go_quote;
use ferula_model::duration::format_millis;
use serde::Serialize;

use crate::error::RulesError;
use crate::objective::{AlertText, Indicator, Objective, QueryError};
use crate::windows::{BurnWindow, Catalog, Windows};

type Labels = BTreeMap<String, String>;

const DAY_MILLIS: i64 = 86_400_000;

/// A rule file, as Prometheus reads it.
#[derive(Debug, Serialize, PartialEq)]
pub struct RuleFile {
    pub groups: Vec<RuleGroup>,
}

impl RuleFile {
    /// The file's text.
    ///
    /// # Errors
    /// Never for rules that [`rules`] returned.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(self)
    }
}

/// A group of rules.
#[derive(Debug, Serialize, PartialEq)]
pub struct RuleGroup {
    pub name: String,
    pub rules: Vec<Rule>,
}

/// A recording rule or an alert.
#[derive(Debug, Serialize, PartialEq, Default)]
pub struct Rule {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub record: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alert: String,
    pub expr: String,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct RuleOptions {
    pub alerts: bool,
    pub recordings: bool,
    /// Compute the whole period's ratio by averaging the shortest window's recorded ratio, instead of reading
    /// a month of raw samples.
    pub optimized: bool,
    /// The value of the label `sloth_version` on `sloth_slo_info`.
    pub version: String,
}

/// Generates the rule groups of one objective.
///
/// # Errors
/// The catalog has no windows for its period.
pub fn rules(
    objective: &Objective,
    catalog: &Catalog,
    options: &RuleOptions,
) -> Result<Vec<RuleGroup>, RulesError> {
    let windows = catalog.get(objective.period_millis).ok_or_else(|| RulesError::NoWindows {
        id: objective.id.clone(),
        period: format_millis(objective.period_millis),
        known: catalog.periods(),
    })?;
    let generator = Generator::new(objective, windows);
    let mut groups = Vec::new();
    if options.recordings {
        let indicators = generator.indicators(options.optimized);
        let indicators = indicators.map_err(|error| RulesError::Query { id: objective.id.clone(), error })?;
        groups.push(generator.group("sli-recordings", indicators));
        groups.push(generator.group("meta-recordings", generator.metadata(&options.version)));
    }
    if options.alerts {
        let alerts = generator.alerts();
        if !alerts.is_empty() {
            groups.push(generator.group("alerts", alerts));
        }
    }
    Ok(groups)
}

struct Generator<'a> {
    objective: &'a Objective,
    windows: &'a Windows,
    /// A selector for the objective's series: `{sloth_id="…", …}`.
    selector: String,
    id_labels: Labels,
}

impl<'a> Generator<'a> {
    fn new(objective: &'a Objective, windows: &'a Windows) -> Self {
        let id_labels = Labels::from(
            [
                ("sloth_id", &objective.id),
                ("sloth_service", &objective.service),
                ("sloth_slo", &objective.name),
            ]
            .map(|(name, value)| (name.to_owned(), value.clone())),
        );
        let matchers: Vec<String> =
            id_labels.iter().map(|(name, value)| format!("{name}={}", go_quote(value))).collect();
        Generator { objective, windows, selector: format!("{{{}}}", matchers.join(", ")), id_labels }
    }

    fn group(&self, kind: &str, rules: Vec<Rule>) -> RuleGroup {
        RuleGroup { name: format!("sloth-slo-{kind}-{}", self.objective.id), rules }
    }

    /// The objective's own labels, which override the identifying ones, as in Sloth.
    fn labels(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Labels {
        let mut labels = self.id_labels.clone();
        labels.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        labels.extend(self.objective.labels.clone());
        labels
    }

    fn ratio_series(window_millis: i64) -> String {
        format!("slo:sli_error:ratio_rate{}", format_millis(window_millis))
    }

    fn indicators(&self, optimized: bool) -> Result<Vec<Rule>, QueryError> {
        let period = self.objective.period_millis;
        let mut windows = self.windows.distinct_millis();
        windows.push(period);
        let shortest = Self::ratio_series(self.windows.page_quick.short_millis);
        let selector = &self.selector;
        windows
            .into_iter()
            .map(|window| {
                let range = format_millis(window);
                let expr = if window == period && optimized {
                    format!(
                        "sum_over_time({shortest}{selector}[{range}])\n/ ignoring (sloth_window)\ncount_over_time({shortest}{selector}[{range}])\n"
                    )
                } else {
                    match &self.objective.indicator {
                        Indicator::Events { .. } => {
                            let [errors, total] = self.objective.indicator.queries(window)?;
                            format!("({errors})\n/\n({total})\n")
                        }
                        Indicator::Ratio(_) => {
                            let [ratio, _] = self.objective.indicator.queries(window)?;
                            format!("({ratio})")
                        }
                    }
                };
                let labels = self.labels([("sloth_window", range)]);
                Ok(Rule { record: Self::ratio_series(window), expr, labels, ..Rule::default() })
            })
            .collect()
    }

    fn metadata(&self, version: &str) -> Vec<Rule> {
        let objective = self.objective;
        let target = format_g(objective.target_percent / 100.0);
        let days = format_g(objective.period_millis as f64 / DAY_MILLIS as f64);
        let burn = |window: i64| {
            format!(
                "{}{selector}\n/ on(sloth_id, sloth_slo, sloth_service) group_left\nslo:error_budget:ratio{selector}\n",
                Self::ratio_series(window),
                selector = self.selector
            )
        };
        let record = |name: &str, expr: String| Rule {
            record: name.to_owned(),
            expr,
            labels: self.labels([]),
            ..Rule::default()
        };
        let mut info = record("sloth_slo_info", "vector(1)".to_owned());
        // These override the objective's own labels.
        info.labels.extend(
            [
                ("sloth_version", version.to_owned()),
                ("sloth_mode", "cli-gen-prom".to_owned()),
                ("sloth_spec", objective.format.to_owned()),
                ("sloth_objective", format_f(objective.target_percent)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        vec![
            record("slo:objective:ratio", format!("vector({target})")),
            record("slo:error_budget:ratio", format!("vector(1-{target})")),
            record("slo:time_period:days", format!("vector({days})")),
            record("slo:current_burn_rate:ratio", burn(self.windows.page_quick.short_millis)),
            record("slo:period_burn_rate:ratio", burn(objective.period_millis)),
            record(
                "slo:period_error_budget_remaining:ratio",
                format!("1 - slo:period_burn_rate:ratio{}", self.selector),
            ),
            info,
        ]
    }

    fn alerts(&self) -> Vec<Rule> {
        let (page, ticket) = (&self.objective.page, &self.objective.ticket);
        let pairs = |quick, slow| [quick, slow];
        let page = page
            .as_ref()
            .map(|text| self.alert("page", text, pairs(&self.windows.page_quick, &self.windows.page_slow)));
        let ticket = ticket.as_ref().map(|text| {
            self.alert("ticket", text, pairs(&self.windows.ticket_quick, &self.windows.ticket_slow))
        });
        page.into_iter().chain(ticket).collect()
    }

    /// Fires while both windows of a pair burn the budget too fast.
    fn alert(&self, severity: &str, text: &AlertText, pairs: [&BurnWindow; 2]) -> Rule {
        let budget = format_g(self.objective.budget_ratio());
        let mut expr = String::new();
        for (index, pair) in pairs.into_iter().enumerate() {
            let rate = format_g(pair.burn_rate(self.windows.period_millis));
            let above = |window: i64| {
                format!(
                    "max({}{} > ({rate} * {budget})) without (sloth_window)",
                    Self::ratio_series(window),
                    self.selector
                )
            };
            if index > 0 {
                expr.push_str("or\n");
            }
            let _ = writeln!(
                expr,
                "(\n    {}\n    and\n    {}\n)",
                above(pair.short_millis),
                above(pair.long_millis)
            );
        }
        let named = "{{$labels.sloth_service}} {{$labels.sloth_slo}}";
        let mut annotations = Labels::from([
            ("title".to_owned(), format!("({severity}) {named} SLO error budget burn rate is too fast.")),
            ("summary".to_owned(), format!("{named} SLO error budget burn rate is over expected.")),
        ]);
        annotations.extend(text.annotations.clone());
        let mut labels = Labels::from([("sloth_severity".to_owned(), severity.to_owned())]);
        labels.extend(text.labels.clone());
        Rule { alert: text.name.clone(), expr, labels, annotations, ..Rule::default() }
    }
}

#[cfg(test)]
mod tests;
