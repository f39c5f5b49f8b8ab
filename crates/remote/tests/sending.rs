//! Sending under faults, with every sample counted: a real log on disk, and a receiver that records and
//! misbehaves.

mod recorder;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ferula_config::Config;
use ferula_model::{LabelSet, MetricMetadata, Timestamp};
use ferula_remote::send::{Foundation, MetadataSource, POSITIONS_DIR, WriteManager};
use ferula_runtime::RealClock;
use ferula_storage::{
    Appendable, DiskError, Durability, Hold, LogCursor, LogFeed, LogPosition, LogRecords, LogRef, SampleBatch,
};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::{Db, Options};
use recorder::{Fault, Recorder};

struct NoMetadata;

impl MetadataSource for NoMetadata {
    fn metadata(&self) -> Vec<(String, MetricMetadata)> {
        Vec::new()
    }
}

const SERIES: u64 = 23;
const PATIENCE: Duration = Duration::from_secs(60);

/// A store with increasing values: the value of a sample is its number within the series.
struct Source {
    db: Arc<Db>,
    dir: tempfile::TempDir,
    stored: AtomicU64,
}

impl Source {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let db = Arc::new(open(dir.path()));
        Source { db, dir, stored: Default::default() }
    }

    /// Stores this many scrapes, each with a sample of every series.
    fn store(&self, scrapes: u64) {
        for _ in 0..scrapes {
            let number = self.stored.fetch_add(1, Ordering::SeqCst);
            let mut appender = self.db.appender();
            let mut batch = SampleBatch::default();
            for series in 0..SERIES {
                let labels = [("__name__", "m".to_owned()), ("series", series.to_string())];
                let series = appender.resolve(&LabelSet::from_pairs(labels)).expect("a series");
                batch.push_float(series, Timestamp::from_millis(1 + number as i64), number as f64);
            }
            appender.append(&mut batch);
            appender.commit(Durability::Written).expect("committed");
        }
    }

    fn stored(&self) -> u64 {
        self.stored.load(Ordering::SeqCst)
    }

    /// Must be called within a runtime.
    fn manager(&self, registry: &Registry) -> WriteManager {
        self.manager_reading(self.db.clone(), registry)
    }

    fn manager_reading(&self, feed: Arc<dyn LogFeed>, registry: &Registry) -> WriteManager {
        WriteManager::new(Foundation {
            feed,
            metadata: Arc::new(NoMetadata),
            clock: RealClock::shared(),
            registry: registry.clone(),
            dir: self.dir.path().to_owned(),
            flush_deadline: Duration::from_secs(60),
        })
    }
}

fn open(dir: &Path) -> Db {
    Db::open(dir, Options::default(), Arc::new(RealDisk), &Registry::new(), &mut |_| {}).expect("opened")
}

/// Destinations with short pauses, whose requests have few samples.
fn config(urls: &[&str], queue: &str) -> Config {
    config_with_timeout(urls, queue, "20s")
}

