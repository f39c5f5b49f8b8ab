//! Short memory: request bodies that unpack to far more than they are, and hostile targets beside healthy ones.
//!
//! The limit is `ulimit -d`, which the program reads and which ends it when it is passed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ferula_go::protobuf::push_varint;

use super::harness::{Directory, REMOTE_WRITE, configure, metric, post, start};
use super::orders::Orders;
use crate::peer::get;

const LIMIT_MIB: u64 = 1024;

/// The same program, under a limit of memory.
fn limited(orders: &Orders, dir: &Directory) -> Result<Orders> {
    let script = dir.0.join("limited");
    let program = orders.program.display();
    std::fs::write(&script, format!("#!/bin/sh\nulimit -d {}\nexec {program} \"$@\"\n", LIMIT_MIB * 1024))?;
    let status = Command::new("chmod").arg("+x").arg(&script).status()?;
    ensure!(status.success(), "chmod");
    Ok(Orders { program: script, ..orders.clone() })
}

/// How long `/-/healthy` took, in milliseconds, asked until the time is over: the 99th percentile and the largest.
fn watch_health(port: u16, time: Duration) -> Result<(u128, u128)> {
    let (begin, mut took) = (Instant::now(), Vec::new());
    while begin.elapsed() < time {
        let asked = Instant::now();
        let (status, _) = get(port, "/-/healthy").context("the server is gone")?;
        ensure!(status == 200, "/-/healthy: {status}");
        took.push(asked.elapsed().as_millis());
        std::thread::sleep(Duration::from_millis(50));
    }
    took.sort_unstable();
    let at = |share: usize| took.get(took.len().saturating_sub(1) * share / 100).copied().unwrap_or(0);
    Ok((at(99), at(100)))
}

/// Remote writes of 30 MB that are all new series or zeros, from many clients at once.
pub fn bodies(orders: &Orders) -> Result<()> {
    let dir = Directory::new("bodies")?;
    configure(&dir.0, "")?;
    let server = start(&limited(orders, &dir)?, &dir.0, &["--web.enable-remote-write-receiver"])?;
    let (port, end) = (server.port, Instant::now() + orders.time);
    let bombs: Vec<Vec<u8>> = vec![
        snappy_literals(&vec![0; 31 << 20]),
        // A million empty series.
        snappy_literals(&[0x0a, 0x00].repeat(1_000_000)),
        // A length that is a lie.
        vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00],
    ];
    let bombs = Arc::new(bombs);
    let clients: Vec<_> = (0..24usize)
        .map(|client| {
            let bombs = bombs.clone();
            std::thread::spawn(move || {
                let (mut sent, mut answered) = (0u64, 0u64);
                while Instant::now() < end {
                    sent += 1;
                    let bomb = &bombs[(client + sent as usize) % bombs.len()];
                    answered += u64::from(post(port, "/api/v1/write", REMOTE_WRITE, bomb).is_some());
                }
                (sent, answered)
            })
        })
        .collect();
    let (p99, most) = watch_health(port, orders.time)?;
    let done: Vec<(u64, u64)> = clients.into_iter().map(|client| client.join().unwrap_or_default()).collect();
    let (sent, answered) = done.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    let peak = server.usage()?.resident_peak_bytes >> 20;
    println!(
        "{sent} write bombs, {answered} answered; healthy p99 {p99} ms, most {most} ms; peak {peak} MiB of {LIMIT_MIB}"
    );
    Ok(())
}

/// Snappy's block format without compression.
fn snappy_literals(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 60_000 * 3 + 16);
    push_varint(&mut out, bytes.len() as u64);
    for piece in bytes.chunks(1 << 16) {
        let length = piece.len() - 1;
        out.push(61 << 2);
        out.extend_from_slice(&[length as u8, (length >> 8) as u8]);
        out.extend_from_slice(piece);
    }
    out
}

/// What a target answers.
#[derive(Clone)]
enum Page {
    Good,
    Bytes(Arc<Vec<u8>>, &'static str),
    /// A body without end.
    Endless,
    /// Nothing, for ever.
    Silent,
}

fn serve(page: Page) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let page = page.clone();
            std::thread::spawn(move || answer(stream, &page));
        }
    });
    Ok(port)
}

