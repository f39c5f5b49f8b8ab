//! `cargo xtask compare ingest|scrape|restart|disk --peers DIR`: ferula, Prometheus and VictoriaMetrics get the same input, one
//! after the other, and everything that it costs is printed, with the ratios to ferula.
//!
//! Here: what each comparison does. Elsewhere: the input (`generated.rs`, `page_server.rs`), starting and measuring (`peer.rs`),
//! the table (`figures.rs`).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ferula_free_port::free_port;

use crate::compare::ferula_binary;
use crate::figures::Figures;
use crate::generated::{FAMILIES, PAGE_SERIES, STEP_MS, Series, family, series_of_family};
use crate::page_server::serve_pages;
use crate::peer::Process;

/// Targets of `scrape`, each with [`PAGE_SERIES`] series, scraped every second.
const TARGETS: usize = 50;
/// How long a server without work has to settle before its resident memory is read again; also how long scrapes run before they
/// are counted.
const SETTLING: Duration = Duration::from_secs(10);
/// How long samples may take to be visible.
const VISIBLE_WITHIN: Duration = Duration::from_secs(6);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Ferula,
    Prometheus,
    VictoriaMetrics,
}

/// Whether VictoriaMetrics keeps the results of queries; the others have nothing of the kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    On,
    Off,
}

/// A comparison's directory, which is removed at the end.
pub struct Work {
    dir: PathBuf,
    peers: PathBuf,
}

