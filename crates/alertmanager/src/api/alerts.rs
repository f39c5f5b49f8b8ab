//! `/api/v2/alerts` and `/api/v2/alerts/groups`.

use std::borrow::Cow;
use std::time::Duration;

use ferula_config::alertmanager::{AlertmanagerConfig, is_label_name};
use ferula_go::quote::go_quote;
use ferula_model::UnixNanos;
use ferula_telemetry::error;

use super::Api;
use super::answer::{Answer, Json, Status};
use super::params::Params;
use super::posted::{PostedAlert, read_alerts};
use crate::engine::{AlertStatus, AlertView, GroupView};
use crate::in_parallel::in_parallel;
use crate::matcher_index::matches;
use crate::stored_alert::{Report, StoredAlert, Times};
use crate::time::Time;

impl Api {
    pub(super) fn alerts(&self, query: &str) -> Result<Answer, Answer> {
        let params = Params::new(query);
        let matchers = params.matchers("filter", self.syntax, "")?;
        let receivers = params.receivers(self.syntax)?;
        let shows = StatusFilter::new(&params);
        let mut views = self
            .alertmanager
            .read(|engine, now| engine.alerts(|alert| matches(&matchers, &alert.labels), now));
        views.retain(|view| shows.passes(&view.status));
        if !receivers.is_empty() {
            let setup = self.alertmanager.read(|engine, _| engine.setup().config.clone());
            views.retain(|view| {
                let names = view.receivers.iter().map(|name| &**name);
                receivers.passes(names, |name, label| receiver_label(&setup, name, label))
            });
        }
        let mut json = Json::default();
        json.list(&views, |json, view| write_alert(json, view, &[]));
        Ok(Answer::json(json.0))
    }

    pub(super) fn groups(&self, query: &str) -> Result<Answer, Answer> {
        let params = Params::new(query);
        let matchers = params.matchers("filter", self.syntax, "")?;
        let receivers = params.receivers(self.syntax)?;
        let (shows, shows_muted) = (StatusFilter::new(&params), params.is_on("muted"));
        let mut groups = self.alertmanager.read(|engine, now| {
            let config = engine.setup().config.clone();
            let keep_receiver = |receiver: &str| {
                receivers
                    .passes(std::iter::once(receiver), |name, label| receiver_label(&config, name, label))
            };
            let keep = |alert: &StoredAlert| matches(&matchers, &alert.labels);
            engine.groups(keep_receiver, keep, |status| shows.passes(status), now)
        });
        groups.retain(|group| shows_muted || group.muted_by.is_empty());
        let shows_details = params.first("details").is_some_and(|value| value == "true");
        let write_group = |json: &mut Json, group: &GroupView| {
            json.object(|json| {
                json.key("alerts").list(&group.alerts, |json, view| write_alert(json, view, &group.muted_by));
                json.key("labels").pairs(group.labels.iter());
                json.key("receiver").pairs([("name", &*group.receiver)]);
                if shows_details {
                    self.write_details(json, group);
                }
            });
        };
        let alerts: usize = groups.iter().map(|group| group.alerts.len()).sum();
        let parts = in_parallel(&groups, alerts, |groups| {
            let mut json = Json::default();
            groups.iter().for_each(|group| write_group(&mut json, group));
            json
        });
        Ok(Answer::json(Json::list_of(parts).0))
    }

    /// What Alertmanager does not report about a group: when it is notified next, and why.
    fn write_details(&self, json: &mut Json, group: &GroupView) {
        let next = self.alertmanager.read(|engine, now| engine.next_notifications(group.id, now));
        json.key("groupKey").text(&group.key);
        json.key("routeKey").text(&group.route_key);
        json.key("nextFlush").text(&group.next_flush.rfc3339_millis());
        json.key("isFlushing").plain(group.is_flushing);
        json.key("mutedBy").list(&group.muted_by, |json, name| json.text(name));
        json.key("nextNotifications").list(next, |json, (integration, next)| {
            json.object(|json| {
                json.key("integration").text(&integration);
                if let Some(next) = next {
                    json.key("at").text(&next.at.rfc3339_millis());
                    json.key("reason").text(next.content.reason.as_str());
                    json.key("alerts").plain(next.content.alerts.len());
                }
            });
        });
    }

