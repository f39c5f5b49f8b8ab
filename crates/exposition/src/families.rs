//! Reads a text page as metric families, like client libraries do: all samples of a summary or a
//! histogram are one metric.
//!
//! For linting a page and for forwarding it. Scraping uses [`crate::PageParser`], which is faster and keeps samples
//! separate. Error texts are those of Prometheus' `expfmt`.

use std::collections::BTreeMap;

use ferula_go::quote::go_quote;
use ferula_model::MetricType;
use ferula_model::labels::NameScheme;

use crate::number::parse_float;

/// All metrics with one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// The help text, if the page has one.
    pub help: Option<String>,
    /// The stated type; `Unknown` if there is none.
    pub kind: MetricType,
    /// In the order of their first samples.
    pub metrics: Vec<FamilyMetric>,
}

/// One metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FamilyMetric {
    /// Labels as written, without the name, `quantile` and `le`.
    pub labels: Vec<(String, String)>,
    /// Milliseconds since the epoch, if stated.
    pub timestamp: Option<i64>,
    /// Counter, gauge, untyped.
    pub value: f64,
    /// `_sum`
    pub sum: f64,
    /// `_count`
    pub count: f64,
    /// Quantiles with their values, or upper bounds with their counts.
    pub parts: Vec<(f64, f64)>,
}

/// Why a page cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("text format parsing error in line {line}: {reason}")]
pub struct FamiliesError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// Which sample of a metric a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SampleRole {
    Plain,
    Sum,
    Count,
}

/// Reads a page. Families are sorted by name; those without metrics are omitted.
///
/// # Errors
/// The first invalid line, including names that `names` does not allow.
pub fn parse_families(page: &[u8], names: NameScheme) -> Result<Vec<Family>, FamiliesError> {
    let mut reader = Reader {
        page,
        names,
        at: 0,
        current: 0,
        line: 0,
        families: BTreeMap::new(),
        stated: BTreeMap::new(),
        composite: BTreeMap::new(),
    };
    while reader.line()? {}
    Ok(reader.families.into_values().filter(|family| !family.metrics.is_empty()).collect())
}

struct Reader<'a> {
    page: &'a [u8],
    names: NameScheme,
    at: usize,
    /// The current byte.
    current: u8,
    line: usize,
    families: BTreeMap<String, Family>,
    /// Families whose type is settled.
    stated: BTreeMap<String, ()>,
    /// Positions of summaries and histograms, by family and labels.
    composite: BTreeMap<(String, Vec<(String, String)>), usize>,
}

/// A line up to its value.
struct Line {
    family: Option<(String, SampleRole)>,
    labels: Vec<(String, String)>,
    /// `quantile` or `le`.
    bound: f64,
}

type Step<T> = Result<T, FamiliesError>;

