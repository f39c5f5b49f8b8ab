//! `ferula tsdb …` as a process, on the blocks in `testdata/tsdb`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use ferula_model::{LabelSet, Timestamp};
use ferula_storage::{Appendable, Durability, SampleBatch};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::{Db, Options};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tsdb").join(name)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferula"))
        .arg("tsdb")
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn failure(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn list_analyze_and_dump_print_what_promtool_prints() {
    let golden = |name: &str| std::fs::read_to_string(testdata(name)).expect("the golden file is there");
    let dir = testdata("");
    let dir = text(&dir);
    assert_eq!(stdout(&["list", dir]), golden("list.txt"));
    assert_eq!(stdout(&["list", "-r", dir]), golden("list-human.txt"));
    let first = "01M7X7DXY4M5SDMGGQAFJMF32B";
    assert_eq!(stdout(&["analyze", "--extended", dir, first]), golden("analyze-1.txt"));
    assert_eq!(
        stdout(&["analyze", dir, "--extended"]),
        golden("analyze-2.txt"),
        "the last block is the default"
    );
    let some =
        ["--min-time=1600005600000", "--max-time", "1600005645000", "--match=up", "--match={room=\"küche\"}"];
    assert_eq!(stdout(&[&["dump", dir][..], &some].concat()), golden("dump-some.txt"));
    assert_eq!(stdout(&[&["dump-openmetrics", dir][..], &some].concat()), golden("dump-openmetrics.txt"));
    assert_eq!(stdout(&["dump", "--format=seriesjson", dir]), golden("dump-series.txt"));
    assert!(stdout(&["verify", dir]).contains("01M7X7DXY4M5SDMGGQAFJMF32B ok: 9 series"));
}

#[test]
fn blocks_from_a_page_hold_its_samples() {
    let dir = tempfile::tempdir().expect("a directory");
    let (page, data) = (dir.path().join("page"), dir.path().join("data"));
    std::fs::write(&page, "# TYPE m gauge\nm{a=\"x\"} 1 0\nm{a=\"y\"} 2.5 10\nm{a=\"x\"} 3 20000\n# EOF\n")
        .expect("room");
    let made = stdout(&["create-blocks-from", "openmetrics", "--label=from=test", text(&page), text(&data)]);
    assert_eq!(made.lines().count(), 3, "titles and two blocks: {made}");
    let dumped = stdout(&["dump", text(&data)]);
    assert_eq!(
        dumped,
        "{__name__=\"m\", a=\"x\", from=\"test\"} 1 0\n\
         {__name__=\"m\", a=\"x\", from=\"test\"} 3 20000000\n\
         {__name__=\"m\", a=\"y\", from=\"test\"} 2.5 10000\n"
    );
    std::fs::write(&page, "m 1\n# EOF\n").expect("room");
    let why = failure(&["create-blocks-from", "openmetrics", text(&page), text(&data)]);
    assert_eq!(why, "getting min and max timestamp: expected timestamp for series got none\n");
}

#[test]
fn a_dump_includes_what_is_only_in_the_log_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Db::open(dir.path(), Options::default(), Arc::new(RealDisk), &Registry::new(), &mut |_| {});
    let db = db.expect("an empty directory");
    let mut appender = db.appender();
    let series = appender.resolve(&LabelSet::from_pairs([("__name__", "m")])).expect("a new series");
    let mut batch = SampleBatch::default();
    batch.push_float(series, Timestamp::from_millis(1000), 1.5);
    batch.push_float(series, Timestamp::from_millis(2000), 1e7);
    appender.append(&mut batch);
    appender.commit(Durability::Written).expect("it is logged");
    // The database is open and locked while the tool reads.
    let files = || {
        let mut files = Vec::new();
        let mut directories = vec![dir.path().to_path_buf()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).expect("a directory").flatten() {
                let metadata = entry.metadata().expect("it is there");
                if metadata.is_dir() {
                    directories.push(entry.path());
                } else {
                    files.push((entry.path(), metadata.len()));
                }
            }
        }
        files.sort();
        files
    };
    let before = files();
    let dumped = stdout(&["dump", text(dir.path())]);
    assert_eq!(dumped, "{__name__=\"m\"} 1.5 1000\n{__name__=\"m\"} 1e+07 2000\n");
    assert_eq!(stdout(&["dump", "--min-time=1500", text(dir.path())]), "{__name__=\"m\"} 1e+07 2000\n");
    assert_eq!(files(), before);
}

#[test]
fn errors_are_a_single_line() {
    let dir = testdata("");
    assert_eq!(failure(&["analyze", text(&dir), "nope"]), "invalid block ID nope\n");
    assert!(failure(&["list", "missing/data"]).starts_with("opening the db dir: stat missing/data"));
    assert_eq!(
        failure(&["analyze", text(&testdata("merged/01M7X7ZS0G7ZTK5AYD8ZX3BHG1"))]),
        "no blocks found\n"
    );
    assert_eq!(failure(&["list", "--nope"]), "ferula: error: unknown long flag '--nope', try --help\n");
    assert_eq!(failure(&["nope"]), "ferula: error: expected command but got \"nope\", try --help\n");
    assert_eq!(
        failure(&["lsit"]),
        "ferula: error: expected command but got \"lsit\", did you mean 'list'? try --help\n"
    );
    assert_eq!(
        failure(&["dump", "--min-tiem=1"]),
        "ferula: error: unknown long flag '--min-tiem', did you mean '--min-time'? try --help\n"
    );
}

#[test]
fn the_write_benchmark_fills_a_database() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, out) = (dir.path().join("series.json"), dir.path().join("out"));
    let lines = (0..7).map(|n| format!("{{\"__name__\":\"m\",\"n\":\"{n}\"}}\n"));
    std::fs::write(&file, lines.collect::<String>()).expect("room");
    let flag = format!("--out={}", text(&out));
    let said = stdout(&["bench", "write", &flag, "--metrics=5", "--scrapes=150", text(&file)]);
    let stages: Vec<&str> =
        said.lines().map(|line| line.split(" duration=").next().unwrap_or(line)).collect();
    assert_eq!(
        stages[..6],
        [
            ">> start stage=readData",
            ">> completed stage=readData",
            ">> start stage=ingestScrapes",
            "ingestion completed",
            ">> completed stage=ingestScrapes",
            // Scrapes are counted by the hundred.
            " > total samples: 1000",
        ]
    );
    assert!(stages[6].starts_with(" > samples/sec: "), "{said}");
    assert_eq!(stages[7..], [">> start stage=stopStorage", ">> completed stage=stopStorage"]);
    let dumped = stdout(&["dump", text(&out.join("storage"))]);
    assert_eq!(dumped.lines().count(), 1000);
    assert!(dumped.starts_with("{__name__=\"m\", n=\"0\"} 1.23457789e+08 30000\n"), "{}", &dumped[..80]);
}
