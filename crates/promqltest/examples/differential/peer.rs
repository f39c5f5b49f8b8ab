//! A real Prometheus that holds the data: blocks made by its promtool, started on a free port, asked over HTTP.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ferula_testkit::query_data::QuerySeries;

use crate::When;
use crate::answer::Answer;

/// The running program. Stopped when dropped.
pub struct Peer {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Nothing to save: the folder goes as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Makes the blocks and starts the program.
    pub fn start(programs: &Path, data: &[QuerySeries]) -> Result<Peer, String> {
        let told = |what: &str| {
            let what = what.to_owned();
            move |error: std::io::Error| format!("{what}: {error}")
        };
        let folder = tempfile::tempdir().map_err(told("a temporary folder"))?;
        let (page, blocks) = (folder.path().join("page.om"), folder.path().join("data"));
        std::fs::write(&page, openmetrics(data)).map_err(told("writing the page"))?;
        let made = Command::new(programs.join("promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .args([&page, &blocks])
            .output()
            .map_err(told("promtool"))?;
        if !made.status.success() {
            return Err(format!("promtool: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "global: {evaluation_interval: 1m}\n")
            .map_err(told("writing the configuration"))?;
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(told("a port"))?.port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(programs.join("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", blocks.display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--storage.tsdb.retention.time=100y", "--enable-feature=promql-experimental-functions"])
            .args(["--log.level=error"])
            .stdin(Stdio::null())
            .spawn()
            .map_err(told("prometheus"))?;
        let peer = Peer { child, address, _folder: folder };
        let end = Instant::now() + Duration::from_secs(30);
        while !peer.post("/-/ready", "").is_ok_and(|(status, _)| status == 200) {
            if Instant::now() > end {
                return Err("prometheus did not become ready".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(peer)
    }

    /// Asks a query.
    pub fn ask(&self, query: &str, when: When) -> Answer {
        let seconds = |ms: i64| format!("{:.3}", ms as f64 / 1000.0);
        let (path, times) = match when {
            When::Instant(at) => ("/api/v1/query", format!("time={}", seconds(at))),
            When::Range(grid) => (
                "/api/v1/query_range",
                format!(
                    "start={}&end={}&step={}",
                    seconds(grid.start_ms),
                    seconds(grid.end_ms),
                    seconds(grid.step_ms)
                ),
            ),
        };
        match self.post(path, &format!("query={}&{times}", escaped(query))) {
            Ok((_, body)) => Answer::theirs(&body),
            Err(error) => Answer::failed(error.to_string()),
        }
    }

    fn post(&self, path: &str, form: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "{} {path} HTTP/1.0\r\nHost: peer\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            if form.is_empty() { "GET" } else { "POST" },
            form.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Ok((status, body.to_owned()))
    }
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        out
    })
}

/// The data as a page with timestamps. Families are untyped, so that names may end as they like.
fn openmetrics(data: &[QuerySeries]) -> String {
    let mut page = String::new();
    for series in data {
        for (at, value) in &series.samples {
            let labels: Vec<String> = series
                .labels
                .iter()
                .filter(|(name, _)| *name != "__name__")
                .map(|(name, value)| format!("{name}=\"{value}\""))
                .collect();
            let value = ferula_model::number::format_e(*value);
            let name = series.labels.metric_name();
            writeln!(page, "{name}{{{}}} {value} {}.{:03}", labels.join(","), at / 1000, at % 1000)
                .expect("writing to a String cannot fail");
        }
    }
    page + "# EOF\n"
}
