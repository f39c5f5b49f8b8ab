//! From the text of a series to its labels.
//!
//! A key of a text page has already been read by a parser, so its syntax is valid; any other text is an
//! error. Labels of a protobuf page are validated only here.

use ferula_model::MetricType;
use ferula_model::labels::{BUCKET_LABEL, METRIC_NAME};

use crate::entry::ExemplarLabels;
use crate::escape::unescape;
use crate::labels::{KeyError, LabelScratch, QUANTILE_LABEL};
use crate::number::{openmetrics_float, parse_any_float};
use crate::protobuf::key as protobuf_key;
use crate::scan::{continues_label, continues_metric};

/// Decodes the key of a [`crate::Series`] that was read while `kind` was the stated type. Bucket bounds and quantiles
/// get the number format of OpenMetrics, so that `1` and `1.0` are the same series.
pub fn decode(key: &[u8], kind: MetricType, out: &mut LabelScratch) -> Result<(), KeyError> {
    out.clear();
    if protobuf_key::is_key(key) {
        protobuf_key::decode(key, out)?;
        out.sort();
        return Ok(());
    }
    let text = std::str::from_utf8(key).map_err(|_| KeyError::NotAKey)?;
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

/// Decodes the labels of an exemplar. Escapes stay as written: Prometheus does not resolve them here.
pub fn decode_exemplar(labels: ExemplarLabels<'_>, out: &mut LabelScratch) -> Result<(), KeyError> {
    out.clear();
    let text = match labels {
        ExemplarLabels::Text(text) => text,
        ExemplarLabels::Protobuf(message) => {
            protobuf_key::decode_exemplar(message, out)?;
            out.sort();
            return Ok(());
        }
    };
    let text = std::str::from_utf8(text).map_err(|_| KeyError::NotAKey)?;
    let mut rest = text.strip_prefix('{').ok_or(KeyError::NotAKey)?;
    while let Some(name) = next_name(rest)? {
        let (value, after) = quoted_value(name.after_equal.ok_or(KeyError::NotAKey)?)?;
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
    let mut rest = braces.strip_prefix('{').ok_or(KeyError::NotAKey)?;
    while let Some(name) = next_name(rest)? {
        let Some(after_equal) = name.after_equal else {
            // A quoted string without a value is the metric's name.
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
    /// Without quotes, still escaped.
    raw: &'a str,
    /// What follows it.
    rest: &'a str,
    /// What follows the equals sign, if there is one.
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
            return Err(KeyError::NotAKey);
        }
        text.split_at(length)
    };
    let rest = rest.trim_start_matches(is_blank);
    Ok(Some(Name { raw, rest, after_equal: rest.strip_prefix('=') }))
}

/// The content of the next quoted string, still escaped, and what follows it.
fn quoted_value(text: &str) -> Result<(&str, &str), KeyError> {
    // After an equals sign and a space, the lexer skips NULs.
    let inside =
        text.trim_start_matches(|c| is_blank(c) || c == '\0').strip_prefix('"').ok_or(KeyError::NotAKey)?;
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            // The lexer skips NULs, so a backslash escapes the byte after them.
            0 => {}
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok((&inside[..at], &inside[at + 1..])),
            _ => {}
        }
    }
    Err(KeyError::NotAKey)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// The OpenMetrics form of a label value that is a number according to the family's type.
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
    fn keys_decode_to_their_labels() {
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
    fn a_duplicate_name_is_detected() {
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
    fn labels_of_exemplars_stay_as_written() {
        let mut scratch = LabelScratch::new();
        decode_exemplar(ExemplarLabels::Text(br#"{trace_id="a\"b","x.y"="1"}"#), &mut scratch)
            .expect("labels");
        assert_eq!(scratch.iter().collect::<Vec<_>>(), [("trace_id", r#"a\"b"#), ("x.y", "1")]);
        decode_exemplar(ExemplarLabels::Text(b"{}"), &mut scratch).expect("no labels");
        assert_eq!(scratch.iter().len(), 0);
    }

    #[test]
    fn invalid_keys_are_errors() {
        for text in ["a{", "a{b", "a{b=", "a{b=\"", "a{b=\"c\"", "{\u{e9}=\"\"}", "a b", "a}"] {
            assert_eq!(
                decode(text.as_bytes(), MetricType::Unknown, &mut LabelScratch::new()),
                Err(KeyError::NotAKey),
                "{text}"
            );
        }
    }
}
