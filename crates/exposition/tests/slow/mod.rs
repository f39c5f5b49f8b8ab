//! A second parser, as literal as the grammar and as slow as it likes: the oracle of the property tests.
//!
//! Recursive descent over bytes, one function per production, no tables, no code shared with the real one. It only
//! decides whether a page is valid and what it contains; error texts are not its concern.

use ferula_exposition::Format;
use ferula_model::MetricType;

/// Names and values, sorted by name.
pub type Labels = Vec<(String, String)>;

/// A meaningful line.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    Type(String, MetricType),
    Help(String, String),
    Unit(String, String),
    Sample {
        labels: Labels,
        value: u64,
        timestamp: Option<i64>,
        exemplar: Option<(Labels, u64, Option<i64>)>,
    },
}

/// Reads a page; `None` if it is invalid.
pub fn read(page: &[u8], format: Format) -> Option<Vec<Row>> {
    let mut bytes = page.to_vec();
    if format == Format::Text {
        bytes.push(b'\n');
    }
    let mut reader = Reader { bytes, at: 0, format, kind: MetricType::Unknown };
    let mut rows = Vec::new();
    loop {
        match reader.line()? {
            Line::Row(row) => rows.push(row),
            Line::Nothing => {}
            Line::End => return Some(rows),
        }
    }
}

enum Line {
    Row(Row),
    Nothing,
    End,
}

struct Reader {
    bytes: Vec<u8>,
    at: usize,
    format: Format,
    kind: MetricType,
}

fn name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

