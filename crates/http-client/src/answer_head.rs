//! Heads of answers, read by the rules of Go's client.
//!
//! hyper has rules of its own: it refuses `HTTP/2.0 200 OK` and `Name : value`, which servers in use send, accepts what Go
//! refuses, and its errors name neither the line nor the field. So this reader stands between a connection and hyper. It
//! checks the head of each answer, and passes on one that hyper understands: version 1.0 or 1.1, valid fields only, and at
//! most one of `Content-Length` and `Transfer-Encoding`. Interim answers (1xx) are skipped. Bodies pass unchanged.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ferula_go::quote::go_quote_bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::head_error::HeadError;
use crate::wire::{HEADER_BYTES_MAX, Wire, write_through};

/// A connection whose answers are checked; see the module.
#[derive(Debug)]
pub(crate) struct HeadReader<S> {
    stream: S,
    wire: Arc<Wire>,
    /// The head that is being read; `None` during a body.
    head: Option<PartialHead>,
    /// What hyper reads next, from `given` on: a checked head, and the bytes that arrived with it.
    ready: Vec<u8>,
    given: usize,
}

/// The bytes of a head that have arrived.
#[derive(Debug, Default)]
struct PartialHead {
    bytes: Vec<u8>,
    /// Where the line begins whose end has not arrived.
    line_start: usize,
    /// No newline is between `line_start` and here.
    searched: usize,
    /// An interim answer came before.
    after_interim: bool,
}

impl<S> HeadReader<S> {
    pub fn new(stream: S, wire: Arc<Wire>) -> Self {
        // Bytes that arrive before the first request count as its answer, as in Go.
        HeadReader { stream, wire, head: Some(PartialHead::default()), ready: Vec::new(), given: 0 }
    }

    /// Passes on what is ready.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = &self.ready[self.given..];
        let given = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..given]);
        self.given += given;
        if self.given == self.ready.len() {
            self.ready = Vec::new();
            self.given = 0;
        }
    }

    /// Takes bytes of a head; an empty slice is the end of the connection.
    fn take(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        let Some(head) = &mut self.head else { return Ok(()) };
        if bytes.is_empty() {
            if head.bytes.is_empty() && !head.after_interim {
                return Ok(());
            }
            // What is wrong with the part that came is said rather than that the rest is missing.
            if !head.bytes.is_empty() {
                let (line, rest) = next_line(&head.bytes);
                StatusLine::parse(line)?;
                fields(rest)?;
            }
            return Err(HeadError::UnexpectedEnd);
        }
        head.bytes.extend_from_slice(bytes);
        while let Some(end) = head.end() {
            let rest = head.bytes.split_off(end);
            let whole = std::mem::take(&mut head.bytes);
            let parsed = parse(&whole)?;
            if parsed.is_interim() {
                *head = PartialHead { bytes: rest, after_interim: true, ..PartialHead::default() };
                continue;
            }
            self.wire.set_status(String::from_utf8_lossy(parsed.status).into_owned());
            self.ready = parsed.for_hyper();
            self.ready.extend_from_slice(&rest);
            self.head = None;
            return Ok(());
        }
        if let Some(line) = head.first_line() {
            StatusLine::parse(line)?;
        }
        if head.bytes.len() > HEADER_BYTES_MAX {
            return Err(HeadError::TooLarge);
        }
        Ok(())
    }
}

