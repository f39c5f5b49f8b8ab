//! `tsdb bench write`: measures how fast samples are written to a new database.
//!
//! The work is promtool's: the series of a file, in shards of a thousand, get a hundred scrapes at a time, 30 s apart,
//! all shards in parallel. Nothing is compacted or removed meanwhile. Unlike promtool, it writes no Go profiles.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ferula_go::float::format_g;
use ferula_model::{LabelSet, SeriesRef, Timestamp};
use ferula_storage::{Appendable, Durability, SampleBatch};
use ferula_telemetry::Registry;
use ferula_tsdb::{Db, Options};

use super::data_dir::disk;
use crate::tools::args::{
    Args, Argument, Command, Flag, ValueKind, argument, flag, format_nanos, open_error,
};
use crate::tools::output::finish;

const OUT: Flag =
    flag("out", ValueKind::Text, "The directory to write to; \"\" for a temporary one.").default("benchout");
const METRICS: Flag =
    flag("metrics", ValueKind::Number, "How many series of the file to use.").default("10000");
const SCRAPES: Flag =
    flag("scrapes", ValueKind::Number, "How many samples each series gets.").default("3000");
const FILE: Argument = argument(
    "file",
    ValueKind::Text,
    "File with one series on each line, as JSON; by default, ../../tsdb/testdata/20kseries.json.",
);

/// `tsdb bench write`
pub const WRITE: Command =
    Command::new("write", "Measure how fast samples are written to an empty store.", run)
        .flags(&[OUT, METRICS, SCRAPES])
        .arguments(&[FILE]);

const DEFAULT_FILE: &str = "../../tsdb/testdata/20kseries.json";
const INTERVAL_MS: i64 = 30_000;
const SCRAPES_AT_ONCE: usize = 100;
const SERIES_PER_SHARD: usize = 1000;
const FIRST_VALUE: u64 = 123_456_789;
const STEP: u64 = 1000;
/// How often progress is printed.
const PROGRESS: Duration = Duration::from_secs(5);

fn run(args: &Args) -> ExitCode {
    let count = |flag: Flag| usize::try_from(args.number(flag)).unwrap_or(0);
    let file = args.argument(FILE).unwrap_or(DEFAULT_FILE);
    finish(write(args.text(OUT), file, count(METRICS), count(SCRAPES)))
}

fn write(out: &str, file: &str, metrics: usize, scrapes: usize) -> Result<()> {
    let temporary = out.is_empty();
    let out = if temporary {
        std::env::temp_dir().join(format!("tsdb_bench{}", std::process::id()))
    } else {
        PathBuf::from(out)
    };
    // Before anything is removed or created, since the file may not exist.
    let (series, _) = timed("readData", || read_series(file, metrics))?;
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
    }
    std::fs::create_dir_all(&out).with_context(|| format!("mkdir {}", out.display()))?;
    let db = Db::open(&out.join("storage"), Options::default(), disk(), &Registry::new(), &mut |_| {})?;
    let (total, took) = timed("ingestScrapes", || ingest(&db, &series, scrapes))?;
    say(&format!(" > total samples: {total}"))?;
    say(&format!(" > samples/sec: {}", format_g(total as f64 / took.as_secs_f64())))?;
    timed("stopStorage", || db.close().context("closing the database"))?;
    if temporary {
        std::fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
    }
    Ok(())
}

/// Prints a line at once; returns an error, instead of panicking, if standard output is closed.
fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn timed<T>(stage: &str, run: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    say(&format!(">> start stage={stage}"))?;
    let start = Instant::now();
    let done = run()?;
    let took = start.elapsed();
    let nanos = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX);
    say(&format!(">> completed stage={stage} duration={}", format_nanos(nanos)))?;
    Ok((done, took))
}

