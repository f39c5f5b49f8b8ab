//! Metrics of the head that Prometheus dashboards use: each has the correct value, even under load.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{DIR, commit, commit_histogram, series};
use ferula_model::value::STALE_NAN;
use ferula_model::{FloatHistogram, Histogram, HistogramValue, MetricValue, Span, TimeRange, Timestamp};
use ferula_storage::{Appendable, Queryable};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::{FaultDisk, Survives};
use ferula_tsdb::{Db, Options};

const HOUR: i64 = 3_600_000;
const NOW: i64 = 20 * HOUR;

fn open(disk: &FaultDisk, registry: &Registry, options: Options) -> Db {
    Db::open(Path::new(DIR), options, Arc::new(disk.clone()), registry, &mut |_| {}).expect("opened")
}

/// A counter or gauge, or the number of observations.
fn metric(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == name).expect(name);
    match &family.metrics[0].value {
        MetricValue::Single(value) => *value,
        MetricValue::Histogram { count, .. } => *count as f64,
        other => panic!("{name}: {other:?}"),
    }
}

fn histogram(buckets: usize, float: bool) -> HistogramValue {
    let spans = vec![Span { offset: 0, length: buckets as u32 }];
    if float {
        return HistogramValue::Float(Arc::new(FloatHistogram {
            count: 2.0 * buckets as f64,
            positive_spans: spans.clone(),
            positive_buckets: vec![1.0; buckets],
            negative_spans: spans,
            negative_buckets: vec![1.0; buckets],
            ..FloatHistogram::default()
        }));
    }
    let mut deltas = vec![0; buckets];
    deltas[0] = 1;
    HistogramValue::Integer(Arc::new(Histogram {
        count: buckets as u64,
        positive_spans: spans,
        positive_buckets: deltas,
        ..Histogram::default()
    }))
}

#[test]
fn histogram_series_and_buckets_are_those_of_the_newest_samples() {
    let (disk, registry) = (FaultDisk::default(), Registry::new());
    let options = || Options { min_block_duration_ms: HOUR, ..Options::default() };
    let db = open(&disk, &registry, options());
    let shown = |registry: &Registry| {
        let name = |what| format!("prometheus_tsdb_head_native_histogram_{what}");
        (metric(registry, &name("series")), metric(registry, &name("buckets")))
    };
    let put = |n: usize, at: i64, value: HistogramValue| {
        assert_eq!(commit_histogram(&db, &series(n), at, value), []);
    };
    assert_eq!(shown(&registry), (0.0, 0.0));
    put(1, NOW, histogram(3, false));
    put(2, NOW, histogram(4, true));
    assert_eq!(shown(&registry), (2.0, 11.0));
    put(1, NOW + 1, histogram(5, false));
    assert_eq!(shown(&registry), (2.0, 13.0));
    // A replay of the log yields the same.
    let again = Registry::new();
    let reopened = open(&disk.restart(Survives::Written), &again, options());
    assert_eq!(shown(&again), (2.0, 13.0));
    drop(reopened);
    // One becomes a float, the other ends; then both leave the head.
    commit(&db, &[(series(1), NOW + 2, 1.0)]).expect("written");
    assert_eq!(shown(&registry), (1.0, 8.0));
    commit(&db, &[(series(2), NOW + 3, STALE_NAN)]).expect("written");
    assert_eq!(shown(&registry), (1.0, 0.0), "a marker of a histogram is one, without buckets");
    for at in (0..4 * HOUR).step_by(60_000) {
        commit(&db, &[(series(3), NOW + 4 + at, 1.0)]).expect("written");
        db.maintain(Timestamp::from_millis(NOW + at));
    }
    assert_eq!(shown(&registry), (0.0, 0.0));
}

#[test]
fn delays_of_out_of_order_samples_are_observed_whether_they_are_stored_or_not() {
    for (window, refused) in [(2 * HOUR, [0, 1]), (0, [1, 1])] {
        let (disk, registry) = (FaultDisk::default(), Registry::new());
        let db = open(&disk, &registry, Options { out_of_order_window_ms: window, ..Options::default() });
        commit(&db, &[(series(1), NOW, 1.0)]).expect("written");
        for (at, refused) in [NOW - HOUR / 2, NOW - 3 * HOUR].into_iter().zip(refused) {
            assert_eq!(commit(&db, &[(series(1), at, 1.0)]).expect("written").len(), refused);
        }
        // Without a window, samples out of bounds are not examined further.
        let observed = metric(&registry, "prometheus_tsdb_sample_ooo_delta");
        assert_eq!(observed, if window > 0 { 2.0 } else { 1.0 });
    }
}

#[test]
fn watermarks_follow_commits_and_readers() {
    let (disk, registry) = (FaultDisk::default(), Registry::new());
    let db = open(&disk, &registry, Options::default());
    let marks = || {
        let mark = |what| metric(&registry, &format!("prometheus_tsdb_isolation_{what}_watermark"));
        (mark("low"), mark("high"))
    };
    let (open_commit, reader) = (db.appender(), db.snapshot(TimeRange::ALL).expect("a snapshot"));
    for at in 0..10 {
        commit(&db, &[(series(1), at, 1.0)]).expect("written");
    }
    assert_eq!(marks(), (1.0, 11.0));
    drop(open_commit);
    assert_eq!(marks(), (1.0, 11.0), "the reader began beside it");
    drop(reader);
    assert_eq!(marks(), (11.0, 11.0));
}

#[test]
fn copies_of_the_head_that_cannot_be_used_are_counted() {
    let (disk, registry) = (FaultDisk::default(), Registry::new());
    let options = || Options { savepoints: true, ..Options::default() };
    let db = open(&disk, &registry, options());
    commit(&db, &[(series(1), NOW, 1.0)]).expect("written");
    db.savepoint().expect("the disk has space").expect("there is something to save");
    drop(db);
    let state = Path::new(DIR).join("ferula_savepoint/state");
    for (damaged, errors) in [(false, 0.0), (true, 1.0)] {
        let (disk, registry) = (disk.restart(Survives::Written), Registry::new());
        if damaged {
            disk.damage(&state, |bytes| bytes[20] ^= 1).expect("damaged");
        }
        open(&disk, &registry, options());
        assert_eq!(metric(&registry, "prometheus_tsdb_snapshot_replay_error_total"), errors);
    }
}

#[test]
fn metrics_of_impossible_events_exist_and_stay_zero() {
    let (disk, registry) = (FaultDisk::default(), Registry::new());
    let _db = open(&disk, &registry, Options::default());
    for name in [
        "compactions_skipped_total",
        "head_series_not_found_total",
        "selected_series_compactions_triggered_total",
        "selected_series_compactions_failed_total",
        "selected_series_compaction_duration_seconds",
    ] {
        assert_eq!(metric(&registry, &format!("prometheus_tsdb_{name}")), 0.0);
    }
}
