//! Our own endpoints: why an alert is notified or not, recent notifications, and where alerts go.

use std::time::Duration;

use ferula_config::alertmanager::{MatchOp, parse_matcher};
use ferula_model::UnixNanos;

use super::Api;
use super::alerts::write_alert;
use super::answer::{Answer, Json, Status};
use super::params::Params;
use crate::engine::{
    Event, Explanation, IntegrationView, NextNotification, Outcome, RouteVerdict, RouteView, Verdict,
};
use crate::rendered::{RenderedNotification, render};
use crate::route::{GroupBy, Labels, Route};
use crate::time::Time;

/// Default number of events; the parameter `limit` overrides it.
const EVENTS_SHOWN: usize = 100;

impl Api {
    /// `/api/v2/alerts/{fingerprint}/explain`, now or `at` another time, with the `content` of the next notifications if
    /// wanted.
    pub(super) fn explain(&self, fingerprint: &str, query: &str) -> Result<Answer, Answer> {
        let Ok(number) = u64::from_str_radix(fingerprint, 16) else {
            return Err(Answer::text(Status::BadRequest, &format!("not a fingerprint: {fingerprint}")));
        };
        let params = Params::new(query);
        let at = params.time("at")?;
        let explained = self.alertmanager.read(|engine, now| engine.explain(number, at.unwrap_or(now), now));
        let explanation =
            explained.ok_or_else(|| Answer::text(Status::NotFound, "no alert has this fingerprint"))?;
        let rendered = match params.first("content") {
            Some("true" | "1") => render(&nexts(&explanation)),
            _ => Vec::new(),
        };
        let mut rendered = rendered.into_iter();
        let mut json = Json::default();
        json.object(|json| {
            json.key("alert");
            write_alert(json, &explanation.alert, &[]);
            json.key("at").text(&explanation.at.rfc3339_millis());
            json.key("silences").list(&explanation.silences, |json, silence| {
                json.object(|json| {
                    json.key("id").text(&silence.id);
                    json.key("comment").text(&silence.comment);
                    json.key("createdBy").text(&silence.created_by);
                    json.key("endsAt").text(&silence.ends_at.rfc3339_millis());
                });
            });
            json.key("tree");
            write_verdict(json, &explanation.tree);
            json.key("routes")
                .list(&explanation.routes, |json, route| write_route(json, route, &mut rendered));
            json.key("events").list(&explanation.events(), write_event);
        });
        Ok(Answer::json(json.0))
    }

    /// `/api/v2/notifications`: recent decisions, latest first, filtered by `receiver`, `group_key` and
    /// `outcome`.
    pub(super) fn notifications(&self, query: &str) -> Result<Answer, Answer> {
        let params = Params::new(query);
        let limit = params.first("limit").and_then(|text| text.parse().ok()).unwrap_or(EVENTS_SHOWN);
        let (since, until) = (params.time("since")?, params.time("until")?);
        let is_meant = |event: &Event| {
            let equals = |name: &str, value: &str| params.first(name).is_none_or(|given| given == value);
            equals("receiver", &event.receiver)
                && equals("group_key", &event.group_key)
                && equals("outcome", event.outcome.as_str())
                && equals("integration", event.integration.as_deref().unwrap_or_default())
                && since.is_none_or(|since| event.at >= since)
                && until.is_none_or(|until| event.at <= until)
        };
        let history = self.alertmanager.read(|engine, _| engine.history().decisions());
        let events: Vec<Event> = history.events().filter(is_meant).take(limit).collect();
        let mut json = Json::default();
        json.list(&events, write_event);
        Ok(Answer::json(json.0))
    }

    /// `/api/v2/routes`: the tree.
    pub(super) fn routes(&self) -> Answer {
        let mut json = Json::default();
        self.alertmanager.read(|engine, _| write_node(&mut json, &engine.setup().root));
        Answer::json(json.0)
    }