impl PartialHead {
    /// The end of the head: after the first empty line that is not the status line.
    fn end(&mut self) -> Option<usize> {
        while let Some(length) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + length;
            let line = &self.bytes[self.line_start..end];
            let is_last = self.line_start > 0 && matches!(line, b"" | b"\r");
            self.line_start = end + 1;
            self.searched = end + 1;
            if is_last {
                return Some(end + 1);
            }
        }
        self.searched = self.bytes.len();
        None
    }

    fn first_line(&self) -> Option<&[u8]> {
        let (line, _) = next_line(&self.bytes);
        (self.line_start > 0).then_some(line)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let reader = &mut *self;
        loop {
            if !reader.ready.is_empty() {
                reader.give(buf);
                return Poll::Ready(Ok(()));
            }
            if reader.wire.take_awaits_head() {
                reader.head.get_or_insert_default();
            }
            if reader.head.is_none() {
                return Pin::new(&mut reader.stream).poll_read(cx, buf);
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut reader.stream).poll_read(cx, buf))?;
            let bytes = buf.filled()[before..].to_vec();
            // hyper's buffer was borrowed for bytes that are not passed on yet.
            buf.set_filled(before);
            if let Err(error) = reader.take(&bytes) {
                reader.wire.set_fault(error.clone());
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

write_through!(HeadReader);

/// The first line of an answer.
#[derive(Debug)]
struct StatusLine<'a> {
    /// Version 1.1 or later: the connection stays open unless a field says otherwise.
    is_1_1: bool,
    code: u16,
    /// Code and reason, in the server's own words.
    status: &'a [u8],
}

impl<'a> StatusLine<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, HeadError> {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else {
            return Err(HeadError::Response(go_quote_bytes(line)));
        };
        let (version, status) = (&line[..space], &line[space + 1..]);
        let status = &status[status.iter().take_while(|byte| **byte == b' ').count()..];
        let code = status.split(|byte| *byte == b' ').next().unwrap_or_default();
        // As by `strconv.Atoi`, which accepts a sign.
        let number = match code {
            [b'+' | b'-', digits @ ..] | digits
                if code.len() == 3 && digits.iter().all(u8::is_ascii_digit) =>
            {
                digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
            }
            _ => u16::MAX,
        };
        if number == u16::MAX || (code[0] == b'-' && number > 0) {
            return Err(HeadError::StatusCode(go_quote_bytes(code)));
        }
        let [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] = version else {
            return Err(HeadError::Version(go_quote_bytes(version)));
        };
        let is_1_1 = (*major, *minor) >= (b'1', b'1');
        Ok(StatusLine { is_1_1, code: number, status })
    }
}

/// A head that Go accepts.
#[derive(Debug)]
struct Head<'a> {
    is_1_1: bool,
    code: u16,
    status: &'a [u8],
    /// Without those that frame the body.
    fields: Vec<Field<'a>>,
    framing: Framing,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Bytes(u64),
    /// With the connection.
    Unstated,
}

#[derive(Debug)]
struct Field<'a> {
    name: &'a [u8],
    value: Vec<u8>,
}

impl Field<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Parses a whole head.
fn parse(head: &[u8]) -> Result<Head<'_>, HeadError> {
    let (line, rest) = next_line(head);
    let StatusLine { is_1_1, code, status } = StatusLine::parse(line)?;
    let mut fields = fields(rest)?;
    let framing = framing(&fields, is_1_1)?;
    let frames = ["Content-Length", "Transfer-Encoding", "Trailer"];
    // A name with a space in it is accepted, and means nothing to anybody.
    fields.retain(|field| !frames.iter().any(|name| field.is(name)) && !field.name.contains(&b' '));
    Ok(Head { is_1_1, code, status, fields, framing })
}

/// A line without its end, and what follows it.
fn next_line(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = text.iter().position(|byte| *byte == b'\n') else { return (text, &[]) };
    let line = &text[..end];
    (line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..])
}

fn trimmed(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().take_while(|byte| is_space(byte)).count();
    let end = text.len() - text[start..].iter().rev().take_while(|byte| is_space(byte)).count();
    &text[start..end]
}

