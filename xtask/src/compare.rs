//! `cargo xtask compare …`: runs ferula and the real programs side by side, on the same input at the same time.
//!
//! Here: what is run and which answers must agree. Elsewhere: starting and querying (`peer.rs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ferula_free_port::free_port;
use serde_json::Value;

use crate::peer::Process;
use crate::root::root;

/// Queries over node_exporter whose results do not depend on the time of the scrape: values that stay constant while
/// the machine runs, and the shape of the rest.
const STEADY_QUERIES: [&str; 16] = [
    "count by (__name__) ({job=\"node\"})",
    "count({job=\"node\"})",
    "node_uname_info",
    "node_os_info",
    "node_memory_MemTotal_bytes",
    "node_memory_MemTotal_bytes / 1024 ^ 3",
    "node_boot_time_seconds",
    "node_filesystem_size_bytes",
    "sum by (fstype) (node_filesystem_size_bytes)",
    "count by (mode) (node_cpu_seconds_total)",
    "node_network_mtu_bytes * on (device) group_left (operstate) node_network_info",
    "label_replace(node_os_info, \"short\", \"$1\", \"version_id\", \"(\\\\d+).*\")",
    "topk(1, node_filesystem_size_bytes)",
    "absent(node_no_such_metric{a=\"b\"})",
    "count(rate(node_cpu_seconds_total[1m]) >= 0)",
    "up{job=\"node\"}",
];

/// `cargo xtask compare scrape PEERS [MINUTES]`: both scrape the same node_exporter with the same configuration.
pub fn scrape(peers: &Path, minutes: u64) -> Result<()> {
    let work = std::env::temp_dir().join(format!("ferula-compare-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let node_port = free_port()?;
    let mut node = Process::start(
        "node_exporter",
        &peers.join("node_exporter"),
        &[format!("--web.listen-address=127.0.0.1:{node_port}")],
        &work.join("node_exporter.log"),
        node_port,
    )?;
    node.await_ready("/metrics", Duration::from_secs(20))?;
    let config = work.join("prometheus.yml");
    std::fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 5s, evaluation_interval: 5s}}\n\
             scrape_configs:\n- job_name: node\n  static_configs: [{{targets: ['127.0.0.1:{node_port}']}}]\n"
        ),
    )?;
    let mut prometheus = server("prometheus", &peers.join("prometheus"), &config, &work)?;
    let mut ferula = server("ferula", &ferula_binary()?, &config, &work)?;
    for process in [&mut prometheus, &mut ferula] {
        process.await_ready("/-/ready", Duration::from_secs(60))?;
    }
    println!("both run; looking again in {minutes} min");
    std::thread::sleep(Duration::from_secs(minutes * 60));

    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() - 6.0;
    let mut different = Vec::new();
    for query in STEADY_QUERIES {
        let answers = [prometheus.query(query, at)?, ferula.query(query, at)?];
        let same = samples(&answers[0]) == samples(&answers[1]);
        println!(
            "{} {query}: {} series",
            if same { "same     " } else { "DIFFERENT" },
            samples(&answers[1]).len()
        );
        if !same {
            different.push(format!("{query}\n  prometheus {}\n  ferula     {}", answers[0], answers[1]));
        }
    }
    println!("after {minutes} min      cpu s   resident MiB   peak MiB");
    for process in [&prometheus, &ferula] {
        let usage = process.usage()?;
        println!(
            "{:14} {:10.2} {:12.1} {:10.1}",
            process.name,
            usage.cpu_seconds,
            usage.resident_bytes as f64 / 1048576.0,
            usage.resident_peak_bytes as f64 / 1048576.0
        );
    }
    ensure!(different.is_empty(), "answers differ:\n{}", different.join("\n"));
    std::fs::remove_dir_all(&work).context("removing the work directory")
}

/// Starts a server that takes Prometheus' flags.
pub fn server(name: &str, program: &Path, config: &Path, work: &Path) -> Result<Process> {
    let port = free_port()?;
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", work.join(format!("{name}-data")).display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    Process::start(name, program, &args, &work.join(format!("{name}.log")), port)
}

/// The release build of ferula, which must exist; `FERULA_BINARY` names another program that takes the same flags.
pub fn ferula_binary() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("FERULA_BINARY") {
        return Ok(PathBuf::from(binary));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let binary = target.join("release/ferula");
    ensure!(binary.is_file(), "{} is missing: cargo build --release", binary.display());
    Ok(binary)
}

/// Label set and value of every sample of a result, in any order.
fn samples(data: &Value) -> BTreeMap<String, String> {
    let rows = data["result"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| (sorted(&row["metric"]), row["value"][1].to_string())).collect()
}

fn sorted(metric: &Value) -> String {
    let labels: BTreeMap<&String, &Value> = metric.as_object().into_iter().flatten().collect();
    format!("{labels:?}")
}