/// The distinct label sets of a file, one per line: `{"__name__":"up","job":"node"}`. As in promtool, a value ends at
/// its first colon.
fn read_series(file: &str, max: usize) -> Result<Vec<LabelSet>> {
    let lines = BufReader::new(File::open(file).map_err(|error| anyhow::anyhow!(open_error(file, &error)))?);
    let mut seen = HashSet::new();
    let mut series = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        if series.len() >= max {
            break;
        }
        let line = line.with_context(|| format!("{file}: line {}", number + 1))?.replace(['"', '{', '}'], "");
        let pairs = line.split(',').map(|pair| {
            let mut parts = pair.split(':');
            parts.next().zip(parts.next())
        });
        let pairs: Option<Vec<(&str, &str)>> = pairs.collect();
        let pairs = pairs.with_context(|| format!("{file}: line {}: a label without a value", number + 1))?;
        let labels = LabelSet::from_pairs(pairs);
        if seen.insert(labels.clone()) {
            series.push(labels);
        }
    }
    Ok(series)
}

/// A thousand series that are scraped together.
struct Shard<'a> {
    series: &'a [LabelSet],
    refs: Vec<SeriesRef>,
    value: u64,
}

fn ingest(db: &Db, series: &[LabelSet], scrapes: usize) -> Result<u64> {
    let (total, mut told) = (AtomicU64::new(0), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for first in (0..scrapes).step_by(SCRAPES_AT_ONCE) {
        let shards: Vec<&[LabelSet]> = series.chunks(SERIES_PER_SHARD).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(shards.len()) {
                scope.spawn(|| {
                    while let Some(series) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let start = first as i64 * INTERVAL_MS;
                        match ingest_shard(db, series, start) {
                            Ok(samples) => _ = total.fetch_add(samples, Ordering::Relaxed),
                            // The other shards continue, as in promtool.
                            Err(error) => _ = say(&format!(" err {error:#}")),
                        }
                    }
                });
            }
        });
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let done = (first + SCRAPES_AT_ONCE).min(scrapes);
            eprintln!("{done} of {scrapes} scrapes, {} samples", total.load(Ordering::Relaxed));
        }
    }
    say("ingestion completed")?;
    Ok(total.into_inner())
}

/// Scrapes a shard a hundred times, starting one interval after `start`.
fn ingest_shard(db: &Db, series: &[LabelSet], start: i64) -> Result<u64> {
    let mut shard = Shard { series, refs: Vec::new(), value: FIRST_VALUE };
    let mut batch = SampleBatch::default();
    let mut samples = 0;
    for scrape in 1..=SCRAPES_AT_ONCE as i64 {
        samples += shard.scrape(db, start + scrape * INTERVAL_MS, &mut batch)?;
    }
    Ok(samples)
}

impl Shard<'_> {
    /// Commits one more sample of every series.
    fn scrape(&mut self, db: &Db, at: i64, batch: &mut SampleBatch) -> Result<u64> {
        let mut appender = db.appender();
        if self.refs.is_empty() {
            self.refs =
                self.series.iter().map(|labels| appender.resolve(labels)).collect::<Result<_, _>>()?;
        }
        self.value += STEP;
        for series in &self.refs {
            batch.push_float(*series, Timestamp::from_millis(at), self.value as f64);
        }
        let outcome = appender.append(batch);
        if let Some(refusal) = outcome.refused.first() {
            return Err(refusal.error.clone().into());
        }
        appender.commit(Durability::Written)?;
        Ok(self.refs.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_as_promtool_reads_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("series");
        let text = "{\"__name__\":\"up\",\"instance\":\"h:90\"}\n{\"instance\":\"h:91\",\"__name__\":\"up\"}\n\
                    {\"__name__\":\"b\"}\n{\"__name__\":\"c\"}\n";
        std::fs::write(&file, text).expect("written");
        let read = |max| read_series(file.to_str().expect("UTF-8"), max).expect("readable");
        let names: Vec<String> = read(2).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["{__name__=\"up\", instance=\"h\"}", "{__name__=\"b\"}"]);
        assert_eq!(read(9).len(), 3);
        std::fs::write(&file, "{\"a\"}\n").expect("written");
        let error = read_series(file.to_str().expect("UTF-8"), 9).expect_err("no value");
        assert!(error.to_string().ends_with("line 1: a label without a value"), "{error}");
    }
}