fn config_with_timeout(urls: &[&str], queue: &str, timeout: &str) -> Config {
    let mut text = "remote_write:\n".to_owned();
    for url in urls {
        text += &format!(
            "- url: {url}\n  remote_timeout: {timeout}\n  queue_config: {{max_samples_per_send: 50, batch_send_deadline: 20ms, \
             min_backoff: 1ms, max_backoff: 5ms, capacity: 200, retry_on_http_429: true{queue}}}\n  metadata_config: \
             {{send: false}}\n"
        );
    }
    Config::parse(&text).expect("a good configuration")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Asserts that everything arrived once and in order.
fn assert_whole(recorder: &Recorder, stored: u64) {
    let seen = recorder.seen();
    assert_eq!(seen.series, SERIES as usize);
    assert_eq!((seen.samples, seen.doubled, seen.out_of_order), (stored * SERIES, 0, 0));
    assert_eq!(seen.missing(stored), 0);
}

#[test]
fn whatever_a_destination_does_nothing_is_lost_duplicated_or_out_of_order() {
    for (name, fault) in [
        ("none", Fault::None),
        ("500", Fault::Status(500, "")),
        ("503 with Retry-After", Fault::Status(503, "Retry-After: 0\r\n")),
        ("429", Fault::Status(429, "")),
        ("connection cut before the answer", Fault::CutBeforeAnswer),
        ("connection cut in the middle of the body", Fault::CutInBody),
        ("half an answer", Fault::HalfAnAnswer),
        ("slow", Fault::Slow(Duration::from_millis(20))),
    ] {
        let (source, registry) = (Source::new(), Registry::new());
        runtime().block_on(async {
            let recorder = Recorder::start().await;
            // Two of three requests hit the fault.
            recorder.set_faults(move |request| if request % 3 == 2 { Fault::None } else { fault });
            let manager = source.manager(&registry);
            let sections = config(&[&recorder.url()], ", min_shards: 3");
            assert!(manager.apply_config(&sections).await.is_empty());
            source.store(40);
            recorder.wait_for(40 * SERIES).await;
            source.store(10);
            manager.stop().await;
            assert_whole(&recorder, source.stored());
            assert!(recorder.seen().requests >= 23, "{name}: {:?}", recorder.seen());
        });
    }
}

#[test]
fn refused_samples_are_counted_and_not_sent_again() {
    let (source, registry) = (Source::new(), Registry::new());
    runtime().block_on(async {
        let recorder = Recorder::start().await;
        recorder.set_faults(|request| if request == 2 { Fault::Status(400, "") } else { Fault::None });
        let manager = source.manager(&registry);
        assert!(manager.apply_config(&config(&[&recorder.url()], "")).await.is_empty());
        source.store(20);
        recorder.wait_for(20 * SERIES - 50).await;
        let metric = |kind: &str| gauge(&registry, &format!("prometheus_remote_storage_samples_{kind}"));
        assert_eq!((metric("failed_total"), metric("retried_total")), (50.0, 0.0));
        assert_eq!(metric("total"), (20 * SERIES) as f64);
        manager.stop().await;
        let seen = recorder.seen();
        assert_eq!((seen.missing(20), seen.doubled, seen.out_of_order), (50, 0, 0));
        assert!(
            registry.gather().iter().all(|family| family.name != "prometheus_remote_storage_shards"),
            "a destination that is gone is shown no more"
        );
    });
}

#[test]
fn an_outage_costs_no_memory_and_no_sample() {
    let (source, registry) = (Source::new(), Registry::new());
    runtime().block_on(async {
        let recorder = Recorder::start().await;
        recorder.set_faults(|_| Fault::Status(500, ""));
        let manager = source.manager(&registry);
        assert!(manager.apply_config(&config(&[&recorder.url()], "")).await.is_empty());
        source.store(2000);
        recorder.wait_for_requests(20).await;
        let pending = gauge(&registry, "prometheus_remote_storage_samples_pending");
        assert!(pending <= 300.0, "the log is the queue: {pending}");
        recorder.set_faults(|_| Fault::None);
        recorder.wait_for(2000 * SERIES).await;
        manager.stop().await;
        assert_whole(&recorder, 2000);
    });
}

fn gauge(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == name).expect("shown");
    family
        .metrics
        .iter()
        .map(|metric| match metric.value {
            ferula_model::MetricValue::Single(value) => value,
            _ => panic!("{name} is no number"),
        })
        .sum()
}

#[test]
fn a_restart_continues_at_its_position_with_what_was_stored_meanwhile() {
    let mut source = Source::new();
    let recorder_runtime = runtime();
    let recorder = recorder_runtime.block_on(Recorder::start());
    let sections = config(&[&recorder.url()], ", min_shards: 2");
    for _ in 0..4 {
        let sender = runtime();
        sender.block_on(async {
            let manager = source.manager(&Registry::new());
            assert!(manager.apply_config(&sections).await.is_empty());
            source.store(15);
            manager.stop().await;
        });
        assert_whole(&recorder, source.stored());
        // Nothing sends while this is stored, and the store is reopened.
        source.store(7);
        source.db = {
            source.db.close().expect("closed");
            let dir = source.dir.path().to_owned();
            drop(std::mem::replace(&mut source.db, Arc::new(open(tempfile::tempdir().expect("dir").path()))));
            Arc::new(open(&dir))
        };
    }
    let sender = runtime();
    sender.block_on(async {
        let manager = source.manager(&Registry::new());
        assert!(manager.apply_config(&sections).await.is_empty());
        manager.stop().await;
    });
    assert_whole(&recorder, source.stored());
}

