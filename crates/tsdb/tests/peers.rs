//! The same directory read by Prometheus and by ferula, in both directions.
//!
//! Needs the real programs: `FERULA_PEERS` names the directory with `prometheus` and `promtool`. Without it,
//! the tests print that they were skipped.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use common::{commit, commit_histogram, read, series};
use ferula_model::{
    CounterResetHint, Exemplar, Histogram, HistogramValue, LabelSet, MetricMetadata, MetricType, Span,
    TimeRange, Timestamp,
};
use ferula_storage::{Appendable, Durability, SampleBatch};
use ferula_telemetry::Registry;
use ferula_tsdb::Compression;
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::{Db, Options, Progress};

fn peer(name: &str) -> Option<PathBuf> {
    let Some(directory) = std::env::var_os("FERULA_PEERS") else {
        // `eprintln!` is hidden when the test passes.
        let _ = writeln!(
            std::io::stderr(),
            "LEFT OUT: nothing is compared with the real {name} (set FERULA_PEERS)"
        );
        return None;
    };
    let path = Path::new(&directory).join(name);
    assert!(path.exists(), "FERULA_PEERS is set, but {} is not there", path.display());
    Some(path)
}

fn open(dir: &Path, options: Options) -> (Db, Vec<Progress>) {
    let mut reports = Vec::new();
    let db =
        Db::open(dir, options, Arc::new(RealDisk), &Registry::new(), &mut |progress| reports.push(progress));
    (db.expect("opened"), reports)
}

/// Every sample as series, timestamp and value; histograms by count and sum.
type Dump = BTreeMap<(String, i64), String>;

fn number(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => "NaN".into(),
        Ok(value) => format!("{value:e}"),
        Err(_) => text.to_owned(),
    }
}

/// In promtool 3.5, the loops over floats, float histograms and histograms each swallow the sample that ends
/// them, so the first two samples of a series of histograms are not printed. 3.14 prints all of them.
fn histograms_not_printed() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let Some(promtool) = peer("promtool") else { return 0 };
        let output = Command::new(promtool).arg("--version").output().expect("promtool runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let minor =
            text.split_once("version 3.").and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok());
        if minor.unwrap_or_else(|| panic!("not a version 3: {text}")) < 14 { 2 } else { 0 }
    })
}

fn our_dump(db: &Db) -> Dump {
    let mut dump = Dump::new();
    for (labels, samples) in read(db, &[], TimeRange::ALL) {
        for (at, value) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
            dump.insert((labels.to_string(), *at), number(&value.to_string()));
        }
        let histograms = samples.histograms.timestamps.iter().zip(&samples.histograms.values);
        for (at, value) in histograms.skip(histograms_not_printed()) {
            dump.insert((labels.to_string(), *at), value.to_string());
        }
    }
    dump
}

/// The output of `promtool tsdb dump`. It works on a copy of the head in a sandbox.
fn their_dump(promtool: &Path, dir: &Path) -> Dump {
    let sandbox = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(promtool)
        .args(["tsdb", "dump"])
        .arg(format!("--sandbox-dir-root={}", sandbox.path().display()))
        .arg(dir)
        .output()
        .expect("promtool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .map(|line| {
            let (rest, at) = line.rsplit_once(' ').expect("a time");
            let (labels, value) = match rest.find("} {") {
                Some(place) => (&rest[..=place], &rest[place + 2..]),
                None => rest.rsplit_once(' ').expect("a value"),
            };
            let value = if value.starts_with('{') { value.to_owned() } else { number(value) };
            ((labels.to_owned(), at.parse().expect("a number")), value)
        })
        .collect()
}

fn assert_same(ours: &Dump, theirs: &Dump) {
    let missing: Vec<_> = theirs.iter().filter(|(key, _)| !ours.contains_key(*key)).take(3).collect();
    let extra: Vec<_> = ours.iter().filter(|(key, _)| !theirs.contains_key(*key)).take(3).collect();
    let other: Vec<_> =
        ours.iter().filter(|(key, value)| theirs.get(*key).is_some_and(|v| v != *value)).take(3).collect();
    assert!(
        missing.is_empty() && extra.is_empty() && other.is_empty(),
        "{} and {} samples; missing {missing:?}; extra {extra:?}; other {other:?}; theirs {:?}",
        ours.len(),
        theirs.len(),
        other.iter().map(|(key, _)| &theirs[*key]).collect::<Vec<_>>()
    );
}

fn histogram(count: u64) -> HistogramValue {
    HistogramValue::Integer(Arc::new(Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 1,
        count: 3 * count,
        sum: count as f64 * 1.5,
        zero_threshold: 1e-128,
        zero_count: count,
        positive_spans: vec![Span { offset: -1, length: 1 }, Span { offset: 2, length: 1 }],
        positive_buckets: vec![count as i64, 0],
        ..Histogram::default()
    }))
}