impl Reader<'_> {
    fn wrong<T>(&self, reason: impl Into<String>) -> Step<T> {
        Err(FamiliesError { line: self.line, reason: reason.into() })
    }

    fn next(&mut self) -> Step<u8> {
        let Some(byte) = self.page.get(self.at) else { return self.wrong("unexpected end of input stream") };
        self.at += 1;
        self.current = *byte;
        Ok(*byte)
    }

    fn skip_blanks(&mut self) -> Step<()> {
        while is_blank(self.next()?) {}
        Ok(())
    }

    /// Reads a line. Returns `false` at the end of the page.
    fn line(&mut self) -> Step<bool> {
        self.line += 1;
        while self.page.get(self.at).copied().is_some_and(is_blank) {
            self.at += 1;
        }
        if self.at == self.page.len() {
            return Ok(false);
        }
        match self.next()? {
            b'\n' => {}
            b'#' => self.comment()?,
            b'{' => self.sample(Line { family: None, labels: Vec::new(), bound: f64::NAN })?,
            _ => {
                let name = self.name("metric")?;
                if name.is_empty() {
                    return self.wrong("invalid metric name");
                }
                let family = self.settle(name)?;
                if is_blank(self.current) {
                    self.skip_blanks()?;
                }
                self.sample(Line { family: Some(family), labels: Vec::new(), bound: f64::NAN })?;
            }
        }
        Ok(true)
    }

    fn comment(&mut self) -> Step<()> {
        self.skip_blanks()?;
        if self.current == b'\n' {
            return Ok(());
        }
        let keyword = self.word()?;
        if self.current == b'\n' {
            return Ok(());
        }
        if !matches!(keyword.as_slice(), b"HELP" | b"TYPE") {
            while self.next()? != b'\n' {}
            return Ok(());
        }
        self.skip_blanks()?;
        let name = self.name("metric")?;
        if self.current == b'\n' {
            return Ok(());
        }
        if !is_blank(self.current) {
            return self.wrong("invalid metric name in comment");
        }
        let (name, _) = self.family(name)?;
        self.skip_blanks()?;
        if self.current == b'\n' {
            return Ok(());
        }
        if keyword == b"HELP" { self.help(&name) } else { self.kind(name) }
    }

    fn help(&mut self, name: &str) -> Step<()> {
        if self.families.get(name).is_some_and(|family| family.help.is_some()) {
            return self.wrong(format!("second HELP line for metric name {}", go_quote(name)));
        }
        let text = self.rest_of_line(true)?;
        if let Some(family) = self.families.get_mut(name) {
            family.help = Some(text);
        }
        Ok(())
    }

    fn kind(&mut self, name: String) -> Step<()> {
        if self.stated.contains_key(&name) {
            let name = go_quote(&name);
            return self
                .wrong(format!("second TYPE line for metric name {name}, or TYPE reported after samples"));
        }
        let word = self.rest_of_line(false)?;
        let kind = match word.to_ascii_lowercase().as_str() {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "summary" => MetricType::Summary,
            "untyped" => MetricType::Unknown,
            "histogram" => MetricType::Histogram,
            "gaugehistogram" | "gauge_histogram" => MetricType::GaugeHistogram,
            _ => return self.wrong(format!("unknown metric type {}", go_quote(&word))),
        };
        if let Some(family) = self.families.get_mut(&name) {
            family.kind = kind;
        }
        self.stated.insert(name, ());
        Ok(())
    }

    /// The family of a sample's name, and which of its samples this is.
    fn family(&mut self, name: String) -> Step<(String, SampleRole)> {
        if !self.names.is_metric_name(&name) {
            return self.wrong(format!("invalid metric name {}", go_quote(&name)));
        }
        if self.families.contains_key(&name) {
            return Ok((name, SampleRole::Plain));
        }
        for (suffix, part) in
            [("_count", SampleRole::Count), ("_sum", SampleRole::Sum), ("_bucket", SampleRole::Plain)]
        {
            let Some(base) = name.strip_suffix(suffix).filter(|base| !base.is_empty()) else { continue };
            match self.families.get(base).map(|family| family.kind) {
                Some(MetricType::Histogram | MetricType::GaugeHistogram) => {
                    return Ok((base.to_owned(), part));
                }
                Some(MetricType::Summary) if part != SampleRole::Plain => return Ok((base.to_owned(), part)),
                _ => {}
            }
        }
        let family =
            Family { name: name.clone(), help: None, kind: MetricType::Unknown, metrics: Vec::new() };
        self.families.insert(name.clone(), family);
        Ok((name, SampleRole::Plain))
    }

    /// The same for the name of a sample; after this its type can no longer be stated.
    fn settle(&mut self, name: String) -> Step<(String, SampleRole)> {
        let family = self.family(name)?;
        self.stated.insert(family.0.clone(), ());
        Ok(family)
    }

    fn kind_of(&self, line: &Line) -> MetricType {
        let family = line.family.as_ref().and_then(|(name, _)| self.families.get(name));
        family.map_or(MetricType::Unknown, |family| family.kind)
    }

    /// Labels, value and time.
    fn sample(&mut self, mut line: Line) -> Step<()> {
        if self.current == b'{' {
            while !self.label(&mut line)? {}
            self.skip_blanks()?;
        }
        let Some((name, part)) = line.family else { return self.wrong("invalid metric name") };
        let word = self.word()?;
        let Ok(value) = parse_float(&word) else {
            let word = go_quote(&String::from_utf8_lossy(&word));
            return self.wrong(format!("expected float as value, got {word}"));
        };
        let metric = FamilyMetric { labels: line.labels, ..FamilyMetric::default() };
        let at = self.store(&name, part, metric, line.bound, value)?;
        if self.current == b'\n' {
            return Ok(());
        }
        self.skip_blanks()?;
        let word = String::from_utf8_lossy(&self.word()?).into_owned();
        let Ok(timestamp) = word.parse::<i64>() else {
            return self.wrong(format!("expected integer as timestamp, got {}", go_quote(&word)));
        };
        if let Some(metric) = self.families.get_mut(&name).and_then(|family| family.metrics.get_mut(at)) {
            metric.timestamp = Some(timestamp);
        }
        let rest = self.rest_of_line(false)?;
        if !rest.is_empty() {
            return self.wrong(format!("spurious string after timestamp: {}", go_quote(&rest)));
        }
        Ok(())
    }

    /// Stores a value and returns the position of its metric.
    fn store(
        &mut self,
        name: &str,
        part: SampleRole,
        metric: FamilyMetric,
        bound: f64,
        value: f64,
    ) -> Step<usize> {
        let Some(family) = self.families.get_mut(name) else { return Ok(0) };
        let histogram = matches!(family.kind, MetricType::Histogram | MetricType::GaugeHistogram);
        if !histogram && family.kind != MetricType::Summary {
            family.metrics.push(FamilyMetric { value, ..metric });
            return Ok(family.metrics.len() - 1);
        }
        let mut key = metric.labels.clone();
        key.sort();
        let at = *self.composite.entry((name.to_owned(), key)).or_insert_with(|| {
            family.metrics.push(metric);
            family.metrics.len() - 1
        });
        if histogram
            && value < 0.0
            && (part == SampleRole::Count || part == SampleRole::Plain && !bound.is_nan())
        {
            let what = if part == SampleRole::Count { "count" } else { "bucket population" };
            return self.wrong(format!("negative {what} for histogram {}", go_quote(name)));
        }
        let metric = &mut family.metrics[at];
        match part {
            SampleRole::Sum => metric.sum = value,
            SampleRole::Count => metric.count = value,
            SampleRole::Plain if !bound.is_nan() => metric.parts.push((bound, value)),
            SampleRole::Plain => {}
        }
        Ok(at)
    }

    /// Reads one label, or a metric name in quotes. Returns whether the braces ended.
    fn label(&mut self, line: &mut Line) -> Step<bool> {
        self.skip_blanks()?;
        if self.current == b'}' {
            return if line.family.is_some() { Ok(true) } else { self.wrong("invalid metric name") };
        }
        let inside_braces = line.family.is_none();
        let name = self.name("label")?;
        let metric = || line.family.as_ref().map_or(String::new(), |(name, _)| name.clone());
        if name.is_empty() {
            return self.wrong(format!("invalid label name for metric {}", go_quote(&metric())));
        }
        if is_blank(self.current) {
            self.skip_blanks()?;
        }
        if self.current != b'=' {
            return match self.current {
                b',' | b'}' if inside_braces => {
                    line.family = Some(self.settle(name)?);
                    Ok(self.current == b'}')
                }
                other if inside_braces => {
                    self.wrong(format!("unexpected end of metric name {}", quote_byte(other)))
                }
                other => self.wrong(format!("expected '=' after label name, found {}", quote_byte(other))),
            };
        }
        if name == "__name__" {
            return self.wrong("label name \"__name__\" is reserved");
        }
        if !self.names.is_label_name(&name) {
            return self.wrong(format!("invalid label name {}", go_quote(&name)));
        }
        let is_bound = match self.kind_of(line) {
            MetricType::Summary => name == "quantile",
            MetricType::Histogram | MetricType::GaugeHistogram => name == "le",
            _ => false,
        };
        if !is_bound && line.labels.iter().any(|(known, _)| *known == name) {
            return self.wrong(format!("duplicate label names for metric {}", go_quote(&metric())));
        }
        self.skip_blanks()?;
        if self.current != b'"' {
            let found = quote_byte(self.current);
            return self.wrong(format!("expected '\"' at start of label value, found {found}"));
        }
        let value = self.label_value()?;
        if is_bound {
            line.bound = match parse_float(value.as_bytes()) {
                Ok(bound) => bound,
                Err(_) => {
                    let value = go_quote(&value);
                    return self.wrong(format!("expected float as value for '{name}' label, got {value}"));
                }
            };
        } else {
            line.labels.push((name, value.clone()));
        }
        self.skip_blanks()?;
        match self.current {
            b',' => Ok(false),
            b'}' if line.family.is_some() => Ok(true),
            b'}' => self.wrong("invalid metric name"),
            _ => self.wrong(format!("unexpected end of label value {}", go_quote(&value))),
        }
    }

    fn label_value(&mut self) -> Step<String> {
        let mut out = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\n' => {
                    let text = go_quote(&String::from_utf8_lossy(&out));
                    return self.wrong(format!("label value {text} contains unescaped new-line"));
                }
                b'\\' => {
                    self.next()?;
                    out.push(self.escaped()?);
                }
                byte => out.push(byte),
            }
        }
        match String::from_utf8(out) {
            Ok(value) => Ok(value),
            Err(bad) => {
                let text = crate::error::quote(bad.as_bytes());
                self.wrong(format!("invalid label value {text}"))
            }
        }
    }

    /// The meaning of the current byte after a backslash.
    fn escaped(&mut self) -> Step<u8> {
        match self.current {
            b'n' => Ok(b'\n'),
            byte @ (b'\\' | b'"') => Ok(byte),
            byte => self.wrong(format!("invalid escape sequence '\\{}'", char::from(byte))),
        }
    }

    /// A name, plain or in quotes, starting at the current byte; "" if there is none.
    fn name(&mut self, what: &str) -> Step<String> {
        let colons = what == "metric";
        let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':' && colons;
        let mut out = Vec::new();
        if self.current == b'"' {
            loop {
                match self.next()? {
                    b'"' => break,
                    b'\n' => {
                        let text = go_quote(&String::from_utf8_lossy(&out));
                        return self.wrong(format!("{what} name {text} contains unescaped new-line"));
                    }
                    b'\\' => {
                        self.next()?;
                        out.push(self.escaped()?);
                    }
                    byte => out.push(byte),
                }
            }
            self.next()?;
        } else if starts(self.current) {
            while starts(self.current) || self.current.is_ascii_digit() {
                out.push(self.current);
                self.next()?;
            }
        }
        match String::from_utf8(out) {
            Ok(name) => Ok(name),
            Err(bad) => {
                let text = crate::error::quote(bad.as_bytes());
                self.wrong(format!("invalid {what} name {text}"))
            }
        }
    }

    /// From the current byte to a space or the end of the line.
    fn word(&mut self) -> Step<Vec<u8>> {
        let mut out = Vec::new();
        while !is_blank(self.current) && self.current != b'\n' {
            out.push(self.current);
            self.next()?;
        }
        Ok(out)
    }

    fn rest_of_line(&mut self, escapes: bool) -> Step<String> {
        let mut out = Vec::new();
        while self.current != b'\n' {
            match self.current {
                b'\\' if escapes => {
                    self.next()?;
                    out.push(self.escaped()?);
                }
                // Where nothing is escaped, a backslash is lost, as in Prometheus.
                b'\\' => {}
                byte => out.push(byte),
            }
            self.next()?;
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Go's `%q` of a byte.
fn quote_byte(byte: u8) -> String {
    match byte {
        b'\n' => "'\\n'".into(),
        b'\'' => "'\\''".into(),
        byte => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_come_together() {
        let page = b"# HELP h Some\\nhelp.\n# TYPE h histogram\nh_bucket{le=\"1\",a=\"x\"} 2\nh_bucket{a=\"x\",le=\"+Inf\"} 3 5\n\
            h_sum{a=\"x\"} 4.5\nh_count{a=\"x\"} 3\n# TYPE s summary\ns{quantile=\"0.5\"} 7\ns_sum 8\ns_count 9\n\
            # just a comment\nplain 1\nplain{b=\"\\\"\"} 2\n{\"dotted.name\",c=\"d\"} 3\n# TYPE empty gauge\n";
        let families = parse_families(page, NameScheme::Utf8).expect("a page");
        let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names, ["dotted.name", "h", "plain", "s"]);
        let h = &families[1];
        assert_eq!(
            (h.help.as_deref(), h.kind, h.metrics.len()),
            (Some("Some\nhelp."), MetricType::Histogram, 1)
        );
        assert_eq!(h.metrics[0].parts, [(1.0, 2.0), (f64::INFINITY, 3.0)]);
        assert_eq!((h.metrics[0].sum, h.metrics[0].count, h.metrics[0].timestamp), (4.5, 3.0, Some(5)));
        assert_eq!(families[3].metrics[0].parts, [(0.5, 7.0)]);
        assert_eq!(families[2].metrics[1].labels, [("b".to_owned(), "\"".to_owned())]);
        assert_eq!(families[0].metrics[0].labels, [("c".to_owned(), "d".to_owned())]);
    }

    #[test]
    fn errors_have_prometheus_texts() {
        for (page, error) in [
            ("a 1", "line 1: unexpected end of input stream"),
            ("a x\n", "line 1: expected float as value, got \"x\""),
            ("a\n", "line 1: expected float as value, got \"\""),
            ("\n-a 1\n", "line 2: invalid metric name"),
            ("a{b} 1\n", "line 1: expected '=' after label name, found '}'"),
            ("a{b=x} 1\n", "line 1: expected '\"' at start of label value, found 'x'"),
            ("a{b=\"x\" c} 1\n", "line 1: unexpected end of label value \"x\""),
            ("a{b=\"\\x\"} 1\n", "line 1: invalid escape sequence '\\x'"),
            ("a{b=\"1\",b=\"2\"} 1\n", "line 1: duplicate label names for metric \"a\""),
            ("a{__name__=\"1\"} 1\n", "line 1: label name \"__name__\" is reserved"),
            ("a 1 x\n", "line 1: expected integer as timestamp, got \"x\""),
            ("a 1 2 3\n", "line 1: spurious string after timestamp: \" 3\""),
            ("# TYPE a foo\n", "line 1: unknown metric type \"foo\""),
            (
                "a 1\n# TYPE a gauge\n",
                "line 2: second TYPE line for metric name \"a\", or TYPE reported after samples",
            ),
            ("# HELP a b\n# HELP a c\n", "line 2: second HELP line for metric name \"a\""),
            (
                "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
                "line 2: expected float as value for 'le' label, got \"x\"",
            ),
            ("# TYPE h histogram\nh_count -1\n", "line 2: negative count for histogram \"h\""),
        ] {
            let got =
                parse_families(page.as_bytes(), NameScheme::Utf8).expect_err("it is invalid").to_string();
            assert_eq!(got, format!("text format parsing error in {error}"), "{page:?}");
        }
        let error = parse_families(b"{\"a.b\"} 1\n", NameScheme::Legacy).expect_err("not a legacy name");
        assert_eq!(error.reason, "invalid metric name \"a.b\"");
    }
}
