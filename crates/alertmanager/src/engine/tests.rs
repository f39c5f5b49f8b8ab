//! Timelines: alerts and results arrive at given seconds, and the notifications are compared as text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
use ferula_model::{LabelSet, UnixNanos};
use ferula_telemetry::Registry;

use super::*;
use crate::annotations::Annotations;
use crate::receiver::{
    Attempt as Sending, FailureReason, Integration, KeptValues, Notification, Notifier, NotifyError, Sent,
};
use crate::silence::{Silence, SilenceLimits};
use crate::stored_alert::StoredAlert;
use crate::time::Time;

mod clock;
mod forecast;
mod inhibition;
mod pair;
mod silences;

struct Nobody;

impl Notifier for Nobody {
    fn notify<'a>(&'a self, _: &'a Notification<'a>) -> Sending<'a> {
        Box::pin(std::future::ready(Ok(Sent::default())))
    }
}

fn setup(yaml: &str) -> Setup {
    let receivers = "receivers: [{name: a}, {name: b}, {name: quiet}]\n";
    let config =
        AlertmanagerConfig::parse(&format!("{yaml}\n{receivers}"), MatcherSyntax::Fallback).expect(yaml);
    let integrations = |name: &str| {
        let notifier: Arc<dyn Notifier> = Arc::new(Nobody);
        vec![Integration::new("webhook", 0, name != "quiet", notifier)]
    };
    let receivers: BTreeMap<_, _> =
        ["a", "b", "quiet"].iter().map(|name| ((*name).to_owned(), integrations(name))).collect();
    Setup::new(Arc::new(config), receivers)
}

/// An engine and its clock.
struct Play {
    engine: Engine,
    now: UnixNanos,
    /// Future failures of attempts.
    failure: Option<NotifyError>,
    records: Vec<Record>,
    lines: Vec<String>,
}

fn second(seconds: i64) -> UnixNanos {
    UnixNanos(seconds * 1_000_000_000)
}

fn settings() -> EngineSettings {
    EngineSettings {
        silences: SilenceLimits {
            retention: Duration::from_secs(3600),
            silences_max: 0,
            silence_bytes_max: 0,
            syntax: MatcherSyntax::Fallback,
        },
        retention: Duration::from_secs(24 * 3600),
        alerts_per_name_max: 0,
        log_silences: false,
        start_at: UnixNanos(0),
        seed: 7,
        own: OwnSettings::default(),
    }
}

impl Play {
    fn new(yaml: &str) -> Self {
        Play::with(yaml, settings())
    }

    fn with(yaml: &str, settings: EngineSettings) -> Self {
        let engine = Engine::new(settings, setup(yaml), Metrics::new(&Registry::new(), false, false));
        Play { engine, now: UnixNanos(0), failure: None, records: Vec::new(), lines: Vec::new() }
    }

    /// Advances time; everything due happens at its moment.
    fn run_to(&mut self, seconds: i64) {
        while let Some(due) = self.engine.next_due().filter(|due| *due <= second(seconds)) {
            self.now = self.now.max(due);
            for attempt in self.engine.poll(self.now) {
                let alerts: Vec<String> = attempt.content.alerts.iter().map(show).collect();
                let at = self.now.0 as f64 / 1e9;
                let result = match &self.failure {
                    Some(failure) => Err(failure.clone()),
                    None => Ok(Sent::default()),
                };
                self.lines.push(format!(
                    "{at} {} {} [{}] {}{}",
                    attempt.content.receiver,
                    attempt.content.group_key,
                    alerts.join(" "),
                    attempt.content.reason.as_str(),
                    if result.is_err() { " !" } else { "" },
                ));
                self.engine.finished(attempt.id, Attempted::plain(result), self.now);
            }
            self.records.extend(self.engine.take_records());
        }
        self.now = second(seconds);
    }

