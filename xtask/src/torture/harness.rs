//! What the parts share: random numbers, a server on a free port, remote writes, and everything that a server shows.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferula_free_port::free_port;
use ferula_go::protobuf::{put_bytes, put_double, put_varint};
use serde_json::Value;

use super::orders::Orders;
use crate::peer::{Process, get, percent_encode};

/// Numbers from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// A directory of one part, below that of the run.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Result<Self> {
        let path = run_directory().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Directory(path))
    }
}

/// Where this run keeps its files. They are removed after every part that did not fail.
pub fn run_directory() -> PathBuf {
    std::env::temp_dir().join(format!("ferula-torture-{}", std::process::id()))
}

/// Starts the program in a directory that has a `prometheus.yml`, and waits until it is ready.
pub fn start(orders: &Orders, dir: &Path, flags: &[&str]) -> Result<Process> {
    let port = free_port()?;
    let mut args = vec![
        format!("--web.listen-address=127.0.0.1:{port}"),
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
    ];
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let mut server = Process::start("ferula", &orders.program, &args, &dir.join("log"), port)?;
    let ready = server.await_ready("/-/ready", Duration::from_secs(60));
    ready
        .with_context(|| format!("log:\n{}", std::fs::read_to_string(dir.join("log")).unwrap_or_default()))?;
    Ok(server)
}

/// Writes the configuration: out-of-order samples are taken, nothing is scraped.
pub fn configure(dir: &Path, scrape_configs: &str) -> Result<()> {
    let text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nstorage: {{tsdb: {{out_of_order_time_window: 1h}}}}\n{scrape_configs}"
    );
    Ok(std::fs::write(dir.join("prometheus.yml"), text)?)
}

/// Sends a request, and returns the status; `None` when the server is gone.
pub fn post(port: u16, path: &str, headers: &str, body: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    write!(stream, "POST {path} HTTP/1.0\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
        .ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

pub const REMOTE_WRITE: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n";

/// A remote write 1.0 request: one sample for each series.
pub fn write_request(samples: &[(String, i64, f64)]) -> Vec<u8> {
    let mut request = Vec::new();
    for (series, at, value) in samples {
        let mut body = Vec::new();
        for (name, text) in [("__name__", "torture"), ("series", series.as_str())] {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, text.as_bytes());
            put_bytes(&mut body, 1, &label);
        }
        let mut sample = Vec::new();
        put_double(&mut sample, 1, *value);
        put_varint(&mut sample, 2, *at as u64);
        put_bytes(&mut body, 2, &sample);
        put_bytes(&mut request, 1, &body);
    }
    snap::raw::Encoder::new().compress_vec(&request).expect("a request is far below 4 GiB")
}

/// Samples by series and time in milliseconds.
pub type ShownSamples = BTreeMap<String, BTreeMap<i64, String>>;

/// Everything that a server shows of the fixture from `hours` back on; `None` when it is gone.
pub fn shown(port: u16, at_seconds: f64, hours: u32) -> Option<ShownSamples> {
    let query = percent_encode(&format!("torture[{hours}h]"));
    let (status, body) = get(port, &format!("/api/v1/query?query={query}&time={at_seconds}")).ok()?;
    let answer: Value = serde_json::from_slice(&body).ok()?;
    if status != 200 {
        return None;
    }
    let mut all = ShownSamples::new();
    for series in answer["data"]["result"].as_array()? {
        let samples = all.entry(series["metric"]["series"].as_str()?.to_owned()).or_default();
        for sample in series["values"].as_array()? {
            let at = (sample[0].as_f64()? * 1000.0).round() as i64;
            samples.insert(at, sample[1].as_str()?.to_owned());
        }
    }
    Some(all)
}

/// How many samples of `kept` are not in `now`, or are others.
pub fn missing(kept: &ShownSamples, now: &ShownSamples) -> usize {
    let same = |series: &String, at: &i64, value: &String| {
        now.get(series).and_then(|samples| samples.get(at)).is_some_and(|found| found == value)
    };
    kept.iter().map(|(series, all)| all.iter().filter(|(at, value)| !same(series, at, value)).count()).sum()
}

/// Some of those samples, for a message.
pub fn some_missing(kept: &ShownSamples, now: &ShownSamples) -> String {
    let mut some = Vec::new();
    for (series, all) in kept {
        let found = now.get(series);
        for (at, value) in all {
            match found.and_then(|samples| samples.get(at)) {
                Some(found) if found == value => {}
                found => some.push(format!("series {series} at {at}: {value}, found {found:?}")),
            }
        }
    }
    some.truncate(100);
    some.join("\n")
}

pub fn count(shown: &ShownSamples) -> usize {
    shown.values().map(BTreeMap::len).sum()
}

/// Runs a command of the program and fails unless it succeeds.
pub fn tool(orders: &Orders, args: &[&str]) -> Result<String> {
    let output = std::process::Command::new(&orders.program).args(args).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{args:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// A number of the server's own metrics, summed over labels.
pub fn metric(port: u16, name: &str) -> f64 {
    let Ok((200, page)) = get(port, "/metrics") else { return f64::NAN };
    let page = String::from_utf8_lossy(&page).into_owned();
    let of_name =
        page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
