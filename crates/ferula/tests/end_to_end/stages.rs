//! Data directories that the real Prometheus wrote before it was killed, in `testdata/tsdb/stages`: one for
//! each stage of its formats. promtool's dumps and Prometheus' answers are stored beside them, so no other
//! program is needed to check that ferula reads the same.
//!
//! `UPDATE_GOLDEN=1` with `FERULA_PEERS` recreates them: the one with start timestamps if the programs are
//! version 3.14 or later, the others with older versions.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ferula_model::{LabelSet, MetricMetadata, MetricType};
use ferula_telemetry::Registry;
use ferula_tsdb::Access;
use ferula_tsdb::Block;
use ferula_tsdb::disk::{Disk, RealDisk};
use ferula_tsdb::formats::wal::SegmentReader;
use ferula_tsdb::formats::wal::list_segments;
use ferula_tsdb::tools::block_dirs;
use ferula_tsdb::{Db, Options};
use serde_json::Value;

use crate::circle::dumps::{self, Prints};
use crate::circle::feed::{self, LATE_MS};
use crate::circle::{copy_directory, delete, otlp, peer};
use crate::common::{Server, escape};

const CONFIG: &str = "storage: {tsdb: {out_of_order_time_window: 1d}}\n";
/// Start of a range of six hours. The samples are very old, but are kept all the same.
const BEGIN: i64 = 1_760_011_200_000;
const MINUTE_MS: i64 = 60_000;
const FLAGS: [&str; 6] = [
    "--config.file=prometheus.yml",
    "--storage.tsdb.path=data",
    "--storage.tsdb.retention.time=100y",
    "--web.enable-remote-write-receiver",
    "--web.enable-admin-api",
    "--enable-feature=exemplar-storage,native-histograms",
];

/// Directories that contain only a log, and how Prometheus came to write them.
const LOGS: [(&str, &str); 3] = [
    ("log-snappy", "--storage.tsdb.wal-compression-type=snappy"),
    ("log-zstd", "--storage.tsdb.wal-compression-type=zstd"),
    ("log-none", "--no-storage.tsdb.wal-compression"),
];
const LOG_MINUTES: i64 = 12;
/// From Prometheus 3.14: floats in XOR2, start timestamps in log, chunks and blocks, metadata in the log.
const STARTS: &str = "starts";
const STARTS_CONFIG: &str =
    "storage: {tsdb: {out_of_order_time_window: 1d, chunk_encoding: {floats: xor2}}}\n";
/// Counters and histograms of OTLP become histograms with custom buckets.
const OTLP_CONFIG: &str = "otlp: {convert_histograms_to_nhcb: true}\n";
const STARTS_FLAGS: [&str; 1] = [
    "--enable-feature=st-storage,histograms-st-encoding,metadata-wal-records,use-start-timestamps,promql-experimental-functions",
];
/// Blocks, a checkpoint, head chunks, the out-of-order log and a chunk snapshot.
const WHOLE: &str = "whole";
const WHOLE_ROUNDS: i64 = 60;
const WHOLE_STEP_MS: i64 = 10 * MINUTE_MS;

fn stages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tsdb/stages")
}

fn names() -> impl Iterator<Item = &'static str> {
    LOGS.iter().map(|(name, _)| *name).chain([WHOLE, STARTS])
}

/// The flags for a server on a directory.
fn flags(name: &str) -> Vec<&'static str> {
    let more = if name == STARTS { &STARTS_FLAGS[..] } else { &[] };
    [&FLAGS[..], more].concat()
}

/// Logs of the same samples share their golden files.
fn golden(name: &str, what: &str) -> PathBuf {
    stages().join(format!("{}.{what}", if name.starts_with("log") { "log" } else { name }))
}

