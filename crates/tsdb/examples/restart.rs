//! How long a start takes: `cargo run --release -p ferula-tsdb --example restart -- DIR [SERIES [SCRAPES]]`.
//!
//! `DIR` gets a head of SERIES (100,000 unless said otherwise) series with SCRAPES (240) samples each, 15 s apart, if it
//! is not there; then the database is opened twice as after a kill, the second time with a second thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ferula_model::{LabelSet, SeriesRef};
use ferula_storage::{Appendable, Durability, SampleBatch};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::wal::ahead::Helper;
use ferula_tsdb::{Db, Options};

const SERIES_PER_TARGET: usize = 1_000;
const INTERVAL_MS: i64 = 15_000;
/// 14 November 2023.
const START_MS: i64 = 1_700_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().ok_or("usage: restart DIR [SERIES [SCRAPES]]")?;
    let series: usize = args.get(1).map_or(Ok(100_000), |series| series.parse())?;
    let scrapes: i64 = args.get(2).map_or(Ok(240), |scrapes| scrapes.parse())?;
    let dir = Path::new(dir);
    if !dir.exists() {
        fill(dir, series, scrapes)?;
    }
    for (name, replay_helper) in [("one thread", Helper::default()), ("two threads", two_threads())] {
        let (begun, cpu) = (Instant::now(), cpu_seconds());
        let options = Options { replay_helper, ..Options::default() };
        let db = Db::open(dir, options, Arc::new(RealDisk), &Registry::new(), &mut |_| {})?;
        let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let samples = db.recovered().samples;
        println!(
            "{name}: {took:.2} s, {cpu:.2} s of CPU, {samples} samples, {:.1} ns of CPU each",
            cpu * 1e9 / samples as f64
        );
    }
    Ok(())
}

fn two_threads() -> Helper {
    Helper::new(|reads, applies| {
        std::thread::scope(|scope| {
            scope.spawn(reads);
            applies();
        });
    })
}

/// CPU time of all threads of this process, those that ended included.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn fill(dir: &Path, series: usize, scrapes: i64) -> Result<(), Box<dyn std::error::Error>> {
    let db = Db::open(dir, Options::default(), Arc::new(RealDisk), &Registry::new(), &mut |_| {})?;
    let mut refs: Vec<SeriesRef> = Vec::with_capacity(series);
    for target in 0..series / SERIES_PER_TARGET {
        let mut appender = db.appender();
        for metric in 0..SERIES_PER_TARGET {
            refs.push(appender.resolve(&labels(target, metric))?);
        }
    }
    let (mut values, mut batch) = (vec![0.0; series], SampleBatch::default());
    for scrape in 0..scrapes {
        let at = START_MS + scrape * INTERVAL_MS;
        for (target, refs) in refs.chunks(SERIES_PER_TARGET).enumerate() {
            for (metric, series) in refs.iter().enumerate() {
                let index = target * SERIES_PER_TARGET + metric;
                if index % 5 < 2 {
                    values[index] += ((index * 31 + at as usize / 1000) % 977) as f64;
                }
                batch.push_float(*series, at, values[index]);
            }
            let mut appender = db.appender();
            let outcome = appender.append(&mut batch);
            assert!(outcome.refused.is_empty(), "time rises");
            appender.commit(Durability::Written)?;
        }
    }
    Ok(())
}

/// Series of targets as Kubernetes has them: ten labels, some of which differ between targets.
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
