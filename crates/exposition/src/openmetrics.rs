//! OpenMetrics 1.0.
//!
//! Exactly one space between tokens, a `# EOF` at the end, timestamps in seconds, exemplars after samples. Suffixes
//! such as `_total` are not enforced, and `_created` lines are ordinary series here; see [`crate::starts`].

use std::borrow::Cow;

use ferula_model::MetricType;

use crate::entry::{Entry, ExemplarLabels, ExemplarText, Series};
use crate::error::quote;
use crate::lexer::{Dialect, Token};
use crate::line::LineReader;
use crate::number::seconds_to_millis;
use crate::{ParseError, scan};

/// Reads an OpenMetrics page line by line.
#[derive(Clone, Debug)]
pub(crate) struct OpenMetricsParser<'a> {
    line: LineReader<'a>,
    /// From the last `# TYPE` line.
    kind: MetricType,
    /// `# EOF` has been read.
    ended: bool,
}

const MISSING_EOF: &str = "data does not end with # EOF";

/// The type named on a `# TYPE` line.
fn kind_of(word: &[u8]) -> Option<MetricType> {
    match word {
        b"counter" => Some(MetricType::Counter),
        b"gauge" => Some(MetricType::Gauge),
        b"histogram" => Some(MetricType::Histogram),
        b"gaugehistogram" => Some(MetricType::GaugeHistogram),
        b"summary" => Some(MetricType::Summary),
        b"info" => Some(MetricType::Info),
        b"stateset" => Some(MetricType::StateSet),
        b"unknown" => Some(MetricType::Unknown),
        _ => None,
    }
}

/// A help text with `\\`, `\n` and `\"` resolved.
fn help(text: &str) -> Cow<'_, str> {
    crate::escape::unescape(text, true)
}

/// Non-finite values, as `%f` prints them.
fn special(value: f64) -> &'static str {
    match (value.is_nan(), value > 0.0) {
        (true, _) => "NaN",
        (false, true) => "+Inf",
        (false, false) => "-Inf",
    }
}

impl<'a> OpenMetricsParser<'a> {
    pub(crate) fn new(body: &'a [u8], scan: bool) -> Self {
        let line = LineReader::new(body, Dialect::OpenMetrics, scan);
        OpenMetricsParser { line, kind: MetricType::Unknown, ended: false }
    }

    /// Where the next line begins.
    pub(crate) fn place(&self) -> usize {
        self.line.lexer.at
    }