impl Reader {
    fn text(&self) -> bool {
        self.format == Format::Text
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.bytes[self.at..].starts_with(text.as_bytes());
        if found {
            self.at += text.len();
        }
        found
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.accept(text).then_some(())
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> Vec<u8> {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        self.bytes[start..self.at].to_vec()
    }

    /// Spaces and tabs between tokens, which only text pages may have.
    fn blanks(&mut self) -> usize {
        if self.text() { self.take_while(|b| b == b' ' || b == b'\t').len() } else { 0 }
    }

    fn line(&mut self) -> Option<Line> {
        self.blanks();
        match self.peek() {
            None => self.text().then_some(Line::End),
            Some(0) if self.text() => Some(Line::End),
            Some(b'\n') if self.text() => {
                self.at += 1;
                Some(Line::Nothing)
            }
            Some(b'#') if self.text() => self.text_comment(),
            Some(b'#') => self.openmetrics_comment(),
            _ => self.sample().map(Line::Row),
        }
    }

    fn text_comment(&mut self) -> Option<Line> {
        self.at += 1;
        let spaced = self.blanks() > 0;
        let before = self.at;
        if spaced {
            // NULs inside the word are skipped, as everywhere in a comment.
            let word: Vec<u8> = self.bytes[self.at..].iter().copied().filter(|b| *b != 0).take(5).collect();
            let kind = match word.as_slice() {
                [b'H', b'E', b'L', b'P', b' ' | b'\t'] => Some("HELP"),
                [b'T', b'Y', b'P', b'E', b' ' | b'\t'] => Some("TYPE"),
                _ => None,
            };
            if let Some(kind) = kind
                && self.peek() != Some(0)
            {
                let mut letters = 0;
                while letters < 5 {
                    letters += usize::from(self.peek() != Some(0));
                    self.at += 1;
                }
                self.comment_blanks();
                return self.text_meta(kind);
            }
        }
        // A comment. It may contain NULs, but not directly after the spaces, and not at all without spaces.
        self.at = before;
        let comment = self.take_while(|b| b != b'\n');
        let nul_ends = if spaced { comment.first() == Some(&0) } else { comment.contains(&0) };
        if nul_ends { Some(Line::End) } else { Some(Line::Nothing) }
    }

    /// Spaces and NULs after a keyword.
    fn comment_blanks(&mut self) {
        self.take_while(|b| matches!(b, b' ' | b'\t' | 0));
    }

    fn text_meta(&mut self, word: &str) -> Option<Line> {
        let metric = self.meta_name()?;
        if self.peek() == Some(0) {
            return None;
        }
        let text = self.take_while(|b| b != b'\n');
        let blank = text.iter().all(|b| matches!(b, b' ' | b'\t' | 0)) && !text.contains(&0);
        let text = if blank { &[] } else { text.get(1..).unwrap_or_default() };
        self.expect("\n")?;
        self.meta_row(word, metric, text)
    }

    /// Prometheus skips NULs after every byte of a comment's first word.
    fn accept_over_nuls(&mut self, text: &str) -> bool {
        let start = self.at;
        for byte in text.bytes() {
            if self.peek() != Some(byte) {
                self.at = start;
                return false;
            }
            self.at += 1;
            while self.peek() == Some(0) {
                self.at += 1;
            }
        }
        true
    }

    fn openmetrics_comment(&mut self) -> Option<Line> {
        if !self.accept("# ") {
            return None;
        }
        if self.accept_over_nuls("EOF") {
            self.accept_over_nuls("\n");
            return self.peek().is_none().then_some(Line::End);
        }
        let word =
            ["HELP", "TYPE", "UNIT"].into_iter().find(|word| self.accept_over_nuls(&format!("{word} ")))?;
        let metric = self.meta_name()?;
        self.expect(" ")?;
        let text = self.take_while(|b| b != b'\n');
        self.expect("\n")?;
        self.meta_row(word, metric, &text)
    }

    fn meta_name(&mut self) -> Option<String> {
        let name = if self.peek() == Some(b'"') { self.quoted(true, false)? } else { self.bare_name(true)? };
        Some(String::from_utf8_lossy(&name).into_owned())
    }

    fn meta_row(&mut self, word: &str, metric: String, text: &[u8]) -> Option<Line> {
        let row = match word {
            "TYPE" => {
                self.kind = self.kind_of(std::str::from_utf8(text).ok()?)?;
                Row::Type(metric, self.kind)
            }
            "HELP" => Row::Help(metric, self.unescape(std::str::from_utf8(text).ok()?, !self.text())),
            _ => {
                let unit = String::from_utf8_lossy(text).into_owned();
                if !unit.is_empty() && !metric.ends_with(&format!("_{unit}")) {
                    return None;
                }
                Row::Unit(metric, unit)
            }
        };
        Some(Line::Row(row))
    }

    fn kind_of(&self, word: &str) -> Option<MetricType> {
        let kind = match word {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            "untyped" if self.text() => MetricType::Unknown,
            "unknown" if !self.text() => MetricType::Unknown,
            "gaugehistogram" if !self.text() => MetricType::GaugeHistogram,
            "info" if !self.text() => MetricType::Info,
            "stateset" if !self.text() => MetricType::StateSet,
            _ => return None,
        };
        Some(kind)
    }

    fn bare_name(&mut self, metric: bool) -> Option<Vec<u8>> {
        let first = self.peek()?;
        if !(name_start(first) || metric && first == b':') {
            return None;
        }
        Some(self.take_while(|b| name_start(b) || b.is_ascii_digit() || metric && b == b':'))
    }

    /// The content of a quoted string. NULs are allowed only in values.
    fn quoted(&mut self, line_breaks: bool, nuls: bool) -> Option<Vec<u8>> {
        self.expect("\"")?;
        let mut inside = Vec::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(inside),
                b'\n' if !line_breaks => return None,
                0 if !nuls => return None,
                b'\\' => {
                    inside.push(byte);
                    // NULs between the backslash and the escaped byte are skipped, and stay in the text.
                    while nuls && self.peek() == Some(0) {
                        inside.push(0);
                        self.at += 1;
                    }
                    let next = self.peek()?;
                    if next == b'\n' || next == 0 {
                        return None;
                    }
                    inside.push(next);
                    self.at += 1;
                }
                _ => inside.push(byte),
            }
        }
    }

    fn unescape(&self, text: &str, quotes: bool) -> String {
        let mut out = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let resolved = match (c, chars.peek()) {
                ('\\', Some('\\')) => Some('\\'),
                ('\\', Some('n')) => Some('\n'),
                ('\\', Some('"')) if quotes => Some('"'),
                _ => None,
            };
            if resolved.is_some() {
                chars.next();
            }
            out.push(resolved.unwrap_or(c));
        }
        out
    }

    /// Labels up to the closing brace; the opening one has been read.
    fn braces(&mut self, name: &mut Option<String>, exemplar: bool) -> Option<Labels> {
        let mut labels = Vec::new();
        loop {
            self.blanks();
            if self.accept("}") {
                return Some(labels);
            }
            let quoted = self.peek() == Some(b'"');
            let label = if quoted { self.quoted(!exemplar, false)? } else { self.bare_name(false)? };
            let label = String::from_utf8(label).ok()?;
            self.blanks();
            if quoted && !exemplar && matches!(self.peek(), Some(b',' | b'}')) {
                if name.replace(self.unescape(&label, true)).is_some() {
                    return None;
                }
                self.accept(",");
                continue;
            }
            self.expect("=")?;
            if self.blanks() > 0 {
                self.comment_blanks();
            }
            let value = String::from_utf8(self.quoted(self.text(), !exemplar)?).ok()?;
            labels.push(if exemplar {
                (label, value)
            } else {
                (self.unescape(&label, true), self.unescape(&value, true))
            });
            self.blanks();
            let comma = self.accept(",");
            if !comma && !self.text() && self.peek() != Some(b'}') {
                return None;
            }
        }
    }

    fn sample(&mut self) -> Option<Row> {
        let mut name = None;
        let mut labels = Vec::new();
        if self.peek() != Some(b'{') {
            name = Some(String::from_utf8(self.bare_name(true)?).ok()?);
            self.blanks();
        }
        if self.accept("{") {
            labels = self.braces(&mut name, false)?;
        }
        let value = self.number_token()?;
        let mut timestamp = None;
        let mut exemplar = None;
        if self.text() {
            self.blanks();
            let digits = self.take_while(|b| b.is_ascii_digit());
            if !digits.is_empty() {
                timestamp = Some(String::from_utf8(digits).ok()?.parse().ok()?);
                self.blanks();
            }
        } else {
            if !self.bytes[self.at..].starts_with(b" # ") && self.peek() == Some(b' ') {
                timestamp = Some(self.seconds()?);
            }
            if self.accept(" # {") {
                let labels = sorted(self.braces(&mut None, true)?);
                let value = self.number_token()?;
                let timestamp = if self.peek() == Some(b' ') { Some(self.seconds()?) } else { None };
                exemplar = Some((labels, value.to_bits(), timestamp));
            }
        }
        self.expect("\n")?;
        for (label, value) in &mut labels {
            let number = match self.kind {
                MetricType::Histogram => label == "le",
                MetricType::Summary => label == "quantile",
                _ => false,
            };
            if number && let Some(float) = go_float(value) {
                *value = open_metrics_form(float);
            }
        }
        labels.push(("__name__".to_owned(), name?));
        // The name comes first among equal ones.
        labels.rotate_right(1);
        Some(Row::Sample { labels: sorted(labels), value: value.to_bits(), timestamp, exemplar })
    }

    fn number_token(&mut self) -> Option<f64> {
        if self.text() {
            self.blanks();
        } else {
            self.expect(" ")?;
        }
        let text = self.text();
        let ends = |b: u8| matches!(b, b' ' | b'\n' | 0) || text && matches!(b, b'\t' | b'{');
        let token = self.take_while(|b| !ends(b));
        let token = String::from_utf8(token).ok()?;
        if token.contains(['p', 'P', '_']) {
            return None;
        }
        go_float(&token)
    }

    fn seconds(&mut self) -> Option<i64> {
        let millis = self.number_token()? * 1000.0;
        if !millis.is_finite() && millis.is_nan() || millis / 1000.0 == f64::INFINITY {
            return None;
        }
        if millis == f64::NEG_INFINITY || millis.is_nan() {
            return None;
        }
        Some(if millis.abs() < 9.2e18 { millis as i64 } else { i64::MIN })
    }
}

fn sorted(mut labels: Labels) -> Labels {
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    labels
}

fn go_float(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::from_bits(0x7ff8_0000_0000_0001));
    }
    let value: f64 = text.parse().ok()?;
    let spelled = text.to_lowercase().contains("inf");
    if value.is_nan() || value.is_infinite() && !spelled { None } else { Some(value) }
}

fn open_metrics_form(value: f64) -> String {
    let text = ferula_go::float::format_g(if value == 0.0 { 0.0 } else { value });
    if text.contains(['.', 'e', 'I', 'N']) { text } else { text + ".0" }
}
