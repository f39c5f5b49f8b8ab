//! `kill -9`, again and again, in the middle of writes, block cuts and checkpoints.
//!
//! After every kill: `tsdb verify` finds nothing wrong, the next start has every sample that was acknowledged, and the real
//! Prometheus, if it is at hand, finds in a copy of the directory what ferula finds.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ferula_free_port::free_port;

use super::harness::{
    Directory, REMOTE_WRITE, Random, ShownSamples, configure, count, missing, post, shown, some_missing,
    start, tool, write_request,
};
use super::orders::Orders;
use crate::peer::Process;

/// Blocks of eight seconds, so that every part of a block's life is met by a kill.
const FLAGS: [&str; 5] = [
    "--web.enable-remote-write-receiver",
    "--storage.tsdb.min-block-duration=8s",
    "--storage.tsdb.max-block-duration=24s",
    "--storage.tsdb.block-reload-interval=1s",
    "--storage.tsdb.retention.time=30d",
];
const SERIES: u64 = 20;

pub fn run(orders: &Orders) -> Result<()> {
    let dir = Directory::new("kills")?;
    configure(&dir.0, "")?;
    let mut random = Random(orders.seed);
    let prometheus = std::env::var_os("FERULA_PEERS").map(|peers| Path::new(&peers).join("prometheus"));
    let (mut kept, mut kills, mut compared) = (ShownSamples::new(), 0u64, 0u64);
    let begin = Instant::now();
    let mut now_ms = 1_700_000_000_000i64;
    while begin.elapsed() < orders.time || kills < 3 {
        let server = start(orders, &dir.0, &FLAGS)?;
        let found = shown(server.port, seconds(now_ms), 24).unwrap_or_default();
        let lost = missing(&kept, &found);
        ensure!(
            lost == 0,
            "after {kills} kills {lost} samples of {} are gone:\n{}",
            count(&kept),
            some_missing(&kept, &found)
        );
        let commits = 5 + random.below(200);
        for _ in 0..commits {
            now_ms += 200;
            let mut samples: Vec<(String, i64, f64)> =
                (0..SERIES).map(|n| (n.to_string(), now_ms, (now_ms + n as i64) as f64)).collect();
            if random.below(3) == 0 {
                let back = 300 + random.below(60_000) as i64;
                let n = random.below(SERIES);
                // The same time may come again, which is no new sample.
                let at = (now_ms - back) | 1;
                samples = vec![(n.to_string(), at, at as f64)];
            }
            if post(server.port, "/api/v1/write", REMOTE_WRITE, &write_request(&samples)) == Some(204) {
                for (series, at, value) in samples {
                    kept.entry(series).or_default().insert(at, value.to_string());
                }
            }
        }
        server.signal("KILL")?;
        drop(server);
        kills += 1;
        tool(orders, &["tsdb", "verify", &dir.0.join("data").display().to_string()])?;
        if let Some(program) = prometheus.as_ref().filter(|_| kills % 5 == 0) {
            compare(program, &dir.0, &kept, now_ms)?;
            compared += 1;
        }
    }
    let compared = match prometheus {
        Some(_) => format!("Prometheus read {compared} of the directories and found the same"),
        None => "LEFT OUT: the real Prometheus is not at hand (FERULA_PEERS)".to_owned(),
    };
    println!("{kills} kills, {} samples acknowledged, none lost, verify silent; {compared}", count(&kept));
    Ok(())
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Starts Prometheus on a copy of the directory, and compares what it shows.
fn compare(program: &Path, dir: &Path, kept: &ShownSamples, now_ms: i64) -> Result<()> {
    let copy = dir.join("copy");
    let _ = std::fs::remove_dir_all(&copy);
    let status = Command::new("cp").args(["-r"]).arg(dir.join("data")).arg(&copy).status()?;
    ensure!(status.success(), "copying the data directory");
    let port = free_port()?;
    let args = [
        format!("--web.listen-address=127.0.0.1:{port}"),
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", copy.display()),
        "--storage.tsdb.min-block-duration=8s".to_owned(),
        "--storage.tsdb.max-block-duration=24s".to_owned(),
        "--storage.tsdb.retention.time=3650d".to_owned(),
    ];
    let log = dir.join("prometheus-log");
    let begin = || -> Result<Process> {
        let mut server = Process::start("prometheus", program, &args, &log, port)?;
        server.await_ready("/-/ready", Duration::from_secs(60))?;
        Ok(server)
    };
    let mut server = begin()?;
    // It does not read the out-of-order log when the kill has torn the last record of the log.
    if std::fs::read_to_string(&log)?.contains("Encountered WAL read error") {
        drop(server);
        server = begin()?;
    }
    let found = shown(server.port, seconds(now_ms), 24).unwrap_or_default();
    let lost = missing(kept, &found);
    ensure!(
        lost == 0,
        "Prometheus misses {lost} of {} samples:\n{}\nIts log is {}",
        count(kept),
        some_missing(kept, &found),
        log.display()
    );
    Ok(())
}
