//! The text format, versions 0.0.4 and 1.0.0.
//!
//! Spaces and tabs may separate tokens; the last line needs no newline; commas between labels may be missing.

use std::borrow::Cow;

use ferula_model::MetricType;

use crate::entry::{Entry, Series};
use crate::error::quote;
use crate::lexer::{Dialect, Token};
use crate::line::LineReader;
use crate::{ParseError, scan};

/// Reads a text page line by line.
#[derive(Clone, Debug)]
pub(crate) struct TextParser<'a> {
    line: LineReader<'a>,
    /// From the last `# TYPE` line.
    kind: MetricType,
}

/// The type named on a `# TYPE` line.
fn kind_of(word: &[u8]) -> Option<MetricType> {
    match word {
        b"counter" => Some(MetricType::Counter),
        b"gauge" => Some(MetricType::Gauge),
        b"histogram" => Some(MetricType::Histogram),
        b"summary" => Some(MetricType::Summary),
        b"untyped" => Some(MetricType::Unknown),
        _ => None,
    }
}

/// A help text with `\\` and `\n` resolved; other escapes stay.
fn help(text: &str) -> Cow<'_, str> {
    crate::escape::unescape(text, false)
}

impl<'a> TextParser<'a> {
    pub(crate) fn new(body: &'a [u8], scan: bool) -> Self {
        TextParser { line: LineReader::new(body, Dialect::Text, scan), kind: MetricType::Unknown }
    }

