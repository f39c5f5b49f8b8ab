//! A client for Chromium over `--remote-debugging-pipe`: JSON messages that end with a zero byte, on two file
//! descriptors. Needs no port and no driver.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use crate::common::PATIENCE;

/// The browser to use: `FERULA_BROWSER`, or the first of the usual names in `PATH`.
pub fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("FERULA_BROWSER") {
        return Some(path.into());
    }
    let paths = std::env::var_os("PATH")?;
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| std::env::split_paths(&paths).map(move |directory| directory.join(name)))
        .find(|path| path.is_file())
}

/// The messages that the reading thread has received.
#[derive(Default)]
struct Inbox {
    answers: HashMap<u64, Value>,
    /// Events by session.
    events: HashMap<String, Vec<Value>>,
    closed: bool,
}

/// A running browser. Dropping it stops it.
pub struct Browser {
    child: Child,
    requests: Mutex<File>,
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
    next: AtomicU64,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub fn start(program: &Path) -> std::io::Result<Browser> {
        let profile = tempfile::tempdir()?;
        let (their_input, our_output) = pipe()?;
        let (our_input, their_output) = pipe()?;
        let mut command = Command::new(program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb"])
            // What a page has left behind could not be told from pages that are kept for the way back.
            .arg("--disable-features=BackForwardCache")
            // A name that is neither localhost nor https: pages from there are in no secure context.
            .arg("--host-resolver-rules=MAP plain.test 127.0.0.1")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(["--remote-debugging-pipe", "about:blank"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (input, output) = (their_input.as_raw_fd(), their_output.as_raw_fd());
        // SAFETY: between fork and exec only dup2 is called, which is safe there; both descriptors are open until spawn
        // returns. The two ends are above 4, or the first dup2 could close the second's source.
        unsafe {
            command.pre_exec(move || {
                for (from, to) in [(input, 3), (output, 4)] {
                    if libc::dup2(from, to) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn()?;
        drop((their_input, their_output));
        let inbox: Arc<(Mutex<Inbox>, Condvar)> = Arc::default();
        let shared = inbox.clone();
        std::thread::spawn(move || receive(File::from(our_input), &shared));
        let requests = Mutex::new(File::from(our_output));
        Ok(Browser { child, requests, inbox, next: AtomicU64::new(1), _profile: profile })
    }

    /// Calls a method and waits for its answer.
    pub fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.requests.lock().expect("no panic while held").write_all(&bytes).expect("the browser listens");
        let (inbox, changed) = &*self.inbox;
        let mut inbox = inbox.lock().expect("no panic while held");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = inbox.answers.remove(&id) {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            assert!(!inbox.closed, "the browser ended during {method}");
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the browser does not answer {method}");
            inbox = changed.wait_timeout(inbox, left).expect("no panic while held").0;
        }
    }

    /// Takes the events of a session that have arrived.
    pub fn events(&self, session: &str) -> Vec<Value> {
        let mut inbox = self.inbox.0.lock().expect("no panic while held");
        inbox.events.get_mut(session).map(std::mem::take).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // Copies with numbers above 9, which do not collide with the browser's descriptors.
    let high = ends.map(|end| {
        // SAFETY: `end` is open, and becomes an `OwnedFd` only here.
        let end = unsafe { OwnedFd::from_raw_fd(end) };
        // SAFETY: F_DUPFD_CLOEXEC returns a new descriptor, which nobody else owns.
        let copy = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10) };
        assert!(copy >= 10, "{}", std::io::Error::last_os_error());
        // SAFETY: as above.
        unsafe { OwnedFd::from_raw_fd(copy) }
    });
    let [read, write] = high;
    Ok((read, write))
}

/// Distributes the browser's messages until it stops.
fn receive(mut input: File, shared: &(Mutex<Inbox>, Condvar)) {
    let mut pending = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = input.read(&mut chunk).unwrap_or(0);
        pending.extend_from_slice(&chunk[..read]);
        let mut inbox = shared.0.lock().expect("no panic while held");
        inbox.closed = read == 0;
        while let Some(end) = pending.iter().position(|byte| *byte == 0) {
            let message: Value = serde_json::from_slice(&pending[..end]).expect("the browser sends JSON");
            pending.drain(..=end);
            match message["id"].as_u64() {
                Some(id) => drop(inbox.answers.insert(id, message)),
                None => {
                    let session = message["sessionId"].as_str().unwrap_or("").to_owned();
                    inbox.events.entry(session).or_default().push(message);
                }
            }
        }
        shared.1.notify_all();
        if read == 0 {
            return;
        }
    }
}
