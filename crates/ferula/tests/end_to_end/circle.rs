//! The circle: a data directory goes from Prometheus to ferula and back, twice, without visible differences.
//!
//! ```text
//! Prometheus ingests ─▶ killed in mid-write ─▶ ferula answers the same, ingests, killed,
//!      ▲                                       killed while it replays, cuts, compacts, deletes
//!      └────────────── killed in mid-write ◀───┘
//! ```
//! At every change, the tools of both programs print the same about the directory, and both servers, each on
//! its own copy, give the same answers to a list of queries.
//!
//! Needs the real programs: `FERULA_PEERS` names the directory with `prometheus` and `promtool`. Without it,
//! the test prints that it was skipped.

mod answers;
pub mod dumps;
pub mod feed;
pub mod otlp;
pub mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use ferula_testkit::shared::peer;

use self::answers::{Answers, Questions, assert_same};
use self::dumps::assert_tools_agree;
use self::feed::{Noise, STEP_MS, TURN_MS};
use crate::common::{PATIENCE, Random, Server, escape};

/// The optional formats in which the directory is written.
struct Formats {
    config: &'static str,
    flags: &'static [&'static str],
    starts: bool,
}

const OLDER: Formats =
    Formats { config: "storage: {tsdb: {out_of_order_time_window: 1d}}\n", flags: &[], starts: false };
/// XOR2 and start timestamps, for Prometheus 3.14 and later.
const NEWER: Formats = Formats {
    config: "storage: {tsdb: {out_of_order_time_window: 1d, chunk_encoding: {floats: xor2}}}\n",
    flags: &[
        "--enable-feature=st-storage,histograms-st-encoding",
        "--enable-feature=use-start-timestamps,promql-experimental-functions",
    ],
    starts: true,
};
const FLAGS: [&str; 5] = [
    "--web.enable-remote-write-receiver",
    "--web.enable-admin-api",
    "--enable-feature=exemplar-storage,native-histograms",
    "--enable-feature=metadata-wal-records",
    "--storage.tsdb.path=data",
];
const HOUR_MS: i64 = 3_600_000;
/// The round in which Prometheus leaves a `chunk_snapshot`.
const SNAPSHOT_TURN: u64 = 2;

/// The state of the directory, and its history.
struct Circle {
    formats: Formats,
    prometheus: PathBuf,
    promtool: PathBuf,
    /// Holds `data`, the directory that is passed around, and copies of it.
    directory: tempfile::TempDir,
    begin: i64,
    turns: u64,
    random: Random,
}

#[test]
fn a_directory_goes_twice_around_between_prometheus_and_ferula() {
    twice_around(OLDER);
}

#[test]
fn a_directory_goes_twice_around_in_the_formats_of_3_14() {
    let Some(promtool) = peer("promtool") else { return };
    if dumps::Prints::of(&promtool) == dumps::Prints::All {
        twice_around(NEWER);
    } else {
        eprintln!("SKIPPED: the real Prometheus here is too old for the formats of 3.14");
    }
}

fn twice_around(formats: Formats) {
    let (Some(prometheus), Some(promtool)) = (peer("prometheus"), peer("promtool")) else { return };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(now.as_millis()).expect("fits");
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("prometheus.yml"), formats.config).expect("written");
    let begin = (now - 72 * HOUR_MS) / (6 * HOUR_MS) * (6 * HOUR_MS);
    let mut circle =
        Circle { formats, prometheus, promtool, directory, begin, turns: 0, random: Random::new() };
    let mut answers = circle.turn_of_prometheus(None);
    for _ in 0..2 {
        answers = circle.turn_of_ferula(&answers);
        answers = circle.turn_of_prometheus(Some(&answers));
    }
}

