//! Measures how long a start takes: `cargo run --release -p ferula-tsdb --example restart -- DIR [SERIES
//! [SCRAPES [WAY]]]`.
//!
//! If `DIR` does not exist, it is filled with a head of SERIES (default 100,000) series with SCRAPES (default
//! 240) samples each, 15 s apart. A savepoint is taken 20 scrapes (five minutes) before the end, and the
//! longest commits before and during it are printed. Then the database is opened as after a kill: without the
//! savepoint, with one and two threads, and with it; or only in the way that WAY names.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferula_model::{LabelSet, SeriesRef, Timestamp};
use ferula_storage::{Appendable, Durability, SampleBatch};
use ferula_telemetry::Registry;
use ferula_tsdb::ReplayHelper;
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::{Db, Options, Progress};

const SERIES_PER_TARGET: usize = 1_000;
const INTERVAL_MS: i64 = 15_000;
/// 14 November 2023.
const START_MS: i64 = 1_700_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().ok_or("usage: restart DIR [SERIES [SCRAPES [WAY]]]")?;
    let series: usize = args.get(1).map_or(Ok(100_000), |series| series.parse())?;
    let scrapes: i64 = args.get(2).map_or(Ok(240), |scrapes| scrapes.parse())?;
    let dir = Path::new(dir);
    if !dir.exists() {
        fill(dir, series, scrapes)?;
    }
    let ways = [("one thread", false, false), ("two threads", true, false), ("savepoint", true, true)];
    let wanted = |name: &str| args.get(3).is_none_or(|way| way == name);
    for (name, two, savepoints) in ways.into_iter().filter(|(name, ..)| wanted(name)) {
        let (begun, cpu) = (Instant::now(), cpu_seconds());
        let replay_helper = if two { two_threads() } else { ReplayHelper::default() };
        let options = Options { replay_helper, savepoints, ..Options::default() };
        let mut report = |progress| match progress {
            Progress::Savepoint { .. } | Progress::SavepointIgnored(_) => println!("{progress:?}"),
            _ => {}
        };
        let db = Db::open(dir, options, Arc::new(RealDisk), &Registry::new(), &mut report)?;
        let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let samples = db.recovered().samples;
        println!(
            "{name}: {took:.2} s, {cpu:.2} s of CPU, {samples} samples, {:.1} ns of CPU each, {} records, {} MiB",
            cpu * 1e9 / samples as f64,
            db.recovered().records,
            resident_kib() / 1024,
        );
    }
    Ok(())
}

fn two_threads() -> ReplayHelper {
    ReplayHelper::new(|reads, applies| {
        std::thread::scope(|scope| {
            scope.spawn(reads);
            applies();
        });
    })
}

/// CPU time of all threads of this process, including those that have ended.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn fill(dir: &Path, series: usize, scrapes: i64) -> Result<(), Box<dyn std::error::Error>> {
    let options = Options { savepoints: true, ..Options::default() };
    let db = Db::open(dir, options, Arc::new(RealDisk), &Registry::new(), &mut |_| {})?;
    let mut refs: Vec<SeriesRef> = Vec::with_capacity(series);
    for target in 0..series / SERIES_PER_TARGET {
        let mut appender = db.appender();
        for metric in 0..SERIES_PER_TARGET {
            refs.push(appender.resolve(&labels(target, metric))?);
        }
    }
    let mut load = Load { db: &db, refs: &refs, values: vec![0.0; series], longest: Duration::ZERO };
    let before = (scrapes - SCRAPES_AFTER_SAVEPOINT).max(0);
    (0..before).try_for_each(|scrape| load.scrape(scrape))?;
    println!("longest commit: {:.1} ms, {} MiB", load.took_ms(), resident_kib() / 1024);
    load.longest = Duration::ZERO;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| (db.savepoint(), begun.elapsed()));
        (before..scrapes).try_for_each(|scrape| {
            let while_taken = !taken.is_finished();
            load.scrape(scrape)?;
            if while_taken {
                println!("longest commit of a scrape meanwhile: {:.1} ms", load.took_ms());
            }
            load.longest = Duration::ZERO;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
        let (saved, took) = taken.join().expect("it does not panic");
        println!("savepoint: {:.2} s, {:?}, {} MiB", took.as_secs_f64(), saved?, resident_kib() / 1024);
        Ok(())
    })
}

/// Number of scrapes after the savepoint.
const SCRAPES_AFTER_SAVEPOINT: i64 = 20;

struct Load<'a> {
    db: &'a Db,
    refs: &'a [SeriesRef],
    values: Vec<f64>,
    /// The longest commit so far.
    longest: Duration,
}

impl Load<'_> {
    fn took_ms(&self) -> f64 {
        self.longest.as_secs_f64() * 1e3
    }

    fn scrape(&mut self, scrape: i64) -> Result<(), Box<dyn std::error::Error>> {
        let at = START_MS + scrape * INTERVAL_MS;
        let mut batch = SampleBatch::default();
        for (target, refs) in self.refs.chunks(SERIES_PER_TARGET).enumerate() {
            for (metric, series) in refs.iter().enumerate() {
                let index = target * SERIES_PER_TARGET + metric;
                if index % 5 < 2 {
                    self.values[index] += ((index * 31 + at as usize / 1000) % 977) as f64;
                }
                batch.push_float(*series, Timestamp::from_millis(at), self.values[index]);
            }
            let begun = Instant::now();
            let mut appender = self.db.appender();
            let outcome = appender.append(&mut batch);
            assert!(outcome.refused.is_empty(), "time rises");
            appender.commit(Durability::Written)?;
            self.longest = self.longest.max(begun.elapsed());
        }
        Ok(())
    }
}

/// Series of targets like those of Kubernetes: ten labels, some of which differ between targets.
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