    /// The next entry; `None` after `# EOF`.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        if self.ended {
            return Ok(None);
        }
        if let Some(start) = self.line.scan_start()
            && let Some((entry, next)) = self.scan_line(start)
        {
            self.line.lexer.jump(next);
            return Ok(Some(entry));
        }
        let entry = self.exact_line()?;
        self.ended = entry.is_none();
        Ok(entry)
    }

    /// See [`crate::PageParser::next_known`].
    #[inline]
    pub(crate) fn next_known(
        &mut self,
        key_bytes: usize,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Series<'a>> {
        if self.ended {
            return None;
        }
        let (start, key_end) = self.line.known_key(key_bytes, is_known)?;
        let (series, next) = self.scan_sample(start, key_end)?;
        self.line.lexer.jump(next);
        Some(series)
    }

    /// A line of a common shape: its entry and where the next line begins.
    #[inline]
    fn scan_line(&mut self, start: usize) -> Option<(Entry<'a>, usize)> {
        let body = self.line.body();
        if *body.get(start)? == b'#' {
            return self.scan_meta(start);
        }
        let key_end = scan::plain_key_end(body, start)?;
        let (series, next) = self.scan_sample(start, key_end)?;
        Some((Entry::Series(series), next))
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
                let (seconds, end) = scan::value(body, end + 1)?;
                if !seconds.is_finite() {
                    return None;
                }
                (Some(seconds_to_millis(seconds)), end)
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

    fn scan_meta(&mut self, start: usize) -> Option<(Entry<'a>, usize)> {
        let body = self.line.body();
        let word = body.get(start..start + 7)?;
        let name_end = scan::metric_name_end(body, start + 7)?;
        if *body.get(name_end)? != b' ' {
            return None;
        }
        let end = scan::line_end(body, name_end)?;
        let (metric, text) = (&body[start + 7..name_end], &body[name_end + 1..end]);
        let entry = match word {
            b"# TYPE " => {
                self.kind = kind_of(text)?;
                Entry::Type { metric, kind: self.kind }
            }
            b"# HELP " => Entry::Help { metric, text: help(std::str::from_utf8(text).ok()?) },
            _ => return None,
        };
        Some((entry, end + 1))
    }

    fn exact_line(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        self.line.start = self.line.lexer.at;
        match self.line.lexer.next() {
            Token::EofWord => match self.line.lexer.next() {
                Token::Eof => Ok(None),
                _ => Err(self.line.fail("unexpected data after # EOF".to_owned())),
            },
            Token::Eof => Err(self.line.fail(MISSING_EOF.to_owned())),
            word @ (Token::Help | Token::Type | Token::Unit) => self.meta(word).map(Some),
            Token::BraceOpen => {
                let start = self.line.lexer.start;
                let named = self.line.labels(false, false)?;
                let key = self.line.key(start)?;
                let token = self.line.lexer.next();
                self.after_key(key, named, token).map(Some)
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
                self.after_key(key, true, token).map(Some)
            }
            other => Err(self.line.unexpected("expected a valid start token", other)),
        }
    }

    fn meta(&mut self, word: Token) -> Result<Entry<'a>, ParseError> {
        let metric = self.line.meta_name(word)?;
        if self.line.lexer.next() != Token::Text {
            return Err(self.line.fail(format!("expected text in {}", word.name())));
        }
        // Without the leading space and the newline.
        let text = self.line.lexer.token();
        let text = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        match word {
            Token::Type => {
                let unknown = || self.line.fail(format!("invalid metric type {}", quote(text)));
                self.kind = kind_of(text).ok_or_else(unknown)?;
                Ok(Entry::Type { metric, kind: self.kind })
            }
            Token::Help => Ok(Entry::Help { metric, text: help(self.line.help_text(text)?) }),
            _ => self.unit(metric, text),
        }
    }

    fn unit(&self, metric: &'a [u8], unit: &'a [u8]) -> Result<Entry<'a>, ParseError> {
        let is_suffix = metric.strip_suffix(unit).is_some_and(|rest| rest.ends_with(b"_"));
        if !unit.is_empty() && !is_suffix {
            let reason = format!("unit {} not a suffix of metric {}", quote(unit), quote(metric));
            return Err(self.line.fail(reason));
        }
        Ok(Entry::Unit { metric, unit })
    }

    /// Value, optional timestamp, optional exemplar, line break.
    fn after_key(&mut self, key: &'a [u8], named: bool, token: Token) -> Result<Entry<'a>, ParseError> {
        if !named {
            return Err(self.line.fail_while_parsing("metric name not set"));
        }
        let value = self.value(token, "metric")?;
        let (mut timestamp, mut exemplar) = (None, None);
        match self.line.lexer.next() {
            Token::Eof => return Err(self.line.fail(MISSING_EOF.to_owned())),
            Token::Comment => exemplar = Some(self.exemplar()?),
            Token::Timestamp => {
                timestamp = Some(self.timestamp("timestamp")?);
                match self.line.lexer.next() {
                    Token::Linebreak => {}
                    Token::Comment => exemplar = Some(self.exemplar()?),
                    other => return Err(self.line.unexpected("expected next entry after timestamp", other)),
                }
            }
            // Anything other than a newline is read again, and refused, as the start of the next line, because that is
            // where Prometheus reports it.
            _ => {}
        }
        Ok(Entry::Series(Series { key, value, timestamp, start_timestamp: 0, kind: self.kind, exemplar }))
    }

    fn value(&self, token: Token, after: &str) -> Result<f64, ParseError> {
        if token != Token::Value {
            return Err(self.line.unexpected(&format!("expected value after {after}"), token));
        }
        self.line.number(1)
    }

    fn timestamp(&self, what: &str) -> Result<i64, ParseError> {
        let seconds = self.line.number(1)?;
        if !seconds.is_finite() {
            return Err(self.line.fail(format!("invalid {what} {}", special(seconds))));
        }
        Ok(seconds_to_millis(seconds))
    }

    /// What follows ` # {`.
    fn exemplar(&mut self) -> Result<ExemplarText<'a>, ParseError> {
        let start = self.line.lexer.at.saturating_sub(1);
        self.line.labels(true, true)?;
        let labels = ExemplarLabels::Text(self.line.key(start)?);
        let token = self.line.lexer.next();
        let value = self.value(token, "exemplar labels")?;
        let timestamp = match self.line.lexer.next() {
            Token::Eof => return Err(self.line.fail(MISSING_EOF.to_owned())),
            Token::Linebreak => None,
            Token::Timestamp => {
                let millis = self.timestamp("exemplar timestamp")?;
                match self.line.lexer.next() {
                    Token::Linebreak => Some(millis),
                    other => {
                        return Err(self
                            .line
                            .unexpected("expected next entry after exemplar timestamp", other));
                    }
                }
            }
            other => return Err(self.line.unexpected("expected timestamp or comment", other)),
        };
        Ok(ExemplarText { labels, value, timestamp })
    }
}