    pub(super) fn post_alerts(&self, bytes: &[u8]) -> Result<Answer, Answer> {
        let posted = read_alerts(bytes)?;
        let timeout = self.alertmanager.read(|engine, _| engine.setup().config.global().resolve_timeout);
        let now = self.alertmanager.now();
        let mut problems = Vec::new();
        let mut good = Vec::with_capacity(posted.len());
        for alert in posted {
            let report = self.complete(alert, now, timeout);
            match self.check(&report) {
                Ok(()) => good.push(report),
                Err(problem) => {
                    self.metrics.invalid.inc();
                    problems.push(problem);
                }
            }
        }
        self.alertmanager.change(|engine, now| engine.put_reports(&good, now));
        if problems.is_empty() {
            return Ok(Answer::empty(Status::Ok));
        }
        let text = problems.join("\n");
        error!("Failed to validate alerts", component = "api", version = "v2", err = text);
        Err(Answer::text(Status::BadRequest, &text))
    }

    /// Fills in missing times and removes empty labels.
    fn complete<'b>(&self, mut posted: PostedAlert<'b>, now: UnixNanos, timeout: Duration) -> Report<'b> {
        let now = Time::from_unix_nanos(now.0);
        let is_set = |time: &Time| !time.is_zero();
        let (given_start, given_end) = (posted.starts_at.filter(is_set), posted.ends_at.filter(is_set));
        let ends_at = given_end.unwrap_or_else(|| now.plus(timeout));
        let received = if ends_at > now { &self.metrics.firing } else { &self.metrics.resolved };
        received.inc();
        posted.labels.retain(|(_, value)| !value.is_empty());
        Report {
            labels: posted.labels,
            annotations: posted.annotations,
            generator_url: posted.generator_url,
            times: Times {
                starts_at: given_start.or(given_end).unwrap_or(now),
                ends_at,
                updated_at: now,
                timeout: given_end.is_none(),
            },
        }
    }

    fn check(&self, report: &Report<'_>) -> Result<(), String> {
        if report.times.ends_at < report.times.starts_at {
            return Err("start time must be before end time".into());
        }
        if report.labels.is_empty() {
            return Err("at least one label pair required".into());
        }
        let bad = |(name, _): &&(Cow<'_, str>, Cow<'_, str>)| !is_label_name(name, self.syntax);
        if let Some((name, _)) = report.labels.iter().find(bad) {
            return Err(format!("invalid label set: invalid name {}", go_quote(name)));
        }
        match report.annotations.iter().find(bad) {
            Some((name, _)) => Err(format!("invalid annotations: invalid name {}", go_quote(name))),
            None => Ok(()),
        }
    }
}

/// The statuses selected by the query parameters.
struct StatusFilter {
    active: bool,
    silenced: bool,
    inhibited: bool,
}

impl StatusFilter {
    fn new(params: &Params) -> Self {
        StatusFilter {
            active: params.is_on("active"),
            silenced: params.is_on("silenced"),
            inhibited: params.is_on("inhibited"),
        }
    }

    fn passes(&self, status: &AlertStatus) -> bool {
        (self.active || !status.is_active())
            && (self.silenced || status.silenced_by.is_empty())
            && (self.inhibited || status.inhibited_by.is_empty())
    }
}

fn receiver_label(config: &AlertmanagerConfig, receiver: &str, label: &str) -> Option<String> {
    let receiver = config.receivers.iter().find(|known| known.name == receiver)?;
    receiver.labels.get(label).cloned()
}

/// Writes an alert with its keys in Alertmanager's order.
pub(super) fn write_alert(json: &mut Json, view: &AlertView, muted_by: &[String]) {
    let alert = &view.alert;
    json.object(|json| {
        json.key("annotations").pairs(alert.annotations.iter());
        json.key("endsAt").time(alert.ends_at);
        json.key("fingerprint").text(&format!("{:016x}", view.fingerprint));
        json.key("receivers").list(&*view.receivers, |json, name| json.pairs([("name", &**name)]));
        json.key("startsAt").time(alert.starts_at);
        json.key("status").object(|json| {
            let is_active = view.status.is_active() && muted_by.is_empty();
            json.key("inhibitedBy").list(&view.status.inhibited_by, |json, id| json.text(id));
            json.key("mutedBy").list(muted_by, |json, name| json.text(name));
            json.key("silencedBy").list(&view.status.silenced_by, |json, id| json.text(id));
            json.key("state").text(if is_active { "active" } else { "suppressed" });
        });
        json.key("updatedAt").time(alert.updated_at);
        if !alert.generator_url.is_empty() {
            json.key("generatorURL").text(&alert.generator_url);
        }
        json.key("labels").pairs(alert.labels.iter());
    });
}
