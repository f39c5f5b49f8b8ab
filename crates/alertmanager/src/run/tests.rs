//! What waits while the disk is slow, and what does not.

use std::collections::BTreeMap;

use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
use ferula_model::LabelSet;
use ferula_runtime::RealClock;
use ferula_telemetry::Registry;

use super::*;
use crate::annotations::Annotations;
use crate::engine::{EngineSettings, Metrics, OwnSettings, Record, Setup};
use crate::journal::Journal;
use crate::silence::SilenceLimits;
use crate::stored_alert::StoredAlert;
use crate::time::Time;

#[test]
fn a_slow_disk_stops_only_those_who_wait_for_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let yaml = "{route: {receiver: a}, receivers: [{name: a}]}";
    let config = AlertmanagerConfig::parse(yaml, MatcherSyntax::Fallback).expect("a good configuration");
    let settings = EngineSettings {
        silences: SilenceLimits {
            retention: Duration::from_secs(3600),
            silences_max: 0,
            silence_bytes_max: 0,
            syntax: MatcherSyntax::Fallback,
        },
        retention: Duration::from_secs(3600),
        alerts_per_name_max: 0,
        log_silences: false,
        start_at: UnixNanos(0),
        seed: 1,
        own: OwnSettings::default(),
    };
    let registry = Registry::new();
    let (setup, metrics) =
        (Setup::new(Arc::new(config), BTreeMap::new()), Metrics::new(&registry, false, false));
    let opened = Alertmanager::open(dir.path(), settings, setup, metrics, &registry, RealClock::shared());
    let alertmanager = Arc::new(opened.expect("an empty directory"));
    let put = |name: &'static str| {
        let own = alertmanager.clone();
        std::thread::spawn(move || {
            own.change(|engine, now| {
                let time = Time::from_unix_nanos(now.0);
                let alert = StoredAlert {
                    labels: LabelSet::from_pairs([("alertname", name)]),
                    annotations: Annotations::default(),
                    starts_at: time,
                    ends_at: time.plus(Duration::from_secs(600)),
                    updated_at: time,
                    generator_url: "".into(),
                    timeout: false,
                };
                engine.put(vec![alert], now);
            });
        })
    };
    // The journal is held while the disk takes its time.
    let writing = alertmanager.journal();
    let waiting = [put("A"), put("B")];
    // Both changes can be seen, although neither is acknowledged.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while alertmanager.read(|engine, now| engine.alerts(|_| true, now).len()) < 2 {
        assert!(std::time::Instant::now() < deadline, "the engine is free while the disk works");
        std::thread::yield_now();
    }
    assert!(waiting.iter().all(|thread| !thread.is_finished()), "nobody is answered before the disk is");
    drop(writing);
    waiting.into_iter().for_each(|thread| thread.join().expect("it ends"));
    let (_, stored) = Journal::open(dir.path()).expect("readable");
    let alerts = stored.records.iter().filter(|record| matches!(record, Record::Alert(_)));
    assert_eq!(alerts.count(), 2);
}
