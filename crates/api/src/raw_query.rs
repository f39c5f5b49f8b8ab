//! Percent-encodes characters in a URL's query that clients should have encoded but did not.
//!
//! `curl -g 'http://host/api/v1/query?query=up{job="node"}'` sends quotation marks as they are. Prometheus accepts
//! that, but the HTTP parser below us answers 400 before any handler runs. So these characters are encoded here, before
//! they reach the parser.
//!
//! Finding the query of a request requires knowing where each request on the connection ends. A
//! mistake would change bytes of a body, and with them its length, which would allow request smuggling behind a proxy.
//! Therefore only unmistakable requests are followed: GET and HEAD without headers that announce a body, with a head
//! that ends in an empty line. From the first request of another kind on, everything on the connection passes through
//! unchanged.
//!
//! Always true: bytes after the request line are never changed; a byte is changed only between the `?` of a target and
//! the space after it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ferula_go::url::percent_encoded;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No relevant header name is longer than this.
const NAME_BYTES_MAX: usize = 32;

/// The position of the next byte within a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestPosition {
    /// Before the space after the method.
    Method,
    /// In the target, before its query.
    Target,
    /// In the query.
    Query,
    /// After the target, up to the end of the line.
    Version,
    /// In the name of a header, or in an empty line.
    Name,
    /// In the value of a header.
    Value,
    /// In a part that is no longer followed.
    Unknown,
}

/// Follows the requests of one connection.
#[derive(Debug)]
struct Scanner {
    place: RequestPosition,
    /// The method or header name, as far as it has been read.
    word: Vec<u8>,
    /// A body, or something other than a request, may follow this request.
    last: bool,
}

impl Scanner {
    fn new() -> Self {
        Scanner { place: RequestPosition::Method, word: Vec::new(), last: false }
    }

    /// What the parser receives instead of `bytes`; `None` if unchanged.
    fn feed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut changed: Option<Vec<u8>> = None;
        for (at, byte) in bytes.iter().enumerate() {
            if self.place == RequestPosition::Unknown {
                if let Some(out) = &mut changed {
                    out.extend_from_slice(&bytes[at..]);
                }
                break;
            }
            let encode =
                self.place == RequestPosition::Query && matches!(byte, b'"' | b'<' | b'>' | b'#' | 0x80..);
            self.step(*byte);
            if encode {
                let out = changed.get_or_insert_with(|| bytes[..at].to_vec());
                out.extend(percent_encoded(*byte));
            } else if let Some(out) = &mut changed {
                out.push(*byte);
            }
        }
        changed
    }

    fn step(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            // The parser skips empty lines before a request.
            (RequestPosition::Method, b'\r' | b'\n') if self.word.is_empty() => RequestPosition::Method,
            (RequestPosition::Method, b' ') => {
                self.last = !matches!(&self.word[..], b"GET" | b"HEAD");
                self.word.clear();
                RequestPosition::Target
            }
            (RequestPosition::Method, b'\r' | b'\n') => RequestPosition::Unknown,
            (RequestPosition::Method, byte) => self.collect(byte, RequestPosition::Method),
            (RequestPosition::Target, b'?') => RequestPosition::Query,
            (RequestPosition::Target | RequestPosition::Query, b' ') => RequestPosition::Version,
            // A line without a version, which the parser refuses.
            (RequestPosition::Target | RequestPosition::Query, b'\r' | b'\n') => RequestPosition::Unknown,
            (RequestPosition::Version | RequestPosition::Value, b'\n') => {
                self.word.clear();
                RequestPosition::Name
            }
            (RequestPosition::Name, b'\n') => self.end_of_line(),
            (RequestPosition::Name, b':') => {
                self.last |= announces_a_body(&self.word);
                RequestPosition::Value
            }
            (RequestPosition::Name, byte) => self.collect(byte, RequestPosition::Name),
            (place, _) => place,
        };
    }

    /// Remembers a byte of a method or header name. A method that is too long ends the following; a long header name
    /// does not.
    fn collect(&mut self, byte: u8, place: RequestPosition) -> RequestPosition {
        if self.word.len() < NAME_BYTES_MAX {
            self.word.push(byte);
            place
        } else if place == RequestPosition::Name {
            place
        } else {
            RequestPosition::Unknown
        }
    }

    /// An empty line ends the head. Any other line without a colon is not a header, and the parser refuses it.
    fn end_of_line(&mut self) -> RequestPosition {
        let empty = self.word.is_empty() || self.word == b"\r";
        self.word.clear();
        if empty && !self.last { RequestPosition::Method } else { RequestPosition::Unknown }
    }
}

/// Whether a header with this name may announce a body or another protocol. Errs on the side of `true`: odd
/// spellings count, although the parser refuses most of them.
fn announces_a_body(name: &[u8]) -> bool {
    let known: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"upgrade", b"expect"];
    known.iter().any(|known| name.eq_ignore_ascii_case(known))
        || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

/// A connection whose queries are encoded on the fly.
pub(crate) struct EncodedQueries<S> {
    stream: S,
    scanner: Scanner,
    /// Input that did not fit into the reader's buffer, and how much of it has been delivered.
    left: Vec<u8>,
    taken: usize,
}

impl<S> EncodedQueries<S> {
    pub(crate) fn new(stream: S) -> Self {
        EncodedQueries { stream, scanner: Scanner::new(), left: Vec::new(), taken: 0 }
    }

