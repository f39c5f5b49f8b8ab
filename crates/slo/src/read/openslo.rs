//! OpenSLO's `v1alpha`, with the same restrictions as in Sloth: ratios of PromQL queries, windows in days, no
//! alerts. Each objective of a document becomes one of ours, numbered from 0.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::document::Document;
use super::options::ReadOptions;
use crate::error::SpecError;
use crate::objective::{Indicator, Objective, ObjectiveError};

/// The `apiVersion` of its documents.
pub const API_VERSION: &str = "openslo/v1alpha";
const DAY_MILLIS: i64 = 86_400_000;
/// More days than any store keeps; beyond that, the conversion to milliseconds could overflow.
const DAYS_MAX: i64 = 36_500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Slo {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default, rename = "displayName")]
    _display_name: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    service: String,
    #[serde(default)]
    description: String,
    #[serde(default, rename = "budgetingMethod")]
    _budgeting_method: IgnoredAny,
    #[serde(default, rename = "indicator")]
    _indicator: IgnoredAny,
    objectives: Vec<OneObjective>,
    #[serde(default)]
    time_windows: Vec<TimeWindow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OneObjective {
    #[serde(default, rename = "displayName")]
    _display_name: IgnoredAny,
    #[serde(default, rename = "value")]
    _value: IgnoredAny,
    #[serde(default, rename = "op")]
    _op: IgnoredAny,
    #[serde(default)]
    ratio_metrics: Option<RatioMetrics>,
    target: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RatioMetrics {
    good: Metric,
    total: Metric,
    #[serde(default, rename = "incremental")]
    _incremental: IgnoredAny,
    #[serde(default, rename = "counter")]
    _counter: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metric {
    source: String,
    query_type: String,
    query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TimeWindow {
    count: i64,
    unit: String,
    #[serde(default, rename = "isRolling")]
    _is_rolling: IgnoredAny,
    #[serde(default, rename = "calendar")]
    _calendar: IgnoredAny,
}

/// Reads a document.
pub fn read(document: Document<'_>, options: &ReadOptions) -> Result<Vec<Objective>, SpecError> {
    let slo: Slo = document.decode()?;
    let name = &slo.metadata.name;
    let period_millis = match slo.spec.time_windows.as_slice() {
        [] => options.period_millis,
        [window] if !window.unit.eq_ignore_ascii_case("day") => {
            return Err(document.wrong(name, ObjectiveError::WindowUnit(window.unit.clone())));
        }
        [window] if !(1..=DAYS_MAX).contains(&window.count) => {
            return Err(document.wrong(name, ObjectiveError::WindowDays(window.count)));
        }
        [window] => window.count * DAY_MILLIS,
        _ => return Err(document.wrong(name, ObjectiveError::TwoWindows)),
    };
    let mut objectives = Vec::with_capacity(slo.spec.objectives.len());
    for (index, objective) in slo.spec.objectives.iter().enumerate() {
        let Some(ratio) = &objective.ratio_metrics else {
            return Err(document.wrong(name, ObjectiveError::NoRatio(index)));
        };
        for (what, metric) in [("good", &ratio.good), ("total", &ratio.total)] {
            if !matches!(metric.source.as_str(), "prometheus" | "sloth") || metric.query_type != "promql" {
                let (query_type, source_name) = (metric.query_type.clone(), metric.source.clone());
                let error = ObjectiveError::Source { index, what, query_type, source_name };
                return Err(document.wrong(name, error));
            }
        }
        objectives.push(Objective {
            id: format!("{}-{name}-{index}", slo.spec.service),
            name: format!("{name}-{index}"),
            service: slo.spec.service.clone(),
            description: slo.spec.description.clone(),
            labels: BTreeMap::new(),
            period_millis,
            target_percent: objective.target * 100.0,
            indicator: Indicator::Ratio(errors_per_event(&ratio.good.query, &ratio.total.query)),
            page: None,
            ticket: None,
            format: API_VERSION,
        });
    }
    Ok(objectives)
}

/// OpenSLO counts good events; the rules count bad ones.
fn errors_per_event(good: &str, total: &str) -> String {
    format!("\n  1 - (\n    (\n      {good}\n    )\n    /\n    (\n      {total}\n    )\n  )\n")
}
