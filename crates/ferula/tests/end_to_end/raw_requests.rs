//! Requests as `curl -g` sends them: with characters in the query that should have been percent-encoded.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::{PATIENCE, Server};

/// Sends bytes, and returns the status and body of each answer; the last request asks to close the
/// connection.
fn answers(server: &Server, pieces: &[&[u8]]) -> Vec<(u16, String)> {
    let mut stream = TcpStream::connect(&server.address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_nodelay(true).expect("set");
    for piece in pieces {
        stream.write_all(piece).expect("sent");
    }
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("read");
    let mut rest = String::from_utf8(bytes).expect("text");
    let mut answers = Vec::new();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
        answers.push((status, after[..length].to_owned()));
        rest = after[length..].to_owned();
    }
    answers
}

/// The string that the query `"…"` returns.
fn string(answer: &(u16, String)) -> String {
    let json: serde_json::Value = serde_json::from_str(&answer.1).unwrap_or_else(|_| panic!("{answer:?}"));
    json["data"]["result"][1].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[test]
fn unencoded_characters_are_understood_as_in_prometheus() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let get = |query: &str, last: bool| {
        let close = if last { "Connection: close\r\n" } else { "" };
        format!("GET /api/v1/query?query={query} HTTP/1.1\r\nHost: x\r\n{close}\r\n").into_bytes()
    };

    // One after the other on one connection, in one piece and byte by byte.
    let pipelined =
        [get("\"<a>\"", false), get("\"|^`{}\\u00e9é\"", false), get("1>bool#2%0A0", true)].concat();
    let singly: Vec<&[u8]> = pipelined.chunks(1).collect();
    for pieces in [&[&pipelined[..]][..], &singly] {
        let answers = answers(&server, pieces);
        assert_eq!(answers.len(), 3, "{answers:?}");
        assert_eq!((string(&answers[0]), string(&answers[1])), ("<a>".to_owned(), "|^`{}éé".to_owned()));
        // A `#` does not end the query: it starts a comment.
        assert_eq!(string(&answers[2]), "1", "{answers:?}");
    }

    // A body that looks like a request and has exactly the declared length stays a body.
    let body = "query=\"GET /?\" HTTP/1.1\r\n\r\nGET /?\" HTTP/1.1\"";
    for kind in ["length", "chunks"] {
        let (header, body) = match kind {
            "length" => (format!("Content-Length: {}", body.len()), body.to_owned()),
            _ => {
                ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
            }
        };
        let post = format!(
            "POST /api/v1/query?limit=\"<>\" HTTP/1.1\r\nHost: x\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{header}\r\n\r\n{body}"
        );
        let sent = [get("\"before\"", false), post.into_bytes(), get("%22after%22", true)].concat();
        let answers = answers(&server, &[&sent]);
        assert_eq!(answers.len(), 3, "{kind}: {answers:?}");
        assert_eq!((string(&answers[0]), string(&answers[2])), ("before".to_owned(), "after".to_owned()));
        assert!(answers[1].0 == 400 && answers[1].1.contains("limit"), "{kind}: {answers:?}");
    }
    assert_eq!(answers(&server, &[b"GET /api/v1/query?query=\x01 HTTP/1.1\r\nHost: x\r\n\r\n"])[0].0, 400);
}
