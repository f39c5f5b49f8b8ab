//! From the text of a series to its labels.
//!
//! A key has been read by a parser already, so its shape is right; text that no parser gave is answered with an error.

use std::borrow::Cow;
use std::ops::Range;

use ferula_model::labels::{BUCKET_LABEL, METRIC_NAME};
use ferula_model::{LabelSet, MetricType};

use crate::number::parse_any_float;
use crate::scan::{continues_label, continues_metric};

/// The label of a summary's quantile.
pub(crate) const QUANTILE_LABEL: &str = "quantile";

/// The text is not the name and labels of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the text of a series")]
pub struct KeyError;

/// Labels of one series, decoded into buffers that are used again for the next.
///
/// Unlike a [`LabelSet`] it may hold a name twice, because a page may, and empty values.
#[derive(Clone, Debug, Default)]
pub struct LabelScratch {
    text: String,
    /// Name and value as ranges of `text`; sorted by name once decoded, equal names in the order of the page.
    labels: Vec<(Range<usize>, Range<usize>)>,
}

impl LabelScratch {
    /// An empty scratch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names and values, names rising.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    /// A name that more than one label with a value has.
    pub fn duplicate_name(&self) -> Option<&str> {
        let mut previous = None;
        for (name, _) in self.iter().filter(|(_, value)| !value.is_empty()) {
            if previous == Some(name) {
                return previous;
            }
            previous = Some(name);
        }
        None
    }

    /// The labels as a set; of a name that is there twice the last one counts.
    pub fn to_label_set(&self) -> LabelSet {
        LabelSet::from_pairs(self.iter())
    }

    fn clear(&mut self) {
        self.text.clear();
        self.labels.clear();
    }

    fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.labels.push((start..middle, middle..self.text.len()));
    }

    fn sort(&mut self) {
        let text = &self.text;
        self.labels.sort_by(|a, b| text[a.0.clone()].cmp(&text[b.0.clone()]));
    }
}

/// Decodes the key of a [`crate::Series`] that was read while `kind` was the stated type: bucket bounds and quantiles
/// get the form that numbers have in OpenMetrics, so that `1` and `1.0` are the same series.
pub fn decode(key: &[u8], kind: MetricType, out: &mut LabelScratch) -> Result<(), KeyError> {
    out.clear();
    let text = std::str::from_utf8(key).map_err(|_| KeyError)?;
    let name_length = text.bytes().take_while(|byte| continues_metric(*byte)).count();
    let (name, rest) = text.split_at(name_length);
    if !name.is_empty() {
        out.push(METRIC_NAME, name);
    }
    let braces = rest.trim_start_matches(is_blank);
    if !braces.is_empty() {
        decode_braces(braces, out, |name, value| normalised(kind, name, value))?;
    }
    out.sort();
    Ok(())
}

/// Decodes the labels of an exemplar. Escapes stay as they are written: Prometheus does not resolve them here.
pub fn decode_exemplar(labels: &[u8], out: &mut LabelScratch) -> Result<(), KeyError> {
    out.clear();
    let text = std::str::from_utf8(labels).map_err(|_| KeyError)?;
    let mut rest = text.strip_prefix('{').ok_or(KeyError)?;
    while let Some(name) = next_name(rest)? {
        let (value, after) = quoted_value(name.after_equal.ok_or(KeyError)?)?;
        out.push(name.raw, value);
        rest = after;
    }
    out.sort();
    Ok(())
}

fn decode_braces(
    braces: &str,
    out: &mut LabelScratch,
    normalise: impl Fn(&str, &str) -> Option<String>,
) -> Result<(), KeyError> {
    let mut rest = braces.strip_prefix('{').ok_or(KeyError)?;
    while let Some(name) = next_name(rest)? {
        let Some(after_equal) = name.after_equal else {
            // A quoted string without a value is the name of the metric.
            out.push(METRIC_NAME, &unescape(name.raw, true));
            rest = name.rest;
            continue;
        };
        let (raw_value, after_value) = quoted_value(after_equal)?;
        let (name, value) = (unescape(name.raw, true), unescape(raw_value, true));
        match normalise(&name, &value) {
            Some(normal) => out.push(&name, &normal),
            None => out.push(&name, &value),
        }
        rest = after_value;
    }
    Ok(())
}

/// A name inside braces.
struct Name<'a> {
    /// Without quotes, escapes unresolved.
    raw: &'a str,
    /// What follows it.
    rest: &'a str,
    /// What follows the equals sign, if one comes next.
    after_equal: Option<&'a str>,
}

/// The next name; `None` at the closing brace.
fn next_name(text: &str) -> Result<Option<Name<'_>>, KeyError> {
    let text = text.trim_start_matches(|c| is_blank(c) || c == ',');
    if text.starts_with('}') {
        return Ok(None);
    }
    let (raw, rest) = if text.starts_with('"') {
        quoted_value(text)?
    } else {
        let length = text.bytes().take_while(|byte| continues_label(*byte)).count();
        if length == 0 {
            return Err(KeyError);
        }
        text.split_at(length)
    };
    let rest = rest.trim_start_matches(is_blank);
    Ok(Some(Name { raw, rest, after_equal: rest.strip_prefix('=') }))
}

