//! Notification templates compared with the output of the real `amtool template render`: data and functions,
//! the default definitions, and random HTML around actions. The cases are in
//! `testdata/alertmanager/templates.jsonl`, and their data in `templates.data.json`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use ferula_alertmanager::Time;
use ferula_alertmanager::template::{Data, Templates};
use ferula_runtime::RealClock;
use ferula_testkit::shared::{peer, workspace_root};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(rename = "type")]
    kind: String,
    template: String,
    result: Option<String>,
    error: Option<String>,
}

fn rows() -> Vec<Row> {
    let path = workspace_root().join("testdata/alertmanager/templates.jsonl");
    let text = fs::read_to_string(path).expect("the file is part of the project");
    text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

fn data() -> String {
    let path = workspace_root().join("testdata/alertmanager/templates.data.json");
    fs::read_to_string(path).expect("the file is part of the project")
}

#[test]
fn templates_render_as_amtool_renders_them() {
    let templates = Templates::load(&[], "", &RealClock::shared()).expect("the defaults parse");
    let dot = Data::from_json(&data()).expect("data").value(false);
    let (mut wrong, mut compared) = (Vec::new(), BTreeMap::new());
    for row in rows() {
        let ours = match row.kind.as_str() {
            "html" => templates.html(&row.template, &dot),
            _ => templates.text(&row.template, &dot),
        };
        let ours = ours.map_err(|error| error.to_string());
        let expected = match (&row.result, &row.error) {
            (Some(text), _) => Ok(text.clone()),
            (None, error) => Err(error.clone().expect("a result or an error")),
        };
        let what = if expected.is_ok() { "result" } else { "error" };
        *compared.entry((row.kind.clone(), what)).or_insert(0) += 1;
        if ours != expected {
            wrong.push(format!("{} {:?}\n  Go:   {expected:?}\n  ours: {ours:?}", row.kind, row.template));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared:?} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared.len() == 4 && compared.values().all(|count| *count > 20), "only {compared:?}");
}

#[test]
fn the_sample_is_that_of_amtool() {
    let templates = Templates::load(&[], "", &RealClock::shared()).expect("the defaults parse");
    let now = Time::parse_rfc3339("2026-01-02T03:04:05.6Z").expect("a time");
    let text = "{{ range .Alerts }}{{ .Labels }} {{ .Annotations }} {{ .Status }} {{ .Fingerprint }} {{ .GeneratorURL }} \
                {{ .EndsAt.Sub .StartsAt }};{{ end }} {{ .GroupLabels }} {{ .CommonLabels }} {{ .CommonAnnotations }} \
                {{ .Receiver }} {{ .Status }} {{ .ExternalURL }} {{ .NotificationReason }}.";
    // Printed by amtool 0.33.1 without --template.data.
    let expected = "commonlabelkey1=commonlabelvalue1, commonlabelkey2=commonlabelvalue2, instance=foo.bar:1234, label1=value1, \
                    label2=value2 annotation1=value1, annotation2=value2, commonannotationkey1=commonannotationvalue1, \
                    commonannotationkey2=commonannotationvalue2 firing fingerprint1 https://generatorurl.com 5m0s;baz=qux, \
                    commonlabelkey1=commonlabelvalue1, commonlabelkey2=commonlabelvalue2, foo=bar aaa=bbb, ccc=ddd, \
                    commonannotationkey1=commonannotationvalue1, commonannotationkey2=commonannotationvalue2 resolved \
                    fingerprint2 https://generatorurl.com 10m0s; grouplabelkey1=grouplabelvalue1, \
                    grouplabelkey2=grouplabelvalue2 commonlabelkey1=commonlabelvalue1, commonlabelkey2=commonlabelvalue2 \
                    commonannotationkey1=commonannotationvalue1, commonannotationkey2=commonannotationvalue2 receiver \
                    alertstatus https://example.com .";
    assert_eq!(templates.text(text, &Data::sample(now).value(false)).as_deref(), Ok(expected));
}

fn names_a_default(row: &Row) -> bool {
    row.template.contains("default.") || row.template.contains("template \"__")
}

#[test]
fn some_rows_are_run_again_with_the_real_amtool() {
    let Some(amtool) = peer("amtool") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("data.json");
    fs::write(&file, data()).expect("written");
    // The packaged amtool lacks the default definitions.
    for row in rows().iter().filter(|row| !names_a_default(row)).step_by(40) {
        let output = Command::new(&amtool)
            .args(["template", "render", "--template.glob=/none*"])
            .arg(format!("--template.data={}", file.display()))
            .arg(format!("--template.type={}", row.kind))
            .arg(format!("--template.text={}", row.template))
            .output()
            .expect("the real amtool runs");
        match &row.result {
            Some(text) => assert_eq!(String::from_utf8_lossy(&output.stdout), *text, "{}", row.template),
            None => assert!(!output.status.success(), "{}", row.template),
        }
    }
}