#[test]
fn a_killed_sender_loses_nothing_and_repeats_only_the_requests_that_were_in_flight() {
    const KILLS: u64 = 100;
    let source = Source::new();
    let recorder_runtime = runtime();
    let recorder = recorder_runtime.block_on(Recorder::start());
    recorder.set_faults(|request| match request % 7 {
        3 => Fault::CutBeforeAnswer,
        5 => Fault::Status(500, ""),
        _ => Fault::Slow(Duration::from_millis(1)),
    });
    let sections = config(&[&recorder.url()], ", min_shards: 4");
    for kill in 0..KILLS {
        let sender = runtime();
        sender.block_on(async {
            let manager = source.manager(&Registry::new());
            assert!(manager.apply_config(&sections).await.is_empty());
            source.store(12);
            recorder.wait_for_requests(recorder.seen().requests + kill % 9).await;
        });
        // Its tasks stop wherever they are; the next one begins when all threads have ended.
        sender.shutdown_timeout(PATIENCE);
    }
    runtime().block_on(async {
        let manager = source.manager(&Registry::new());
        assert!(manager.apply_config(&sections).await.is_empty());
        manager.stop().await;
    });
    let (seen, stored) = (recorder.seen(), source.stored());
    assert_eq!((seen.missing(stored), seen.out_of_order), (0, 0), "{seen:?}");
    // A repeated request is the same request: all of it had arrived, or none.
    assert_eq!(seen.mixed_requests, 0, "{seen:?}");
}

#[test]
fn a_request_that_was_in_flight_when_the_sender_was_killed_goes_out_again_without_anything_new() {
    let source = Source::new();
    let recorder_runtime = runtime();
    let recorder = recorder_runtime.block_on(Recorder::start());
    // Every third request is stored, but the sender gets no answer.
    recorder.set_faults(|request| if request % 3 == 1 { Fault::StoredAndNeverAnswered } else { Fault::None });
    let sections = config_with_timeout(&[&recorder.url()], "", "200ms");
    for _ in 0..20 {
        let sender = runtime();
        sender.block_on(async {
            let manager = source.manager(&Registry::new());
            assert!(manager.apply_config(&sections).await.is_empty());
            // Less than a full request: it is sent because it is due.
            source.store(1);
            recorder.wait_for(source.stored() * SERIES).await;
        });
        sender.shutdown_timeout(PATIENCE);
    }
    let seen = recorder.seen();
    assert_eq!((seen.missing(20), seen.out_of_order, seen.mixed_requests), (0, 0, 0), "{seen:?}");
    assert!(seen.doubled >= 5 * SERIES, "some went out again: {seen:?}");
}

#[test]
fn a_reload_while_sending_changes_nothing_for_the_samples() {
    let (source, registry) = (Source::new(), Registry::new());
    runtime().block_on(async {
        let recorder = Recorder::start().await;
        let manager = source.manager(&registry);
        for round in 0..12 {
            // Every other time, the section changes, and with it the number of lanes.
            let queue = format!(", min_shards: {}", 1 + round / 2 % 3);
            assert!(manager.apply_config(&config(&[&recorder.url()], &queue)).await.is_empty());
            source.store(9);
        }
        manager.stop().await;
        let (seen, stored) = (recorder.seen(), source.stored());
        assert_eq!((seen.missing(stored), seen.out_of_order, seen.mixed_requests), (0, 0, 0), "{seen:?}");
    });
}

#[test]
fn a_reload_repeats_nothing_that_was_acknowledged() {
    let (source, registry) = (Source::new(), Registry::new());
    runtime().block_on(async {
        let recorder = Recorder::start().await;
        let manager = source.manager(&registry);
        for round in 0..10 {
            // The section changes each time.
            let queue = format!(", max_shards: {}", 10 + round);
            assert!(manager.apply_config(&config(&[&recorder.url()], &queue)).await.is_empty());
            source.store(1);
            recorder.wait_for(source.stored() * SERIES).await;
            while gauge(&registry, "prometheus_remote_storage_samples_pending") > 0.0 {
                tokio::task::yield_now().await;
            }
        }
        manager.stop().await;
        assert_whole(&recorder, source.stored());
    });
}

