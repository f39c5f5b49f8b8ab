//! A real Prometheus that holds the data: started on a free port, filled by remote write, asked over HTTP.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ferula_testkit::query_data::QuerySeries;

use crate::answer::Answer;
use crate::{QueryTimes, remote_write};

/// How new the program is, as far as answers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// The version whose answers are wanted.
    pub const WANTED: Version = Version { major: 3, minor: 14 };

    /// What the program says it is.
    fn of(program: &Path) -> Result<Version, String> {
        let output = Command::new(program).arg("--version").output();
        let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers = text.split_once("version ").map_or("", |(_, rest)| rest);
        let mut numbers = numbers.split(['.', ' ', '-', '+', ',']).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Version { major, minor }),
            _ => Err(format!("no version in: {text}")),
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The running program. Stopped when dropped.
pub struct Peer {
    /// What runs.
    pub version: Version,
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Nothing to save: the directory goes as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Starts the program and sends it the data.
    pub fn start(programs: &Path, data: &[QuerySeries]) -> Result<Peer, String> {
        let told = |what: &str| {
            let what = what.to_owned();
            move |error: std::io::Error| format!("{what}: {error}")
        };
        let program = programs.join("prometheus");
        let version = Version::of(&program)?;
        let mut features = "promql-experimental-functions".to_owned();
        if version >= Version::WANTED {
            features.push_str(",promql-extended-range-selectors,promql-binop-fill-modifiers");
        } else {
            features.push_str(",native-histograms");
        }
        let directory = tempfile::tempdir().map_err(told("a temporary directory"))?;
        let config = directory.path().join("prometheus.yml");
        std::fs::write(&config, "global: {evaluation_interval: 1m}\n")
            .map_err(told("writing the configuration"))?;
        let port = ferula_free_port::free_port().map_err(told("a port"))?;
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--storage.tsdb.retention.time=100y", "--web.enable-remote-write-receiver"])
            .arg(format!("--enable-feature={features}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .map_err(told("prometheus"))?;
        let peer = Peer { version, child, address, _directory: directory };
        let end = Instant::now() + Duration::from_secs(30);
        while !peer.post("/-/ready", "").is_ok_and(|(status, _)| status == 200) {
            if Instant::now() > end {
                return Err("prometheus did not become ready".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let form = "application/x-protobuf\r\nContent-Encoding: snappy";
        for request in remote_write::requests(data)? {
            let (status, body) =
                peer.send("/api/v1/write", form, &request).map_err(told("sending the data"))?;
            if status / 100 != 2 {
                return Err(format!("remote write was answered {status}: {body}"));
            }
        }
        Ok(peer)
    }

    /// Asks a query.
    pub fn ask(&self, query: &str, when: QueryTimes) -> Answer {
        let seconds = |ms: i64| format!("{:.3}", ms as f64 / 1000.0);
        let (path, times) = match when {
            QueryTimes::Instant(at) => ("/api/v1/query", format!("time={}", seconds(at))),
            QueryTimes::Range(grid) => (
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
        self.send(path, "application/x-www-form-urlencoded", form.as_bytes())
    }

    /// A request with a body, or without one. The content type may carry more header lines.
    fn send(&self, path: &str, content_type: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        let method = if body.is_empty() { "GET" } else { "POST" };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: peer\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        )?;
        stream.write_all(body)?;
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