    /// `/api/v2/routes/match`: where an alert with the labels in the parameters `label` goes, now or `at` another time.
    pub(super) fn match_routes(&self, query: &str) -> Result<Answer, Answer> {
        let params = Params::new(query);
        let mut labels = Labels::new();
        for text in params.all("label") {
            let matcher = parse_matcher(text, self.syntax)
                .map_err(|error| Answer::text(Status::BadRequest, &format!("bad label: {error}")))?
                .value;
            if matcher.op() != MatchOp::Equal {
                return Err(Answer::text(Status::BadRequest, "labels are given as name=value"));
            }
            labels.insert(matcher.name().to_owned(), matcher.value().to_owned());
        }
        let at = params.time("at")?;
        let mut json = Json::default();
        self.alertmanager.read(|engine, now| {
            let (setup, at) = (engine.setup(), at.unwrap_or(now));
            let routes = setup.root.matching(&labels);
            json.object(|json| {
                json.key("receivers").list(&routes, |json, route| json.text(&route.receiver));
                json.key("tree");
                write_verdict(json, &RouteVerdict::of(&setup.root, &labels));
                json.key("routes").list(&routes, |json, route| {
                    let (active, mute) = (&route.active_time_intervals, &route.mute_time_intervals);
                    let muted_by = setup.intervals().muting(active, mute, at);
                    json.object(|json| {
                        json.key("route").text(&route.key);
                        json.key("receiver").text(&route.receiver);
                        json.key("mutedBy").list(&muted_by, |json, name| json.text(name));
                        if !muted_by.is_empty()
                            && let Some(until) = setup.intervals().muted_until(active, mute, at)
                        {
                            json.key("mutedUntil").text(&until.rfc3339_millis());
                        }
                    });
                });
            });
        });
        Ok(Answer::json(json.0))
    }

    /// `/api/v2/warnings`: problems of the configuration that do not prevent loading it.
    pub(super) fn warnings(&self) -> Answer {
        let mut json = Json::default();
        self.alertmanager.read(|engine, _| {
            json.list(&engine.setup().warnings, |json, warning| {
                json.object(|json| {
                    if let Some(file) = &warning.file {
                        json.key("file").text(&file.to_string_lossy());
                        json.key("line").plain(warning.line);
                    }
                    json.key("field").text(&warning.field);
                    json.key("text").text(&warning.text);
                });
            });
        });
        Answer::json(json.0)
    }
}

/// The notifications that an explanation shows, in its order.
fn nexts(explanation: &Explanation) -> Vec<&NextNotification> {
    let integrations = explanation.routes.iter().flat_map(|route| &route.integrations);
    integrations.filter_map(|integration| integration.next.as_ref()).collect()
}

fn write_verdict(json: &mut Json, view: &RouteVerdict) {
    json.object(|json| {
        json.key("route").text(&view.route_key);
        json.key("receiver").text(&view.receiver);
        match &view.verdict {
            Verdict::Matched => json.key("verdict").text("matched"),
            Verdict::NotReached => json.key("verdict").text("not reached"),
            Verdict::Failed { matcher, value } => {
                json.key("verdict").text("failed");
                json.key("failedMatcher").text(matcher);
                json.key("value").text(value);
            }
        }
        json.key("children").list(&view.children, write_verdict);
    });
}

fn write_node(json: &mut Json, route: &Route) {
    let duration = |duration: Duration| {
        ferula_model::duration::format_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    };
    json.object(|json| {
        json.key("route").text(&route.key);
        json.key("receiver").text(&route.receiver);
        json.key("matchers").list(route.matchers.iter(), |json, matcher| json.text(&matcher.to_string()));
        json.key("continue").plain(route.continues);
        match &route.group_by {
            GroupBy::All => json.key("groupBy").list(["..."], |json, name| json.text(name)),
            GroupBy::Labels(names) => json.key("groupBy").list(names, |json, name| json.text(name)),
        }
        json.key("groupWait").text(&duration(route.group_wait));
        json.key("groupInterval").text(&duration(route.group_interval));
        json.key("repeatInterval").text(&duration(route.repeat_interval));
        json.key("muteTimeIntervals").list(&route.mute_time_intervals, |json, name| json.text(name));
        json.key("activeTimeIntervals").list(&route.active_time_intervals, |json, name| json.text(name));
        json.key("children").list(&route.children, write_node);
    });
}

