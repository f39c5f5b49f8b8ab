//! `cargo xtask compare query --peers DIR`: ferula, Prometheus and VictoriaMetrics hold the same day of samples and answer the same
//! queries, one program after the other.
//!
//! Here: the run and its report. Below: the queries (`queries.rs`), and dashboards beside ingestion (`clients.rs`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::compare_store::{Cache, Server, Work, mib, now_ms, send_until};
use crate::generated::Series;
use crate::peer::{Process, percent_encode};

pub mod clients;
mod queries;

use queries::{QUERIES, Query};

/// Series of the store, with ten labels each: 40 of each name.
const SERIES: usize = 4000;
/// Samples of a series: a day, every 15 seconds.
const ROUNDS: usize = 5760;
/// Prometheus and ferula cut blocks once a minute; queries are asked when that is over.
const SETTLING: Duration = Duration::from_secs(75);
/// How long a query is asked again, and how often at least.
const MEASURED: Duration = Duration::from_millis(1500);
const TIMES_MIN: usize = 5;

/// What a query cost in one program.
#[derive(Clone, Copy)]
struct Cost {
    median_ms: f64,
    p95_ms: f64,
    cpu_ms: f64,
}

/// What a program did with all queries.
struct Run {
    name: &'static str,
    costs: Vec<Cost>,
    answers: Vec<Value>,
    peak_mib: f64,
}

/// `cargo xtask compare query --peers DIR [--short]`
pub fn query(peers: &Path, is_short: bool) -> Result<()> {
    let (series, rounds) = if is_short { (1000, 480) } else { (SERIES, ROUNDS) };
    println!("{} samples of {series} series; {} queries", series * rounds, QUERIES.len());
    // The same for all of them, so that answers can be compared.
    let end_ms = now_ms() - now_ms() % 1000;
    let mut runs = Vec::new();
    for server in Server::ALL {
        let work = Work::new(peers, "")?;
        let process = server.start(&work, Cache::Off)?;
        send_until(&process, &Series::new(series), rounds, end_ms)?;
        std::thread::sleep(if is_short { Duration::from_secs(2) } else { SETTLING });
        // A start gives back what loading took, so that the peak is that of the queries.
        process.signal("TERM")?;
        process.await_end(Duration::from_secs(120))?;
        let process = server.start(&work, Cache::Off)?;
        runs.push(ask_all(server.name(), &process, end_ms)?);
        drop(process);
        if server == Server::VictoriaMetrics {
            let process = server.start(&work, Cache::On)?;
            runs.push(ask_all("victoria, cache", &process, end_ms)?);
        }
    }
    report(&runs);
    let (ferula, prometheus) = (&runs[0], &runs[1]);
    let differ: Vec<&str> = QUERIES
        .iter()
        .zip(ferula.answers.iter().zip(&prometheus.answers))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(query, _)| query.text)
        .collect();
    ensure!(differ.is_empty(), "ferula and Prometheus answer differently: {differ:#?}");
    println!("ferula and Prometheus gave equal answers to all {} queries", QUERIES.len());
    Ok(())
}

fn ask_all(name: &'static str, process: &Process, end_ms: i64) -> Result<Run> {
    let (mut costs, mut answers) = (Vec::new(), Vec::new());
    for query in QUERIES {
        let path = path(query, end_ms);
        answers.push(sorted_rows(process.api(&path).with_context(|| query.text.to_owned())?));
        costs.push(measure(process, &path).with_context(|| query.text.to_owned())?);
    }
    Ok(Run { name, costs, answers, peak_mib: mib(process.usage()?.resident_peak_bytes) })
}