/// Floats, histograms, exemplars, metadata, stale series, and out-of-order samples if there is a window.
fn ingest(db: &Db, start: i64, rounds: i64, out_of_order: bool) {
    for round in 0..rounds {
        let at = start + round * 15_000;
        let samples: Vec<_> = (0..20)
            .map(|n| (series(n), at, if n % 3 == 0 { round as f64 } else { at as f64 / 7.0 }))
            .collect();
        assert_eq!(commit(db, &samples).expect("written"), []);
        let of_histogram = LabelSet::from_pairs([("__name__", "h")]);
        assert_eq!(commit_histogram(db, &of_histogram, at, histogram(round as u64 + 1)), []);
        if out_of_order && round % 7 == 3 {
            let samples: Vec<_> = (0..20).map(|n| (series(n), at - 40_001 - n as i64, 1.25)).collect();
            assert_eq!(commit(db, &samples).expect("written"), []);
        }
    }
    let mut appender = db.appender();
    let first = appender.resolve(&series(0)).expect("resolved");
    let mut batch = SampleBatch::default();
    let help = "What it counts.".to_owned();
    batch.metadata.push((first, MetricMetadata { kind: MetricType::Counter, unit: String::new(), help }));
    batch.exemplars.push((
        first,
        Exemplar {
            labels: LabelSet::from_pairs([("trace_id", "abc")]),
            value: 1.0,
            timestamp: Timestamp::from_millis(start),
            has_timestamp: true,
        },
    ));
    assert_eq!(appender.append(&mut batch).refused.len(), 0);
    appender.commit(Durability::Written).expect("written");
    let end = start + rounds * 15_000;
    commit(db, &[(series(1), end, ferula_model::value::STALE_NAN)]).expect("written");
}

const START: i64 = 1_700_000_000_000;

#[test]
fn promtool_reads_what_we_wrote_with_every_compression() {
    let Some(promtool) = peer("promtool") else { return };
    for wal_compression in [Compression::Zstd, Compression::Snappy, Compression::None] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = Options { wal_compression, exemplars_max: 10, ..Options::default() };
        let (db, _) = open(dir.path(), options.clone());
        ingest(&db, START, 300, false);
        let ours = our_dump(&db);
        // Without `close`, as after a kill.
        drop(db);
        assert_same(&ours, &their_dump(&promtool, dir.path()));
        // With chunks that were moved to disk.
        let (db, _) = open(dir.path(), options);
        assert_same(&our_dump(&db), &ours);
        db.close().expect("closed");
        drop(db);
        assert_same(&ours, &their_dump(&promtool, dir.path()));
    }
}

/// Six hours with maintenance in between; returns the database and its samples.
fn six_hours(dir: &Path, options: &Options, out_of_order: bool) -> (Db, Dump) {
    let (db, _) = open(dir, options.clone());
    let mut written = 0;
    for hour in 0..6 {
        ingest(&db, START + hour * 3_600_000, 238, out_of_order);
        let done = db.maintain(Timestamp::from_millis(START + hour * 3_600_000));
        assert_eq!(done.errors, Vec::<String>::new());
        written += done.written.len();
    }
    assert!(written >= 2, "{written} blocks");
    let ours = our_dump(&db);
    (db, ours)
}

#[test]
fn promtool_reads_our_blocks_checkpoint_and_head() {
    let Some(promtool) = peer("promtool") else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options { wal_segment_bytes: 64 * 1024, ..Options::default() };
    let (db, ours) = six_hours(dir.path(), &options, false);
    drop(db);
    assert!(
        std::fs::read_dir(dir.path().join("wal"))
            .expect("a log")
            .any(|entry| { entry.expect("a name").file_name().to_string_lossy().starts_with("checkpoint.") })
    );
    assert_same(&ours, &their_dump(&promtool, dir.path()));
    let (db, reports) = open(dir.path(), options);
    assert!(!reports.iter().any(|r| matches!(r, Progress::Damaged(_))), "{reports:?}");
    assert_same(&our_dump(&db), &ours);
}

/// promtool skips the head if a block of out-of-order samples ends after it begins; the server does not.
#[test]
fn prometheus_counts_our_out_of_order_samples_in_blocks_and_head() {
    if peer("prometheus").is_none() {
        return;
    }
    let parent = tempfile::tempdir().expect("a temporary directory");
    let dir = parent.path().join("data");
    let options = Options { out_of_order_window_ms: 1_800_000, ..Options::default() };
    let (db, ours) = six_hours(&dir, &options, true);
    // The staleness markers at the end of `ingest` are samples, but no function counts them.
    let counted =
        ours.iter().filter(|((labels, _), value)| labels.contains("\"m\"") && *value != "NaN").count();
    drop(db);
    let Some(running) = prometheus(&dir) else { return };
    let end = START / 1000 + 7 * 3600;
    let query = format!("/api/v1/query?query=sum(count_over_time(m%5B8h%5D))&time={end}");
    running.wait_until(&query, |answer| answer.contains(&format!("\"{counted}\"")));
}

