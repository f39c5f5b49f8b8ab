//! Random queries, good and broken ones, with what the real Prometheus 3.5 answers to them.
//!
//! `testdata/promql-syntax/answers-3.5.jsonl` has a query on each line, with the answers of `/api/v1/format_query` and
//! `/api/v1/parse_query`, or with the error of both. Queries that 3.14 prints otherwise or words otherwise are left
//! out.

use ferula_promql_syntax::{ParserOptions, parse};
use serde_json::Value;

fn lines() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/promql-syntax/answers-3.5.jsonl");
    let text = std::fs::read_to_string(path).expect("the file is part of the project");
    text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

fn text<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line.get(name).and_then(Value::as_str)
}

/// Every difference between what a query has recorded and what `answer` makes of it.
fn compare(what: &str, at_least: usize, answer: impl Fn(&str) -> Value) {
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for line in lines() {
        let (Some(recorded), Some(query)) = (line.get(what), text(&line, "query")) else { continue };
        compared += 1;
        let ours = answer(query);
        if ours != *recorded {
            wrong.push(format!("{query:?}\n  Prometheus: {recorded}\n  ours:       {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= at_least, "only {compared} queries have {what}");
}

#[test]
fn queries_print_over_several_lines_as_in_prometheus() {
    compare("format", 700, |query| {
        let expr = parse(query, &ParserOptions::default());
        expr.map_or_else(|error| error.to_string(), |expr| expr.pretty().expect("it is low")).into()
    });
}

/// Takes out what trees of 3.5 do not have yet. Nothing of it is used by these queries.
fn without_newer_fields(tree: &mut Value) {
    const NEWER: [(&str, &str); 6] = [
        ("anchored", "false"),
        ("smoothed", "false"),
        ("offsetExpr", "null"),
        ("rangeExpr", "null"),
        ("stepExpr", "null"),
        ("fillValues", r#"{"lhs":null,"rhs":null}"#),
    ];
    match tree {
        Value::Array(items) => items.iter_mut().for_each(without_newer_fields),
        Value::Object(fields) => {
            fields.retain(|name, value| !NEWER.contains(&(name, &value.to_string())));
            fields.values_mut().for_each(without_newer_fields);
        }
        _ => {}
    }
}

#[test]
fn trees_are_those_of_prometheus() {
    compare("tree", 700, |query| match parse(query, &ParserOptions::default()) {
        Ok(expr) => {
            let json = expr.to_json().expect("it is low");
            let mut tree = serde_json::from_str(&json).expect("it is JSON");
            without_newer_fields(&mut tree);
            tree
        }
        Err(error) => error.to_string().into(),
    });
}

#[test]
fn errors_are_worded_and_placed_as_in_prometheus() {
    compare("error", 500, |query| {
        let found = parse(query, &ParserOptions::default());
        found.map_or_else(|error| error.to_string(), |expr| format!("accepted: {expr}")).into()
    });
}

/// What a query prints as is the same query: it reads back to the same tree.
#[test]
fn printed_queries_read_back_to_the_same_tree() {
    let options = ParserOptions::default();
    for line in lines() {
        let Some(Ok(expr)) = text(&line, "query").map(|query| parse(query, &options)) else { continue };
        let printed = [expr.to_string(), expr.pretty().expect("it is low")];
        for form in printed {
            let again = parse(&form, &options).unwrap_or_else(|error| panic!("{form}: {error}"));
            assert_eq!(again.to_string(), expr.to_string(), "{form}");
        }
    }
}