#[test]
fn a_dead_destination_does_not_delay_another_and_catches_up_when_it_is_back() {
    let (source, registry) = (Source::new(), Registry::new());
    runtime().block_on(async {
        let (alive, dead) = (Recorder::start().await, Recorder::start().await);
        dead.set_faults(|_| Fault::CutBeforeAnswer);
        let manager = source.manager(&registry);
        let sections = config(&[&alive.url(), &dead.url()], "");
        assert!(manager.apply_config(&sections).await.is_empty());
        source.store(300);
        alive.wait_for(300 * SERIES).await;
        assert_whole(&alive, 300);
        assert_eq!(dead.seen().samples, 0);
        dead.set_faults(|_| Fault::None);
        dead.wait_for(300 * SERIES).await;
        manager.stop().await;
        assert_whole(&dead, 300);
    });
}

#[test]
fn a_new_destination_begins_now_and_a_removed_one_leaves_no_position() {
    let (source, registry) = (Source::new(), Registry::new());
    source.store(5);
    runtime().block_on(async {
        let recorder = Recorder::start().await;
        let manager = source.manager(&registry);
        assert!(manager.apply_config(&config(&[&recorder.url()], "")).await.is_empty());
        source.store(5);
        recorder.wait_for(5 * SERIES).await;
        let seen = recorder.seen();
        assert_eq!((seen.samples, seen.first), (5 * SERIES, Some(5)));
        let positions = || std::fs::read_dir(source.dir.path().join(POSITIONS_DIR)).expect("there").count();
        assert_eq!(positions(), 1);
        assert!(manager.apply_config(&config(&[], "")).await.is_empty());
        assert_eq!(positions(), 0);
        manager.stop().await;
    });
}

/// A log whose readers panic at the fifth and at the eighteenth record that is read.
struct Panicking {
    db: Arc<Db>,
    records: Arc<AtomicU64>,
}

struct PanickingCursor {
    inner: Box<dyn LogCursor>,
    records: Arc<AtomicU64>,
}

impl LogFeed for Panicking {
    fn end(&self) -> LogPosition {
        self.db.end()
    }

    fn newest(&self) -> Option<Timestamp> {
        self.db.newest()
    }

    fn open(&self, from: LogPosition) -> Result<Box<dyn LogCursor>, DiskError> {
        Ok(Box::new(PanickingCursor {
            inner: LogFeed::open(&*self.db, from)?,
            records: self.records.clone(),
        }))
    }

    fn hold(&self, held: Option<Hold>) {
        self.db.hold(held);
    }

    fn living_series(&self) -> Box<dyn Fn(LogRef) -> bool + Send> {
        self.db.living_series()
    }
}

impl LogCursor for PanickingCursor {
    fn next(&mut self, records: &mut LogRecords) -> Result<bool, DiskError> {
        let there = self.inner.next(records)?;
        if there && !records.samples.is_empty() {
            let number = self.records.fetch_add(1, Ordering::SeqCst);
            assert!(![4, 17].contains(&number), "record {number}");
        }
        Ok(there)
    }

    fn first_segment(&self) -> Result<u32, DiskError> {
        self.inner.first_segment()
    }
}

#[test]
fn a_reader_that_panics_is_replaced_and_nothing_is_lost_or_repeated() {
    let (source, registry) = (Source::new(), Registry::new());
    runtime().block_on(async {
        let recorder = Recorder::start().await;
        let records = Arc::new(AtomicU64::default());
        let feed = Panicking { db: source.db.clone(), records: records.clone() };
        let manager = source.manager_reading(Arc::new(feed), &registry);
        let sections = config(&[&recorder.url()], ", min_shards: 3");
        assert!(manager.apply_config(&sections).await.is_empty());
        source.store(15);
        recorder.wait_for(15 * SERIES).await;
        source.store(5);
        recorder.wait_for(20 * SERIES).await;
        manager.stop().await;
        assert!(records.load(Ordering::SeqCst) > 20);
        assert_whole(&recorder, source.stored());
    });
}