    /// Delivers the remaining input of the last read.
    fn take_left(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = &self.left[self.taken..];
        let fits = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..fits]);
        self.taken += fits;
        if self.taken == self.left.len() {
            self.left = Vec::new();
            self.taken = 0;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EncodedQueries<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
            let Some(changed) = self.scanner.feed(&buf.filled()[before..]) else {
                return Poll::Ready(Ok(()));
            };
            buf.set_filled(before);
            self.left = changed;
        }
        self.take_left(buf);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EncodedQueries<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn scanned(pieces: &[&[u8]]) -> Vec<u8> {
        let mut scanner = Scanner::new();
        pieces.iter().flat_map(|piece| scanner.feed(piece).unwrap_or_else(|| piece.to_vec())).collect()
    }

    /// What is sent, and what the parser receives.
    const CASES: &[(&str, &str)] = &[
        (
            "GET /q?query=up{job=\"x\"}>1<2#a HTTP/1.1\r\nHost: \"h\"<>\r\n\r\n",
            "GET /q?query=up{job=%22x%22}%3E1%3C2%23a HTTP/1.1\r\nHost: \"h\"<>\r\n\r\n",
        ),
        // Several requests in a row, also with bare line feeds, and with empty lines in between.
        (
            "GET /?\" HTTP/1.1\nA: \"\n\n\r\nHEAD /?a=é HTTP/1.1\r\n\r\nGET /?> HTTP/1.0\r\n\r\n",
            "GET /?%22 HTTP/1.1\nA: \"\n\n\r\nHEAD /?a=%C3%A9 HTTP/1.1\r\n\r\nGET /?%3E HTTP/1.0\r\n\r\n",
        ),
        // Paths and invalid requests are left to the parser.
        ("GET /\"<>\" HTTP/1.1\r\n\r\n", "GET /\"<>\" HTTP/1.1\r\n\r\n"),
        ("GET /?a\r\nGET /?\" HTTP/1.1\r\n\r\n", "GET /?a\r\nGET /?\" HTTP/1.1\r\n\r\n"),
        ("GET\r\n /?\" HTTP/1.1\r\n\r\n", "GET\r\n /?\" HTTP/1.1\r\n\r\n"),
        (
            "GET /? HTTP/1.1\r\nno header\r\n\r\nGET /?\" HTTP/1.1\r\n",
            "GET /? HTTP/1.1\r\nno header\r\n\r\nGET /?\" HTTP/1.1\r\n",
        ),
        // The target of a request with a body is followed; what comes after its head is not.
        (
            "POST /?\" HTTP/1.1\r\nContent-Length: 22\r\n\r\nGET /?\" HTTP/1.1\r\n\r\n",
            "POST /?%22 HTTP/1.1\r\nContent-Length: 22\r\n\r\nGET /?\" HTTP/1.1\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\ncontent-LENGTH : 22\r\n\r\nGET /?\" HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-LENGTH : 22\r\n\r\nGET /?\" HTTP/1.1\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n12\r\nGET /?\" HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n12\r\nGET /?\" HTTP/1.1\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\n\tcontent-length: 22\r\n\r\nGET /?\" HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\tcontent-length: 22\r\n\r\nGET /?\" HTTP/1.1\r\n\r\n",
        ),
    ];

    #[test]
    fn only_queries_are_encoded() {
        for (sent, wanted) in CASES {
            assert_eq!(String::from_utf8_lossy(&scanned(&[sent.as_bytes()])), *wanted);
        }
    }

    #[tokio::test]
    async fn a_reader_with_a_small_buffer_gets_everything() {
        let (mut client, server) = tokio::io::duplex(64);
        let query = "\"".repeat(1000);
        let sent = format!("GET /?{query} HTTP/1.1\r\n\r\n");
        let writing = tokio::spawn(async move {
            client.write_all(sent.as_bytes()).await.expect("sent");
        });
        let mut reader = EncodedQueries::new(server);
        let mut got = Vec::new();
        let mut small = [0; 7];
        loop {
            match reader.read(&mut small).await.expect("read") {
                0 => break,
                read => got.extend_from_slice(&small[..read]),
            }
        }
        writing.await.expect("no panic");
        assert_eq!(String::from_utf8_lossy(&got), format!("GET /?{} HTTP/1.1\r\n\r\n", "%22".repeat(1000)));
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_bytes_are_split(which in 0..CASES.len(), cuts: [u8; 3]) {
            let bytes = CASES[which].0.as_bytes();
            let mut cuts = cuts.map(|cut| usize::from(cut) % (bytes.len() + 1));
            cuts.sort_unstable();
            let [a, b, c] = cuts;
            let pieces = [&bytes[..a], &bytes[a..b], &bytes[b..c], &bytes[c..]];
            prop_assert_eq!(scanned(&pieces), scanned(&[bytes]));
        }

        /// For any input: decoding the encoded query returns what was sent, and a body that the
        /// headers announce is unchanged.
        #[test]
        fn nothing_else_is_changed(
            head in "(GET|HEAD|PUT|X) /[a-z?\"<>#]{0,9} HTTP/1.1\r\n([a-z\"]{1,9}: [a-z?\"<>]{0,9}\r\n){0,3}",
            body in "[GET /?\" HTP1.\r\n<>]{0,40}",
        ) {
            let sent = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            let got = String::from_utf8(scanned(&[sent.as_bytes()])).expect("the input was text");
            prop_assert!(got.ends_with(&sent[head.len()..]));
            let decoded = got.replace("%22", "\"").replace("%3C", "<").replace("%3E", ">").replace("%23", "#");
            prop_assert_eq!(decoded, sent);
        }
    }
}
