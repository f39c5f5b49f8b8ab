//! Starts the real binary on ports that the system chooses, and a target for it to scrape.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything that is awaited here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// `host:port`
    pub address: String,
    lines: Mutex<Receiver<String>>,
    log: Arc<Mutex<Vec<String>>>,
    /// Reads the log until the process closes it.
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts the binary in a directory and waits until it logs its address.
    pub fn start(directory: &Path, arguments: &[&str]) -> Server {
        Self::spawn(directory, arguments).up()
    }

    /// [`Server::start`] with a limit on the memory of the process, as with `ulimit -d`.
    pub fn start_with_memory(directory: &Path, arguments: &[&str], kib_max: u64) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferula"));
        let limit = libc::rlimit { rlim_cur: kib_max * 1024, rlim_max: kib_max * 1024 };
        // SAFETY: between fork and exec only `setrlimit` runs, which is async-signal-safe and reads a value of its own.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_DATA, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        Self::launch(command, directory, arguments).up()
    }

    /// [`Server::start`] with variables in the environment of the process; others that name proxies are removed.
    pub fn start_with_proxies(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferula"));
        for name in ["http_proxy", "https_proxy", "no_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.envs(variables.iter().copied());
        Self::launch(command, directory, arguments).up()
    }

    fn up(mut self) -> Server {
        let line = self.wait_for_line("msg=\"Ferula is up\"");
        let address = line.split_once(" address=").map(|(_, rest)| rest.trim().to_owned());
        self.address = address.unwrap_or_else(|| panic!("no address in {line}"));
        self
    }

    /// Starts the real Prometheus in a directory and waits until it is ready.
    pub fn start_prometheus(program: &Path, directory: &Path, arguments: &[&str]) -> Server {
        let mut server = Self::spawn_program(program, directory, arguments);
        // The two lines may come in either order.
        let line = server.wait_for_any_line("msg=\"Listening on\"");
        let address = line.split_once(" address=").map(|(_, rest)| rest.trim().to_owned());
        server.address = address.unwrap_or_else(|| panic!("no address in {line}"));
        server.wait_for_any_line("Server is ready to receive web requests.");
        server
    }

    /// Starts the binary on a free port, without waiting.
    pub fn spawn(directory: &Path, arguments: &[&str]) -> Server {
        Self::spawn_program(Path::new(env!("CARGO_BIN_EXE_ferula")), directory, arguments)
    }

    /// The same for another program with the same flags: the real Prometheus.
    pub fn spawn_program(program: &Path, directory: &Path, arguments: &[&str]) -> Server {
        Self::launch(Command::new(program), directory, arguments)
    }

    fn launch(mut command: Command, directory: &Path, arguments: &[&str]) -> Server {
        let mut child = command
            .current_dir(directory)
            .arg("--web.listen-address=127.0.0.1:0")
            .args(arguments)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = mpsc::channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().expect("no panic while held").push(line.clone());
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Server { child, address: String::new(), lines: Mutex::new(lines), log, reader: Some(reader) }
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic while held").join("\n")
    }

    /// Waits for a line of the log that contains `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let lines = self.lines.lock().expect("no panic while held");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("no line with {text:?} ({error}) in\n{}", self.log()),
            }
        }
    }

    /// Waits for a line that contains `text`, like [`wait_for_line`](Self::wait_for_line), but also looks at
    /// earlier lines.
    pub fn wait_for_any_line(&self, text: &str) -> String {
        let passed = self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        // Lines are added to the log before they can be awaited, so none is missed in between.
        passed.unwrap_or_else(|| self.wait_for_line(text))
    }

    /// Kills it with `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    /// Sends a signal, such as `libc::SIGTERM`.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: `kill` only takes two numbers. The child was not waited for yet, so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{}", std::io::Error::last_os_error());
    }

    /// Waits for the end, and returns the exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("the process can be asked") {
                // Its last messages must be in the log before anybody looks.
                if let Some(reader) = self.reader.take() {
                    reader.join().expect("the reader of the log does not panic");
                }
                return status.code();
            }
            std::thread::yield_now();
        }
        panic!("the process does not end:\n{}", self.log());
    }

    /// GET; status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.log()))
    }

    /// A GET that may fail because the server is gone.
    pub fn try_get(&self, path: &str) -> std::io::Result<(u16, String)> {
        self.request("GET", path, "", b"")
    }

    /// A request in HTTP/1.0, so that the body ends with the connection.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: test\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = String::from_utf8_lossy(&answer);
        let broken = || std::io::Error::other(format!("no HTTP answer: {text}"));
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
        Ok((status, body.to_owned()))
    }

    /// The `data` of a successful query.
    pub fn try_query(&self, query: &str) -> std::io::Result<serde_json::Value> {
        let (status, body) = self.try_get(&format!("/api/v1/query?query={}", escape(query)))?;
        let answer: serde_json::Value = serde_json::from_str(&body).map_err(std::io::Error::other)?;
        if status != 200 {
            return Err(std::io::Error::other(body));
        }
        Ok(answer["data"]["result"].clone())
    }

    /// Repeats a query until `done` returns a value for its result.
    pub fn await_query<T>(&self, query: &str, done: impl Fn(&serde_json::Value) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut last = serde_json::Value::Null;
        while Instant::now() < deadline {
            last = self.try_query(query).unwrap_or_else(|error| panic!("{query}: {error}\n{}", self.log()));
            if let Some(found) = done(&last) {
                return found;
            }
            std::thread::yield_now();
        }
        panic!("{query} never came to what was wanted; last {last}\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Percent-encodes everything but letters and digits.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

/// A target whose page changes with every scrape.
pub struct Target {
    /// `host:port`
    pub address: String,
    scrapes: Arc<AtomicU64>,
}

impl Target {
    /// Starts a target; `page` generates the page of the n-th scrape.
    pub fn start(page: impl Fn(u64) -> String + Send + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let scrapes = Arc::new(AtomicU64::new(0));
        let counter = scrapes.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let n = counter.fetch_add(1, Ordering::SeqCst) + 1;
                // It does not matter if a scraper was killed in the middle.
                let _ = answer(stream, &page(n));
            }
        });
        Target { address, scrapes }
    }

    /// Number of scrapes so far.
    pub fn scrapes(&self) -> u64 {
        self.scrapes.load(Ordering::SeqCst)
    }
}

