//! Sloth's own format, as a file (`prometheus/v1`) and as a Kubernetes resource (`sloth.slok.dev/v1`). Both
//! have the same fields, but the resource writes them in camel case.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::document::Document;
use super::options::ReadOptions;
use crate::error::SpecError;
use crate::objective::{AlertText, Indicator, Objective, ObjectiveError};

/// The `version` of a file.
pub const VERSION: &str = "prometheus/v1";
/// The `apiVersion` of a resource.
pub const API_VERSION: &str = "sloth.slok.dev/v1";

type Texts = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    #[serde(default, rename = "status")]
    _status: IgnoredAny,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(default, rename = "version")]
    _version: Option<String>,
    service: String,
    #[serde(default)]
    labels: Option<Texts>,
    #[serde(default, alias = "sloPlugins")]
    slo_plugins: Option<IgnoredAny>,
    slos: Vec<Slo>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slo {
    name: String,
    #[serde(default)]
    description: String,
    objective: f64,
    #[serde(default)]
    plugins: Option<IgnoredAny>,
    #[serde(default)]
    labels: Option<Texts>,
    sli: Sli,
    #[serde(default)]
    alerting: Alerting,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sli {
    #[serde(default)]
    raw: Option<Raw>,
    #[serde(default)]
    events: Option<Events>,
    #[serde(default)]
    plugin: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(alias = "errorRatioQuery")]
    error_ratio_query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    #[serde(alias = "errorQuery")]
    error_query: String,
    #[serde(alias = "totalQuery")]
    total_query: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Alerting {
    name: String,
    labels: Option<Texts>,
    annotations: Option<Texts>,
    #[serde(alias = "pageAlert")]
    page_alert: Option<Alert>,
    #[serde(alias = "ticketAlert")]
    ticket_alert: Option<Alert>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Alert {
    disable: bool,
    labels: Option<Texts>,
    annotations: Option<Texts>,
}

/// Reads a document in the file format.
pub fn read(document: Document<'_>, options: &ReadOptions) -> Result<Vec<Objective>, SpecError> {
    objectives(document, document.decode()?, VERSION, options)
}

/// Reads a Kubernetes resource.
pub fn read_resource(document: Document<'_>, options: &ReadOptions) -> Result<Vec<Objective>, SpecError> {
    let resource: Resource = document.decode()?;
    objectives(document, resource.spec, API_VERSION, options)
}

fn objectives(
    document: Document<'_>,
    spec: Spec,
    format: &'static str,
    options: &ReadOptions,
) -> Result<Vec<Objective>, SpecError> {
    let Spec { service, labels, slo_plugins, slos, .. } = spec;
    let shared = labels.unwrap_or_default();
    let mut objectives = Vec::with_capacity(slos.len());
    for slo in slos {
        if slo_plugins.is_some() || slo.plugins.is_some() || slo.sli.plugin.is_some() {
            return Err(document.wrong(&slo.name, ObjectiveError::Plugin));
        }
        let indicator = match (slo.sli.events, slo.sli.raw) {
            (Some(events), None) => {
                Indicator::Events { errors: events.error_query, total: events.total_query }
            }
            (None, Some(raw)) => Indicator::Ratio(raw.error_ratio_query),
            (None, None) => return Err(document.wrong(&slo.name, ObjectiveError::NoIndicator)),
            (Some(_), Some(_)) => return Err(document.wrong(&slo.name, ObjectiveError::TwoIndicators)),
        };
        let alert = |own: &Option<Alert>| alert_text(&slo.alerting, own.as_ref());
        objectives.push(Objective {
            id: format!("{service}-{}", slo.name),
            page: alert(&slo.alerting.page_alert),
            ticket: alert(&slo.alerting.ticket_alert),
            name: slo.name,
            service: service.clone(),
            description: slo.description,
            labels: merged(&shared, slo.labels.as_ref()),
            period_millis: options.period_millis,
            target_percent: slo.objective,
            indicator,
            format,
        });
    }
    Ok(objectives)
}

fn alert_text(both: &Alerting, own: Option<&Alert>) -> Option<AlertText> {
    if own.is_some_and(|own| own.disable) {
        return None;
    }
    let merge =
        |shared: &Option<Texts>, own: Option<&Texts>| merged(shared.as_ref().unwrap_or(&Texts::new()), own);
    Some(AlertText {
        name: both.name.clone(),
        labels: merge(&both.labels, own.and_then(|own| own.labels.as_ref())),
        annotations: merge(&both.annotations, own.and_then(|own| own.annotations.as_ref())),
    })
}

/// Merges shared labels or annotations with an objective's or alert's own, which take precedence.
fn merged(shared: &Texts, own: Option<&Texts>) -> Texts {
    let mut all = shared.clone();
    all.extend(own.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    all
}