    /// The next entry; `None` at the end of the page.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        loop {
            if let Some(start) = self.line.scan_start() {
                match self.scan_line(start) {
                    Some((Some(entry), next)) => {
                        self.line.lexer.jump(next);
                        return Ok(Some(entry));
                    }
                    Some((None, next)) => {
                        self.line.lexer.jump(next);
                        continue;
                    }
                    None => {}
                }
            }
            match self.exact_line()? {
                Line::Entry(entry) => return Ok(Some(entry)),
                Line::Nothing => {}
                Line::EndOfPage => return Ok(None),
            }
        }
    }

    /// See [`crate::PageParser::next_known`].
    #[inline]
    pub(crate) fn next_known(
        &mut self,
        key_bytes: usize,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Series<'a>> {
        let (start, key_end) = self.line.known_key(key_bytes, is_known)?;
        let (series, next) = self.scan_sample(start, key_end)?;
        self.line.lexer.jump(next);
        Some(series)
    }

    /// A line of a common shape: its entry (none for a comment) and where the next line begins.
    #[inline]
    fn scan_line(&mut self, start: usize) -> Option<(Option<Entry<'a>>, usize)> {
        let body = self.line.body();
        match *body.get(start)? {
            b'#' => self.scan_meta(start),
            b'\n' => Some((None, start + 1)),
            _ => {
                let key_end = scan::plain_key_end(body, start)?;
                let (series, next) = self.scan_sample(start, key_end)?;
                Some((Some(Entry::Series(series)), next))
            }
        }
    }

    /// The sample on a line whose key ends at `key_end`, and where the next line begins.
    #[inline]
    fn scan_sample(&self, start: usize, key_end: usize) -> Option<(Series<'a>, usize)> {
        let body = self.line.body();
        if *body.get(key_end)? != b' ' {
            return None;
        }
        let (value, end) = scan::value(body, key_end + 1)?;
        let (timestamp, end) = match *body.get(end)? {
            b' ' => {
                let (millis, end) = scan::millis(body, end + 1)?;
                (Some(millis), end)
            }
            _ => (None, end),
        };
        if *body.get(end)? != b'\n' {
            return None;
        }
        let key = &body[start..key_end];
        let series = Series { key, value, timestamp, start_timestamp: 0, kind: self.kind, exemplar: None };
        Some((series, end + 1))
    }

    fn scan_meta(&mut self, start: usize) -> Option<(Option<Entry<'a>>, usize)> {
        let body = self.line.body();
        let word = body.get(start..start + 7)?;
        let is_type = word == b"# TYPE ";
        if !is_type && word != b"# HELP " {
            return None;
        }
        let name_end = scan::metric_name_end(body, start + 7)?;
        if *body.get(name_end)? != b' ' {
            return None;
        }
        let end = scan::line_end(body, name_end)?;
        let (metric, rest) = (&body[start + 7..name_end], &body[name_end + 1..end]);
        let entry = if is_type {
            self.kind = kind_of(rest)?;
            Entry::Type { metric, kind: self.kind }
        } else {
            // Trailing spaces are dropped by the exact parser.
            if rest.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) || rest.is_empty() {
                return None;
            }
            Entry::Help { metric, text: help(std::str::from_utf8(rest).ok()?) }
        };
        Some((Some(entry), end + 1))
    }

    fn exact_line(&mut self) -> Result<Line<'a>, ParseError> {
        self.line.start = self.line.lexer.at;
        match self.line.lexer.next() {
            Token::Eof => Ok(Line::EndOfPage),
            Token::Linebreak => Ok(Line::Nothing),
            word @ (Token::Help | Token::Type) => self.meta(word).map(Line::Entry),
            Token::Comment => match self.line.lexer.next() {
                Token::Linebreak => Ok(Line::Nothing),
                other => Err(self.line.unexpected("linebreak expected after comment", other)),
            },
            Token::BraceOpen => {
                let start = self.line.lexer.start;
                let named = self.line.labels(false, false)?;
                let key = self.line.key(start)?;
                let token = self.line.lexer.next();
                self.after_key(key, named, token).map(Line::Entry)
            }
            Token::MetricName => {
                let start = self.line.lexer.start;
                let mut key = self.line.lexer.token();
                let mut token = self.line.lexer.next();
                if token == Token::BraceOpen {
                    self.line.labels(true, false)?;
                    key = self.line.key(start)?;
                    token = self.line.lexer.next();
                }
                self.after_key(key, true, token).map(Line::Entry)
            }
            other => Err(self.line.unexpected("expected a valid start token", other)),
        }
    }

    fn meta(&mut self, word: Token) -> Result<Entry<'a>, ParseError> {
        let metric = self.line.meta_name(word)?;
        let text = match self.line.lexer.next() {
            Token::Text => self.line.lexer.token().get(1..).unwrap_or_default(),
            other => {
                let reason = format!("expected text in {}, got {}", word.name(), other.name());
                return Err(self.line.fail(reason));
            }
        };
        let entry = if word == Token::Type {
            self.kind = kind_of(text)
                .ok_or_else(|| self.line.fail(format!("invalid metric type {}", quote(text))))?;
            Entry::Type { metric, kind: self.kind }
        } else {
            Entry::Help { metric, text: help(self.line.help_text(text)?) }
        };
        match self.line.lexer.next() {
            Token::Linebreak => Ok(entry),
            other => Err(self.line.unexpected("linebreak expected after metadata", other)),
        }
    }

    /// Value, optional timestamp, line break.
    fn after_key(&mut self, key: &'a [u8], named: bool, token: Token) -> Result<Entry<'a>, ParseError> {
        if !named {
            return Err(self.line.fail_while_parsing("metric name not set"));
        }
        if token != Token::Value {
            return Err(self.line.unexpected("expected value after metric", token));
        }
        let value = self.line.number(0)?;
        let timestamp = match self.line.lexer.next() {
            Token::Linebreak => None,
            Token::Timestamp => {
                let millis = self.millis()?;
                match self.line.lexer.next() {
                    Token::Linebreak => Some(millis),
                    other => return Err(self.line.unexpected("expected next entry after timestamp", other)),
                }
            }
            other => return Err(self.line.unexpected("expected timestamp or new record", other)),
        };
        Ok(Entry::Series(Series {
            key,
            value,
            timestamp,
            start_timestamp: 0,
            kind: self.kind,
            exemplar: None,
        }))
    }

    fn millis(&self) -> Result<i64, ParseError> {
        let token = self.line.lexer.token();
        let number = std::str::from_utf8(token).ok().and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| {
            let reason = format!("strconv.ParseInt: parsing {}: value out of range", quote(token));
            self.line.fail_while_parsing(&reason)
        })
    }
}

/// The exact parser's result for a line.
enum Line<'a> {
    Entry(Entry<'a>),
    /// A blank line or a comment.
    Nothing,
    EndOfPage,
}
