//! The language itself against recorded answers of Go's `text/template`, `testdata/templates/language.jsonl`, and of
//! `html/template`, `testdata/templates/html.jsonl`; `printf.jsonl` is verbs with flags, width and precision.
//!
//! Each line is a template with what Go 1.23 made of it: its output, the error of parsing it, or the error of executing
//! it. Some were written by hand, the rest put together at random; all were executed with the data below. What
//! Go's versions disagree about is left out: ranges over numbers, and the types in errors of comparisons; and what
//! is not here: complex numbers and the addresses that `%p` prints.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_template::{FunctionMap, Limits, Object, Template, TemplateError, Value};
use ferula_testkit::shared::workspace_root;

fn list(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| Value::from(*item)).collect(), "[]string")
}

/// The struct that every template was given.
struct Data;

impl Object for Data {
    fn type_name(&self) -> String {
        "main.data".to_owned()
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "S" => "text".into(),
            "N" => Value::Int(3),
            "F" => Value::Float(2.5),
            "B" => Value::Bool(true),
            "L" => list(&["a", "b", "c"]),
            "M" => Value::text_map([("a", "1"), ("b", "é")]),
            "E" => "".into(),
            "Z" => Value::Int(0),
            "W" => Value::text_map([("k", "v")]),
            _ => return None,
        })
    }

    fn print(&self) -> String {
        "{text 3 2.5 true [a b c] map[a:1 b:é]  0 map[k:v]}".to_owned()
    }
}

/// What this crate makes of a template, in the terms of the file.
fn run(template: &str, is_html: bool) -> (&'static str, String) {
    let (functions, data) = (FunctionMap::new(), Value::Object(Arc::new(Data)));
    let result = Template::parse("t", template, &functions)
        .and_then(|parsed| if is_html { parsed.escaped() } else { Ok(parsed) })
        .and_then(|parsed| parsed.execute(&data, &functions, &Limits::default()));
    match result {
        Ok(text) => ("result", text),
        Err(TemplateError::Parse(text)) => ("parse", text),
        Err(TemplateError::Execute(text) | TemplateError::Limit(text)) => ("execute", text),
    }
}

#[test]
fn templates_mean_what_they_mean_in_go() {
    compare("language.jsonl", false);
}

#[test]
fn printf_formats_as_in_go() {
    compare("printf.jsonl", false);
}

#[test]
fn html_is_escaped_as_in_go() {
    compare("html.jsonl", true);
}

/// Without what newer versions than the recorded one show of a context: open braces in template literals of scripts.
fn without_braces(text: &str) -> String {
    let mut parts = text.split(" [");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((numbers, rest)) if numbers.bytes().all(|b| b.is_ascii_digit() || b == b' ') => {
                out.push_str(rest)
            }
            _ => {
                out.push_str(" [");
                out.push_str(part);
            }
        }
    }
    out
}

fn compare(file: &str, is_html: bool) {
    let path = workspace_root().join("testdata/templates").join(file);
    let text = std::fs::read_to_string(path).expect("the file is part of the project");
    let (mut wrong, mut compared) = (Vec::new(), BTreeMap::new());
    for line in text.lines() {
        let line: BTreeMap<String, String> = serde_json::from_str(line).expect("every line is an object");
        let template = &line["template"];
        let (kind, mut ours) = run(template, is_html);
        if ours.contains(" in different contexts: ") || ours.contains(" a non-text context: ") {
            ours = without_braces(&ours);
        }
        let expected = line.iter().find(|(name, _)| *name != "template").expect("what Go made of it");
        *compared.entry(expected.0.clone()).or_insert(0) += 1;
        if (kind, &ours) != (expected.0.as_str(), expected.1) {
            wrong.push(format!(
                "{template:?}\n  Go:   {} {:?}\n  ours: {kind} {ours:?}",
                expected.0, expected.1
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared:?} differ:\n{}", wrong.len(), wrong.join("\n"));
    let many = compared.iter().filter(|(_, count)| **count > 100).count();
    assert!(many > 0, "only {compared:?}");
}
