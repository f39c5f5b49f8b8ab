//! Formats selected by flags and configuration: XOR2, start timestamps, zero samples, metadata in the log.

use std::path::Path;

use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::formats::wal::Records;
use ferula_tsdb::formats::wal::SegmentReader;
use ferula_tsdb::formats::wal::list_segments;

use crate::common::{Server, Target};

/// A counter that started half a second after 1970-01-01T00:00:01, and at another time from the `restart`th
/// scrape on.
fn target(restart: u64) -> Target {
    Target::start(move |n| {
        let started = if n < restart { "1.5" } else { "2.5" };
        format!("# HELP a It counts.\n# TYPE a counter\na_total {n}\na_created {started}\n# EOF\n")
    })
}

fn configure(directory: &Path, target: &Target, floats: &str) {
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
         storage: {{tsdb: {{chunk_encoding: {{floats: {floats}}}}}}}\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{}']}}]}}]\n",
        target.address
    );
    std::fs::write(directory.join("prometheus.yml"), config).expect("written");
}

const STARTS: &str =
    "--enable-feature=st-storage,metadata-wal-records,use-start-timestamps,promql-experimental-functions";

#[test]
fn start_timestamps_and_metadata_of_a_page_survive_a_kill() {
    let (directory, target) = (tempfile::tempdir().expect("a directory"), target(5));
    configure(directory.path(), &target, "xor2");
    let flags = [STARTS, "--config.file=prometheus.yml", "--web.enable-lifecycle"];
    let server = Server::start(directory.path(), &flags);
    let is_second = |result: &serde_json::Value| (result[0]["value"][1] == "2.5").then_some(());
    server.await_query("start_timestamp(a_total)", is_second);
    assert_eq!(
        server.try_query("count({__name__=~\".*_created\"})").expect("answered"),
        serde_json::json!([])
    );
    // The stored data requires XOR2, so the configuration cannot go back.
    configure(directory.path(), &target, "xor");
    let (status, body) = server.request("POST", "/-/reload", "", b"").expect("answered");
    assert_eq!(status, 500, "{body}");
    server.wait_for_line("XOR chunks do not store start timestamps");
    server.kill();

    configure(directory.path(), &target, "xor2");
    let server = Server::start(directory.path(), &flags);
    let first = server.await_query("min_over_time(start_timestamp(a_total)[10m:100ms])", |result| {
        result[0]["value"][1].as_str().map(str::to_owned)
    });
    assert_eq!(first, "1.5", "what was there before the kill");
    server.kill();

    let (disk, dir) = (RealDisk, directory.path().join("data/wal"));
    let mut logged = Vec::new();
    for segment in list_segments(&disk, &dir).expect("listed") {
        let mut reader = SegmentReader::open(&disk, &dir, segment.number).expect("opened");
        let mut records = Records::default();
        // The kill may tear the last record.
        while let Some(Ok(record)) = reader.next().expect("readable") {
            records.decode(record).expect("well formed");
            logged.extend(records.metadata.drain(..).map(|logged| logged.metadata.help));
        }
    }
    assert_eq!(logged.iter().filter(|help| *help == "It counts.").count(), 1, "once, not at every scrape");
    assert_eq!(logged.len(), 6, "of the counter and five reports: {logged:?}");
}

#[test]
fn a_start_timestamp_becomes_a_sample_of_value_zero() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = Target::start(move |n| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        // It started a while ago, at the same time for every scrape of a run.
        let began = now.as_secs() / 1000 * 1000 - 60;
        format!("# TYPE a counter\na_total {}\na_created {began}\n# EOF\n", n + 100)
    });
    configure(directory.path(), &target, "xor");
    let flags = ["--enable-feature=created-timestamp-zero-ingestion", "--config.file=prometheus.yml"];
    let server = Server::start(directory.path(), &flags);
    server.await_query("count_over_time(a_total[30m]) > 3", |result| result.get(0).map(|_| ()));
    let zeros = server.try_query("min_over_time(a_total[30m])").expect("answered");
    assert_eq!(zeros[0]["value"][1], "0");
}

#[test]
fn start_timestamps_without_xor2_prevent_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::spawn(directory.path(), &["--enable-feature=st-storage"]);
    assert_eq!(server.exit_code(), Some(1));
    assert!(server.log().contains("use \\\"xor2\\\""), "{}", server.log());
}
