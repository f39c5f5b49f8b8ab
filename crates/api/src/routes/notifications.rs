//! `notifications` and `notifications/live`: current conditions that users should know about.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::OwnedSemaphorePermit;

use super::status::own_metric;
use crate::answer::{Answer, Handled, no_content, ok};
use crate::json::time::rfc3339_nanos;
use crate::readiness::Stage;
use crate::request::Request;
use crate::site::Site;

/// How often the state of each client is compared with the server's.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A notification; the texts are Prometheus'.
#[derive(Clone, Debug, PartialEq)]
struct Notification {
    text: &'static str,
    date: String,
}

fn notifications_now(site: &Site) -> Vec<Notification> {
    let date = |at: Option<OffsetDateTime>| rfc3339_nanos(at);
    let now = OffsetDateTime::from_unix_timestamp_nanos(i128::from(site.clock.unix_nanos())).ok();
    let failed_reload = own_metric(&site.registry, "prometheus_config_last_reload_successful") == 0.0;
    let (text, at) = match site.readiness.stage() {
        Stage::Starting => {
            ("Prometheus is starting and replaying the write-ahead log (WAL).", Some(site.settings.started))
        }
        Stage::Stopping => ("Prometheus is shutting down and gracefully stopping all operations.", now),
        Stage::Ready if failed_reload => ("Configuration reload has failed.", now),
        Stage::Ready => return Vec::new(),
    };
    vec![Notification { text, date: date(at) }]
}

/// `/api/v1/notifications`
pub fn list(site: &Site, _: &Request) -> Handled {
    let active = notifications_now(site);
    Ok(Answer::json(move |json| {
        json.begin_array();
        for one in &active {
            json.begin_object();
            json.field("text", one.text);
            json.field("date", &one.date);
            json.key("active");
            json.bool(true);
            json.end_object();
        }
        json.end_array();
    }))
}

/// The notifications that one client has received.
struct Follower {
    site: Arc<Site>,
    told: Vec<Notification>,
    first: bool,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

/// `/api/v1/notifications/live`: server-sent events, one for each notification that begins or ends; 204 if
/// there are too many clients. A new client immediately receives the current notifications.
pub fn live(site: Arc<Site>, _: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        let Ok(place) = site.followers.clone().try_acquire_owned() else { return no_content() };
        site.notifications.followers.inc();
        let follower = Follower { site, told: Vec::new(), first: true, ended: false, _place: place };
        let events = stream::unfold(follower, |mut follower| async move {
            let text = follower.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
        });
        let mut response = ok(Body::from_stream(events));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
    .boxed()
}

impl Follower {
    /// Waits for the next event. The last event announces that the server stops.
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        loop {
            let site = &self.site;
            let now = notifications_now(site);
            self.ended = site.readiness.stage() == Stage::Stopping;
            let events = changes(&self.told, &now);
            // As in Prometheus, notifications that are active when a client connects are not counted.
            if !self.first {
                site.notifications.sent.add(events.len() as u64);
            }
            self.told = keep_dates(&self.told, now);
            if self.first || !events.is_empty() || self.ended {
                // A comment first, so that clients see that the stream is open.
                let begin = if self.first { ":\n\n" } else { "" };
                self.first = false;
                return Some(format!("{begin}{}", events.concat()));
            }
            let sleep = site.clock.sleep(LOOK_INTERVAL);
            sleep.await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.site.notifications.followers.dec();
    }
}

/// A notification that persists keeps its original date.
fn keep_dates(before: &[Notification], now: Vec<Notification>) -> Vec<Notification> {
    let known = |one: Notification| before.iter().find(|old| old.text == one.text).cloned().unwrap_or(one);
    now.into_iter().map(known).collect()
}

/// The events that turn one list into the other.
fn changes(before: &[Notification], now: &[Notification]) -> Vec<String> {
    let has = |list: &[Notification], one: &Notification| list.iter().any(|other| other.text == one.text);
    let event = |one: &Notification, active: bool| {
        format!("data: {}\n\n", json!({ "text": one.text, "date": one.date, "active": active }))
    };
    let ended = before.iter().filter(|one| !has(now, one)).map(|one| event(one, false));
    let begun = now.iter().filter(|one| !has(before, one)).map(|one| event(one, true));
    ended.chain(begun).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_beginning_and_each_end_is_one_event() {
        let one = |text, date: &str| Notification { text, date: date.to_owned() };
        let told = [one("a", "1")];
        let event = |text: &str, active: bool| format!("data: {{\"text\":{text},\"active\":{active}}}\n\n");
        let (a, b) = ("\"a\",\"date\":\"1\"", "\"b\",\"date\":\"2\"");
        assert_eq!(changes(&[], &told), [event(a, true)]);
        assert_eq!(changes(&told, &[one("b", "2")]), [event(a, false), event(b, true)]);
        assert!(changes(&told, &[one("a", "9")]).is_empty());
        assert_eq!(keep_dates(&told, vec![one("a", "9"), one("b", "2")]), [one("a", "1"), one("b", "2")]);
    }
}