/// Asks a query again and again.
fn measure(process: &Process, path: &str) -> Result<Cost> {
    let (before, begin) = (process.usage()?, Instant::now());
    let mut times = Vec::new();
    while times.len() < TIMES_MIN || begin.elapsed() < MEASURED {
        let asked = Instant::now();
        crate::peer::get(process.port, path)?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    let cpu_ms = process.usage()?.since(&before).cpu_seconds * 1e3 / times.len() as f64;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Ok(Cost { median_ms: at(0.5), p95_ms: at(0.95), cpu_ms })
}

/// The request of a query whose last step is the last sample.
fn path(query: &Query, end_ms: i64) -> String {
    let (text, end) = (percent_encode(query.text), end_ms / 1000);
    match query.span {
        None => format!("/api/v1/query?query={text}&time={end}"),
        Some((span, step)) => {
            format!("/api/v1/query_range?query={text}&start={}&end={end}&step={step}", end - span)
        }
    }
}

/// `data` of an answer with its rows in one order: PromQL leaves that of most results open.
fn sorted_rows(mut data: Value) -> Value {
    if let Some(rows) = data["result"].as_array_mut() {
        rows.sort_by_cached_key(|row| row["metric"].to_string());
    }
    data
}

fn report(runs: &[Run]) {
    print!("{:104}", "milliseconds: median, p95 of the time; CPU");
    runs.iter().for_each(|run| print!("{:>28}", run.name));
    println!();
    for (number, query) in QUERIES.iter().enumerate() {
        print!("{:10}{:94}", query.spelled_span(), query.text);
        for run in runs {
            let Cost { median_ms, p95_ms, cpu_ms } = run.costs[number];
            print!("{:>28}", format!("{median_ms:.2} {p95_ms:.2}; {cpu_ms:.2}"));
        }
        println!();
    }
    let peaks: Vec<String> = runs.iter().map(|run| format!("{} {:.0} MiB", run.name, run.peak_mib)).collect();
    println!("highest memory while querying: {}", peaks.join(", "));
    let Some((ferula, peers)) = runs.split_first() else { return };
    for peer in peers {
        let ratios =
            |figure: fn(&Cost) -> f64| ratios(ferula.costs.iter().map(figure), peer.costs.iter().map(figure));
        let (median, p95, cpu) =
            (ratios(|cost| cost.median_ms), ratios(|cost| cost.p95_ms), ratios(|cost| cost.cpu_ms));
        println!(
            "ferula of {}: geometric mean of the median {:.3}, of the p95 {:.3}, of the CPU {:.3}; slower in {} of {} queries",
            peer.name,
            geometric_mean(&median),
            geometric_mean(&p95),
            geometric_mean(&cpu),
            median.iter().filter(|ratio| **ratio > 1.0).count(),
            median.len(),
        );
        let mut worst: BTreeMap<u64, &str> = BTreeMap::new();
        for (ratio, query) in median.iter().zip(QUERIES) {
            worst.insert((ratio * 1e6) as u64, query.text);
        }
        for (ratio, text) in worst.iter().rev().take(5) {
            println!("    {:.2} of its time: {text}", *ratio as f64 / 1e6);
        }
    }
}

fn ratios(ours: impl Iterator<Item = f64>, theirs: impl Iterator<Item = f64>) -> Vec<f64> {
    // Times are never 0; CPU is counted in hundredths of a second over all repetitions and may be.
    let floor = 0.001;
    ours.zip(theirs).map(|(ours, theirs)| ours.max(floor) / theirs.max(floor)).collect()
}

fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_in_one_order() {
        let rows = |text: &str| sorted_rows(serde_json::from_str(text).expect("JSON"));
        let (ab, ba) = (
            r#"{"result": [{"metric": {"a": "1"}, "value": [1, "2"]}, {"metric": {"b": "1"}, "value": [1, "3"]}]}"#,
            r#"{"result": [{"metric": {"b": "1"}, "value": [1, "3"]}, {"metric": {"a": "1"}, "value": [1, "2"]}]}"#,
        );
        assert_eq!(rows(ab), rows(ba));
        assert_ne!(rows(ab), rows(&ba.replace("\"3\"", "\"4\"")));
        assert_eq!(rows(r#"{"resultType": "scalar", "result": [1, "2"]}"#)["result"][1], "2");
    }

    #[test]
    fn means_are_of_ratios() {
        let ratios = ratios([1.0, 8.0].into_iter(), [2.0, 4.0].into_iter());
        assert_eq!(ratios, [0.5, 2.0]);
        assert!((geometric_mean(&ratios) - 1.0).abs() < 1e-12);
    }
}