/// The fields up to the empty line.
fn fields(mut text: &[u8]) -> Result<Vec<Field<'_>>, HeadError> {
    let continues = |text: &[u8]| matches!(text.first(), Some(b' ' | b'\t'));
    if continues(text) {
        return Err(HeadError::InitialLine(go_quote_bytes(next_line(text).0)));
    }
    let mut fields = Vec::new();
    loop {
        let (line, mut rest) = next_line(text);
        if line.is_empty() {
            return Ok(fields);
        }
        if !line.contains(&b':') {
            return Err(HeadError::NoColon(go_quote_bytes(line)));
        }
        let first = trimmed(line);
        let mut continued = Vec::new();
        while continues(rest) {
            let (line, after) = next_line(rest);
            continued.push(b' ');
            continued.extend_from_slice(trimmed(line));
            rest = after;
        }
        let malformed = || HeadError::Line(go_quote_bytes(&[first, &continued].concat()));
        let colon = first.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
        let name = &first[..colon];
        let value = trimmed(&first[colon + 1..]);
        let value = if continued.is_empty() { value.to_vec() } else { [value, &continued].concat() };
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b" !#$%&'*+-.^_`|~".contains(byte);
        let is_value = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
        if name.is_empty() || !name.iter().all(is_name) || !value.iter().all(is_value) {
            return Err(malformed());
        }
        fields.push(Field { name, value });
        text = rest;
    }
}

fn framing(fields: &[Field<'_>], is_1_1: bool) -> Result<Framing, HeadError> {
    let values = |name: &'static str| -> Vec<&[u8]> {
        fields.iter().filter(|field| field.is(name)).map(|field| field.value.as_slice()).collect()
    };
    let quoted = |values: &[&[u8]]| {
        let quoted: Vec<String> = values.iter().map(|value| go_quote_bytes(value)).collect();
        quoted.join(" ")
    };
    // Before 1.1 there were no transfer encodings.
    let chunked = match values("Transfer-Encoding").as_slice() {
        _ if !is_1_1 => false,
        [] => false,
        [value] if value.eq_ignore_ascii_case(b"chunked") => true,
        [value] => return Err(HeadError::TransferEncoding(go_quote_bytes(value))),
        several => return Err(HeadError::TransferEncodings(quoted(several))),
    };
    let lengths = values("Content-Length");
    let length = lengths.first().copied().unwrap_or_default();
    if lengths.iter().any(|other| *other != length) {
        return Err(HeadError::ContentLengths(quoted(&lengths)));
    }
    let number =
        std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|text| text.parse::<i64>().ok());
    match number {
        // An empty length counts as none: Go's own default refuses it, Prometheus as distributions build it does not.
        None if !length.is_empty() => Err(HeadError::ContentLength(go_quote_bytes(length))),
        _ if chunked => check_trailers(&values("Trailer")).map(|()| Framing::Chunked),
        number => Ok(number.map_or(Framing::Unstated, |length| Framing::Bytes(length.unsigned_abs()))),
    }
}

/// Fields that frame the body may not follow it.
fn check_trailers(values: &[&[u8]]) -> Result<(), HeadError> {
    for name in values.iter().flat_map(|value| value.split(|byte| *byte == b',')).map(trimmed) {
        let forbidden = ["Transfer-Encoding", "Trailer", "Content-Length"]
            .into_iter()
            .find(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()));
        if let Some(forbidden) = forbidden {
            return Err(HeadError::TrailerKey(go_quote_bytes(forbidden.as_bytes())));
        }
    }
    Ok(())
}

impl Head<'_> {
    fn is_interim(&self) -> bool {
        matches!(self.code, 100 | 102..=199)
    }

    /// The head as hyper reads it. The reason is not passed on: [`Wire::status`] has it.
    fn for_hyper(&self) -> Vec<u8> {
        let version = if self.is_1_1 { "1.1" } else { "1.0" };
        // hyper knows no codes below 100.
        let code = if self.code < 100 { 999 } else { self.code };
        let mut head = format!("HTTP/{version} {code} \r\n").into_bytes();
        for Field { name, value } in &self.fields {
            for part in [name, &b": "[..], value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        match self.framing {
            Framing::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::Bytes(length) => {
                head.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
            }
            Framing::Unstated => {}
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

#[cfg(test)]
mod tests;
