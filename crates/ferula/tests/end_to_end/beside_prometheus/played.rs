//! Servers that answer as a test says: targets with odd habits, proxies, and an Alertmanager.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::common::PATIENCE;

/// An answer with this header ends its connection.
const CLOSE: &[u8] = b"\r\nConnection: close\r\n";

/// Makes the bytes of an answer from the head of a request and its number on its connection, beginning with 1.
/// `None` closes the connection without an answer.
pub type Answer = fn(&str, u64) -> Option<Vec<u8>>;

/// A server that answers what a function returns.
pub struct Played {
    pub port: u16,
    /// First line and `Host` of each request, and its body.
    requests: Arc<Mutex<Vec<(String, Vec<u8>)>>>,
}

impl Played {
    pub fn start(answer: Answer) -> Played {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let requests = Arc::<Mutex<Vec<(String, Vec<u8>)>>>::default();
        let kept = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                // A client that goes away in the middle is no matter.
                std::thread::spawn(move || serve(stream, answer, &kept));
            }
        });
        Played { port, requests }
    }

    /// First line and `Host` of the first request.
    pub fn first_head(&self) -> Option<String> {
        self.requests.lock().expect("no panic while held").first().map(|(head, _)| head.clone())
    }

    /// The bodies of all requests.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.requests.lock().expect("no panic while held").iter().map(|(_, body)| body.clone()).collect()
    }
}

fn serve(stream: TcpStream, answer: Answer, kept: &Mutex<Vec<(String, Vec<u8>)>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    for number in 1.. {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let value = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
        };
        let mut body = vec![0; value("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let first = head.lines().next().unwrap_or_default();
        let shown = format!("{first} | {}", value("host").unwrap_or_default());
        kept.lock().expect("no panic while held").push((shown, body));
        let Some(bytes) = answer(&head, number) else { return Ok(()) };
        stream.write_all(&bytes)?;
        if bytes.windows(CLOSE.len()).any(|part| part == CLOSE) {
            return Ok(());
        }
    }
    Ok(())
}

/// An answer with status 200 that keeps the connection.
pub fn page(text: &str) -> Option<Vec<u8>> {
    typed("text/plain; version=0.0.4", text)
}

/// The same with another `Content-Type`.
pub fn typed(content_type: &str, text: &str) -> Option<Vec<u8>> {
    let length = text.len();
    Some(
        format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{text}")
            .into(),
    )
}

/// An answer with this status line, further headers, and no body.
pub fn status(line: &str, headers: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 {line}\r\n{headers}Content-Length: 0\r\n\r\n").into())
}