fn requests(name: &str) -> Vec<String> {
    let minutes =
        if name.starts_with("log") { LOG_MINUTES } else { (WHOLE_ROUNDS + 3) * WHOLE_STEP_MS / MINUTE_MS };
    let (begin, end) = (BEGIN / 1000, BEGIN / 1000 + minutes * 60);
    let range = format!("start={begin}&end={end}");
    // Prometheus skips exemplars in the log that are older than the end of the newest block; ferula keeps
    // them.
    let exemplars_from_seconds = if name == STARTS { 8 * 3600 } else { 0 };
    let window = minutes + 5;
    let instant = |query: &str| format!("query?query={}&time={end}", escape(query));
    let range_of = |query: &str| format!("query_range?query={}&{range}&step={}", escape(query), minutes * 6);
    let mut all = vec![
        instant(&format!("mixed[{window}m]")),
        instant(&format!("count_over_time(m[{window}m])")),
        instant(&format!("count_over_time(h_custom[{window}m])")),
        instant(&format!("last_over_time({{__name__=~\"h_.+\"}}[{window}m])")),
        range_of("rate(h_integer[30m])"),
        format!("series?{range}&match[]={}", escape("{__name__=~\".+\"}")),
        format!("query_exemplars?query=m&start={}&end={end}", begin + exemplars_from_seconds),
    ];
    if name == STARTS {
        all.extend(
            [
                "start_timestamp(started_total)",
                "start_timestamp(h_started)",
                "start_timestamp(h_started_custom)",
                "rate(started_total[35m])",
                "increase(h_started[35m])",
                "h_started_custom",
            ]
            .map(range_of),
        );
    }
    all
}

fn ask(server: &Server, name: &str) -> Value {
    let answer = |request: String| {
        let (status, body) = server.get(&format!("/api/v1/{request}"));
        assert_eq!(status, 200, "{request}: {body}\n{}", server.log());
        let mut answer: Value = serde_json::from_str(&body).expect("JSON");
        let mut data = answer["data"].take();
        if let Some(Value::Array(list)) =
            if data.is_array() { Some(&mut data) } else { data.get_mut("result") }
        {
            list.sort_by_cached_key(Value::to_string);
        }
        (request, data)
    };
    Value::Object(requests(name).into_iter().map(answer).collect())
}

/// A copy in which a server may write.
fn working_copy(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory for the test");
    copy_directory(&stages().join(name), &directory.path().join("data"));
    let config = if name == STARTS { STARTS_CONFIG } else { CONFIG };
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    directory
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn directories_of_prometheus_are_read_completely() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let (Some(prometheus), Some(promtool)) = (peer("prometheus"), peer("promtool")) else { return };
        make_anew(&prometheus, &promtool);
    }
    for name in names() {
        let copy = working_copy(name);
        let data = copy.path().join("data");
        let dir = data.to_str().expect("UTF-8");
        let prints = if name == STARTS { Prints::All } else { Prints::NotTheFirstHistograms };
        let ours = prints.lines(&prints.of_ours(&dumps::ferula(&["tsdb", "dump", dir])));
        assert_eq!(ours, prints.lines(&read(&golden(name, "dump.txt"))), "{name}");
        assert_eq!(dumps::ferula(&["tsdb", "list", dir]), read(&golden(name, "list.txt")), "{name}");
        let server = Server::start(copy.path(), &flags(name));
        let answers = ask(&server, name);
        let wanted: Value = serde_json::from_str(&read(&golden(name, "answers.json"))).expect("JSON");
        for request in requests(name) {
            assert_eq!(answers[&request], wanted[&request], "{name}: {request}");
        }
        let log = server.log();
        let damage: Vec<&str> = log.lines().filter(|line| line.contains("Damage found")).collect();
        assert!(damage.is_empty(), "{name}: {damage:?}\n{log}");
    }
}

/// Without the special content of each directory, the test above would prove nothing.
#[test]
fn the_directories_contain_what_they_are_meant_to_test() {
    let has = |name: &str, directory: &str, prefix: &str| {
        let path = stages().join(name).join(directory);
        let entries = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let found = entries.flatten().any(|entry| {
            let of_name = entry.file_name().to_string_lossy().starts_with(prefix);
            of_name && (entry.path().is_dir() || entry.metadata().is_ok_and(|file| file.len() > 8))
        });
        assert!(found, "{name}/{directory} has no {prefix}*");
    };
    for (name, _) in LOGS {
        has(name, "wal", "0000000");
    }
    for (directory, prefix) in [
        ("wal", "checkpoint."),
        ("wal", "0000000"),
        ("wbl", "0000000"),
        ("chunks_head", "00000"),
        ("", "01"),
        ("", "chunk_snapshot."),
    ] {
        has(WHOLE, directory, prefix);
    }
    let tombstones = std::fs::read_dir(stages().join(WHOLE)).expect("a directory").flatten();
    let longest = tombstones.filter_map(|entry| std::fs::metadata(entry.path().join("tombstones")).ok());
    // An empty list takes nine bytes.
    assert!(longest.map(|file| file.len()).max() > Some(9), "no block has tombstones");
    // The snapshot contains exemplars that are no longer in the log; otherwise it would not matter.
    let wanted: Value = serde_json::from_str(&read(&golden(WHOLE, "answers.json"))).expect("JSON");
    let exemplars =
        requests(WHOLE).into_iter().find(|r| r.starts_with("query_exemplars")).expect("it is asked");
    let oldest = wanted[&exemplars][0]["exemplars"][0]["timestamp"].as_f64().expect("a time");
    assert!(oldest < BEGIN as f64 / 1000.0 + 3600.0, "the oldest exemplar is of {oldest}");
}

