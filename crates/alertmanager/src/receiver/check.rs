//! Checks the templates of a configuration: every integration composes notifications about sample alerts without sending them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::alertmanager::AlertmanagerConfig;
use ferula_http_client::HttpClients;
use ferula_runtime::SharedClock;

use super::{Environment, KeptValues, Notification, Reason, Record, TemplateFault, integrations};
use crate::alert::Alert;
use crate::blocking::blocking;
use crate::route::Labels;
use crate::template::{Templates, TemplatesError};
use crate::time::Time;

/// A warning about a configuration; Alertmanager has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigWarning {
    pub file: Option<PathBuf>,
    /// Counted from 1; 0 if unknown.
    pub line: u32,
    /// `receivers[0].slack_configs[1].title`
    pub field: String,
    pub text: String,
}

impl std::fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:{}: ", file.display(), self.line)?;
        }
        write!(f, "{}: {}", self.field, self.text)
    }
}

/// Every template field of every receiver that fails for sample alerts, in the order of the files.
///
/// # Errors
/// The template files cannot be used at all.
pub fn check_templates(
    config: &AlertmanagerConfig,
    external_url: &str,
    clock: &SharedClock,
) -> Result<Vec<ConfigWarning>, Vec<(String, TemplatesError)>> {
    let problems = Templates::check_files(&config.templates.0, clock);
    if !problems.is_empty() {
        return Err(problems);
    }
    let templates = Templates::load(&config.templates.0, external_url, clock);
    let templates = templates.map_err(|error| vec![(String::new(), error)])?;
    let environment =
        Environment { templates: Arc::new(templates), clients: HttpClients::default(), clock: clock.clone() };
    let warnings = blocking(failing_fields(config, &environment));
    Ok(warnings.into_iter().collect())
}

async fn failing_fields(config: &AlertmanagerConfig, environment: &Environment) -> BTreeSet<ConfigWarning> {
    let mut warnings = BTreeSet::new();
    for (at, receiver) in config.receivers.iter().enumerate() {
        let warning = |field: String, text: String| {
            let place = config.place(&field);
            let (file, line) = place.map_or((None, 0), |place| (Some(place.file.clone()), place.line));
            ConfigWarning { file, line, field, text }
        };
        let built = match integrations(receiver, environment) {
            Ok(built) => built,
            Err(error) => {
                warnings.insert(warning(format!("receivers[{at}]"), error.to_string()));
                continue;
            }
        };
        for integration in built {
            let now = Time::from_unix_nanos(environment.clock.unix_nanos());
            for alerts in samples(now) {
                for fault in faults(&receiver.name, &integration, &alerts, now).await {
                    let (service, index) = (integration.name, integration.index);
                    let field = format!("receivers[{at}].{service}_configs[{index}].{}", fault.field);
                    warnings.insert(warning(field, fault.error));
                }
            }
        }
    }
    warnings
}

/// Fields that fail for these alerts.
async fn faults(
    receiver: &str,
    integration: &super::Integration,
    alerts: &[Alert],
    now: Time,
) -> Vec<TemplateFault> {
    let record = Record::check();
    let group_labels = Labels::from([("alertname".to_owned(), "SampleAlert".to_owned())]);
    let notification = Notification {
        receiver,
        group_key: "{}:{alertname=\"SampleAlert\"}",
        group_labels: &group_labels,
        alerts,
        now,
        repeat_interval: Duration::from_secs(4 * 3600),
        reason: Reason::FirstNotification,
        kept: &KeptValues::new(),
        record: &record,
        rendering: None,
    };
    integration.notify(&notification).await.faults
}

/// Sample alerts: one that is firing, several of which one is resolved, and only resolved ones.
fn samples(now: Time) -> [Vec<Alert>; 3] {
    let alert = |instance: &str, is_over: bool| {
        let labels = [
            ("alertname", "SampleAlert"),
            ("severity", "critical"),
            ("job", "sample"),
            ("instance", instance),
        ];
        let annotations =
            [("summary", "A sample."), ("description", "Nothing is wrong: this checks templates.")];
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Alert::new(
            &labels.iter().map(own).collect(),
            &annotations.iter().map(own).collect(),
            Time { seconds: now.seconds - 300, ..now },
            if is_over { Time { seconds: now.seconds - 1, ..now } } else { Time::ZERO },
            "http://prometheus.example/graph",
        )
    };
    [vec![alert("a:1", false)], vec![alert("a:1", false), alert("b:2", true)], vec![alert("a:1", true)]]
}