    /// Reports alert `n` of group `g` now; `starts_at` and `ends_at` in seconds.
    fn alert(&mut self, pairs: &str, starts_at: i64, ends_at: i64) {
        let labels = LabelSet::from_pairs(pairs.split(' ').filter_map(|pair| pair.split_once('=')));
        let time = |seconds: i64| Time::from_unix_nanos(second(seconds).0);
        let alert = StoredAlert {
            labels,
            annotations: Annotations::default(),
            starts_at: time(starts_at),
            ends_at: time(ends_at),
            updated_at: Time::from_unix_nanos(self.now.0),
            generator_url: "".into(),
            timeout: false,
        };
        self.engine.put(vec![alert], self.now);
        self.records.extend(self.engine.take_records());
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// Restarts the engine after a crash, with the records that were handed out.
    fn crash(&mut self, yaml: &str) {
        let mut engine = Engine::new(settings(), setup(yaml), Metrics::new(&Registry::new(), false, false));
        for record in &self.records {
            let read = Record::decode(&record.encode()).expect("a record").expect("a known record");
            assert_eq!(&read, record);
            engine.apply(read, self.now);
        }
        engine.restored(self.now);
        self.engine = engine;
    }
}

fn show(alert: &crate::alert::Alert) -> String {
    let mark = if alert.is_over() { "-" } else { "+" };
    format!("{mark}{}", alert.stored().labels.value("n"))
}

const ONE: &str =
    "route: {receiver: a, group_by: [g], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}";
const FOREVER: i64 = 1_000_000;

#[test]
fn a_group_is_notified_after_its_wait_and_then_at_its_interval() {
    let mut play = Play::new(ONE);
    play.run_to(1000);
    play.alert("g=1 n=1", 1000, FOREVER);
    play.run_to(1020);
    play.alert("g=1 n=2", 1020, FOREVER);
    play.alert("g=2 n=3", 1020, FOREVER);
    play.run_to(1100);
    play.alert("g=1 n=4", 1100, FOREVER);
    play.run_to(1200);
    play.alert("g=1 n=1", 1000, 1200);
    play.run_to(2000);
    assert_eq!(
        play.told(),
        [
            "1030 a {}:{g=\"1\"} [+1 +2] first notification",
            "1050 a {}:{g=\"2\"} [+3] first notification",
            "1330 a {}:{g=\"1\"} [-1 +2 +4] new alerts added",
        ]
    );
    // Each group is notified again at the first tick that is more than an hour later.
    play.run_to(5000);
    assert_eq!(play.told(), ["4950 a {}:{g=\"2\"} [+3] repeat interval elapsed"]);
    play.run_to(5300);
    assert_eq!(play.told(), ["5230 a {}:{g=\"1\"} [+2 +4] repeat interval elapsed"]);
    play.alert("g=1 n=2", 1020, 5300);
    play.alert("g=1 n=4", 1100, 5300);
    play.run_to(6000);
    assert_eq!(play.told(), ["5530 a {}:{g=\"1\"} [-2 -4] all alerts resolved"]);
    assert_eq!(play.engine.group_count(), 1);
}

#[test]
fn old_alerts_are_sent_at_once_and_short_ones_never() {
    let mut play = Play::new(ONE);
    play.run_to(1000);
    play.alert("g=1 n=1", 900, FOREVER);
    play.alert("g=2 n=2", 1000, 1020);
    play.run_to(2000);
    assert_eq!(play.told(), ["1000 a {}:{g=\"1\"} [+1] first notification"]);
    assert_eq!(play.engine.group_count(), 1);
    let mut late = Play::with(ONE, EngineSettings { start_at: second(1060), ..settings() });
    late.run_to(1000);
    late.alert("g=1 n=1", 900, FOREVER);
    late.run_to(1100);
    assert_eq!(late.told(), ["1060 a {}:{g=\"1\"} [+1] first notification"]);
}

#[test]
fn failed_attempts_are_repeated_until_the_next_flush_is_due() {
    let mut play = Play::new("route: {receiver: a, group_by: [g], group_wait: 30s, group_interval: 20s}");
    play.failure = Some(NotifyError { retry: true, reason: FailureReason::ServerError, text: "no".into() });
    play.alert("g=1 n=1", 0, FOREVER);
    play.run_to(60);
    let at: Vec<f64> = play
        .told()
        .iter()
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .filter(|at| *at < 50.0)
        .collect();
    assert_eq!(at[0], 30.0);
    let mut pause = 0.5;
    for pair in at.windows(2) {
        let real = pair[1] - pair[0];
        assert!(real >= pause * 0.5 && real <= pause * 1.5, "{pair:?}: {pause}");
        pause *= 1.5;
    }
    assert!(at.len() >= 6, "{at:?}");
    // A permanent failure is not retried before the next flush.
    play.failure =
        Some(NotifyError { retry: false, reason: FailureReason::ClientError, text: "never".into() });
    play.run_to(71);
    play.told();
    play.run_to(95);
    assert_eq!(play.told(), ["90 a {}:{g=\"1\"} [+1] first notification !"]);
    play.failure = None;
    play.run_to(111);
    assert_eq!(play.told(), ["110 a {}:{g=\"1\"} [+1] first notification"]);
    let outcomes: Vec<&str> =
        play.engine.history().decisions().events().map(|event| event.outcome.as_str()).take(2).collect();
    assert_eq!(outcomes, ["sent", "failed"]);
}

#[test]
fn a_resolution_that_was_not_sent_is_sent_later() {
    let mut play = Play::new(ONE);
    play.alert("g=1 n=1", 0, 100);
    play.run_to(40);
    play.failure =
        Some(NotifyError { retry: false, reason: FailureReason::ClientError, text: "never".into() });
    play.run_to(400);
    play.told();
    play.failure = None;
    // Even if the store has dropped the alert.
    play.engine.collect_alerts(play.now);
    play.run_to(700);
    assert_eq!(play.told(), ["630 a {}:{g=\"1\"} [-1] all alerts resolved"]);
}

#[test]
fn receivers_without_resolved_alerts_get_only_firing_ones() {
    let mut play = Play::new(&ONE.replace("receiver: a", "receiver: quiet"));
    play.alert("g=1 n=1", 0, FOREVER);
    play.alert("g=1 n=2", 0, 100);
    play.run_to(400);
    play.alert("g=1 n=3", 400, FOREVER);
    play.run_to(640);
    play.alert("g=1 n=1", 0, 640);
    play.alert("g=1 n=3", 0, 640);
    play.run_to(1000);
    play.alert("g=1 n=1", 1000, FOREVER);
    play.run_to(1300);
    assert_eq!(
        play.told(),
        [
            "30 quiet {}:{g=\"1\"} [+1 +2] first notification",
            "630 quiet {}:{g=\"1\"} [+1 +3] new alerts added",
            "1030 quiet {}:{g=\"1\"} [+1] first notification",
        ]
    );
}

#[test]
fn silenced_inhibited_and_muted_alerts_are_not_sent() {
    let yaml = "
route:
  receiver: a
  group_by: [g]
  group_interval: 1m
  routes:
  - {matchers: [g=night], mute_time_intervals: [first_minutes]}
inhibit_rules:
- {source_matchers: [n=source], target_matchers: [n!=source], equal: [g]}
time_intervals: [{name: first_minutes, time_intervals: [{times: [{start_time: '00:00', end_time: '00:02'}]}]}]";
    let mut play = Play::new(yaml);
    let silence = Silence {
        matcher_sets: vec![
            ferula_config::alertmanager::parse_matchers("g=1", MatcherSyntax::Utf8).expect("good").value,
        ],
        ends_at: second(85),
        ..Silence::default()
    };
    play.engine.set_silence(silence, || "s".into(), "me", UnixNanos(0)).expect("a good silence");
    for (pairs, end) in
        [("g=1 n=1", FOREVER), ("g=2 n=source", 70), ("g=2 n=2", FOREVER), ("g=night n=3", FOREVER)]
    {
        play.alert(pairs, 0, end);
    }
    let status = play.engine.alerts(|alert| alert.labels.value("n") != "source", play.now);
    let shown: Vec<usize> = status
        .iter()
        .map(|view| view.status.silenced_by.len() * 10 + view.status.inhibited_by.len())
        .collect();
    assert_eq!(shown.iter().sum::<usize>(), 11);
    play.run_to(160);
    assert_eq!(
        play.told(),
        [
            "30 a {}:{g=\"2\"} [+source] first notification",
            "90 a {}:{g=\"1\"} [+1] first notification",
            "90 a {}:{g=\"2\"} [+2 -source] new alerts added",
            "150 a {}/{g=\"night\"}:{g=\"night\"} [+3] first notification",
        ]
    );
}

#[test]
fn a_crash_loses_no_notification_and_repeats_none() {
    for crash_at in [5, 29, 31, 299, 331, 400, 629, 640] {
        let mut play = Play::new(ONE);
        let mut crashed = false;
        let events: [(i64, &str, i64, i64); 4] = [
            (0, "g=1 n=1", 0, FOREVER),
            (10, "g=1 n=2", 0, 300),
            (20, "g=2 n=3", 20, 300),
            (350, "g=1 n=1", 0, 350),
        ];
        for (at, pairs, starts, ends) in events {
            if crash_at < at && !crashed {
                play.run_to(crash_at);
                play.crash(ONE);
                crashed = true;
            }
            play.run_to(at);
            play.alert(pairs, starts, ends);
        }
        if !crashed {
            play.run_to(crash_at);
            play.crash(ONE);
        }
        play.run_to(2000);
        assert_eq!(
            play.told(),
            [
                "30 a {}:{g=\"1\"} [+1 +2] first notification",
                "50 a {}:{g=\"2\"} [+3] first notification",
                "330 a {}:{g=\"1\"} [+1 -2] some alerts resolved",
                "350 a {}:{g=\"2\"} [-3] all alerts resolved",
                "630 a {}:{g=\"1\"} [-1] all alerts resolved",
            ],
            "crash at {crash_at}"
        );
    }
}

#[test]
fn what_fired_before_a_stop_fires_until_its_sender_has_had_time_to_report_it() {
    let mut play = Play::new(ONE);
    play.alert("g=1 n=1", 0, 240);
    play.alert("g=2 n=2", 0, 240);
    play.alert("g=3 n=3", 0, 90);
    play.run_to(100);
    assert_eq!(play.told().len(), 3);
    // The server is down for ten minutes; afterwards, one sender reports again and the other does not.
    play.now = second(700);
    play.crash(ONE);
    play.run_to(740);
    play.alert("g=1 n=1", 0, 980);
    play.run_to(990);
    assert_eq!(play.told(), ["700 a {}:{g=\"3\"} [-3] all alerts resolved"]);
    play.alert("g=1 n=1", 0, 5000);
    play.run_to(1100);
    assert_eq!(play.told(), ["1000 a {}:{g=\"2\"} [-2] all alerts resolved"]);
}

#[test]
fn an_alert_after_the_end_of_its_group_waits_as_long_with_a_crash_as_without() {
    for crashes in [false, true] {
        let mut play = Play::new(ONE);
        play.alert("g=1 n=1", 0, 100);
        play.run_to(340);
        play.alert("g=1 n=2", 340, FOREVER);
        if crashes {
            play.crash(ONE);
        }
        play.told();
        play.run_to(600);
        assert_eq!(play.told(), ["370 a {}:{g=\"1\"} [+2] first notification"], "{crashes}");
    }
}

#[test]
fn the_written_state_restores_the_state() {
    let mut play = Play::new(ONE);
    play.alert("g=1 n=1", 0, FOREVER);
    play.alert("g=1 n=2", 0, 100);
    play.alert("g=2 n=3", 0, 350);
    play.run_to(340);
    play.engine.collect_alerts(play.now);
    play.alert("g=1 n=4", 340, 345);
    play.run_to(360);
    play.engine.collect_alerts(play.now);
    let log = play.engine.log().to_file();
    play.records = play.engine.state_records(play.now);
    play.told();
    play.crash(ONE);
    play.engine.log_mut().load_file(&log, play.now).expect("a good file");
    play.run_to(700);
    assert_eq!(
        play.told(),
        ["630 a {}:{g=\"1\"} [+1 -4] some alerts resolved", "630 a {}:{g=\"2\"} [-3] all alerts resolved",]
    );
    assert_eq!(play.engine.group_count(), 1);
}

#[test]
fn a_reload_keeps_timers_and_attempts() {
    let mut play = Play::new(ONE);
    play.alert("g=1 n=1", 0, FOREVER);
    play.run_to(100);
    play.alert("g=1 n=2", 100, FOREVER);
    play.engine.reload(setup(ONE), play.now);
    play.run_to(340);
    assert_eq!(
        play.told(),
        ["30 a {}:{g=\"1\"} [+1] first notification", "330 a {}:{g=\"1\"} [+1 +2] new alerts added",]
    );
    // A new route creates a new group, whose alerts are old.
    let other = "
route:
  receiver: a
  group_by: [g]
  routes: [{matchers: [g=1], receiver: b}]";
    play.engine.reload(setup(other), play.now);
    play.run_to(400);
    assert_eq!(play.told(), ["340 b {}/{g=\"1\"}:{g=\"1\"} [+1 +2] first notification"]);
}

#[test]
fn an_explanation_names_group_reason_and_time() {
    let mut play = Play::new(ONE);
    play.alert("g=1 n=1", 0, FOREVER);
    play.run_to(100);
    play.alert("g=1 n=2", 100, FOREVER);
    let fingerprint = play.engine.alerts(|alert| alert.labels.value("n") == "2", play.now)[0].fingerprint;
    let explained = play.engine.explain(fingerprint, play.now, play.now).expect("known");
    let route = &explained.routes[0];
    let group = route.group.as_ref().expect("in a group");
    assert_eq!((&*group.key, group.next_flush, group.alerts), ("{}:{g=\"1\"}", second(330), 2));
    assert_eq!(route.integrations[0].next_reason, Some(crate::receiver::Reason::NewAlertsInGroup));
    assert_eq!(explained.events().len(), 1);
    assert!(play.engine.explain(1, play.now, play.now).is_none());
}

#[test]
fn alerts_of_one_name_are_limited() {
    let mut play = Play::with(ONE, EngineSettings { alerts_per_name_max: 2, ..settings() });
    for (pairs, ends) in [("alertname=A n=1", 50), ("alertname=A n=2", FOREVER), ("alertname=A n=3", FOREVER)]
    {
        play.alert(pairs, 0, ends);
    }
    let names = |play: &Play| play.engine.alerts(|_| true, play.now).len();
    assert_eq!(names(&play), 2);
    play.run_to(60);
    play.alert("alertname=A n=3", 0, FOREVER);
    assert_eq!(names(&play), 2);
}

#[test]
fn data_that_an_integration_keeps_is_returned_until_the_group_starts_over() {
    let mut play = Play::new(ONE);
    play.alert("g=1 n=1", 0, 500);
    let take = |play: &mut Play, at: i64| {
        let attempt = play.engine.poll(second(at)).remove(0);
        let kept = KeptValues::from([("ts".into(), crate::receiver::KeptValue::Int(at))]);
        play.engine.finished(attempt.id, Attempted::plain(Ok(Sent { kept })), second(at));
        attempt.content.kept.len()
    };
    assert_eq!(take(&mut play, 30), 0);
    play.now = second(100);
    play.alert("g=1 n=2", 100, 500);
    assert_eq!(take(&mut play, 330), 1);
    assert_eq!(take(&mut play, 630), 1);
    play.now = second(1000);
    play.alert("g=1 n=1", 1000, FOREVER);
    assert_eq!(take(&mut play, 1030), 0);
}
