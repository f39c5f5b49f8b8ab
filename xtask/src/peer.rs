//! Real programs side by side: starts ferula and its peers on free ports, queries them over HTTP, and reads their
//! usage.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A running program; killed when dropped.
pub struct Process {
    /// Its name in reports.
    pub name: String,
    child: Child,
    /// The port of its HTTP server.
    pub port: u16,
}

/// The resources a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// The highest resident memory so far.
    pub resident_peak_bytes: u64,
    /// What it has caused to be written to the disk.
    pub written_bytes: u64,
}

impl Usage {
    /// What was used since an earlier time.
    pub fn since(&self, before: &Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            written_bytes: self.written_bytes - before.written_bytes,
            ..*self
        }
    }
}

impl Process {
    /// Starts `program`; its output goes to `log`. `port` must be the port that the arguments tell it to listen on.
    pub fn start(name: &str, program: &Path, args: &[String], log: &Path, port: u16) -> Result<Self> {
        let out = std::fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Process { name: name.to_owned(), child, port })
    }

    /// Waits until `path` answers 200.
    pub fn await_ready(&mut self, path: &str, at_most: Duration) -> Result<()> {
        let end = Instant::now() + at_most;
        loop {
            if get(self.port, path).is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it was ready", self.name);
            }
            ensure!(Instant::now() < end, "{} was not ready within {at_most:?}", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let status =
            Command::new("kill").args([&format!("-{name}"), &pid]).status().context("starting kill")?;
        ensure!(status.success(), "sending {name} to {}", self.name);
        Ok(())
    }

    /// Waits until it has ended.
    pub fn await_end(mut self, at_most: Duration) -> Result<()> {
        let end = Instant::now() + at_most;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < end, "{} has not ended within {at_most:?}", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Time and memory used, from `/proc`.
    pub fn usage(&self) -> Result<Usage> {
        let directory = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat = std::fs::read_to_string(directory.join("stat")).context("reading /proc stat")?;
        // The name in parentheses may contain spaces; utime and stime are the 12th and 13th fields after it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
        let status = std::fs::read_to_string(directory.join("status")).context("reading /proc status")?;
        let kilobytes = |key: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(key));
            line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        Ok(Usage {
            cpu_seconds: ticks / 100.0,
            resident_bytes: kilobytes("VmRSS:") * 1024,
            resident_peak_bytes: kilobytes("VmHWM:") * 1024,
            written_bytes: written_bytes(&directory),
        })
    }

    /// The result of an instant query: `data` of the answer.
    pub fn query(&self, query: &str, at_seconds: f64) -> Result<Value> {
        self.api(&format!("/api/v1/query?time={at_seconds}&query={}", percent_encode(query)))
    }

    /// `data` of an API answer.
    pub fn api(&self, path: &str) -> Result<Value> {
        let (status, body) = get(self.port, path).with_context(|| format!("asking {}", self.name))?;
        let answer: Value = serde_json::from_slice(&body).with_context(|| {
            format!("{}: status {status}, not JSON: {}", self.name, String::from_utf8_lossy(&body))
        })?;
        ensure!(answer["status"] == "success", "{}: {path}: {answer}", self.name);
        Ok(answer["data"].clone())
    }
}

/// Bytes that a process has caused to be written; 0 if the system does not say.
fn written_bytes(directory: &Path) -> u64 {
    let io = std::fs::read_to_string(directory.join("io")).unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A GET over HTTP/1.0: status and body.
pub fn get(port: u16, path: &str) -> Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head_end = answer.windows(4).position(|w| w == b"\r\n\r\n").context("an answer has a head")?;
    let head = String::from_utf8_lossy(&answer[..head_end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("an answer has a status")?;
    Ok((status, answer.split_off(head_end + 4)))
}

/// Encodes `text` for a query string.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
