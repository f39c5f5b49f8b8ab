//! What type a scalar has, by the rules of go-yaml: `0x`, `0o`, `0b` and `_` in numbers, dates, nulls, and in
//! version 2 YAML 1.1's booleans.

use ferula_go::number::{parse_float, parse_int_any_base, parse_uint_any_base};

use super::dialect::Dialect;
use super::tree::Scalar;

/// A scalar with its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resolved {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str,
    /// Decoded from base64; may be any bytes.
    Binary(Vec<u8>),
    /// Looks like a date; stays the text that it is.
    Timestamp,
    Merge,
    /// An unknown tag.
    Other,
}

impl Resolved {
    /// go-yaml's short name of the type, for messages.
    pub fn tag(&self) -> &'static str {
        match self {
            Resolved::Null => "!!null",
            Resolved::Bool(_) => "!!bool",
            Resolved::Int(_) => "!!int",
            Resolved::Float(_) => "!!float",
            // In messages a merge key that is not a key is the text that it is.
            Resolved::Str | Resolved::Merge => "!!str",
            Resolved::Binary(_) => "!!binary",
            Resolved::Timestamp => "!!timestamp",
            Resolved::Other => "!",
        }
    }
}

/// The bits of Go's `math.NaN()`.
const GO_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

const LONG_TAG: &str = "tag:yaml.org,2002:";

/// Resolves a scalar; an error is a whole message without `yaml: `.
pub(crate) fn resolve(scalar: &Scalar, dialect: Dialect) -> Result<Resolved, String> {
    let by_text = |text: &str| match by_text(text) {
        // Version 3 knows the words of YAML 1.2 only.
        Resolved::Bool(_) if dialect != Dialect::V2 && !is_boolean_of_1_2(text) => Resolved::Str,
        resolved => resolved,
    };
    if scalar.tag.is_empty() {
        return Ok(if scalar.implicit { by_text(&scalar.value) } else { Resolved::Str });
    }
    let Some(tag) = scalar.tag.strip_prefix(LONG_TAG) else { return Ok(Resolved::Other) };
    match tag {
        "str" => Ok(Resolved::Str),
        "binary" => ferula_go::base64::decode(&scalar.value)
            .map(Resolved::Binary)
            .ok_or_else(|| "!!binary value contains invalid base64 data".to_owned()),
        "bool" | "int" | "float" | "null" | "timestamp" => {
            let found = by_text(&scalar.value);
            match (tag, found) {
                ("float", Resolved::Int(int)) => Ok(Resolved::Float(int as f64)),
                (tag, found) if found.tag() == format!("!!{tag}") => Ok(found),
                (tag, found) => Err(format!("cannot decode {} `{}` as a !!{tag}", found.tag(), scalar.value)),
            }
        }
        _ => Ok(Resolved::Other),
    }
}

fn is_boolean_of_1_2(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// The type that a plain scalar's text implies.
pub(crate) fn by_text(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::from_bits(GO_NAN_BITS)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        "<<" => return Resolved::Merge,
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => yaml_float(text).map_or(Resolved::Str, Resolved::Float),
        b'+' | b'-' | b'0'..=b'9' => number(text),
        _ => Resolved::Str,
    }
}

fn number(text: &str) -> Resolved {
    if looks_like_date(text) {
        return Resolved::Timestamp;
    }
    let plain = text.replace('_', "");
    if let Ok(int) = parse_int_any_base(&plain) {
        return Resolved::Int(int.into());
    }
    if let Ok(int) = parse_uint_any_base(&plain) {
        return Resolved::Int(int.into());
    }
    // go-yaml reads what follows `0b` once more, and then a sign may stand there.
    if let Some(Ok(int)) = plain.strip_prefix("0b").map(|digits| i64::from_str_radix(digits, 2)) {
        return Resolved::Int(int.into());
    }
    yaml_float(&plain).map_or(Resolved::Str, Resolved::Float)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn yaml_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_holds = match mantissa.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_holds = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !mantissa_holds || !exponent_holds {
        return None;
    }
    // In Go a number out of range is an error, not an infinity.
    parse_float(text).ok()
}

/// `2006-1-2`, alone or with a time after `T`, `t` or a space.
fn looks_like_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[4] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[5..at.max(5)], Some(&text[at + 1..])),
        None => (&text[5..], None),
    };
    let number_up_to = |text: &str, most: u32| {
        (1..=2).contains(&text.len())
            && text.parse::<u32>().is_ok_and(|value| value <= most)
            && !text.starts_with('+')
    };
    let date_holds = date.split_once('-').is_some_and(|(month, day)| {
        number_up_to(month, 12) && month != "0" && number_up_to(day, 31) && day != "0"
    });
    let time_holds = time.is_none_or(|time| {
        let clock = time.trim_end_matches('Z');
        let clock = clock.split(['+', '.']).next().unwrap_or("");
        let clock = clock.split('-').next().unwrap_or("");
        let parts: Vec<&str> = clock.split(':').collect();
        parts.len() == 3
            && number_up_to(parts[0], 23)
            && number_up_to(parts[1], 59)
            && number_up_to(parts[2], 59)
    });
    date_holds && time_holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_resolve_as_in_go() {
        use Resolved::{Bool, Float, Int, Null, Str, Timestamp};
        for (text, expected) in [
            ("", Null),
            ("~", Null),
            ("yes", Bool(true)),
            ("Off", Bool(false)),
            ("n", Bool(false)),
            ("nO", Str),
            ("12", Int(12)),
            ("+12", Int(12)),
            ("-0x10", Int(-16)),
            ("010", Int(8)),
            ("0b101", Int(5)),
            ("0b-101", Int(-5)),
            ("0b+1_0", Int(2)),
            ("-0b11", Int(-3)),
            ("0o+17", Str),
            ("0X1f", Int(31)),
            ("-9223372036854775808", Int(-9_223_372_036_854_775_808)),
            ("-9223372036854775809", Float(-9_223_372_036_854_775_809.0)),
            ("0o17", Int(15)),
            ("09", Float(9.0)),
            ("1_000", Int(1000)),
            ("18446744073709551615", Int(18_446_744_073_709_551_615)),
            ("18446744073709551616", Float(18_446_744_073_709_551_616.0)),
            ("1.", Float(1.0)),
            (".5", Float(0.5)),
            ("-1e3", Float(-1000.0)),
            ("1e999", Str),
            ("0x", Str),
            ("1h", Str),
            ("-1h", Str),
            ("2020-01-02", Timestamp),
            ("2020-1-2T3:4:5Z", Timestamp),
            ("2020-13-02", Str),
            ("localhost:9090", Str),
            ("1:30", Str),
        ] {
            assert_eq!(by_text(text), expected, "{text}");
        }
    }
}
