//! Files with one error each, and the line that the error message names.

use std::collections::BTreeMap;

use super::*;

const DAY: i64 = 86_400_000;

fn options() -> ReadOptions {
    ReadOptions { period_millis: 30 * DAY, extra_labels: BTreeMap::new() }
}

const GOOD: &str = r#"version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(errors_total[{{.window}}]))
        total_query: sum(rate(requests_total[{{.window}}]))
    alerting:
      name: ShopErrors
"#;

/// Replaces the text of one line, which must exist.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old} is in the file");
    GOOD.replacen(old, new, 1)
}

fn error_of(text: &str) -> String {
    read(text, &options()).expect_err(text).to_string()
}

#[test]
fn each_mistake_is_named_with_its_line() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "objective: 99.9",
            "objective: 100.1",
            "line 4: objective \"availability\": the objective is 100.1, expected more than 0 and at most 100",
        ),
        ("objective: 99.9", "objective: .nan", "line 4: objective \"availability\": the objective is NaN"),
        ("objective: 99.9", "objective: high", "line 5: "),
        ("objective: 99.9", "objctive: 99.9", "line 5: "),
        (
            "service: shop",
            "service: -shop",
            "line 4: objective \"availability\": service \"-shop\" must begin and end",
        ),
        ("service: shop", "servce: shop", "line 2: "),
        ("name: availability", "name: a", "line 4: objective \"a\": name \"a\" must begin and end"),
        ("name: availability", "name: 'is it up'", "line 4: objective \"is it up\": name \"is it up\" must"),
        (
            "errors_total[{{.window}}]",
            "errors_total[5m]",
            "query of errors: the query must contain '{{.window}}'",
        ),
        (
            "errors_total[{{.window}}]",
            "errors_total[{{.windw}}]",
            "query of errors: unknown placeholder '{{.windw}}'",
        ),
        ("errors_total[{{.window}}]", "errors_total[{{.window]", "query of errors: '{{' without '}}'"),
        ("errors_total[{{.window}}]))", "errors_total[{{.window}}])", "query of errors: "),
        ("requests_total", "errors_total", "the query of errors and the query of all events are the same"),
        (
            "alerting:\n      name: ShopErrors",
            "alerting: {}",
            "line 4: objective \"availability\": alerting.name is missing",
        ),
        ("alerting:", "plugins: {chain: [{id: x}]}\n    alerting:", "Sloth plugins are not supported"),
        ("events:", "plugin: {id: x}\n      events:", "Sloth plugins are not supported"),
        (
            "events:",
            "raw: {error_ratio_query: '{{.window}}'}\n      events:",
            "sli has both 'events' and 'raw'",
        ),
        ("version: prometheus/v1", "version: prometheus/v2", "line 1: unknown format"),
        ("service: shop", "service: shop\nlabels: {not-a-name: x}", "\"not-a-name\" is not a label name"),
        ("service: shop", "service: [", "line "),
    ];
    for (old, new, expected) in cases {
        let error = error_of(&with(old, new));
        assert!(error.contains(expected), "{new}\n  has    {error}\n  wanted {expected}");
    }
    assert_eq!(read(GOOD, &options()).expect("it is good").len(), 1);
}

#[test]
fn an_indicator_is_required() {
    let start = GOOD.find("      events:").expect("there");
    let end = GOOD.find("    alerting:").expect("there");
    let text = format!("{}      raw:\n{}", &GOOD[..start], &GOOD[end..]);
    assert!(
        error_of(&text).contains("line 4: objective \"availability\": sli must have 'events' or 'raw'"),
        "{}",
        error_of(&text)
    );
}

#[test]
fn lines_count_over_all_documents() {
    let second = GOOD.replace("name: availability", "name: latency").replace("99.9", "-1");
    let text = format!("# heading\n---\n{GOOD}---\n\n# comment only\n---\n{second}");
    assert!(
        error_of(&text).starts_with("line 21: objective \"latency\": the objective is -1"),
        "{}",
        error_of(&text)
    );
    let unknown = format!("{GOOD}---\nkind: Deployment\n");
    assert!(error_of(&unknown).starts_with("line 13: unknown format"), "{}", error_of(&unknown));
    let broken = format!("{GOOD}---\nversion: prometheus/v1\nservice: x\nslos: 5\n");
    assert!(error_of(&broken).starts_with("line 15: "), "{}", error_of(&broken));
}

#[test]
fn the_same_objective_twice_is_refused() {
    let text = format!("{GOOD}---\n{GOOD}");
    assert!(
        error_of(&text).starts_with("line 16: objective \"shop-availability\" is defined twice"),
        "{}",
        error_of(&text)
    );
}

#[test]
fn an_empty_file_has_no_objective() {
    for text in ["", "\n", "# nothing\n---\n---\n", "\u{feff}"] {
        assert_eq!(read(text, &options()), Err(SpecError::Empty), "{text:?}");
    }
    assert_eq!(read("version: prometheus/v1\nservice: shop\nslos: []\n", &options()), Err(SpecError::Empty));
}

#[test]
fn labels_of_the_file_win_over_labels_of_the_command() {
    let extra =
        [("team", "command"), ("cluster", "a")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = ReadOptions { extra_labels: extra.into(), ..options() };
    let text = with("service: shop", "service: shop\nlabels: {team: file}");
    let labels = &read(&text, &options).expect("good")[0].labels;
    assert_eq!((labels["team"].as_str(), labels["cluster"].as_str()), ("file", "a"));
}

#[test]
fn openslo_is_read_within_its_limits() {
    let good = r"apiVersion: openslo/v1alpha
kind: SLO
metadata:
  name: cart
spec:
  service: shop
  objectives:
    - ratioMetrics:
        good: {source: prometheus, queryType: promql, query: 'rate(g[{{.window}}])'}
        total: {source: prometheus, queryType: promql, query: 'rate(t[{{.window}}])'}
      target: 0.999
    - ratioMetrics:
        good: {source: prometheus, queryType: promql, query: 'rate(g[{{.window}}])'}
        total: {source: prometheus, queryType: promql, query: 'rate(t[{{.window}}])'}
      target: 0.9
  timeWindows: [{count: 28, unit: Day}]
";
    let read_good = read(good, &options()).expect("good");
    let ids: Vec<&str> = read_good.iter().map(|objective| objective.id.as_str()).collect();
    assert_eq!(ids, ["shop-cart-0", "shop-cart-1"]);
    assert_eq!(read_good[1].period_millis, 28 * DAY);
    assert_eq!(read_good[1].target_percent, 90.0);
    let cases = [
        ("unit: Day", "unit: Week", "time window with unit \"Week\"; only days are supported"),
        ("count: 28", "count: 0", "invalid time window of 0 days"),
        ("count: 28", "count: 9223372036854775807", "invalid time window of 9223372036854775807 days"),
        (
            "[{count: 28, unit: Day}]",
            "[{count: 1, unit: Day}, {count: 2, unit: Day}]",
            "more than one time window",
        ),
        (
            "source: prometheus",
            "source: datadog",
            "objective 0: good is a promql query of source \"datadog\"",
        ),
        ("target: 0.999", "target: 1.5", "the objective is 150"),
    ];
    for (old, new, expected) in cases {
        let error = error_of(&good.replacen(old, new, 1));
        assert!(error.contains(expected), "{new}: {error}");
        assert!(error.starts_with("line 4: ") || old.starts_with("target"), "{new}: {error}");
    }
}
