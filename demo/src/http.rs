//! Just enough of an HTTP server for scrapes and webhooks, on threads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A request, as far as handlers need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    pub path: String,
    pub accept: String,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Response { status: 200, content_type: content_type.to_owned(), body: body.into() }
    }

    pub fn not_found() -> Self {
        Response { status: 404, ..Response::new("text/plain", "there is nothing here\n") }
    }
}

/// Bytes of a request's head, and of its body.
const HEAD_BYTES_MAX: u64 = 16 << 10;
const BODY_BYTES_MAX: u64 = 1 << 20;

/// A client that says nothing for this long is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers each request in a thread of its own, until the process ends. A handler that returns `None` hangs up.
pub fn serve(listener: TcpListener, handle: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static) {
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            // What a client breaks off is its own affair.
            std::thread::spawn(move || answer(stream, &*handle).ok());
        }
    });
}

fn answer(mut stream: TcpStream, handle: &dyn Fn(&Request) -> Option<Response>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(request) = read_request(BufReader::new(stream.try_clone()?))? else { return Ok(()) };
    let Some(response) = handle(&request) else { return Ok(()) };
    let Response { status, content_type, body } = response;
    let reason = if status == 200 { "OK" } else { "Not OK" };
    write!(
        stream,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

/// `None` if this is not a request, or one that is too large.
fn read_request(mut reader: impl BufRead) -> std::io::Result<Option<Request>> {
    let mut head = reader.by_ref().take(HEAD_BYTES_MAX);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let Some(path) = line.split(' ').nth(1) else { return Ok(None) };
    let mut request = Request { path: path.to_owned(), ..Request::default() };
    let mut length = 0;
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(u64::MAX),
            "accept" => request.accept = value.trim().to_owned(),
            _ => {}
        }
    }
    if length > BODY_BYTES_MAX {
        return Ok(None);
    }
    reader.take(length).read_to_end(&mut request.body)?;
    Ok(Some(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_nonsense_is_not() {
        let read = |text: &str| read_request(text.as_bytes()).ok().flatten();
        let request =
            read("POST /slack HTTP/1.1\r\nHost: x\r\naccept: text/plain\r\nContent-Length: 2\r\n\r\n{}rest");
        let expected =
            Request { path: "/slack".to_owned(), accept: "text/plain".to_owned(), body: b"{}".to_vec() };
        assert_eq!(request, Some(expected));
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        for text in [
            "",
            "nonsense",
            "GET / HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            &long,
        ] {
            assert_eq!(read(text), None, "{text:.60}");
        }
    }
}