impl Work {
    /// Creates it; every server gets `scrapes` as its configuration.
    pub fn new(peers: &Path, scrapes: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("ferula-compare-store-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("prometheus.yml"), scrapes)?;
        Ok(Work { dir, peers: peers.to_owned() })
    }

    fn data(&self, server: Server) -> PathBuf {
        self.dir.join(format!("{}-data", server.name()))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What is left is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Server {
    /// All of them, in the order in which they run.
    pub const ALL: [Server; 3] = [Server::Ferula, Server::Prometheus, Server::VictoriaMetrics];

    pub fn name(self) -> &'static str {
        match self {
            Server::Ferula => "ferula",
            Server::Prometheus => "prometheus",
            Server::VictoriaMetrics => "victoria-metrics",
        }
    }

    /// Starts it on its directory, and waits until it is ready.
    pub fn start(self, work: &Work, cache: Cache) -> Result<Process> {
        let port = free_port()?;
        let (data, config) = (work.data(self), work.dir.join("prometheus.yml"));
        let (data, config) = (data.display(), config.display());
        let mut args = match self {
            Server::Ferula | Server::Prometheus => vec![
                format!("--config.file={config}"),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--web.enable-remote-write-receiver".to_owned(),
            ],
            Server::VictoriaMetrics => vec![
                format!("-promscrape.config={config}"),
                format!("-storageDataPath={data}"),
                format!("-httpListenAddr=127.0.0.1:{port}"),
                "-retentionPeriod=1y".to_owned(),
                "-search.latencyOffset=0s".to_owned(),
            ],
        };
        if self == Server::VictoriaMetrics && cache == Cache::Off {
            args.push("-search.disableCache".to_owned());
        }
        let program = match self {
            Server::Ferula => ferula_binary()?,
            other => work.peers.join(other.name()),
        };
        let log = work.dir.join(format!("{}.log", self.name()));
        let mut process = Process::start(self.name(), &program, &args, &log, port)?;
        process.await_ready("/-/ready", Duration::from_secs(300))?;
        Ok(process)
    }
}

/// `compare ingest`: remote write of 20,000, 200,000 and 1,000,000 series.
pub fn ingest(peers: &Path, is_short: bool) -> Result<()> {
    let loads: &[(usize, usize)] =
        if is_short { &[(20_000, 50)] } else { &[(20_000, 200), (200_000, 20), (1_000_000, 10)] };
    for (count, rounds) in loads {
        let series = Series::new(*count);
        println!("remote write of {count} series, {rounds} samples each");
        let mut table = Figures::default();
        for server in Server::ALL {
            let work = Work::new(peers, "")?;
            let process = server.start(&work, Cache::Off)?;
            let begin = Instant::now();
            let idle = process.usage()?;
            let end_ms = send(&process, &series, *rounds)?;
            let (used, took) = (process.usage()?, begin.elapsed());
            std::thread::sleep(SETTLING);
            let settled = process.usage()?;
            let expected = series_of_family(0, *count) * rounds;
            let found = await_samples(&process, 0, end_ms, expected, Instant::now() + VISIBLE_WITHIN)?;
            let samples = (count * rounds) as f64;
            table.row(
                server.name(),
                &[
                    ("CPU-s/M", used.since(&idle).cpu_seconds / samples * 1e6),
                    ("samples/s", samples / took.as_secs_f64()),
                    ("peak MiB", mib(used.resident_peak_bytes)),
                    ("settled MiB", mib(settled.resident_bytes)),
                    ("written B", settled.written_bytes as f64 / samples),
                    ("on disk B", disk_bytes(&work.data(server)) as f64 / samples),
                    ("samples lost", (expected - found) as f64),
                ],
            );
        }
        table.print();
    }
    Ok(())
}

/// `compare scrape`: 100,000 series, scraped every second for so many seconds.
pub fn scrape(peers: &Path, seconds: u64) -> Result<()> {
    let port = serve_pages()?;
    let mut config = String::from(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: app\n  static_configs:\n",
    );
    for target in 0..TARGETS {
        let zone = target % 3;
        config.push_str(&format!(
            "  - targets: ['127.0.0.1:{port}']\n    labels: {{instance: 'app-{target}', zone: 'z{zone}'}}\n"
        ));
    }
    println!("{} series scraped every second for {seconds} s", TARGETS * PAGE_SERIES);
    let mut table = Figures::default();
    for server in Server::ALL {
        let work = Work::new(peers, &config)?;
        let process = server.start(&work, Cache::Off)?;
        std::thread::sleep(SETTLING);
        let (before, begin) = (process.usage()?, now_ms());
        std::thread::sleep(Duration::from_secs(seconds));
        let (after, end) = (process.usage()?, now_ms());
        let query = format!("sum(sum_over_time(scrape_samples_scraped[{}ms]))", end - begin);
        std::thread::sleep(Duration::from_secs(3));
        let scraped = value_of(&process, &query, end)?;
        let expected = (TARGETS * PAGE_SERIES) as f64 * (end - begin) as f64 / 1000.0;
        let used = after.since(&before);
        table.row(
            server.name(),
            &[
                ("CPU-s/M", used.cpu_seconds / scraped * 1e6),
                ("samples/s", scraped / (end - begin) as f64 * 1000.0),
                ("peak MiB", mib(after.resident_peak_bytes)),
                ("resident MiB", mib(after.resident_bytes)),
                ("written B", used.written_bytes as f64 / scraped),
                ("on disk B", disk_bytes(&work.data(server)) as f64 / scraped),
                ("share missed", (1.0 - scraped / expected).max(0.0)),
            ],
        );
    }
    table.print();
    Ok(())
}

/// `compare restart`: killed with all samples of 20,000 series over two hours, then started again.
pub fn restart(peers: &Path, is_short: bool) -> Result<()> {
    let (count, rounds) = (20_000, if is_short { 100 } else { 480 });
    let series = Series::new(count);
    println!("kill -9 after {} samples of {count} series, and a start", count * rounds);
    let mut table = Figures::default();
    for server in Server::ALL {
        let work = Work::new(peers, "")?;
        let process = server.start(&work, Cache::Off)?;
        let end_ms = send(&process, &series, rounds)?;
        let before = process.usage()?;
        process.signal("KILL")?;
        drop(process);
        let begin = Instant::now();
        let process = server.start(&work, Cache::Off)?;
        let ready = begin.elapsed();
        let at_ready = process.usage()?;
        let (mut lost, until) = (0, begin + ready + VISIBLE_WITHIN);
        for number in 0..FAMILIES {
            let expected = series_of_family(number, count) * rounds;
            lost += expected - await_samples(&process, number, end_ms, expected, until)?;
        }
        let answered = begin.elapsed();
        table.row(
            server.name(),
            &[
                ("ready s", ready.as_secs_f64()),
                ("answer s", answered.as_secs_f64()),
                ("CPU-s", at_ready.cpu_seconds),
                ("killed at MiB", mib(before.resident_bytes)),
                ("peak MiB", mib(at_ready.resident_peak_bytes)),
                ("samples lost", lost as f64),
            ],
        );
    }
    table.print();
    Ok(())
}

/// `compare disk`: six hours of 2,000 series, until what is older than the head is in blocks.
pub fn disk(peers: &Path, is_short: bool) -> Result<()> {
    let (count, rounds) = (2_000, 1440);
    let series = Series::new(count);
    println!("{} samples of {count} series over six hours", count * rounds);
    let mut table = Figures::default();
    for server in Server::ALL {
        let work = Work::new(peers, "")?;
        let process = server.start(&work, Cache::Off)?;
        send(&process, &series, rounds)?;
        // Blocks are cut every minute; three of them become one.
        std::thread::sleep(Duration::from_secs(if is_short { 5 } else { 150 }));
        let used = process.usage()?;
        process.signal("TERM")?;
        process.await_end(Duration::from_secs(60))?;
        let (samples, data) = ((count * rounds) as f64, work.data(server));
        let (in_blocks, block_bytes) = blocks(&data)?;
        let block_bytes = block_bytes as f64 / (in_blocks as f64).max(1.0);
        table.row(
            server.name(),
            &[
                ("in blocks", in_blocks as f64),
                ("B in blocks", block_bytes),
                ("log B", disk_bytes(&data.join("wal")) as f64 / samples),
                ("on disk B", disk_bytes(&data) as f64 / samples),
                ("written B", used.written_bytes as f64 / samples),
                ("CPU-s/M", used.cpu_seconds / samples * 1e6),
            ],
        );
    }
    table.print();
    Ok(())
}

/// Sends that many rounds that end now. Returns the time of the last one.
pub fn send(process: &Process, series: &Series, rounds: usize) -> Result<i64> {
    let end_ms = now_ms() - STEP_MS;
    send_until(process, series, rounds, end_ms)?;
    Ok(end_ms)
}

/// Sends that many rounds, the last one with this time.
pub fn send_until(process: &Process, series: &Series, rounds: usize, end_ms: i64) -> Result<()> {
    let mut stream = connect(process)?;
    let first = end_ms - (rounds as i64 - 1) * STEP_MS;
    (0..rounds).try_for_each(|round| {
        write_round(&mut stream, process, series, round, first + round as i64 * STEP_MS)
    })
}

/// Sends one round.
pub fn send_round(process: &Process, series: &Series, round: usize, at_ms: i64) -> Result<()> {
    write_round(&mut connect(process)?, process, series, round, at_ms)
}

fn connect(process: &Process) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", process.port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    Ok(stream)
}

fn write_round(
    stream: &mut TcpStream,
    process: &Process,
    series: &Series,
    round: usize,
    at_ms: i64,
) -> Result<()> {
    let mut answer = vec![0; 64 << 10];
    for body in series.requests(round, at_ms) {
        let body = body?;
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: compare\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
             X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat())?;
        let mut read = 0;
        while !answer[..read].windows(4).any(|four| four == b"\r\n\r\n") {
            let more = stream.read(&mut answer[read..])?;
            ensure!(more > 0, "{} closed the connection", process.name);
            read += more;
        }
        let status = String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned();
        ensure!(status.contains(" 204") || status.contains(" 200"), "{}: {status}", process.name);
    }
    Ok(())
}