fn answer(stream: TcpStream, page: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let format = match page.ends_with("# EOF\n") {
        true => "application/openmetrics-text; version=1.0.0",
        false => "text/plain; version=0.0.4",
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {format}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes())?;
    stream.write_all(page.as_bytes())
}

/// A small random number generator, so that a failure can be reproduced from its seed.
pub struct Random(u64);

impl Random {
    /// Creates a generator. The seed comes from `FERULA_SEED`, or else from the clock, and is printed.
    pub fn new() -> Self {
        let seed =
            std::env::var("FERULA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(1, |now| now.subsec_nanos().into())
            });
        eprintln!("FERULA_SEED={seed}");
        Random(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Ways in which a file comes to have another content; the last ones are Kubernetes'.
pub const REPLACEMENTS: [&str; 5] = ["in place", "renamed", "version-1", "version-2", "version-3"];

/// Replaces a file by one with this content, in one of these ways. Its time of change is always the same.
pub fn replace_file(directory: &Path, name: &str, way: &str, content: &str) {
    let path = |name: &str| directory.join(name);
    let write = |name: &str| {
        std::fs::write(path(name), content).expect("written");
        let file = std::fs::File::options().write(true).open(path(name)).expect("it is there");
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).expect("its time is set");
    };
    match way {
        "in place" => write(name),
        "renamed" => {
            write("new");
            std::fs::rename(path("new"), path(name)).expect("renamed");
        }
        // The file is a link into a directory that is a link, and that one is exchanged.
        _ => {
            let (version, mounted) = (format!("{way}-of-{name}"), format!("mounted-{name}"));
            std::fs::create_dir(path(&version)).expect("made");
            write(&format!("{version}/{name}"));
            std::os::unix::fs::symlink(&version, path("link")).expect("linked");
            std::fs::rename(path("link"), path(&mounted)).expect("renamed");
            if std::fs::read_link(path(name)).is_err() {
                std::fs::remove_file(path(name)).expect("removed");
                std::os::unix::fs::symlink(format!("{mounted}/{name}"), path(name)).expect("linked");
            }
        }
    }
}