/// The inside of the quoted string that comes next, escapes unresolved, and what follows it.
fn quoted_value(text: &str) -> Result<(&str, &str), KeyError> {
    // Behind an equals sign and a blank, the lexer passes over NULs.
    let inside = text.trim_start_matches(|c| is_blank(c) || c == '\0').strip_prefix('"').ok_or(KeyError)?;
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            // The lexer passes over NULs, so a backslash takes the byte behind them.
            0 => {}
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok((&inside[..at], &inside[at + 1..])),
            _ => {}
        }
    }
    Err(KeyError)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// The OpenMetrics form of a label value that is a number by the type of its family.
fn normalised(kind: MetricType, name: &str, value: &str) -> Option<String> {
    let holds_number = match kind {
        MetricType::Histogram => name == BUCKET_LABEL,
        MetricType::Summary => name == QUANTILE_LABEL,
        _ => false,
    };
    if !holds_number {
        return None;
    }
    parse_any_float(value.as_bytes()).ok().map(openmetrics_float)
}

/// A number as OpenMetrics writes it: always with a point or an exponent.
pub(crate) fn openmetrics_float(value: f64) -> String {
    if value == 0.0 {
        return "0.0".to_owned();
    }
    let mut text = ferula_go::float::format_g(value);
    if value.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

/// Resolves `\\`, `\n` and, if `quotes`, `\"`; any other backslash stays.
pub(crate) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let resolved = match after.as_bytes().first() {
            Some(b'\\') => Some('\\'),
            Some(b'n') => Some('\n'),
            Some(b'"') if quotes => Some('"'),
            _ => None,
        };
        match resolved {
            Some(c) => {
                out.push(c);
                rest = &after[1..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(key: &str, kind: MetricType) -> String {
        let mut scratch = LabelScratch::new();
        decode(key.as_bytes(), kind, &mut scratch).expect(key);
        let labels: Vec<String> = scratch.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        labels.join(" ")
    }

    #[test]
    fn keys_give_their_labels() {
        for (key, expected) in [
            ("up", r#"__name__="up""#),
            ("up{}", r#"__name__="up""#),
            (r#"a{z="1",b="2",}"#, r#"__name__="a" b="2" z="1""#),
            ("a \t{ b = \"2\" c=\"3\" , }", r#"__name__="a" b="2" c="3""#),
            (r#"{"my.metric","l.b"="x"}"#, r#"__name__="my.metric" l.b="x""#),
            (r#"{q="0.9","http.status",a="b"}"#, r#"__name__="http.status" a="b" q="0.9""#),
            (r#"{"a \"b\"\n\\ \x"}"#, r#"__name__="a \"b\"\n\\ \\x""#),
            (r#"a{b="},{\"=,"}"#, r#"__name__="a" b="},{\"=,""#),
            (r#"a{b="2",b="1"}"#, r#"__name__="a" b="2" b="1""#),
            ("a{b=\"\\\0\"\"}", "__name__=\"a\" b=\"\\\\\\0\\\"\""),
        ] {
            assert_eq!(decoded(key, MetricType::Unknown), expected, "{key}");
        }
    }

    #[test]
    fn bounds_and_quantiles_get_one_form_by_type() {
        use MetricType::{Counter, Histogram, Summary};
        for (kind, key, expected) in [
            (Histogram, r#"a{le="1"}"#, "1.0"),
            (Histogram, r#"a{le="+Inf"}"#, "+Inf"),
            (Histogram, r#"a{le="inf"}"#, "+Inf"),
            (Histogram, r#"a{le="-0"}"#, "0.0"),
            (Histogram, r#"a{le="1000000"}"#, "1e+06"),
            (Histogram, r#"a{le="0.25"}"#, "0.25"),
            (Histogram, r#"a{le="none"}"#, "none"),
            (Histogram, r#"a{quantile="1"}"#, "1"),
            (Summary, r#"a{quantile="1"}"#, "1.0"),
            (Summary, r#"a{quantile="NaN"}"#, "NaN"),
            (Summary, r#"a{le="1"}"#, "1"),
            (Counter, r#"a{le="1"}"#, "1"),
        ] {
            let mut scratch = LabelScratch::new();
            decode(key.as_bytes(), kind, &mut scratch).expect(key);
            assert_eq!(scratch.iter().last().map(|(_, value)| value), Some(expected), "{kind} {key}");
        }
    }

    #[test]
    fn a_name_that_is_there_twice_is_told() {
        for (key, twice) in [
            (r#"a{b="1",b="1"}"#, Some("b")),
            (r#"a{b="1",b=""}"#, None),
            (r#"a{__name__="x"}"#, Some("__name__")),
        ] {
            let mut scratch = LabelScratch::new();
            decode(key.as_bytes(), MetricType::Unknown, &mut scratch).expect(key);
            assert_eq!(scratch.duplicate_name(), twice, "{key}");
        }
    }

    #[test]
    fn labels_of_exemplars_are_taken_as_written() {
        let mut scratch = LabelScratch::new();
        decode_exemplar(br#"{trace_id="a\"b","x.y"="1"}"#, &mut scratch).expect("labels");
        assert_eq!(scratch.iter().collect::<Vec<_>>(), [("trace_id", r#"a\"b"#), ("x.y", "1")]);
        decode_exemplar(b"{}", &mut scratch).expect("no labels");
        assert_eq!(scratch.iter().len(), 0);
    }

    #[test]
    fn text_that_is_no_key_is_an_error() {
        for text in ["a{", "a{b", "a{b=", "a{b=\"", "a{b=\"c\"", "{\u{e9}=\"\"}", "a b", "a}"] {
            assert_eq!(
                decode(text.as_bytes(), MetricType::Unknown, &mut LabelScratch::new()),
                Err(KeyError),
                "{text}"
            );
        }
    }
}
