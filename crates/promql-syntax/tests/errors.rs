//! Bad queries against what Prometheus answers; the data files say where each came from.

use ferula_promql_syntax::{ParserOptions, parse};

const V3_5: ParserOptions = ParserOptions {
    experimental_functions: true,
    duration_expressions: true,
    // Not known to 3.5: what they change is in the second file.
    extended_range_selectors: true,
    binop_fill_modifiers: true,
};

/// Queries and errors: two JSON strings on two lines each, with blank lines and comments between.
fn cases(file: &str) -> Vec<(String, String)> {
    let path = format!("{}/../../testdata/promql-syntax/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('"'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {line}: {error}")))
        .collect();
    assert_eq!(lines.len() % 2, 0, "{path}: a query without an error");
    lines.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn check(file: &str, options: &ParserOptions, at_least: usize) {
    let cases = cases(file);
    assert!(cases.len() >= at_least, "{file} has only {} cases", cases.len());
    for (query, error) in cases {
        match parse(&query, options) {
            Ok(_) => panic!("{query:?} was accepted; Prometheus says {error}"),
            Err(found) => assert_eq!(found.to_string(), error, "{query:?}"),
        }
    }
}

#[test]
fn errors_are_those_of_prometheus_3_5() {
    check("errors.txt", &V3_5, 800);
}

#[test]
fn errors_that_changed_are_those_of_3_14() {
    check("errors-3.14.txt", &ParserOptions::ALL, 90);
}

#[test]
fn parts_behind_a_flag_say_so() {
    check("errors-flags.txt", &ParserOptions::default(), 9);
}

#[test]
fn the_type_check_reports_everything_it_finds() {
    let errors = parse("rate(up) + sum(1) + -\"a\"", &ParserOptions::default()).expect_err("three mistakes");
    let found: Vec<(&str, &str)> =
        errors.all().iter().map(|error| (error.position.as_str(), error.message.as_str())).collect();
    assert_eq!(
        found,
        [
            ("1:6", "expected type range vector in call to function \"rate\", got instant vector"),
            ("1:16", "expected type instant vector in aggregation expression, got scalar"),
            (
                "1:21",
                "unary expression only allowed on expressions of type scalar or instant vector, got \"string\""
            ),
            ("1:21", "binary expression must contain only scalar and instant vector types"),
        ]
    );
    assert_eq!(errors.to_string(), format!("1:6: parse error: {}", found[0].1), "only the first is printed");
}

#[test]
fn huge_bad_queries_are_refused_in_time_and_space_of_their_size() {
    // Megabytes each. A quadratic step anywhere would take hours.
    let size = 2 << 20;
    for query in [
        "x".repeat(size) + "(",
        "\"".to_owned() + &"a".repeat(size),
        format!("sum({})", "1,".repeat(size / 2)),
        format!("label_join(up, {}\"\")", "1,".repeat(size / 2)),
        format!("up{{a=~\"{}\"}}", "a.".repeat(size / 2)),
        "\n".repeat(size) + ")",
        "#".repeat(size),
    ] {
        let error = parse(&query, &ParserOptions::ALL).expect_err("refused").to_string();
        assert!(error.len() < size + 200, "an error of {} bytes", error.len());
    }
}