fn write_route(
    json: &mut Json,
    route: &RouteView,
    rendered: &mut impl Iterator<Item = RenderedNotification>,
) {
    json.object(|json| {
        json.key("route").text(&route.route_key);
        json.key("receiver").text(&route.receiver);
        json.key("mutedBy").list(&route.muted_by, |json, name| json.text(name));
        if let Some(until) = route.muted_until {
            json.key("mutedUntil").text(&until.rfc3339_millis());
        }
        if let Some(group) = &route.group {
            json.key("group").object(|json| {
                json.key("key").text(&group.key);
                json.key("alerts").plain(group.alerts);
                json.key("nextFlush").text(&group.next_flush.rfc3339_millis());
                json.key("isFlushing").plain(group.is_flushing);
            });
        }
        json.key("integrations").list(&route.integrations, |json, integration| {
            let rendered = integration.next.as_ref().and_then(|_| rendered.next());
            write_integration(json, integration, rendered.as_ref());
        });
    });
}

fn write_integration(
    json: &mut Json,
    integration: &IntegrationView,
    rendered: Option<&RenderedNotification>,
) {
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
        match &integration.next {
            None => json.key("next").plain("null"),
            Some(next) => json.key("next").object(|json| {
                json.key("at").text(&next.at.rfc3339_millis());
                json.key("reason").text(next.content.reason.as_str());
                json.key("alerts").plain(next.content.alerts.len());
            }),
        }
        let Some(rendered) = rendered else { return };
        json.key("content").list(&rendered.exchanges, |json, exchange| {
            json.object(|json| {
                json.key("method").text(&exchange.method);
                json.key("url").text(&exchange.url);
                let headers = exchange.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                json.key("headers").pairs(headers);
                json.key("body").text(&exchange.body);
            });
        });
        json.key("templateErrors").list(&rendered.faults, write_fault);
        if let Some(error) = &rendered.error {
            json.key("error").text(error);
        }
    });
}

fn write_fault(json: &mut Json, fault: &crate::receiver::TemplateFault) {
    json.pairs([("field", fault.field.as_str()), ("error", fault.error.as_str())]);
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
        if let Some(reason) = event.outcome.reason() {
            json.key("reason").text(reason.as_str());
        }
        match &event.outcome {
            Outcome::Sent { attempts, .. } => json.key("attempts").plain(attempts),
            Outcome::Failed { attempts, error, .. } => {
                json.key("attempts").plain(attempts);
                json.key("error").text(error);
            }
            Outcome::Muted { by } => json.key("mutedBy").list(by, |json, name| json.text(name)),
            _ => {}
        }
        if !event.attempts.is_empty() {
            json.key("latestAttempts").list(&event.attempts, |json, attempt| {
                json.object(|json| {
                    json.key("at").text(&attempt.at.rfc3339_millis());
                    json.key("tookMs").plain(attempt.took.as_millis());
                    json.key("result").text(&attempt.result);
                });
            });
        }
        if !event.faults.is_empty() {
            json.key("templateErrors").list(&event.faults, write_fault);
        }
    });
}

impl Params {
    /// The time in a parameter.
    ///
    /// # Errors
    /// The text is not a time.
    pub(super) fn time(&self, name: &str) -> Result<Option<UnixNanos>, Answer> {
        let Some(text) = self.first(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        match Time::parse_rfc3339(text) {
            Some(time) => Ok(Some(UnixNanos(time.unix_nanos()))),
            None => {
                Err(Answer::text(Status::BadRequest, &format!("bad {name}: {text} is no time of RFC 3339")))
            }
        }
    }
}
