//! Texts and their values in Prometheus' YAML library: `testdata/config/yaml.tsv`.

use std::collections::BTreeMap;
use std::fmt::Write;

use ferula_testkit::shared::workspace_root;

use super::decode::{Value, decode_document};
use crate::alertmanager::AnyValue;

/// Reads `\xff`.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(b"\\x") {
            Some(hex) => {
                let digits = std::str::from_utf8(&hex[..2]).expect("digits");
                out.push(u8::from_str_radix(digits, 16).expect("a byte"));
                rest = &hex[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'\\' => out.push(char::from(byte)),
            _ => write!(out, "\\x{byte:02x}").expect("writing to a String cannot fail"),
        }
    }
    out
}

/// A value in the format of the recording.
fn shown(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => "null".to_owned(),
        AnyValue::Bool(value) => format!("bool {value}"),
        AnyValue::Int(value) => format!("int {value}"),
        AnyValue::Float(value) => format!("float {:016x}", value.to_bits()),
        AnyValue::Text(value) => format!("text \"{}\"", escaped(value)),
        AnyValue::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        AnyValue::Map(map) => {
            let pairs = map.iter().map(|(key, value)| format!("\"{}\": {}", escaped(key), shown(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The value of the key `a` in that format, or the error without its place.
fn outcome<T: Value>(document: &[u8], shown: impl Fn(&T) -> String) -> String {
    let mut map: BTreeMap<String, T> = BTreeMap::new();
    match decode_document(document, &mut map) {
        Ok(_) => {
            let value = map.remove("a").unwrap_or_else(T::zero);
            format!("= {}", shown(&value))
        }
        Err(error) => {
            let lines = error.to_string();
            let lines = lines.lines().map(|line| line.split(" (line ").next().unwrap_or_default());
            let lines: Vec<&str> = lines.map(|line| line.split(" (a").next().unwrap_or_default()).collect();
            format!("! {}", escaped(&lines.join("\n")))
        }
    }
}

#[test]
fn texts_are_read_as_by_go() {
    let recorded = std::fs::read_to_string(workspace_root().join("testdata/config/yaml.tsv")).expect("rows");
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in recorded.lines().filter(|line| !line.starts_with("# ")) {
        let [kind, text, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}");
        };
        let document = [b"a: ".to_vec(), unescaped(text), b"\n".to_vec()].concat();
        let bits = |value: &f64| format!("{:016x}", value.to_bits());
        let found = match kind {
            "any" => outcome(&document, shown),
            "string" => outcome(&document, |text: &String| format!("\"{}\"", escaped(text))),
            "bool" => outcome(&document, bool::to_string),
            "int" => outcome(&document, i64::to_string),
            "uint" => outcome(&document, u64::to_string),
            _ => outcome(&document, bits),
        };
        rows += 1;
        if found != expected {
            wrong.push(format!("{kind}\t{text}\t{found}\tinstead of\t{expected}"));
        }
    }
    assert!(rows > 3000, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}
