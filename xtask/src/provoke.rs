//! `cargo xtask provoke [FACTOR]`: makes every alert of config/rules fire on a fixture, and shows the notifications.
//!
//! A fixture service misbehaves in every way that the rules watch for. Ferula (release build) scrapes it and sends
//! firing alerts to a listener in place of an Alertmanager. All durations of the rules are divided by FACTOR (default
//! 15), so "for 5 minutes" takes 20 seconds; thresholds stay the same.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::compare::ferula_binary;
use crate::peer::{Process, free_port};
use crate::run::root;

/// Alerts that must arrive. Slow burn and "full within a day" take days even if divided by 15.
const EXPECTED: [&str; 11] = [
    "CpuPressure",
    "DiskAlmostFull",
    "ErrorBudgetBurnsFast",
    "HighErrorRatio",
    "InstanceDown",
    "LoginFailures",
    "MemoryPressure",
    "RestartLoop",
    "SlowGrpc",
    "SlowRequests",
    "TrafficDrop",
];

/// The longest `for` of the expected alerts is 15 minutes; this leaves room for windows to fill.
const LONGEST: Duration = Duration::from_secs(25 * 60);

pub fn provoke(factor: u64) -> Result<()> {
    ensure!((1..=60).contains(&factor), "the factor must be between 1 and 60");
    let work = std::env::temp_dir().join(format!("ferula-provoke-{}", std::process::id()));
    let config = write_configuration(&work, factor)?;
    let (told, arrivals) = channel();
    let fixture = TcpListener::bind(("127.0.0.1", 0))?;
    let alertmanager = TcpListener::bind(("127.0.0.1", 0))?;
    let dying = TcpListener::bind(("127.0.0.1", 0))?;
    std::fs::write(
        &config,
        std::fs::read_to_string(&config)?
            .replace("FIXTURE", &fixture.local_addr()?.to_string())
            .replace("DYING", &dying.local_addr()?.to_string())
            .replace("ALERTMANAGER", &alertmanager.local_addr()?.to_string()),
    )?;
    let start = Instant::now();
    serve(fixture, move |_| (200, misbehaving_page(start)));
    serve(alertmanager, move |body| {
        // The receiver is dropped only when this chore has ended.
        let _ = told.send(body.to_vec());
        (200, String::new())
    });
    // Answers its first scrape and then exits.
    std::thread::spawn(move || {
        if let Ok((stream, _)) = dying.accept() {
            answer(stream, &|_| (200, "up_and_well 1\n".to_owned()));
        }
    });

    let port = free_port()?;
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", work.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--rules.alert.resend-delay=5s".to_owned(),
    ];
    let mut ferula = Process::start("ferula", &ferula_binary()?, &args, &work.join("ferula.log"), port)?;
    ferula.await_ready("/-/ready", Duration::from_secs(30))?;
    println!("ferula runs on http://127.0.0.1:{port}, its log is {}", work.join("ferula.log").display());
    let missing = await_alerts(&arrivals, start, LONGEST / u32::try_from(factor)? + Duration::from_secs(60));
    ensure!(missing.is_empty(), "these alerts did not arrive: {}", missing.join(", "));
    println!("all {} alerts arrived", EXPECTED.len());
    drop(ferula);
    std::fs::remove_dir_all(&work).context("removing the work directory")
}

/// Prints every alert when it first arrives. Returns those that never did.
fn await_alerts(arrivals: &Receiver<Vec<u8>>, start: Instant, at_most: Duration) -> Vec<&'static str> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let missing = |seen: &BTreeMap<String, String>| -> Vec<&'static str> {
        EXPECTED.into_iter().filter(|name| !seen.contains_key(*name)).collect()
    };
    while !missing(&seen).is_empty() && start.elapsed() < at_most {
        let Ok(body) = arrivals.recv_timeout(Duration::from_secs(1)) else { continue };
        let alerts: Value = serde_json::from_slice(&body).unwrap_or_default();
        for alert in alerts.as_array().into_iter().flatten() {
            let text = |path: &str| alert.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
            let (name, summary) = (text("/labels/alertname"), text("/annotations/summary"));
            if seen.insert(name.clone(), summary.clone()).is_none() {
                println!(
                    "{:5.1} s  {name} ({}): {summary}",
                    start.elapsed().as_secs_f64(),
                    text("/labels/severity")
                );
            }
        }
    }
    missing(&seen)
}

/// Writes the rule files with shorter durations, and a configuration that names them.
fn write_configuration(work: &Path, factor: u64) -> Result<PathBuf> {
    std::fs::create_dir_all(work)?;
    for name in ["service.yml", "machine.yml", "slo.yml"] {
        let rules = std::fs::read_to_string(root().join("config/rules").join(name))?;
        std::fs::write(work.join(name), shortened(&rules, factor))?;
    }
    let config = work.join("prometheus.yml");
    std::fs::write(
        &config,
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n\
         rule_files: [service.yml, machine.yml, slo.yml]\n\
         alerting: {alertmanagers: [{static_configs: [{targets: ['ALERTMANAGER']}]}]}\n\
         scrape_configs:\n\
         - {job_name: shop, static_configs: [{targets: ['FIXTURE']}]}\n\
         - {job_name: mortal, static_configs: [{targets: ['DYING']}]}\n",
    )?;
    Ok(config)
}