/// Waits until as many samples of a family are visible as were sent, or after `until` no more come. Returns their number.
fn await_samples(
    process: &Process,
    number: usize,
    end_ms: i64,
    expected: usize,
    until: Instant,
) -> Result<usize> {
    let query = format!("sum(count_over_time({}[1d]))", family(number));
    let mut found = 0;
    loop {
        let before = found;
        found = value_of(process, &query, end_ms + 1)? as usize;
        // VictoriaMetrics shows new samples once in a second or two.
        let is_all = Instant::now() > until && found == before;
        if found >= expected || is_all {
            return Ok(found.min(expected));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The only value of a query's result; 0 without one.
fn value_of(process: &Process, query: &str, at_ms: i64) -> Result<f64> {
    let answer = process.query(query, at_ms as f64 / 1000.0)?;
    Ok(answer["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok()).unwrap_or(0.0))
}

pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The size of all files below a directory.
fn disk_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
        Ok(found) => found.len(),
        // It was removed meanwhile.
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Samples in the blocks of a data directory, and the size of these blocks.
fn blocks(data: &Path) -> Result<(u64, u64)> {
    let (mut samples, mut bytes) = (0, 0);
    for entry in fs::read_dir(data)?.flatten() {
        let Ok(meta) = fs::read(entry.path().join("meta.json")) else { continue };
        let meta: serde_json::Value = serde_json::from_slice(&meta).context("meta.json of a block")?;
        samples += meta["stats"]["numSamples"].as_u64().unwrap_or(0);
        bytes += disk_bytes(&entry.path());
    }
    Ok((samples, bytes))
}