#[test]
fn the_directory_of_3_14_has_its_records_and_chunks() {
    use ferula_tsdb::formats::wal::{RecordKind, Records};
    let (directory, disk) = (stages().join(STARTS), RealDisk);
    let kinds = |log: &str| {
        let dir = directory.join(log);
        let mut kinds = Vec::new();
        for segment in list_segments(&disk, &dir).expect("listed") {
            let mut reader = SegmentReader::open(&disk, &dir, segment.number).expect("opened");
            while let Some(record) = reader.next().expect("readable") {
                kinds.extend(Records::default().decode(record.expect("whole")).expect("well formed"));
            }
        }
        kinds
    };
    let log = kinds("wal");
    for kind in
        [RecordKind::SamplesV2, RecordKind::HistogramsV2, RecordKind::FloatHistogramsV2, RecordKind::Metadata]
    {
        assert!(log.contains(&kind), "the log has no {kind:?}");
    }
    assert!(kinds("wbl").contains(&RecordKind::SamplesV2));
    let head = ferula_tsdb::formats::head_chunks::load(&disk, &directory.join("chunks_head"))
        .expect("readable")
        .chunks;
    assert!(!head.is_empty() && head.iter().all(|chunk| chunk.encoding.has_start_timestamps()));
    let mut in_blocks = std::collections::BTreeSet::new();
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk);
    for dir in block_dirs(&*disk, &directory).expect("listed") {
        let block = Block::open(&disk, &dir, Access::Mapped).expect("opened");
        let mut entry = Default::default();
        for number in block.index().all_postings().expect("readable") {
            block.series(number, &mut entry).expect("readable");
            let chunks = entry.chunks.iter().map(|chunk| block.chunk(*chunk).expect("readable"));
            in_blocks.extend(chunks.map(|chunk| chunk.encoding.number()));
        }
    }
    let copy = working_copy(STARTS);
    let db = Db::open(
        &copy.path().join("data"),
        Options::with_start_timestamps(),
        disk,
        &Registry::new(),
        &mut |_| {},
    );
    let db = db.expect("opened");
    // From remote write 2.0, in a checkpoint; OTLP leaves none.
    for (name, kind) in
        [("m", Some(MetricType::Counter)), ("h_integer", Some(MetricType::Histogram)), ("x", None)]
    {
        let metadata = db.series_metadata(&LabelSet::from_pairs([("__name__", name), ("n", "0")]));
        let help = "What it counts.".to_owned();
        assert_eq!(metadata, kind.map(|kind| MetricMetadata { kind, unit: String::new(), help }), "{name}");
    }
    // Where samples without start timestamps were merged in, the histograms are in chunks without them, as
    // Prometheus writes them.
    assert_eq!(in_blocks.into_iter().collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
}

fn make_anew(prometheus: &Path, promtool: &Path) {
    if Prints::of(promtool) == Prints::All {
        make_starts(prometheus, promtool);
    } else {
        make_others(prometheus, promtool);
    }
}

fn make_starts(prometheus: &Path, promtool: &Path) {
    let work = tempfile::tempdir().expect("a directory");
    std::fs::write(work.path().join("prometheus.yml"), [STARTS_CONFIG, OTLP_CONFIG].concat())
        .expect("written");
    let flags = [&flags(STARTS)[..], &["--web.enable-otlp-receiver"]].concat();
    let server = Server::start_prometheus(prometheus, work.path(), &flags);
    let data = work.path().join("data");
    let feed = |rounds: std::ops::Range<i64>| {
        for round in rounds {
            feed::few(&server, BEGIN, round..round + 1, WHOLE_STEP_MS);
            otlp::with_starts(&server, BEGIN, round..round + 1, WHOLE_STEP_MS);
        }
    };
    for rounds in [0..24, 24..36, 36..48, 48..WHOLE_ROUNDS] {
        feed(rounds);
        await_quiet(&data);
    }
    feed::burst_of_late(&server, BEGIN + WHOLE_ROUNDS * WHOLE_STEP_MS - LATE_MS, 40);
    feed(WHOLE_ROUNDS..WHOLE_ROUNDS + 3);
    server.kill();
    keep(work.path(), STARTS);
    write_golden(prometheus, promtool, STARTS);
}