impl Circle {
    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn flags(&self) -> Vec<&'static str> {
        [&FLAGS[..], self.formats.flags].concat()
    }

    /// First timestamp of the current round.
    fn base(&self) -> i64 {
        self.begin + self.turns as i64 * TURN_MS
    }

    fn questions(&self) -> Questions {
        // The last finished round.
        let base = self.base();
        Questions {
            begin: self.begin,
            end: base - 2 * STEP_MS,
            exemplars_from: base - HOUR_MS,
            with_noise: false,
            with_starts: self.formats.starts,
        }
    }

    fn start_prometheus(&self, directory: &Path) -> Server {
        let more = ["--config.file=prometheus.yml", "--enable-feature=memory-snapshot-on-shutdown"];
        let flags = [&self.flags()[..], &more].concat();
        Server::start_prometheus(&self.prometheus, directory, &flags)
    }

    /// Gives the same answers as before, ingests, deletes, and is killed while writing.
    fn turn_of_prometheus(&mut self, before: Option<&Answers>) -> Answers {
        let mut server = self.start_prometheus(self.directory.path());
        if let Some(before) = before {
            let what = format!("before turn {} of Prometheus", self.turns);
            assert_same(&what, &self.questions().ask(&server), before);
        }
        feed::turn(&server, self.turns, self.base());
        self.delete_some(&server);
        if self.turns == SNAPSHOT_TURN {
            // Stopped cleanly once, it leaves a snapshot of its memory. When it runs the next time, that is
            // long out of date.
            server.signal(libc::SIGTERM);
            assert_eq!(server.exit_code(), Some(0), "{}", server.log());
            server = self.start_prometheus(self.directory.path());
            let snapshots = std::fs::read_dir(self.data()).expect("a directory").flatten();
            let is_snapshot =
                |name: std::ffi::OsString| name.to_string_lossy().starts_with("chunk_snapshot.");
            assert_eq!(snapshots.filter(|entry| is_snapshot(entry.file_name())).count(), 1);
        }
        self.end_turn(server)
    }

    /// The same, but is also killed twice in between: with much data only in the log, and while replaying
    /// that log.
    fn turn_of_ferula(&mut self, before: &Answers) -> Answers {
        let server = Server::start(self.directory.path(), &self.flags());
        assert_same(&format!("before turn {}", self.turns), before, &self.questions().ask(&server));
        feed::turn(&server, self.turns, self.base());
        self.delete_some(&server);
        server.kill();
        let mut replays = 0;
        while replays < 3 {
            let server = Server::spawn(self.directory.path(), &self.flags());
            server.wait_for_line("Replaying WAL");
            // At a random time within a fraction of a second; not every kill is early enough.
            std::thread::sleep(Duration::from_millis(self.random.below(100)));
            replays += u32::from(!server.log().contains("WAL replay completed"));
            server.kill();
        }
        // The start cuts blocks at once, and merges them.
        let server = Server::start(self.directory.path(), &self.flags());
        self.await_merged_block();
        delete(&server, "m{n=\"1\"}", (self.base() + 5 * HOUR_MS, self.base() + 6 * HOUR_MS));
        if self.turns > 2 {
            admin(&server, "clean_tombstones");
        }
        self.end_turn(server)
    }

    /// Deletes series with the label `n="1"` over parts of this round; the first parts may be in blocks
    /// already.
    fn delete_some(&self, server: &Server) {
        let (base, end) = (self.base(), self.base() + TURN_MS);
        delete(server, "m{n=\"1\"}", (base + HOUR_MS, base + 2 * HOUR_MS));
        delete(server, "{__name__=~\"h_.+\",n=\"1\"}", (base + 3 * HOUR_MS, base + 3 * HOUR_MS + 777));
        delete(server, "{__name__=~\"m|h_float\",n=\"1\"}", (end - HOUR_MS / 2, end - HOUR_MS / 4));
    }

    /// Waits for a merged block that reaches into this round. Its start depends on the hour of the day at
    /// which the test runs.
    fn await_merged_block(&self) {
        let begun = Instant::now();
        loop {
            let metas = metas(&self.data());
            let merged = metas.iter().any(|meta| {
                meta["compaction"]["level"].as_u64() > Some(1)
                    && meta["maxTime"].as_i64().is_some_and(|max| max > self.base())
            });
            if merged {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing was merged: {metas:?}");
            std::thread::yield_now();
        }
    }

    /// Records the answers, kills the server while it writes, and compares everything.
    fn end_turn(&mut self, server: Server) -> Answers {
        let noise = Noise { turn: self.turns, base: self.base() + TURN_MS - STEP_MS };
        self.turns += 1;
        let answers = self.questions().ask(&server);
        let requests = 20 + self.random.below(60);
        let acknowledged = noise.until_killed(server, requests);
        let what = format!("after turn {}", self.turns - 1);
        let (a, b) = (self.copy("a"), self.copy("b"));
        let dump = assert_tools_agree(&what, &self.promtool, &a.join("data"), &a.join("sandbox"));
        noise.assert_in(&dump, &acknowledged);
        let questions = Questions { end: self.base(), with_noise: true, ..self.questions() };
        let theirs = questions.ask(&self.start_prometheus(&a));
        let ours = questions.ask(&Server::start(&b, &self.flags()));
        assert_same(&what, &theirs, &ours);
        let samples = dump.lines().count();
        let blocks = metas(&self.data()).len();
        eprintln!("{what}: {samples} samples, {blocks} blocks, {} answers alike", ours.len());
        answers
    }

    /// A copy of everything, in a new directory.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.directory.path().join(name);
        if to.exists() {
            std::fs::remove_dir_all(&to).expect("removed");
        }
        copy_directory(&self.data(), &to.join("data"));
        std::fs::write(to.join("prometheus.yml"), self.formats.config).expect("written");
        to
    }
}

/// Deletes samples between two times, in milliseconds.
pub fn delete(server: &Server, selector: &str, (from, to): (i64, i64)) {
    let seconds = |millis: i64| millis as f64 / 1000.0;
    let (selector, from, to) = (escape(selector), seconds(from), seconds(to));
    admin(server, &format!("delete_series?match[]={selector}&start={from}&end={to}"));
}

fn admin(server: &Server, what: &str) {
    let answer = server.request("POST", &format!("/api/v1/admin/tsdb/{what}"), "", b"");
    let (status, body) = answer.expect("answered");
    assert_eq!(status, 204, "{what}: {body}\n{}", server.log());
}

/// The `meta.json` of all current blocks.
fn metas(data: &Path) -> Vec<serde_json::Value> {
    let entries = std::fs::read_dir(data).expect("a directory").flatten();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("meta.json")).ok());
    texts.filter_map(|text| serde_json::from_str(&text).ok()).collect()
}

/// Copies a directory recursively.
pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("a name");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).expect("copied");
        }
    }
}