/// `rules` with every duration in brackets or after `for:` and `interval:` divided by `factor`.
fn shortened(rules: &str, factor: u64) -> String {
    let mut out = String::new();
    for line in rules.lines() {
        let (code, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        let key = ["for: ", "interval: "].iter().find(|key| code.trim_start().starts_with(**key));
        if let Some(key) = key {
            let at = code.find(key).unwrap_or(0) + key.len();
            out.push_str(&code[..at]);
            let value = &code[at..];
            out.push_str(&divided(value.trim(), factor));
            out.push_str(&value[value.trim_end().len()..]);
        } else {
            for (index, part) in code.split('[').enumerate() {
                match part.split_once(']') {
                    Some((duration, rest)) if index > 0 => {
                        out.push_str(&format!("[{}]{rest}", divided(duration, factor)));
                    }
                    _ if index > 0 => out.push_str(&format!("[{part}")),
                    _ => out.push_str(part),
                }
            }
        }
        out.push_str(comment);
        out.push('\n');
    }
    out
}

/// `5m` divided by 15 is `20s`; never less than two seconds, which is enough for two scrapes.
fn divided(duration: &str, factor: u64) -> String {
    let (number, unit) = duration.split_at(duration.len().saturating_sub(1));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return duration.to_owned(),
    };
    number
        .parse::<u64>()
        .map_or_else(|_| duration.to_owned(), |number| format!("{}s", (number * unit / factor).max(2)))
}

/// A failing service: everything grows with the wall clock, so every scrape sees it continue.
fn misbehaving_page(start: Instant) -> String {
    let seconds = start.elapsed().as_secs_f64();
    let count = |per_second: f64| (per_second * seconds).floor();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let mut page = String::new();
    let mut line = |series: &str, value: f64| page.push_str(&format!("{series} {value}\n"));
    // Five requests per second, one in ten an error; half of them take a second or more.
    line("http_requests_total{status=\"200\"}", count(4.5));
    line("http_requests_total{status=\"503\"}", count(0.5));
    for (le, share) in [("0.5", 0.5), ("1", 0.6), ("2", 1.0), ("+Inf", 1.0)] {
        line(&format!("http_request_duration_seconds_bucket{{le=\"{le}\"}}"), count(50.0 * share));
        line(
            &format!("grpc_server_handling_seconds_bucket{{grpc_method=\"Login\",le=\"{le}\"}}"),
            count(50.0 * share),
        );
    }
    line("auth_login_failure_total{reason=\"password\"}", count(30.0));
    // Stops and starts again every five seconds.
    line("process_start_time_seconds", (unix / 5.0).floor() * 5.0);
    line("node_memory_MemTotal_bytes", 16e9);
    line("node_memory_MemAvailable_bytes", 0.4e9);
    line("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"}", 0.02 * seconds);
    line("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}", 0.98 * seconds);
    line("node_filesystem_size_bytes{mountpoint=\"/\",fstype=\"ext4\"}", 100e9);
    line("node_filesystem_avail_bytes{mountpoint=\"/\",fstype=\"ext4\"}", 2e9);
    page
}

/// Answers each request in a separate thread until the process ends.
fn serve(listener: TcpListener, respond: impl Fn(&[u8]) -> (u16, String) + Send + Sync + 'static) {
    let respond = std::sync::Arc::new(respond);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let respond = respond.clone();
            std::thread::spawn(move || answer(stream, &*respond));
        }
    });
}

/// Reads one request and answers it. A broken connection is not an error.
fn answer(stream: TcpStream, respond: &dyn Fn(&[u8]) -> (u16, String)) {
    let _ = try_answer(stream, respond);
}

fn try_answer(mut stream: TcpStream, respond: &dyn Fn(&[u8]) -> (u16, String)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, text) = respond(&body);
    write!(
        stream,
        "HTTP/1.1 {status} OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_shrink_and_the_rest_stays() {
        let rules = "  interval: 5m\n  for: 2m # keep 5m here\n  expr: rate(a[1h]) > 0.5 and b{c=\"[5m\"}\n";
        let expected =
            "  interval: 20s\n  for: 8s # keep 5m here\n  expr: rate(a[240s]) > 0.5 and b{c=\"[5m\"}\n";
        assert_eq!(shortened(rules, 15), expected);
        assert_eq!(divided("30d", 15), "172800s");
        assert_eq!(divided("1s", 15), "2s");
    }
}
