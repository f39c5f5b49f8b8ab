//! Sends a test notification through the real code path, to try a receiver before it is needed.

use std::time::Duration;

use ferula_runtime::SharedClock;

use super::{Exchange, Integration, KeptValues, Notification, NotifyError, Reason, Record, TemplateFault};
use crate::alert::Alert;
use crate::route::Labels;
use crate::time::Time;

/// The name of the test alert, which nobody should mistake for a real one.
pub const TEST_ALERT: &str = "FerulaTestNotification";

/// Time limit for a test attempt.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(30);

/// The result of one integration's test.
#[derive(Debug)]
pub struct Trial {
    /// `slack[0]`
    pub integration: String,
    /// Requests with their answers; secrets are masked.
    pub exchanges: Vec<Exchange>,
    pub result: Result<(), NotifyError>,
    /// Template fields for which something else is sent.
    pub faults: Vec<TemplateFault>,
}

/// Sends a marked notification to each integration of a receiver, with one attempt each; a dry run only
/// renders it. `labels` are added to the alert's name, for templates that need them.
pub async fn trial(
    receiver: &str,
    integrations: &[Integration],
    labels: &Labels,
    clock: &SharedClock,
    is_dry: bool,
) -> Vec<Trial> {
    let now = Time::from_unix_nanos(clock.unix_nanos());
    let mut all = labels.clone();
    all.entry("alertname".to_owned()).or_insert_with(|| TEST_ALERT.to_owned());
    let summary = format!("Test of receiver {receiver}. Nothing is wrong.");
    let annotations = Labels::from([("summary".to_owned(), summary)]);
    let alert = Alert::new(&all, &annotations, now, Time::ZERO, "");
    let group_labels: Labels = all.into_iter().filter(|(name, _)| name == "alertname").collect();
    let group_key = format!("{{}}:{{alertname={}}}", ferula_go::quote::go_quote(&group_labels["alertname"]));
    let mut trials = Vec::with_capacity(integrations.len());
    for integration in integrations {
        let record = if is_dry { Record::dry_run() } else { Record::on() };
        let notification = Notification {
            receiver,
            group_key: &group_key,
            group_labels: &group_labels,
            alerts: std::slice::from_ref(&alert),
            now,
            repeat_interval: Duration::from_secs(4 * 3600),
            reason: Reason::FirstNotification,
            kept: &KeptValues::new(),
            record: &record,
            rendering: None,
        };
        let mut faults = Vec::new();
        let result = tokio::select! {
            notified = integration.notify(&notification) => {
                faults = notified.faults;
                notified.result.map(drop)
            }
            () = clock.sleep(ATTEMPT_TIME_MAX) => Err(NotifyError::passing("no answer within 30s")),
        };
        trials.push(Trial { integration: integration.to_string(), exchanges: record.take(), result, faults });
    }
    trials
}