/// A block of some series ends after the samples in the log begin; those of other series must not be skipped.
#[test]
fn prometheus_counts_everything_beside_blocks_of_ended_series() {
    if peer("prometheus").is_none() {
        return;
    }
    let parent = tempfile::tempdir().expect("a temporary directory");
    let dir = parent.path().join("data");
    let (db, _) = open(&dir, Options::default());
    for minute in 0..30 {
        let value = |n| if minute == 29 && n < 12 { ferula_model::value::STALE_NAN } else { 1.0 };
        let samples: Vec<_> = (0..20).map(|n| (series(n), START + minute * 60_000, value(n))).collect();
        commit(&db, &samples).expect("written");
    }
    db.set_stale_series_threshold(0.5);
    let done = db.maintain(Timestamp::from_millis(START + 30 * 60_000));
    assert_eq!((done.removed_series, done.errors), (12, Vec::new()));
    drop(db);
    let Some(running) = prometheus(&dir) else { return };
    let end = START / 1000 + 3600;
    let query = format!("/api/v1/query?query=sum(count_over_time(m%5B2h%5D))&time={end}");
    running.wait_until(&query, |answer| answer.contains(&format!("\"{}\"", 20 * 30 - 12)));
}

struct Prometheus {
    child: Child,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts Prometheus on the directory with frequent scrapes of itself, and waits until it is ready.
fn prometheus(dir: &Path) -> Option<Prometheus> {
    let program = peer("prometheus")?;
    let address = format!("127.0.0.1:{}", ferula_free_port::free_port().expect("a port"));
    let config = dir.with_extension("yml");
    std::fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, scrape_protocols: [PrometheusProto, PrometheusText0.0.4]}}\n\
             storage: {{tsdb: {{out_of_order_time_window: 30m}}}}\n\
             scrape_configs:\n- job_name: self\n  static_configs: [{{targets: ['{address}']}}]\n"
        ),
    )
    .expect("written");
    let child = Command::new(program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--storage.tsdb.retention.time=100y"])
        .args(["--enable-feature=native-histograms,exemplar-storage,metadata-wal-records"])
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus runs");
    let running = Prometheus { child, address };
    running.wait_until("/-/ready", |answer| answer.contains(" 200 "));
    Some(running)
}

impl Prometheus {
    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Repeats a request until its answer fulfils the condition; gives up after a minute.
    fn wait_until(&self, path: &str, wanted: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let answer = self.get(path);
            if answer.as_ref().is_ok_and(|answer| wanted(answer)) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{path}: {answer:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Prometheus ingests and is killed; ferula reads the same, ingests more, and is killed; Prometheus reads the
/// same.
#[test]
fn a_directory_goes_back_and_forth_between_prometheus_and_ferula() {
    let Some(promtool) = peer("promtool") else { return };
    let parent = tempfile::tempdir().expect("a temporary directory");
    let dir = parent.path().join("data");
    std::fs::create_dir(&dir).expect("made");
    for round in 0..2 {
        let Some(running) = prometheus(&dir) else { return };
        let query = "/api/v1/query?query=sum(count_over_time(up%5B1h%5D))%3E12";
        running.wait_until(query, |answer| answer.contains("\"value\""));
        drop(running);
        let theirs = their_dump(&promtool, &dir);
        assert!(theirs.len() > 5_000, "{} samples", theirs.len());
        let options = Options { out_of_order_window_ms: 1_800_000, ..Options::default() };
        let (db, reports) = open(&dir, options);
        eprintln!("round {round}: {} samples, {reports:?}", theirs.len());
        assert_same(&our_dump(&db), &theirs);
        let newest = db.head().time_range().expect("samples").end.millis();
        ingest(&db, newest + 1, 20, true);
        // A series of Prometheus continues under its ref in the log.
        let up: Vec<_> = read(&db, &[ferula_model::Matcher::equal("__name__", "up")], TimeRange::ALL);
        commit(&db, &[(up[0].0.clone(), newest + 2, 1.0)]).expect("written");
        let ours = our_dump(&db);
        drop(db);
        assert_same(&ours, &their_dump(&promtool, &dir));
    }
    // The server itself starts on it too, and answers.
    let Some(running) = prometheus(&dir) else { return };
    let query = "/api/v1/query?query=count(last_over_time(m%5B1h%5D))";
    running.wait_until(query, |answer| answer.contains("\"20\"") || answer.contains("\"19\""));
}
