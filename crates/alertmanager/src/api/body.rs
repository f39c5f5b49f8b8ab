//! Request bodies: parses JSON as Go's decoder does, with its error texts.

use ferula_go::json_reader::{JsonError, first_of_stream};
use serde_json::{Map, Value};

use super::answer::{Answer, Status};
use crate::time::Time;

/// Parses a body. `what` is the name of the parameter, `alerts` or `silence`.
pub(super) fn read(body: &[u8], what: &str) -> Result<Value, Answer> {
    first_of_stream(body).map_err(|error| match error {
        JsonError::Empty => Answer::invalid(602, &format!("{what} in body is required")),
        error => failed(what, &error.to_string()),
    })
}

/// The answer to a body that cannot be decoded.
pub(super) fn failed(what: &str, why: &str) -> Answer {
    Answer::refused(Status::BadRequest, &format!("parsing {what} body from \"\" failed, because {why}"))
}

/// The name that Go's decoder uses for a value's type.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The error for a value of the wrong type.
pub(super) fn wrong_type(value: &Value, field: &str, wanted: &str) -> String {
    match field {
        "" => format!("json: cannot unmarshal {} into Go value of type {wanted}", kind(value)),
        field => {
            format!("json: cannot unmarshal {} into Go struct field {field} of type {wanted}", kind(value))
        }
    }
}

/// The value of a key. Without an exact match, case is ignored; `null` counts as absent.
pub(super) fn get<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    let folded = || object.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    object.get(key).or_else(folded).filter(|value| !value.is_null())
}

/// The string of a key. `owner` is the type named in Go's error.
pub(super) fn text(object: &Map<String, Value>, key: &str, owner: &str) -> Result<Option<String>, String> {
    match get(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong_type(other, &format!("{owner}.{key}"), "string")),
    }
}

/// The boolean of a key.
pub(super) fn boolean(object: &Map<String, Value>, key: &str, owner: &str) -> Result<Option<bool>, String> {
    match get(object, key) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(wrong_type(other, &format!("{owner}.{key}"), "bool")),
    }
}

/// The strings of a key whose value is an object.
pub(super) fn pairs(
    object: &Map<String, Value>,
    key: &str,
    owner: &str,
) -> Result<Option<Vec<(String, String)>>, String> {
    let Some(value) = get(object, key) else { return Ok(None) };
    let Value::Object(pairs) = value else {
        return Err(wrong_type(value, &format!("{owner}.{key}"), "models.LabelSet"));
    };
    let mut all = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match value {
            Value::String(text) => all.push((name.clone(), text.clone())),
            Value::Null => all.push((name.clone(), String::new())),
            other => return Err(wrong_type(other, &format!("{owner}.{key}.{name}"), "string")),
        }
    }
    all.sort();
    Ok(Some(all))
}

/// The time of a key.
pub(super) fn time(object: &Map<String, Value>, key: &str, owner: &str) -> Result<Option<Time>, String> {
    let Some(text) = text(object, key, owner)? else { return Ok(None) };
    parse_time(&text).map(Some).ok_or_else(|| {
        // Go names the last layout that it has tried.
        let quoted = ferula_go::quote::go_quote(&text);
        format!("parsing time {quoted} as \"2006-01-02\": cannot parse {quoted} as \"2006\"")
    })
}

/// Parses RFC 3339 and the other forms that Alertmanager accepts: without a zone (UTC), without seconds, with
/// a space, a date alone.
pub(super) fn parse_time(text: &str) -> Option<Time> {
    if text.is_empty() {
        return Some(Time::from_unix_nanos(0));
    }
    let with_t = || text.replacen(' ', "T", 1);
    Time::parse_rfc3339(text)
        .or_else(|| Time::parse_rfc3339(&format!("{}Z", with_t())))
        .or_else(|| Time::parse_rfc3339(&format!("{}:00Z", text.trim_end_matches('Z'))))
        .or_else(|| Time::parse_rfc3339(&format!("{text}T00:00:00Z")))
        .or_else(|| {
            // +0100
            let (rest, zone) = text.split_at_checked(text.len().checked_sub(5)?)?;
            let (hours, minutes) = zone.split_at_checked(3)?;
            Time::parse_rfc3339(&format!("{rest}{hours}:{minutes}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Alertmanager 0.33 answered.
    #[test]
    fn bodies_are_read_as_alertmanager_reads_them() {
        for (body, value) in [
            (&br#"{"a":"\ud800"}"#[..], "{\"a\":\"\u{fffd}\"}"),
            (br#"{"a":"\ud83d\ude00"}"#, "{\"a\":\"\u{1f600}\"}"),
            (b"{\"a\":\"x\xff\"}", "{\"a\":\"x\u{fffd}\"}"),
            (b"{\"\xe2\x82\":1}", "{\"\u{fffd}\u{fffd}\":1}"),
            (b"[] and more", "[]"),
            (b"[][", "[]"),
            (b" null ", "null"),
        ] {
            let read = read(body, "alerts").map(|value| value.to_string());
            assert_eq!(read.as_deref().ok(), Some(value), "{}", body.escape_ascii());
        }
        let refused = |code: u16, text: &str| {
            let message = serde_json::Value::from(text);
            format!("{{\"code\":{code},\"message\":{message}}}")
        };
        let failed =
            |why: &str| refused(400, &format!("parsing alerts body from \"\" failed, because {why}"));
        for (body, answer) in [
            (&b""[..], refused(602, "alerts in body is required")),
            (b" \n", refused(602, "alerts in body is required")),
            (b"[{}", failed("unexpected EOF")),
            (b"[{},]", failed("invalid character ']' looking for beginning of value")),
            (b"{\"a\":1,}", failed("invalid character '}' looking for beginning of object key string")),
        ] {
            let refusal = read(body, "alerts").expect_err("refused");
            assert_eq!(String::from_utf8_lossy(&refusal.body), answer, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn times_are_read_as_alertmanager_reads_them() {
        for (given, expected) in [
            ("2026-11-30T02:00:00.123456Z", Some("2026-11-30T02:00:00.123456Z")),
            ("2026-11-30T02:00:00+01:00", Some("2026-11-30T02:00:00+01:00")),
            ("2026-11-30T02:00:00+0100", Some("2026-11-30T02:00:00+01:00")),
            ("2026-11-30T02:00:00", Some("2026-11-30T02:00:00Z")),
            ("2026-11-30 02:00:00", Some("2026-11-30T02:00:00Z")),
            ("2026-11-30T02:00Z", Some("2026-11-30T02:00:00Z")),
            ("2026-11-30T02:00", Some("2026-11-30T02:00:00Z")),
            ("2026-11-30", Some("2026-11-30T00:00:00Z")),
            ("", Some("1970-01-01T00:00:00Z")),
            ("yesterday", None),
            ("ü", None),
        ] {
            assert_eq!(parse_time(given).map(Time::rfc3339_nanos).as_deref(), expected, "{given}");
        }
    }
}
