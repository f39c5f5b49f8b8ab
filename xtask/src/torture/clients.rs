//! Hostile clients: connections that say nothing, readers that read a byte at a time, queries that want everything, and
//! matchers without end. Health and a small query are answered throughout.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Orders;
use super::harness::{Directory, REMOTE_WRITE, configure, post, start, write_request};
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
    let mut threads = Vec::new();
    for client in 0..20usize {
        let paths = paths.clone();
        threads.push(std::thread::spawn(move || {
            let (mut answered, mut slowest) = (0u64, Duration::ZERO);
            while Instant::now() < end {
                let asked = Instant::now();
                answered += u64::from(get(port, &paths[(client + answered as usize) % paths.len()]).is_ok());
                slowest = slowest.max(asked.elapsed());
            }
            (answered, slowest)
        }));
    }
    // Connections that say nothing, or half a word, and one that reads a byte a second.
    let mut idle = Vec::new();
    for n in 0..200 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET /api/v1/quer");
        }
        idle.push(stream);
    }
    let reader = std::thread::spawn(move || -> Option<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        write!(stream, "GET /api/v1/query?time={time}&query=torture[1h] HTTP/1.0\r\n\r\n").ok()?;
        while Instant::now() < end {
            stream.read_exact(&mut [0; 1]).ok()?;
            std::thread::sleep(Duration::from_secs(1));
        }
        Some(())
    });
    let (mut health, mut small) = (Vec::new(), 0u64);
    while Instant::now() < end {
        let asked = Instant::now();
        let (status, _) = get(port, "/-/healthy").context("the server is gone")?;
        ensure!(status == 200, "/-/healthy: {status}");
        health.push(asked.elapsed());
        let (status, _) = get(port, "/api/v1/query?query=1%2B1").context("the server is gone")?;
        ensure!(status == 200, "1+1: {status}");
        small += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(idle);
    let done: Vec<(u64, Duration)> =
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect();
    let _ = reader.join();
    health.sort_unstable();
    let p99 = health.get(health.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
    let answered: u64 = done.iter().map(|(answered, _)| answered).sum();
    let slowest = done.iter().map(|(_, slowest)| *slowest).max().unwrap_or_default();
    let peak = server.usage()?.resident_peak_bytes >> 20;
    println!(
        "{answered} hostile requests answered, the slowest in {slowest:?}; {small} small queries answered; healthy p99 {p99:?}; peak {peak} MiB"
    );
    Ok(())
}
