//! The path of a sample into the head (check, log, chunk), and the memory per series.
//!
//! `append/…` is one commit of 1,000 samples of known series, as a scrape does it: check, log (zstd), publish. With
//! `disk` the log goes to a real file, with `memory` to a file in memory, which isolates the rest. `scan` decodes
//! everything. Bytes per series (from the allocator) and CPU time per sample of a longer run are printed once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferula_model::{LabelSet, SeriesRef, TimeRange, Timestamp};
use ferula_storage::{Appendable, Durability, Hints, Queryable, SampleBatch, SeriesSamples};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::{Disk, FaultDisk, RealDisk};
use ferula_tsdb::{Db, Options};

/// Counts allocations; otherwise identical to the system's allocator.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed to the system's allocator unchanged; only sizes are added up.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above, with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SAMPLES_PER_COMMIT: usize = 1_000;
const INTERVAL_MS: i64 = 15_000;

/// Series of targets as in Kubernetes: ten labels, three of which differ between targets.
fn labels(target: usize, metric: usize) -> LabelSet {
    LabelSet::from_pairs([
        ("__name__", format!("container_metric_{metric}_total")),
        ("cluster", "production-eu-west-1".into()),
        ("namespace", format!("team-{}", target % 20)),
        ("pod", format!("service-{}-7d9f8b6c5-{:05x}", target % 97, target * 7919)),
        ("container", "main".into()),
        ("node", format!("ip-10-0-{}-{}", target / 250, target % 250)),
        ("instance", format!("10.0.{}.{}:9100", target / 250, target % 250)),
        ("job", "kubelet".into()),
        ("id", format!("/kubepods/burstable/pod{:016x}", target * 104_729)),
        ("image", format!("registry.example/app:{}", target % 13)),
    ])
}

struct Load {
    db: Db,
    refs: Vec<SeriesRef>,
    values: Vec<f64>,
    at: i64,
    next: usize,
    batch: SampleBatch,
}

impl Load {
    fn new(disk: Arc<dyn Disk>, dir: &Path, series: usize) -> Self {
        let db = Db::open(dir, Options::default(), disk, &Registry::new(), &mut |_| {}).expect("opened");
        let mut refs = Vec::with_capacity(series);
        for target in 0..series / SAMPLES_PER_COMMIT {
            let mut appender = db.appender();
            let metrics = 0..SAMPLES_PER_COMMIT;
            refs.extend(metrics.map(|metric| appender.resolve(&labels(target, metric)).expect("resolved")));
        }
        let values = vec![0.0; series];
        Load { db, refs, values, at: 1_700_000_000_000, next: 0, batch: SampleBatch::default() }
    }

    /// The next scrape of a target: two of five values have changed.
    fn commit(&mut self) {
        let first = self.next;
        for index in first..first + SAMPLES_PER_COMMIT {
            if index % 5 < 2 {
                self.values[index] += ((index * 31 + self.at as usize / 1000) % 977) as f64;
            }
            self.batch.push_float(self.refs[index], Timestamp::from_millis(self.at), self.values[index]);
        }
        let mut appender = self.db.appender();
        let outcome = appender.append(&mut self.batch);
        assert_eq!(outcome.accepted, SAMPLES_PER_COMMIT);
        appender.commit(Durability::Written).expect("written");
        self.next = (first + SAMPLES_PER_COMMIT) % self.refs.len();
        if self.next == 0 {
            self.at += INTERVAL_MS;
        }
    }
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("head/append");
    group.throughput(Throughput::Elements(SAMPLES_PER_COMMIT as u64));
    for series in [10_000, 100_000] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut load = Load::new(Arc::new(RealDisk), dir.path(), series);
        group.bench_function(BenchmarkId::new("disk", series), |b| b.iter(|| load.commit()));
        let mut load = Load::new(Arc::new(FaultDisk::default()), Path::new("/db"), series);
        group.bench_function(BenchmarkId::new("memory", series), |b| b.iter(|| load.commit()));
    }
    group.finish();
}

/// CPU time of this thread in nanoseconds; other programs on the machine do not count.
fn cpu_nanos() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0)
}

fn memory(_: &mut Criterion) {
    const SERIES: usize = 100_000;
    const SCRAPES: i64 = 240;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let before = ALLOCATED.load(Ordering::Relaxed);
    let mut load = Load::new(Arc::new(RealDisk), dir.path(), SERIES);
    let of_load = load.refs.capacity() * 8 + load.values.capacity() * 8;
    let per_series = || (ALLOCATED.load(Ordering::Relaxed) - before - of_load) as f64 / SERIES as f64;
    let begun = cpu_nanos();
    for scrapes in [1, 60, 119, 200, SCRAPES] {
        while load.at < 1_700_000_000_000 + scrapes * INTERVAL_MS {
            load.commit();
        }
        println!("head/memory: {:.0} bytes per series after {scrapes} scrapes", per_series());
    }
    let samples = SCRAPES as f64 * SERIES as f64;
    println!("head/ingest: {:.0} ns of CPU per sample", (cpu_nanos() - begun) / samples);
    println!("head/ingest: {:.2} bytes of log per sample", load.db.wal_bytes() as f64 / samples);
    drop(load.db);
    let begun = cpu_nanos();
    let db = Db::open(dir.path(), Options::default(), Arc::new(RealDisk), &Registry::new(), &mut |_| {});
    let took = cpu_nanos() - begun;
    let recovered = db.expect("opened").recovered().samples;
    println!("head/recovery: {recovered} samples, {:.0} ns of CPU each", took / recovered as f64);
}

fn scan(c: &mut Criterion) {
    let mut load = Load::new(Arc::new(FaultDisk::default()), Path::new("/db"), 10_000);
    while load.at < 1_700_000_000_000 + 240 * INTERVAL_MS {
        load.commit();
    }
    let mut group = c.benchmark_group("head/scan");
    group.throughput(Throughput::Elements(10_000 * 240));
    group.bench_function("all samples of 10000 series", |b| {
        b.iter(|| {
            let mut snapshot = load.db.snapshot(TimeRange::ALL).expect("a snapshot");
            let selection = snapshot.select(&[], &Hints::default()).expect("selected");
            snapshot.freeze().expect("frozen");
            let rows = snapshot.series_count(selection);
            let mut sum = 0.0;
            let mut sink = |_: usize, samples: &SeriesSamples| {
                sum += samples.floats.values.last().copied().unwrap_or(0.0);
                ControlFlow::Continue(())
            };
            snapshot.read(selection, 0..rows, TimeRange::ALL, &mut sink).expect("readable");
            black_box(sum)
        });
    });
    group.finish();
}

criterion_group!(benches, append, scan, memory);
criterion_main!(benches);
