//! `cargo xtask compare rules --peers DIR [MINUTES]`: 2,000 recording rules over 100,000 series every 15 seconds, in
//! ferula and in Prometheus at the same time.
//!
//! Both scrape the same pages, first without rules and then with them, so that the cost of the rules is visible. The
//! recorded series are compared at the end.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::compare::{ferula_binary, server};
use crate::peer::{Process, Usage, get};

const TARGETS: usize = 20;
const METRICS: usize = 100;
const JOBS: usize = 10;
const INSTANCES: usize = 100;
const RULES_PER_METRIC: usize = 20;
const INTERVAL_SECONDS: u64 = 15;

/// How long the servers run before anything is measured, until the rules' windows are full and first-time work is done.
const WARM_UP: Duration = Duration::from_secs(90);

/// Runs the comparison, with rules for this many minutes.
pub fn rules(peers: &Path, minutes: u64) -> Result<()> {
    ensure!(minutes > 0, "at least one minute");
    let work = std::env::temp_dir().join(format!("ferula-compare-rules-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let ports: Vec<u16> = (0..TARGETS).map(serve_target).collect::<Result<_>>()?;
    let config = work.join("prometheus.yml");
    std::fs::write(&config, configuration(&ports))?;
    let mut servers = [
        server("prometheus", &peers.join("prometheus"), &config, &work)?,
        server("ferula", &ferula_binary()?, &config, &work)?,
    ];
    for process in &mut servers {
        process.await_ready("/-/ready", Duration::from_secs(60))?;
    }
    println!("both scrape {} series; resting {} s", series_count(), WARM_UP.as_secs());
    std::thread::sleep(WARM_UP);
    let resting = measure(&servers, 60)?;
    std::fs::write(work.join("rules.yml"), rule_file())?;
    for process in &servers {
        process.signal("HUP")?;
    }
    println!("both have {} rules; warming up {} s", METRICS * RULES_PER_METRIC, WARM_UP.as_secs());
    std::thread::sleep(WARM_UP);
    let before: Vec<Counts> = servers.iter().map(counts).collect::<Result<_>>()?;
    let with_rules = measure(&servers, minutes * 60)?;
    let after: Vec<Counts> = servers.iter().map(counts).collect::<Result<_>>()?;

    println!("over {minutes} min   CPU s/min  resting  for rules  resident MiB  iterations  missed  failed");
    let mut for_rules = Vec::new();
    for (index, process) in servers.iter().enumerate() {
        let (usage, resting) = (&with_rules[index], &resting[index]);
        for_rules.push(usage.cpu_per_minute - resting.cpu_per_minute);
        println!(
            "{:14} {:11.2} {:8.2} {:10.2} {:13.1} {:11} {:7} {:7}",
            process.name,
            usage.cpu_per_minute,
            resting.cpu_per_minute,
            usage.cpu_per_minute - resting.cpu_per_minute,
            usage.resident_bytes as f64 / 1048576.0,
            after[index].iterations - before[index].iterations,
            after[index].missed - before[index].missed,
            after[index].failed - before[index].failed,
        );
    }
    println!(
        "ferula takes {:.2} of Prometheus' CPU, {:.2} for the rules alone",
        with_rules[1].cpu_per_minute / with_rules[0].cpu_per_minute,
        for_rules[1] / for_rules[0]
    );
    let recorded = compare_recorded(&servers)?;
    println!("both recorded {recorded} series");
    ensure!(after[1].failed == 0.0, "ferula: evaluations failed");
    ensure!(after[1].iterations > before[1].iterations, "ferula: no group ran");
    drop(servers);
    std::fs::remove_dir_all(&work).context("removing the work directory")
}

struct Measured {
    cpu_per_minute: f64,
    resident_bytes: u64,
}

/// Measures what the servers use from now on.
fn measure(servers: &[Process; 2], seconds: u64) -> Result<Vec<Measured>> {
    let before: Vec<Usage> = servers.iter().map(Process::usage).collect::<Result<_>>()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let measured = |(process, before): (&Process, &Usage)| -> Result<Measured> {
        let after = process.usage()?;
        Ok(Measured {
            cpu_per_minute: (after.cpu_seconds - before.cpu_seconds) * 60.0 / seconds as f64,
            resident_bytes: after.resident_bytes,
        })
    };
    servers.iter().zip(&before).map(measured).collect()
}

/// A server's counts of its rules.
struct Counts {
    iterations: f64,
    missed: f64,
    failed: f64,
}

fn counts(process: &Process) -> Result<Counts> {
    let (_, page) = get(process.port, "/metrics")?;
    let page = String::from_utf8_lossy(&page);
    let sum = |name: &str| -> f64 {
        let lines =
            page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    Ok(Counts {
        iterations: sum("prometheus_rule_group_iterations_total"),
        missed: sum("prometheus_rule_group_iterations_missed_total"),
        failed: sum("prometheus_rule_evaluation_failures_total"),
    })
}

/// Both must have recorded the same series. Their values depend on scrape times, which differ.
fn compare_recorded(servers: &[Process; 2]) -> Result<u64> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() - 20.0;
    let mut found = Vec::new();
    for process in servers {
        let answer = process.query("count by (__name__) ({__name__=~\"recorded:.+\"})", at)?;
        let rows = answer["result"].as_array().cloned().unwrap_or_default();
        let mut counts: Vec<(String, String)> = rows
            .iter()
            .map(|row| (row["metric"].to_string(), row["value"][1].as_str().unwrap_or("").to_owned()))
            .collect();
        counts.sort();
        found.push(counts);
    }
    ensure!(found[0] == found[1], "recorded series differ: {:?}", first_difference(&found[0], &found[1]));
    Ok(found[0].iter().filter_map(|(_, count)| count.parse::<u64>().ok()).sum())
}

type Row = (String, String);

fn first_difference<'a>(a: &'a [Row], b: &'a [Row]) -> (Option<&'a Row>, Option<&'a Row>) {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    (a.get(at), b.get(at))
}

fn series_count() -> usize {
    METRICS * JOBS * INSTANCES
}

fn configuration(ports: &[u16]) -> String {
    let targets: Vec<String> = ports.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
    format!(
        "global: {{scrape_interval: {INTERVAL_SECONDS}s, evaluation_interval: {INTERVAL_SECONDS}s}}\n\
         rule_files: [rules.yml]\nscrape_configs:\n- job_name: load\n  honor_labels: true\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    )
}

/// Twenty rules for every metric, one group for every metric.
fn rule_file() -> String {
    let mut out = String::from("groups:\n");
    for metric in 0..METRICS {
        let m = format!("load_{metric:03}_total");
        let _ = writeln!(out, "- name: {m}\n  rules:");
        for rule in 0..RULES_PER_METRIC {
            let job = rule % JOBS;
            let expr = match rule % 10 {
                0 => format!("sum by (job) (rate({m}[5m]))"),
                1 => format!("sum by (instance) (rate({m}{{job=\"job-{job}\"}}[5m]))"),
                2 => format!("avg by (job) ({m})"),
                3 => format!("max by (job) ({m})"),
                4 => format!("rate({m}{{job=\"job-{job}\"}}[5m])"),
                5 => format!("sum(rate({m}[5m]))"),
                6 => format!("count by (job) ({m})"),
                7 => format!("increase({m}{{job=\"job-{job}\"}}[10m])"),
                8 => format!("sum by (job) (rate({m}[1m])) / sum by (job) (rate({m}[5m]))"),
                _ => format!("avg_over_time({m}{{job=\"job-{job}\"}}[5m])"),
            };
            let _ = writeln!(out, "  - record: recorded:{m}:{rule:02}\n    expr: {expr}");
        }
    }
    out
}

/// Serves the pages of one target on its own port for the life of the process.
fn serve_target(target: usize) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A server may have stopped in the middle.
            let _ = answer(stream, target);
        }
    });
    Ok(port)
}

fn answer(stream: TcpStream, target: usize) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let page = page(target, SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / INTERVAL_SECONDS);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes())?;
    Ok(stream.write_all(page.as_bytes())?)
}

/// The target's share of the instances: counters that rise at different speeds.
fn page(target: usize, step: u64) -> String {
    let mut out = String::with_capacity(400_000);
    for metric in 0..METRICS {
        let _ = writeln!(out, "# TYPE load_{metric:03}_total counter");
        for instance in (target..INSTANCES).step_by(TARGETS) {
            for job in 0..JOBS {
                let speed = (metric + 3 * instance + 7 * job) as u64 % 97 + 1;
                let _ = writeln!(
                    out,
                    "load_{metric:03}_total{{job=\"job-{job}\",instance=\"host-{instance:02}:80\",path=\"/api/v1/items\",method=\"GET\"}} {}",
                    step * speed
                );
            }
        }
    }
    out
}
