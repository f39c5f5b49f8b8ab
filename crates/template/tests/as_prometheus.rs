//! Several hundred templates with what the real Prometheus makes of them: `testdata/templates`.
//!
//! Each was put into the annotation of an alert and run by `promtool test rules` (3.5), the refused ones by `promtool
//! check rules`; the files hold what those printed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_template::prometheus::{DEFINITIONS, Environment, Sample, alert_data, functions};
use ferula_template::{CallError, Limits, Template, TemplateError, Value};
use ferula_testkit::shared::workspace_root;

fn query(text: &str) -> Result<Vec<Sample>, CallError> {
    let sample = |instance: &str, value: f64| Sample {
        labels: BTreeMap::from([
            ("__name__".to_owned(), "up".to_owned()),
            ("instance".to_owned(), instance.to_owned()),
            ("job".to_owned(), "api".to_owned()),
        ]),
        value: Value::Float(value),
    };
    match text {
        "up" => Ok(vec![sample("b", 0.0), sample("a", 1.0)]),
        "nothing" => Ok(Vec::new()),
        _ => Err(CallError::outside("1:4: parse error: unclosed left parenthesis")),
    }
}

fn environment() -> Environment {
    Environment {
        now: 60.0,
        external_url: "http://prom.example:9090/pre/".to_owned(),
        path_prefix: "/pre/".to_owned(),
        query: Arc::new(query),
        parse_duration: |text| Err(CallError::outside(format!("not a valid duration string: {text:?}"))),
    }
}

fn expand(name: &str, template: &str, metric: &str, value: f64) -> String {
    let functions = functions(&environment());
    let labels = [
        ("__name__", metric),
        ("job", "api"),
        ("instance", "host.example.com:9100"),
        ("path", "/a b?c=<d>&e"),
    ];
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    let data = alert_data(labels, [("region", "eu")], "http://prom.example:9090/pre/", Value::Float(value));
    let expanded = Template::parse(name, &format!("{DEFINITIONS}{template}"), &functions)
        .map_err(|error| format!("error parsing template {name}: {error}"))
        .and_then(|template| {
            template
                .execute(&data, &functions, &Limits::default())
                .map_err(|error| format!("error executing template {name}: {error}"))
        });
    expanded.unwrap_or_else(|error| format!("<error expanding template: {error}>"))
}

fn lines(file: &str) -> Vec<serde_json::Value> {
    let path = workspace_root().join("testdata/templates").join(file);
    let text = std::fs::read_to_string(&path).expect("the file is part of the project");
    text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

fn field<'a>(line: &'a serde_json::Value, name: &str) -> &'a str {
    line[name].as_str().expect("every line has this field")
}

#[test]
fn templates_expand_as_prometheus_expands_them() {
    let lines = lines("expand.jsonl");
    assert!(lines.len() > 300);
    let mut wrong = Vec::new();
    for line in &lines {
        let value: f64 = field(line, "value").parse().expect("values are numbers");
        let got = expand(field(line, "name"), field(line, "template"), field(line, "metric"), value);
        if got != field(line, "result") {
            wrong.push(format!(
                "{}\n  value    {value}\n  expected {}\n  got      {got}",
                field(line, "template"),
                field(line, "result")
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

#[test]
fn templates_are_refused_as_prometheus_refuses_them() {
    let lines = lines("refused.jsonl");
    let functions = functions(&environment());
    let mut wrong = Vec::new();
    for line in &lines {
        let text = format!("{DEFINITIONS}{}", field(line, "template"));
        let got = Template::parse(field(line, "name"), &text, &functions)
            .map_or_else(|error| error.to_string(), |_| "accepted".to_owned());
        if got != field(line, "error") {
            wrong.push(format!(
                "{}\n  expected {}\n  got      {got}",
                field(line, "template"),
                field(line, "error")
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

/// Functions that are younger than the program which made the files.
#[test]
fn times_and_durations_have_gos_methods_and_texts() {
    for (template, expected) in [
        ("{{ toDuration 3661.5 }} {{ (toDuration 3661.5).Hours }}", "1h1m1.5s 1.0170833333333333"),
        ("{{ toDuration 0.0015 }} {{ toDuration -90 }} {{ toDuration 0 }}", "1.5ms -1m30s 0s"),
        ("{{ humanizeDuration (toDuration 90) }}", "1m 30s"),
        ("{{ toTime 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        (
            "{{ (toTime 1435065584).Format \"Mon, 02 Jan 2006 15:04:05 MST\" }}",
            "Tue, 23 Jun 2015 13:19:44 UTC",
        ),
        ("{{ (toTime 951782400).Format \"2006-01-02 is day 002\" }}", "2000-02-29 is day 060"),
        ("{{ (toTime -1).Unix }} {{ now }}", "-1 60"),
        (
            "{{ urlQueryEscape \"a b&c\" }} {{ externalURL }} {{ pathPrefix }}",
            "a+b%26c http://prom.example:9090/pre/ /pre/",
        ),
    ] {
        assert_eq!(expand("x", template, "m", 1.0), expected, "{template}");
    }
}

#[test]
fn no_template_runs_for_ever_or_fills_the_memory() {
    let run = |text: &str| {
        let functions = functions(&environment());
        let limits = Limits { steps: 10_000, output_bytes: 1000, depth: 50 };
        Template::parse("x", text, &functions)?.execute(&Value::Nil, &functions, &limits)
    };
    let end_of = |text: &str| {
        let error = run(text).expect_err("a limit is reached");
        assert!(matches!(error, TemplateError::Limit(_) | TemplateError::Parse(_)), "{error}");
        error.to_string().rsplit(": ").next().map(str::to_owned)
    };
    assert_eq!(
        end_of("{{ range 1000000000000 }}{{ end }}").as_deref(),
        Some("the template takes too many steps")
    );
    assert_eq!(end_of("{{ range 2000 }}x{{ end }}").as_deref(), Some("the output exceeds 1000 bytes"));
    let recursive = "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}";
    assert_eq!(end_of(recursive).as_deref(), Some("exceeded maximum template depth (50)"));
    let nested = format!("{}{}", "{{ if true }}".repeat(100_000), "{{ end }}".repeat(100_000));
    assert_eq!(end_of(&nested).as_deref(), Some("nested more than 200 deep"));
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(end_of(&parens).as_deref(), Some("nested more than 200 deep"));
    assert_eq!(run("{{ printf \"%1000000000d\" 1 }}").map(|text| text.len()), Ok(1));
}