fn answer(mut stream: TcpStream, page: &Page) -> Option<()> {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).ok()?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
    match page {
        Page::Good => write!(stream, "{head}\r\ngood 1\n").ok(),
        Page::Bytes(bytes, more) => {
            write!(stream, "{head}{more}Content-Length: {}\r\n\r\n", bytes.len()).ok()?;
            stream.write_all(bytes).ok()
        }
        Page::Endless => {
            write!(stream, "{head}\r\n").ok()?;
            let line = "endless{a=\"b\"} 1\n".repeat(4096);
            loop {
                stream.write_all(line.as_bytes()).ok()?;
            }
        }
        Page::Silent => {
            std::thread::sleep(Duration::from_secs(60));
            Some(())
        }
    }
}

fn gzip(command: &str) -> Result<Arc<Vec<u8>>> {
    let output = Command::new("sh").args(["-c", &format!("{command} | gzip -1")]).output()?;
    ensure!(output.status.success(), "{command}");
    Ok(Arc::new(output.stdout))
}

/// Hostile targets beside healthy ones: no healthy scrape is missed, and new healthy targets are stored though one bad target
/// has filled the head.
pub fn targets(orders: &Orders) -> Result<()> {
    const HEALTHY: usize = 10;
    const HOSTILE: usize = 24;
    let dir = Directory::new("targets")?;
    const GZIP: &str = "Content-Encoding: gzip\r\n";
    let newlines = gzip("head -c 250000000 /dev/zero | tr '\\0' '\\n'")?;
    let lying = {
        let mut bytes = newlines.to_vec();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&[7, 0, 0, 0]);
        Arc::new(bytes)
    };
    let series = gzip("seq 400000 | sed 's/.*/bad{n=\"&\"} 1/'")?;
    let labels = Arc::new(format!("bad{{l=\"{}\"}} 1\n", "x".repeat(20_000_000)).into_bytes());
    let pages = [
        Page::Bytes(newlines, GZIP),
        Page::Bytes(lying, GZIP),
        Page::Bytes(series, GZIP),
        Page::Bytes(labels, ""),
        Page::Endless,
        Page::Silent,
    ];
    let list = |pages: &mut dyn Iterator<Item = Page>| -> Result<String> {
        let ports: Vec<u16> = pages.map(serve).collect::<Result<_>>()?;
        Ok(ports.iter().map(|port| format!("'127.0.0.1:{port}'")).collect::<Vec<_>>().join(", "))
    };
    let healthy = list(&mut (0..HEALTHY).map(|_| Page::Good))?;
    let hostile = list(&mut (0..HOSTILE).map(|n| pages[n % pages.len()].clone()))?;
    configure(
        &dir.0,
        &format!(
            "scrape_configs:\n- job_name: good\n  static_configs: [{{targets: [{healthy}]}}]\n- job_name: bad\n  static_configs: [{{targets: [{hostile}]}}]\n"
        ),
    )?;
    let server = start(&limited(orders, &dir)?, &dir.0, &[])?;
    let (p99, most) = watch_health(server.port, orders.time)?;
    let seconds = orders.time.as_secs();
    let good = |query: &str| -> Result<f64> {
        let answer = server.query(query, now())?;
        Ok(answer["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0))
    };
    let up = good(&format!("sum(count_over_time(up{{job=\"good\"}}[{seconds}s]))"))?;
    let bad = good(&format!(
        "sum(count_over_time(up{{job=\"good\"}}[{seconds}s])) - sum(sum_over_time(up{{job=\"good\"}}[{seconds}s]))"
    ))?;
    let there = good("count(good)")?;
    let peak = server.usage()?.resident_peak_bytes >> 20;
    let refused = metric(server.port, "ferula_tsdb_head_series_refused_total");
    println!(
        "{HOSTILE} hostile and {HEALTHY} healthy targets: {up} healthy scrapes, {bad} failed, {there} series of them; series refused {refused}; healthy p99 {p99} ms, most {most} ms; peak {peak} MiB of {LIMIT_MIB}"
    );
    ensure!(there as usize == HEALTHY, "{there} of {HEALTHY} healthy targets are stored");
    ensure!(bad == 0.0, "{bad} healthy scrapes failed");
    Ok(())
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
