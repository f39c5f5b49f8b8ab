//! Paths that Alertmanager does not have: why notifications about an alert are sent or not, and recent
//! notification decisions.

use super::Api;
use super::alerts::write_alert;
use super::answer::{Answer, Json};
use super::params::Params;
use crate::engine::{Event, IntegrationView, Outcome, RouteView};

/// Default number of events; the parameter `limit` overrides it.
const EVENTS_SHOWN: usize = 100;

impl Api {
    /// `/api/v2/alerts/{fingerprint}/explain`
    pub(super) fn explain(&self, fingerprint: &str) -> Answer {
        let Ok(number) = u64::from_str_radix(fingerprint, 16) else {
            return Answer::text(400, &format!("not a fingerprint: {fingerprint}"));
        };
        let Some(explanation) = self.alertmanager.read(|engine, now| engine.explain(number, now)) else {
            return Answer::text(404, "no alert has this fingerprint");
        };
        let mut json = Json::default();
        json.object(|json| {
            json.key("alert");
            write_alert(json, &explanation.alert, &[]);
            json.key("routes").list(&explanation.routes, write_route);
            json.key("events").list(&explanation.events, write_event);
        });
        Answer::json(json.0)
    }

    /// `/api/v2/notifications`: recent decisions, latest first, filtered by `receiver`, `group_key` and
    /// `outcome`.
    pub(super) fn notifications(&self, query: &str) -> Answer {
        let params = Params::new(query);
        let limit = params.first("limit").and_then(|text| text.parse().ok()).unwrap_or(EVENTS_SHOWN);
        let is_meant = |event: &Event| {
            let equals = |name: &str, value: &str| params.first(name).is_none_or(|given| given == value);
            equals("receiver", &event.receiver)
                && equals("group_key", &event.group_key)
                && equals("outcome", event.outcome.as_str())
        };
        let events: Vec<Event> = self
            .alertmanager
            .read(|engine, _| engine.events().filter(|event| is_meant(event)).take(limit).cloned().collect());
        let mut json = Json::default();
        json.list(&events, write_event);
        Answer::json(json.0)
    }
}

fn write_route(json: &mut Json, route: &RouteView) {
    json.object(|json| {
        json.key("route").text(&route.route_key);
        json.key("receiver").text(&route.receiver);
        json.key("mutedBy").list(&route.muted_by, |json, name| json.text(name));
        if let Some(group) = &route.group {
            json.key("group").object(|json| {
                json.key("key").text(&group.key);
                json.key("alerts").plain(group.alerts);
                json.key("nextFlush").text(&group.next_flush.rfc3339_millis());
                json.key("isFlushing").plain(group.is_flushing);
            });
        }
        json.key("integrations").list(&route.integrations, write_integration);
    });
}

fn write_integration(json: &mut Json, integration: &IntegrationView) {
    json.object(|json| {
        json.key("name").text(&integration.name);
        if let Some(last) = &integration.last {
            json.key("last").object(|json| {
                json.key("at").text(&last.timestamp.rfc3339_millis());
                json.key("firing").plain(last.firing.len());
                json.key("resolved").plain(last.resolved.len());
            });
        }
        json.key("nextReason").text(integration.next_reason.map_or("none", |reason| reason.as_str()));
    });
}

fn write_event(json: &mut Json, event: &Event) {
    json.object(|json| {
        json.key("at").text(&event.at.rfc3339_millis());
        json.key("groupKey").text(&event.group_key);
        json.key("receiver").text(&event.receiver);
        if let Some(integration) = &event.integration {
            json.key("integration").text(integration);
        }
        json.key("alerts").plain(event.alerts);
        json.key("outcome").text(event.outcome.as_str());
        match &event.outcome {
            Outcome::Sent { reason, attempts } => {
                json.key("reason").text(reason.as_str());
                json.key("attempts").plain(attempts);
            }
            Outcome::NothingToSend { reason } => json.key("reason").text(reason.as_str()),
            Outcome::Failed { reason, attempts, error } => {
                json.key("reason").text(reason.as_str());
                json.key("attempts").plain(attempts);
                json.key("error").text(error);
            }
            Outcome::Muted { by } => json.key("mutedBy").list(by, |json, name| json.text(name)),
            Outcome::Inhibited | Outcome::Silenced => {}
        }
    });
}