fn write_golden(prometheus: &Path, promtool: &Path, name: &str) {
    let copy = working_copy(name);
    let data = copy.path().join("data");
    let dir = data.to_str().expect("UTF-8");
    let sandbox = format!("--sandbox-dir-root={}", copy.path().display());
    let write = |what: &str, text: String| std::fs::write(golden(name, what), text).expect("written");
    write("dump.txt", dumps::run(promtool, &["tsdb", "dump", &sandbox, dir]));
    write("list.txt", dumps::run(promtool, &["tsdb", "list", dir]));
    let server = Server::start_prometheus(prometheus, copy.path(), &flags(name));
    let answers = ask(&server, name);
    write("answers.json", serde_json::to_string(&answers).expect("JSON") + "\n");
}

fn make_others(prometheus: &Path, promtool: &Path) {
    let work = tempfile::tempdir().expect("a directory");
    std::fs::write(work.path().join("prometheus.yml"), CONFIG).expect("written");
    for (name, flag) in LOGS {
        let server = Server::start_prometheus(prometheus, work.path(), &[&FLAGS[..], &[flag]].concat());
        feed::few(&server, BEGIN, 0..LOG_MINUTES, MINUTE_MS);
        delete(&server, "m{n=\"1\"}", (BEGIN + MINUTE_MS, BEGIN + 3 * MINUTE_MS));
        server.kill();
        keep(work.path(), name);
    }
    let flags = [&FLAGS[..], &["--enable-feature=memory-snapshot-on-shutdown"]].concat();
    let data = work.path().join("data");
    let mut server = Server::start_prometheus(prometheus, work.path(), &flags);
    // A pause after each part makes the log be cut every time, and at the end there is a checkpoint.
    for rounds in [0..24, 24..36, 36..48, 48..WHOLE_ROUNDS] {
        feed::few(&server, BEGIN, rounds, WHOLE_STEP_MS);
        await_quiet(&data);
    }
    delete(&server, "{__name__=~\"m|h_float\",n=\"1\"}", (BEGIN + 60 * MINUTE_MS, BEGIN + 100 * MINUTE_MS));
    // More than stay in memory, so that some are written to head chunks.
    feed::burst_of_late(&server, BEGIN + WHOLE_ROUNDS * WHOLE_STEP_MS - LATE_MS, 40);
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
    let server = Server::start_prometheus(prometheus, work.path(), &flags);
    feed::few(&server, BEGIN, WHOLE_ROUNDS..WHOLE_ROUNDS + 3, WHOLE_STEP_MS);
    delete(&server, "m{n=\"1\"}", (BEGIN + 580 * MINUTE_MS, BEGIN + 590 * MINUTE_MS));
    server.kill();
    keep(work.path(), WHOLE);
    for name in ["log-snappy", WHOLE] {
        write_golden(prometheus, promtool, name);
    }
}

/// Waits until blocks are cut and merged.
fn await_quiet(data: &Path) {
    let names = || {
        let entries =
            [data.to_path_buf(), data.join("wal")].map(|dir| std::fs::read_dir(dir).expect("a directory"));
        let mut names: Vec<_> = entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        names.sort();
        names
    };
    let (mut last, mut since) = (names(), Instant::now());
    while since.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(100));
        let now = names();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// The header of a file in `chunks_head`.
const HEADER_BYTES: usize = 8;

/// Moves the data directory to its place, without files that carry no information.
fn keep(work: &Path, name: &str) {
    let (data, to) = (work.join("data"), stages().join(name));
    for file in ["lock", "queries.active"] {
        // Not every program leaves one.
        let _ = std::fs::remove_file(data.join(file));
    }
    if to.exists() {
        std::fs::remove_dir_all(&to).expect("removed");
    }
    copy_directory(&data, &to);
    for file in std::fs::read_dir(to.join("chunks_head")).expect("a directory").flatten() {
        // Preallocated space that was not used: zeros. The header also ends with some.
        let bytes = std::fs::read(file.path()).expect("readable");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).max(HEADER_BYTES);
        std::fs::write(file.path(), &bytes[..used]).expect("written");
    }
    std::fs::remove_dir_all(&data).expect("removed");
}
