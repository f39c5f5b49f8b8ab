//! Hostile clients: connections that say nothing, readers that read a byte at a time, queries that want everything, and
//! matchers without end. Health and a small query are answered throughout.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::harness::{Directory, REMOTE_WRITE, configure, post, start, write_request};
use super::orders::Orders;
use crate::peer::{get, percent_encode};

/// Requests that want everything, or have no end.
fn hostile_paths(time: i64) -> Vec<String> {
    let matchers = "&match[]={__name__=~\".%2B\"}".repeat(400);
    let many_labels: Vec<String> = (0..100_000).map(|n| format!("a{n}")).collect();
    vec![
        format!("/api/v1/query?time={time}&query={}", percent_encode("torture[1h]")),
        format!(
            "/api/v1/query_range?start={}&end={time}&step=1&query={}",
            time - 3600,
            percent_encode("label_join(torture, \"z\", \",\", \"series\", \"series\", \"series\")")
        ),
        format!(
            "/api/v1/query?time={time}&query={}",
            percent_encode("count by (series) ({__name__=~\".+\"} * on(series) group_left torture)")
        ),
        format!("/api/v1/query?time={time}&query=sum%20by%20({})(torture)", many_labels[..15_000].join(",")),
        format!("/federate?{}", &matchers[1..]),
        format!("/api/v1/series?{}", &matchers[1..]),
    ]
}

/// How one kind of request fared.
#[derive(Clone, Copy, Debug, Default)]
struct Fared {
    answered: u64,
    /// Until the head of the answer was there.
    slowest_head: Duration,
    /// Until all of it was read.
    slowest: Duration,
    bytes: usize,
}

impl Fared {
    fn add(&mut self, other: Fared) {
        self.answered += other.answered;
        self.slowest_head = self.slowest_head.max(other.slowest_head);
        self.slowest = self.slowest.max(other.slowest);
        self.bytes = self.bytes.max(other.bytes);
    }
}

/// Sends a request and reads all of the answer.
fn ask(port: u16, path: &str) -> Result<Fared> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n")?;
    let mut answer = vec![0; 64 << 10];
    let mut bytes = stream.read(&mut answer)?;
    let slowest_head = begin.elapsed();
    ensure!(bytes > 0, "closed without an answer");
    loop {
        match stream.read(&mut answer)? {
            0 => break,
            read => bytes += read,
        }
    }
    Ok(Fared { answered: 1, slowest_head, slowest: begin.elapsed(), bytes })
}

/// Sends hostile requests until the end, one after the other.
fn attack(port: u16, paths: &[String], client: usize, end: Instant) -> Vec<Fared> {
    let mut fared = vec![Fared::default(); paths.len()];
    let mut next = client;
    while Instant::now() < end {
        let kind = next % paths.len();
        next += 1;
        if let Ok(one) = ask(port, &paths[kind]) {
            fared[kind].add(one);
        }
    }
    fared
}

/// Reads an answer at a byte a second.
fn read_slowly(port: u16, time: i64, end: Instant) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET /api/v1/query?time={time}&query=torture[1h] HTTP/1.0\r\n\r\n").ok()?;
    while Instant::now() < end {
        stream.read_exact(&mut [0; 1]).ok()?;
        std::thread::sleep(Duration::from_secs(1));
    }
    Some(())
}

/// Asks for health and for a small query until the end; returns how long the first took, sorted.
fn watch_small_requests(port: u16, end: Instant) -> Result<Vec<Duration>> {
    let mut health = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        let (status, _) = get(port, "/-/healthy").context("the server is gone")?;
        ensure!(status == 200, "/-/healthy: {status}");
        health.push(begin.elapsed());
        let (status, _) = get(port, "/api/v1/query?query=1%2B1").context("the server is gone")?;
        ensure!(status == 200, "1+1: {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
    health.sort_unstable();
    Ok(health)
}

pub fn run(orders: &Orders) -> Result<()> {
    let dir = Directory::new("clients")?;
    configure(&dir.0, "")?;
    let flags = ["--web.enable-remote-write-receiver", "--query.timeout=5s", "--web.max-connections=128"];
    let server = start(orders, &dir.0, &flags)?;
    let at_ms = 1_700_000_000_000i64;
    for round in 0..20 {
        let samples: Vec<_> = (0..2000).map(|n| (n.to_string(), at_ms + round * 15_000, n as f64)).collect();
        ensure!(
            post(server.port, "/api/v1/write", REMOTE_WRITE, &write_request(&samples)) == Some(204),
            "writing"
        );
    }
    let (port, end) = (server.port, Instant::now() + orders.time);
    let time = at_ms / 1000 + 300;
    let paths = hostile_paths(time);
    let attackers: Vec<_> = (0..20usize)
        .map(|client| {
            let paths = paths.clone();
            std::thread::spawn(move || attack(port, &paths, client, end))
        })
        .collect();
    // Connections that say nothing, or half a word, and one that reads a byte a second.
    let mut idle = Vec::new();
    for n in 0..200 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET /api/v1/quer");
        }
        idle.push(stream);
    }
    let reader = std::thread::spawn(move || read_slowly(port, time, end));
    let health = watch_small_requests(port, end)?;
    drop(idle);
    let mut all = vec![Fared::default(); paths.len()];
    for attacker in attackers {
        let fared = attacker.join().unwrap_or_default();
        all.iter_mut().zip(fared).for_each(|(all, one)| all.add(one));
    }
    let _ = reader.join();
    let p99 = health.get(health.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
    let answered: u64 = all.iter().map(|fared| fared.answered).sum();
    let peak = server.usage()?.resident_peak_bytes >> 20;
    println!(
        "{answered} hostile requests answered; {} small queries answered; healthy p99 {p99:?}; peak {peak} MiB",
        health.len()
    );
    for (path, fared) in paths.iter().zip(&all) {
        let Fared { answered, slowest_head, slowest, bytes } = fared;
        let path: String = path.chars().take(70).collect();
        println!(
            "{answered} times, head within {slowest_head:?}, all within {slowest:?}, {bytes} bytes: {path}"
        );
    }
    Ok(())
}
