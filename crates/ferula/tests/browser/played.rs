//! A server between browser and ferula that answers chosen paths in its own way: with other bytes, with half of them, with
//! a redirect, or not at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::common::Server;

/// What a path is answered with.
#[derive(Clone)]
pub enum Played {
    /// Status line, header lines, body.
    Answer { status: &'static str, headers: &'static str, body: Arc<Vec<u8>> },
    /// The same, but the connection ends after half of the body.
    Half { headers: &'static str, body: Arc<Vec<u8>> },
    /// Nothing, until the client gives up.
    Silence,
}

impl Played {
    pub fn json(body: impl Into<Vec<u8>>) -> Played {
        Played::Answer {
            status: "200 OK",
            headers: "Content-Type: application/json\r\n",
            body: Arc::new(body.into()),
        }
    }

    pub fn status(status: &'static str, headers: &'static str, body: &str) -> Played {
        Played::Answer { status, headers, body: Arc::new(body.as_bytes().to_vec()) }
    }
}

type Rules = Arc<Mutex<Vec<(&'static str, Played)>>>;

/// Paths that the server answered, and the bytes of each body.
type Passed = Arc<Mutex<Vec<(String, u64)>>>;

/// A server whose store holds the samples of an OpenMetrics page, made a minute ago. Its directory goes with the first value.
pub fn server_of_page(lines: impl Fn(&mut String, u64)) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("prometheus.yml"), "global: {}\n").expect("writable");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let mut page = String::new();
    lines(&mut page, now.as_secs() - 60);
    page.push_str("# EOF\n");
    std::fs::write(directory.path().join("names.om"), page).expect("writable");
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_ferula"))
        .current_dir(directory.path())
        .args(["tsdb", "create-blocks-from", "openmetrics", "names.om", "data"])
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = Server::start(directory.path(), &[]);
    (directory, server)
}

/// The server between.
pub struct PlayedProxy {
    /// `host:port`
    pub address: String,
    rules: Rules,
    passed: Passed,
}

impl PlayedProxy {
    pub fn start(server: &str) -> PlayedProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (rules, passed) = (Rules::default(), Passed::default());
        let (shared, counted, server) = (rules.clone(), passed.clone(), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (rules, passed, server) = (shared.clone(), counted.clone(), server.clone());
                // A connection that breaks off is the browser's affair.
                std::thread::spawn(move || drop(serve(client, &server, &rules, &passed)));
            }
        });
        PlayedProxy { address, rules, passed }
    }

    /// What came from the server so far: paths, and the bytes of each body.
    pub fn passed(&self) -> Vec<(String, u64)> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on addresses with this piece are answered so; the newest rule wins.
    pub fn play(&self, piece: &'static str, played: Played) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).insert(0, (piece, played));
    }

    /// Everything comes from the server again.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn serve(client: TcpStream, server: &str, rules: &Rules, passed: &Passed) -> std::io::Result<()> {
    let mut input = BufReader::new(client.try_clone()?);
    let mut client = client;
    let (mut head, mut first, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        match line.as_str() {
            "\r\n" => break,
            _ if lower.starts_with("connection:") => continue,
            _ if first.is_empty() => first.clone_from(&line),
            _ => {}
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    let rule = rules
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .find(|(piece, _)| first.contains(piece))
        .map(|(_, played)| played.clone());
    match rule {
        Some(Played::Answer { status, headers, body }) => {
            answer(&mut client, status, headers, body.len(), &body)
        }
        Some(Played::Half { headers, body }) => {
            answer(&mut client, "200 OK", headers, body.len(), &body[..body.len() / 2])
        }
        Some(Played::Silence) => std::io::copy(&mut input, &mut std::io::sink()).map(drop),
        None => {
            head.push_str("Connection: close\r\n\r\n");
            let mut upstream = TcpStream::connect(server)?;
            upstream.write_all(head.as_bytes())?;
            upstream.write_all(&body)?;
            let bytes = pass(&mut BufReader::new(upstream), &mut client)?;
            let path = first.split(' ').nth(1).unwrap_or("").to_owned();
            passed.lock().unwrap_or_else(PoisonError::into_inner).push((path, bytes));
            Ok(())
        }
    }
}

/// Hands an answer on until the server closes, and returns the bytes of its body.
fn pass(upstream: &mut BufReader<TcpStream>, client: &mut TcpStream) -> std::io::Result<u64> {
    let mut line = Vec::new();
    while line != b"\r\n" {
        line.clear();
        if upstream.read_until(b'\n', &mut line)? == 0 {
            return Ok(0);
        }
        client.write_all(&line)?;
    }
    std::io::copy(upstream, client)
}

fn answer(
    client: &mut TcpStream,
    status: &str,
    headers: &str,
    length: usize,
    body: &[u8],
) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    client.write_all(head.as_bytes())?;
    client.write_all(body)
}
