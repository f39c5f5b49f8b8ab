//! How late scrapes begin: programs with Prometheus' flags scrape many small targets, all at once.
//!
//!     cargo run --release -p ferula-scraper --example jitter -- TARGETS SECONDS NAME=PROGRAM…
//!
//! The targets are addresses of the loopback (127.x.y.z) on one port for each program. A target knows when it is scraped, but not
//! when it should have been; its earliest arrival within the interval stands for its moment. Jitter is how much later the
//! others came. Printed for each program: percentiles of the jitter, scrapes that did not come, CPU, resident memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const INTERVAL: Duration = Duration::from_secs(15);
const SERIES: usize = 100;

/// Arrivals since the start, by target.
type Arrivals = Arc<Mutex<HashMap<IpAddr, Vec<Duration>>>>;

struct Scraped {
    name: String,
    process: Child,
    arrivals: Arrivals,
    _directory: tempfile::TempDir,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = || -> u64 {
        arguments.next().and_then(|text| text.parse().ok()).expect("TARGETS SECONDS NAME=PROGRAM…")
    };
    let (targets, seconds) = (number() as usize, number());
    let start = Instant::now();
    let mut running = Vec::new();
    for argument in arguments {
        let (name, program) = argument.split_once('=').expect("NAME=PROGRAM");
        running.push(start_program(name, Path::new(program), targets, start).await);
    }
    // The first interval is for connecting.
    tokio::time::sleep(INTERVAL * 2 + Duration::from_secs(seconds)).await;
    for mut one in running {
        report(&one, targets, seconds, start.elapsed());
        let _ = one.process.kill();
        let _ = one.process.wait();
    }
}

fn address(target: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (target / 250) as u8, (target % 250 + 1) as u8)
}

async fn start_program(name: &str, program: &Path, targets: usize, start: Instant) -> Scraped {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let arrivals = Arrivals::default();
    let page: Arc<str> = (0..SERIES)
        .map(|series| format!("jitter_requests_total{{path=\"/p{series}\"}} 1\n"))
        .collect::<String>()
        .into();
    let noted = arrivals.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, noted.clone(), page.clone(), start));
        }
    });
    let directory = tempfile::tempdir().expect("a directory");
    let list: Vec<String> = (0..targets).map(|target| format!("\"{}:{port}\"", address(target))).collect();
    std::fs::write(directory.path().join("targets.json"), format!("[{{\"targets\":[{}]}}]", list.join(",")))
        .expect("written");
    let config = format!(
        "global: {{scrape_interval: {}s, scrape_timeout: 10s}}\nscrape_configs: [{{job_name: jitter, file_sd_configs: [{{files: [targets.json]}}]}}]\n",
        INTERVAL.as_secs()
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let process = Command::new(program)
        .current_dir(directory.path())
        .args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    Scraped { name: name.to_owned(), process, arrivals, _directory: directory }
}

async fn serve(mut stream: TcpStream, arrivals: Arrivals, page: Arc<str>, start: Instant) {
    let Ok(own) = stream.local_addr() else { return };
    let (mut head, mut buffer) = (Vec::new(), [0u8; 2048]);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        head.extend_from_slice(&buffer[..read]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        head.clear();
        let at = start.elapsed();
        arrivals.lock().expect("no panic while held").entry(own.ip()).or_default().push(at);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn report(one: &Scraped, targets: usize, seconds: u64, until: Duration) {
    let from = until.saturating_sub(Duration::from_secs(seconds));
    let mut late: Vec<Duration> = Vec::new();
    let mut expected = 0u64;
    let arrivals = one.arrivals.lock().expect("no panic while held");
    for target in 0..targets {
        let all = arrivals.get(&IpAddr::V4(address(target))).map_or(&[][..], Vec::as_slice);
        expected += seconds / INTERVAL.as_secs();
        late.extend(lateness(all.iter().copied().filter(|at| *at >= from).collect()));
    }
    late.sort_unstable();
    let at = |part: f64| {
        late.get(((late.len() as f64 * part) as usize).min(late.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    let (cpu, memory) = usage(one.process.id());
    println!(
        "{:12} {} targets: jitter p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, max {:.2?}; {} scrapes of {expected}; {cpu:.1} CPU-s, {memory:.0} MiB",
        one.name,
        targets,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        late.len()
    );
}

/// How much later than the earliest within the interval each arrival came.
fn lateness(arrivals: Vec<Duration>) -> Vec<Duration> {
    let period = INTERVAL.as_nanos();
    let Some(first) = arrivals.first() else { return Vec::new() };
    // Relative to half an interval before the first, so that none wraps around.
    let base = first.as_nanos() + period - period / 2;
    let into: Vec<u128> =
        arrivals.iter().map(|at| (at.as_nanos() + period - base % period) % period).collect();
    let earliest = into.iter().min().copied().unwrap_or(0);
    into.iter().map(|at| Duration::from_nanos(u64::try_from(at - earliest).unwrap_or(u64::MAX))).collect()
}

/// Seconds of CPU and resident MiB of a process.
fn usage(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|text| text.parse().unwrap_or(0.0))
        .collect();
    let field = |number: usize| fields.get(number).copied().unwrap_or(0.0);
    ((field(11) + field(12)) / 100.0, field(21) * 4096.0 / 1_048_576.0)
}
