//! What the exact parsers of both formats share: reading a line by its tokens, and formatting errors.

use crate::ParseError;
use crate::error::quote;
use crate::lexer::{Dialect, Lexer, Token};
use crate::number::parse_float;

/// A page and the line being read.
#[derive(Clone, Debug)]
pub(crate) struct LineReader<'a> {
    body: &'a [u8],
    dialect: Dialect,
    pub(crate) lexer: Lexer<'a>,
    /// Start of the line.
    pub(crate) start: usize,
    /// The body is UTF-8 and has no NUL.
    plain: bool,
    /// Whether the fast scan is tried first.
    scan: bool,
}

impl<'a> LineReader<'a> {
    /// `scan` is off only in comparisons by tests.
    pub(crate) fn new(body: &'a [u8], dialect: Dialect, scan: bool) -> Self {
        let plain = memchr::memchr(0, body).is_none() && std::str::from_utf8(body).is_ok();
        LineReader { body, dialect, lexer: Lexer::new(body, dialect), start: 0, plain, scan: scan && plain }
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Where the fast scan may try the next line, if at all.
    pub(crate) fn scan_start(&self) -> Option<usize> {
        (self.scan && self.lexer.at_line_start()).then_some(self.lexer.at)
    }

    /// The start and the end of a known key of this length, if the next line begins with it.
    #[inline]
    pub(crate) fn known_key(
        &self,
        key_bytes: usize,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> Option<(usize, usize)> {
        let start = self.scan_start()?;
        let end = start.checked_add(key_bytes)?;
        let key = self.body.get(start..end)?;
        // Most lines that are not samples need no look at what is known.
        let may_be_it = key.first().is_some_and(|byte| *byte != b'#') && self.body.get(end) == Some(&b' ');
        (may_be_it && is_known(key)).then_some((start, end))
    }

    pub(crate) fn fail(&self, reason: String) -> ParseError {
        let before = &self.body[..self.start.min(self.body.len())];
        ParseError { line: 1 + memchr::memchr_iter(b'\n', before).count(), reason, is_sample: false }
    }

    /// `expected …, got "token" ("NAME") while parsing: "line"`
    pub(crate) fn unexpected(&self, expected: &str, got: Token) -> ParseError {
        let end = self.lexer.at.saturating_add(1);
        let token = self.lexer.quoted(self.lexer.start, end);
        let line = self.lexer.quoted(self.start, end);
        self.fail(format!("{expected}, got {token} (\"{}\") while parsing: {line}", got.name()))
    }

    /// `… while parsing: "line"`
    pub(crate) fn fail_while_parsing(&self, reason: &str) -> ParseError {
        let line = self.lexer.quoted(self.start, self.lexer.at);
        self.fail(format!("{reason} while parsing: {line}"))
    }

    /// The name after `HELP`, `TYPE` or `UNIT`, without quotes.
    pub(crate) fn meta_name(&mut self, word: Token) -> Result<&'a [u8], ParseError> {
        match self.lexer.next() {
            Token::MetricName => {
                let name = self.lexer.token();
                Ok(name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(name))
            }
            other => Err(self.unexpected(&format!("expected metric name after {}", word.name()), other)),
        }
    }

    /// A help text, which must be UTF-8.
    pub(crate) fn help_text(&self, text: &'a [u8]) -> Result<&'a str, ParseError> {
        std::str::from_utf8(text)
            .map_err(|_| self.fail(format!("help text {} is not a valid utf8 string", quote(text))))
    }

    /// Reads everything up to the closing brace. The opening one has been read; `named` tells whether a name preceded
    /// it. Returns whether there is a name now.
    pub(crate) fn labels(&mut self, mut named: bool, exemplar: bool) -> Result<bool, ParseError> {
        let mut token = self.lexer.next();
        loop {
            let quoted = match token {
                Token::BraceClose => return Ok(named),
                Token::LabelName => false,
                Token::QuotedString => true,
                other => return Err(self.unexpected("expected label name", other)),
            };
            token = self.lexer.next();
            // A quoted string by itself is the metric's name.
            if quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if exemplar {
                    return Err(self.unexpected("expected label name", token));
                }
                if named {
                    return Err(self.fail_while_parsing("metric name already set"));
                }
                named = true;
                if token == Token::BraceClose {
                    return Ok(named);
                }
                token = self.lexer.next();
                continue;
            }
            token = self.label_value(token)?;
        }
    }

    /// Reads the equals sign, the value and the comma after it; returns the next token.
    fn label_value(&mut self, equal: Token) -> Result<Token, ParseError> {
        if equal != Token::Equal {
            return Err(self.unexpected("expected equal", equal));
        }
        let value = self.lexer.next();
        if value != Token::LabelValue {
            return Err(self.unexpected("expected label value", value));
        }
        let text = self.lexer.token();
        if !self.plain && std::str::from_utf8(text).is_err() {
            return Err(self.fail(format!("invalid UTF-8 label value: {}", quote(text))));
        }
        match self.lexer.next() {
            Token::Comma => Ok(self.lexer.next()),
            other if other == Token::BraceClose || self.dialect == Dialect::Text => Ok(other),
            other => Err(self.unexpected("expected comma or brace close", other)),
        }
    }

    /// The key from `key_start` to here. A name in quotes must be UTF-8, and so must label values.
    pub(crate) fn key(&self, key_start: usize) -> Result<&'a [u8], ParseError> {
        let key = self.lexer.slice(key_start, self.lexer.at);
        if !self.plain && std::str::from_utf8(key).is_err() {
            let reason = format!("invalid metric name or label names: {}", quote(key));
            return Err(ParseError { is_sample: true, ..self.fail(reason) });
        }
        Ok(key)
    }

    /// The number in a token, without `skip` leading bytes.
    pub(crate) fn number(&self, skip: usize) -> Result<f64, ParseError> {
        let token = self.lexer.token().get(skip..).unwrap_or_default();
        parse_float(token).map_err(|error| self.fail_while_parsing(&error.to_string()))
    }
}
