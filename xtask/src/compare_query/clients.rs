//! `cargo xtask compare query --peers DIR --clients N`: dashboards of many people beside ingestion.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::queries::{QUERIES, Query};
use crate::compare_store::{Cache, Server, Work, mib, send, send_round};
use crate::generated::Series;
use crate::peer::{Process, get};

/// Series that are ingested, and how many samples of each are there when the clients come.
const SERIES: usize = 200_000;
const HISTORY: usize = 40;
/// How long the clients ask.
const ASKING: Duration = Duration::from_secs(60);
/// A round of samples begins so often: 40,000 samples a second.
const PACE_MS: i64 = 5000;
const PACE: Duration = Duration::from_millis(PACE_MS as u64);

/// `compare query --peers DIR --clients N`
pub fn clients(peers: &Path, clients: usize) -> Result<()> {
    println!(
        "{clients} clients for {} s beside {SERIES} series that get a sample every {} s",
        ASKING.as_secs(),
        PACE.as_secs()
    );
    for server in Server::ALL {
        let work = Work::new(peers, "")?;
        let process = server.start(&work, Cache::On)?;
        let series = Series::new(SERIES);
        let end_ms = send(&process, &series, HISTORY)?;
        let alone = rounds(&process, &series, end_ms, &AtomicBool::new(false), 3)?;
        let before = process.usage()?;
        let stop = AtomicBool::new(false);
        let (mut times, sent) = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..clients)
                .map(|client| {
                    scope.spawn({
                        let (process, stop) = (&process, &stop);
                        move || ask(process, client, end_ms, stop)
                    })
                })
                .collect();
            let sending = scope.spawn(|| rounds(&process, &series, end_ms + 3 * PACE_MS, &stop, usize::MAX));
            std::thread::sleep(ASKING);
            stop.store(true, Ordering::Relaxed);
            let mut times = Vec::new();
            for client in asking {
                times.extend(client.join().ok().context("a client panicked")??);
            }
            anyhow::Ok((times, sending.join().ok().context("the sender panicked")??))
        })?;
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            times.get(((times.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
        };
        let usage = process.usage()?;
        println!(
            "{:17} {:>7} answers, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms; a round of samples takes {:.2} s alone, {:.2} s beside them; \
             CPU {:.1} s, peak {:.0} MiB",
            server.name(),
            times.len(),
            at(0.5),
            at(0.95),
            at(0.99),
            mean(&alone),
            mean(&sent),
            usage.since(&before).cpu_seconds,
            mib(usage.resident_peak_bytes),
        );
    }
    Ok(())
}

/// Sends rounds at the pace until `stop`, at most so many. Returns how many seconds each took.
fn rounds(
    process: &Process,
    series: &Series,
    end_ms: i64,
    stop: &AtomicBool,
    most: usize,
) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) && took.len() < most {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += PACE;
        let begin = Instant::now();
        let round = took.len();
        send_round(process, series, HISTORY + round, end_ms + (round as i64 + 1) * PACE_MS)?;
        took.push(begin.elapsed().as_secs_f64());
    }
    Ok(took)
}

/// One client: the queries of a dashboard over what was there before, each after the answer of the one before it.
fn ask(process: &Process, client: usize, end_ms: i64, stop: &AtomicBool) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let dashboard: Vec<&Query> =
        QUERIES.iter().filter(|query| query.span.is_some_and(|(span, _)| span == 3600)).collect();
    for query in dashboard.iter().cycle().skip(client) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let begin = Instant::now();
        let (status, _) = get(process.port, &super::path(query, end_ms))?;
        ensure!(status == 200, "{} answered {status} to {}", process.name, query.text);
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
