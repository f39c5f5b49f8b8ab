//! An Alertmanager, either ours or the real one, and a webhook receiver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use ferula_testkit::shared::peer;
use serde_json::Value;

/// Longer than anything that is awaited here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Our program, called as Alertmanager.
pub fn ours() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferula"));
    command.arg("alertmanager");
    command
}

/// A running Alertmanager. Dropping it kills it.
pub struct Alertmanager {
    child: Child,
    pub address: String,
}

impl Alertmanager {
    /// Starts a program in a directory with `alertmanager.yml`; its files are in the subdirectory `data`.
    pub fn start(mut command: Command, directory: &Path) -> Self {
        let mut child = command
            .current_dir(directory)
            .args(["--config.file=alertmanager.yml", "--storage.path=data"])
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut log = Vec::new();
        let found = lines.by_ref().find_map(|line| {
            let address = line
                .contains("Listening on")
                .then(|| line.split_once(" address=")?.1.trim().to_owned().into());
            log.push(line);
            address.flatten()
        });
        let address: String = found.unwrap_or_else(|| panic!("it does not listen:\n{}", log.join("\n")));
        // The log must be read to its end, or the program would block on writing it.
        std::thread::spawn(move || lines.for_each(drop));
        let started = Alertmanager { child, address };
        started.wait_until_ready();
        started
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if TcpStream::connect(&self.address).is_ok() && self.get("/-/ready").0 == 200 {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it is not ready");
    }

    /// Its process number.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process number")
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.get("/metrics");
        let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        value.unwrap_or_else(|| panic!("{name} is not there:\n{page}"))
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Stops it with SIGTERM and returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        // SAFETY: `kill` only sends a signal to the child that was started here.
        unsafe { libc::kill(self.id(), libc::SIGTERM) };
        self.child.wait().expect("it ends").code()
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        http(&self.address, "GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, String) {
        http(&self.address, "POST", path, Some(&body.to_string()))
    }

    /// A list that the API returns.
    pub fn list(&self, path: &str) -> Vec<Value> {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("a list")
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one request over a separate connection.
pub fn http(address: &str, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let body = body.unwrap_or("");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    (status, if is_chunked { unchunked(body) } else { body.to_owned() })
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 {
            break;
        }
        body.push_str(&after[..length]);
        rest = after[length..].trim_start_matches("\r\n");
    }
    body
}

/// A notification as received.
#[derive(Clone, Debug)]
pub struct ReceivedNotification {
    pub at: Instant,
    pub path: String,
    /// The header fields.
    pub head: String,
    pub body: Value,
}

/// A simulated receiver.
#[derive(Clone)]
pub struct Webhook {
    pub address: String,
    told: Arc<Mutex<Vec<ReceivedNotification>>>,
}

impl Webhook {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one").to_string();
        let hook = Webhook { address, told: Arc::default() };
        let server = hook.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                std::thread::spawn(move || server.take(&stream));
            }
        });
        hook
    }

    /// Everything received so far.
    pub fn told(&self) -> Vec<ReceivedNotification> {
        self.told.lock().expect("no panic while held").clone()
    }

    /// Waits until the received notifications fulfil a condition.
    pub fn wait(&self, what: &str, is_enough: impl Fn(&[ReceivedNotification]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(&self.told()) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.told());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Handles the requests of one connection until it ends.
    fn take(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut path, mut head, mut length) = (String::new(), String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                if path.is_empty() {
                    path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                }
                match line.trim().to_lowercase().strip_prefix("content-length: ") {
                    Some(text) => length = text.parse().expect("a length"),
                    None if line.trim().is_empty() => break,
                    None => {}
                }
                head += &line;
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let body = serde_json::from_slice(&body).expect("JSON");
            let told = ReceivedNotification { at: Instant::now(), path, head, body };
            self.told.lock().expect("no panic while held").push(told);
            let mut writer = stream;
            if writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }
}

/// The time this many seconds from now, in RFC 3339.
pub fn from_now(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let nanos = ((now + seconds) * 1e9) as i64;
    ferula_model::UnixNanos(nanos).rfc3339_nanos()
}

/// An alert as it is posted; `starts` and `ends` are in seconds from now.
pub fn alert(labels: &[(&str, &str)], starts: f64, ends: f64) -> Value {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    serde_json::json!([{"labels": labels, "startsAt": from_now(starts), "endsAt": from_now(ends)}])
}
