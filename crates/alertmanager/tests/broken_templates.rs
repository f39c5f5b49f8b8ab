//! A page is sent even when its template fails: every field of every service is broken in turn, and what would be sent is read.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_alertmanager::receiver::check::check_templates;
use ferula_alertmanager::receiver::{KeptValues, Notification, Notified, Reason, Record, build};
use ferula_alertmanager::{Alert, Labels, Time};
use ferula_config::alertmanager::{AlertmanagerConfig, LoadOptions, MatcherSyntax};
use ferula_runtime::{RealClock, SharedClock};
use serde_yaml::Value;

/// A service, the least that it must be told, and the fields that are broken.
const SERVICES: [(&str, &str, &[&str]); 17] = [
    (
        "slack",
        "{api_url: 'http://x/', channel: c}",
        &[
            "title",
            "text",
            "fallback",
            "pretext",
            "color",
            "footer",
            "title_link",
            "username",
            "channel",
            "callback_id",
            "icon_url",
            "icon_emoji",
            "image_url",
            "thumb_url",
            "message_text",
        ],
    ),
    ("discord", "{webhook_url: 'http://x/'}", &["title", "message", "content"]),
    ("telegram", "{bot_token: '123:tok3n', chat_id: 1}", &["message"]),
    ("msteams", "{webhook_url: 'http://x/'}", &["title", "summary", "text"]),
    ("msteamsv2", "{webhook_url: 'http://x/'}", &["title", "text"]),
    ("webex", "{room_id: r, http_config: {authorization: {credentials: c}}}", &["message"]),
    (
        "wechat",
        "{api_secret: s3cr3t, corp_id: c, api_url: 'http://x/'}",
        &["message", "agent_id", "to_user", "to_party", "to_tag"],
    ),
    (
        "rocketchat",
        "{token: t0k3n, token_id: 1d3nt, channel: c}",
        &["title", "text", "color", "emoji", "icon_url", "title_link", "image_url", "thumb_url", "channel"],
    ),
    (
        "mattermost",
        "{webhook_url: 'http://x/'}",
        &["title", "text", "pretext", "fallback", "color", "channel", "username", "icon_url", "footer"],
    ),
    (
        "pagerduty",
        "{routing_key: k3y}",
        &[
            "description",
            "client",
            "client_url",
            "severity",
            "class",
            "component",
            "group",
            "source",
            "details.firing",
        ],
    ),
    (
        "opsgenie",
        "{api_key: k3y}",
        &["message", "description", "source", "tags", "note", "priority", "entity", "actions", "details.x"],
    ),
    (
        "victorops",
        "{api_key: k3y, routing_key: r}",
        &["state_message", "entity_display_name", "monitoring_tool", "message_type", "custom_fields.x"],
    ),
    (
        "pushover",
        "{token: t0k3n, user_key: us3r}",
        &["title", "message", "url", "url_title", "priority", "device", "sound"],
    ),
    (
        "sns",
        "{api_url: 'http://x/', topic_arn: t, sigv4: {region: r, access_key: a, secret_key: s}}",
        &["subject", "message", "attributes.x"],
    ),
    (
        "jira",
        "{api_url: 'http://x/rest/api/2/', project: P, issue_type: T, http_config: {basic_auth: {username: u, password: p}}}",
        &["summary", "description", "priority"],
    ),
    (
        "email",
        "{to: a@b.c, from: d@e.f, smarthost: 'x:25', text: '{{ .Status }}'}",
        &["html", "text", "headers.Subject", "headers.Other"],
    ),
    ("webhook", "{url: 'http://x/', payload: {x: '{{ .Status }}'}}", &["payload.x"]),
];

/// Fails when it runs, not when it is parsed.
const BROKEN: &str = "{{ .Nothing }}";

fn config_of(service: &str, fields: &Value) -> AlertmanagerConfig {
    let fields = serde_yaml::to_string(fields).expect("YAML").replace('\n', "\n    ");
    let yaml =
        format!("route: {{receiver: r}}\nreceivers:\n- name: r\n  {service}_configs:\n  -\n    {fields}\n");
    AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback)
        .unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// The fields with one of them set; `a.b` is `b` in the mapping `a`.
fn with(fields: &Value, path: &str, text: &str) -> Value {
    let mut fields = fields.clone();
    let mut place = &mut fields;
    for key in path.split('.') {
        if place.is_null() {
            *place = Value::Mapping(Default::default());
        }
        let mapping = place.as_mapping_mut().expect("a mapping");
        place = mapping.entry(Value::from(key)).or_insert(Value::Null);
    }
    *place = Value::from(text);
    fields
}

/// What would be sent about one firing alert: addresses and bodies.
async fn compose(config: &AlertmanagerConfig) -> (Notified, String) {
    let clock: SharedClock = RealClock::shared();
    let mut built = build(config, "http://am.example", &clock).expect("good receivers");
    let integration = built.remove("r").expect("there").remove(0);
    let labels = Labels::from([
        ("alertname".to_owned(), "SampleDisk".to_owned()),
        ("instance".to_owned(), "a&b:1".to_owned()),
    ]);
    let now = Time::from_unix_nanos(clock.unix_nanos());
    let annotations = Labels::from([("summary".to_owned(), "full <soon>".to_owned())]);
    let alert = Alert::new(&labels, &annotations, now, Time::ZERO, "");
    let record = Record::dry_run();
    let notification = Notification {
        receiver: "r",
        group_key: "{}:{alertname=\"SampleDisk\"}",
        group_labels: &Labels::from([("alertname".to_owned(), "SampleDisk".to_owned())]),
        alerts: &[alert],
        now,
        repeat_interval: Duration::from_secs(3600),
        reason: Reason::FirstNotification,
        kept: &KeptValues::new(),
        record: &record,
        rendering: None,
    };
    let notified = integration.notify(&notification).await;
    let sent: Vec<String> =
        record.take().into_iter().map(|exchange| format!("{} {}", exchange.url, exchange.body)).collect();
    (notified, sent.join("\n"))
}

/// Forms, mails and queries as text.
fn plain(sent: &str) -> String {
    // Go's queries have no semicolons.
    let sent = sent.replace("=\r\n", "").replace('+', " ").replace(';', ",");
    let (pairs, _) = ferula_go::url::parse_query(format!("x={sent}"));
    pairs.into_iter().map(|(name, value)| format!("{name}={value} ")).collect()
}

#[tokio::test]
async fn every_field_of_every_service_may_fail() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (service, least, fields) in SERVICES {
        let least: Value = serde_yaml::from_str(least).expect("YAML");
        for field in fields {
            tried += 1;
            let shown = format!("{service} {field}");
            // Jira's texts are mappings in its configuration.
            let path = match (service, *field) {
                ("jira", "summary" | "description") => format!("{field}.template"),
                _ => (*field).to_owned(),
            };
            let (notified, sent) = compose(&config_of(service, &with(&least, field, BROKEN))).await;
            let sent = plain(&sent);
            if let Err(error) = &notified.result {
                wrong.push(format!("{shown}: not sent: {error}"));
                continue;
            }
            let names: Vec<&str> = notified.faults.iter().map(|fault| fault.field.as_str()).collect();
            if names != [path.as_str()] {
                wrong.push(format!("{shown}: faults {names:?}"));
            }
            if !sent.contains("SampleDisk") {
                wrong.push(format!("{shown}: does not say what fires: {sent}"));
            }
            let error_note = format!("The template of {path} failed: template: :1:3: executing");
            if !sent.contains(&error_note) {
                wrong.push(format!("{shown}: does not name the error: {sent}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn an_address_that_fails_ends_the_attempt() {
    for (service, field) in [
        ("email", "to"),
        ("jira", "project"),
        ("webex", "room_id"),
        ("sns", "topic_arn"),
        ("victorops", "routing_key"),
    ] {
        let (_, least, _) = SERVICES.iter().find(|(name, ..)| *name == service).expect("known");
        let least: Value = serde_yaml::from_str(least).expect("YAML");
        let (notified, sent) = compose(&config_of(service, &with(&least, field, BROKEN))).await;
        let error = notified.result.expect_err(service);
        assert!(error.text.contains("can't evaluate field Nothing"), "{service}: {error}");
        assert_eq!((notified.faults[0].field.as_str(), sent.as_str()), (field, ""), "{service}");
    }
}

#[tokio::test]
async fn a_file_that_breaks_a_default_does_not_stop_the_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("own.tmpl");
    std::fs::write(&file, "{{ define \"slack.default.title\" }}{{ .Nothing }}{{ end }}").expect("written");
    let yaml = format!(
        "route: {{receiver: r}}\ntemplates: ['{}']\nreceivers: [{{name: r, slack_configs: [{{api_url: 'http://x/', channel: c}}]}}]",
        file.display()
    );
    let config = AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback).expect("good");
    let (notified, sent) = compose(&config).await;
    assert!(notified.result.is_ok());
    // The title is the one that the file replaced; the fallback text uses it, too.
    assert!(sent.contains("\"title\":\"[FIRING:1] SampleDisk"), "{sent}");
    assert!(sent.contains("The template of title failed: template: own.tmpl:1:"), "{sent}");
}

#[test]
fn a_check_finds_every_field_with_file_and_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    write(
        "am.yml",
        "\
config_files: [part.yml]
templates: ['*.tmpl']
route: {receiver: a}
receivers:
- name: a
  slack_configs:
  - api_url_file: /nowhere
    channel: c
    title: '{{ .Nothing }}'
    text: '{{ template \"own\" . }}'
    fields:
    - {title: t, value: '{{ .Alerts.Nothing }}'}
- name: unused
  email_configs:
  - {to: '{{ .No }}', from: a@b.c, smarthost: 'x:25', html: '<a href={{ .Nope }}>'}
",
    );
    write(
        "part.yml",
        "receivers:\n- name: p\n  webhook_configs:\n  - url: http://x/\n    payload:\n      a: '{{ (index .Alerts 5).Status }}'\n",
    );
    write("own.tmpl", "{{ define \"own\" }}{{ .GroupLabels.Foo.Bar }}{{ end }}");
    let load = || {
        let options = LoadOptions::default();
        AlertmanagerConfig::load_with(&dir.path().join("am.yml"), options).expect("Alertmanager takes it")
    };
    let warnings = check_templates(&load(), "http://am", &RealClock::shared()).expect("templates");
    let prefix = format!("{}/", dir.path().display());
    let shown: Vec<String> =
        warnings.iter().map(|warning| warning.to_string().replace(&prefix, "")).collect();
    let expected = [
        "am.yml:9: receivers[0].slack_configs[0].title: template: :1:3: executing",
        "am.yml:10: receivers[0].slack_configs[0].text: template: own.tmpl:1:",
        "am.yml:12: receivers[0].slack_configs[0].fields[0].value: template: :1:",
        "am.yml:15: receivers[1].email_configs[0].to: template: :1:3: executing",
        "am.yml:15: receivers[1].email_configs[0].html: template: :1:",
        "part.yml:6: receivers[2].webhook_configs[0].payload.a: template: :1:",
    ];
    for line in expected {
        assert!(
            shown.iter().any(|known| known.starts_with(line)),
            "{line} is not among\n{}",
            shown.join("\n")
        );
    }
    let fields: std::collections::BTreeSet<&str> =
        warnings.iter().map(|warning| warning.field.as_str()).collect();
    assert_eq!(fields.len(), expected.len(), "{shown:?}");

    write("own.tmpl", "{{ define \"own\" }}\n{{ if }}{{ end }}{{ end }}");
    write("second.tmpl", "{{ nofunction }}");
    let problems = check_templates(&load(), "http://am", &RealClock::shared()).expect_err("refused");
    let problems: BTreeMap<String, String> =
        problems.into_iter().map(|(file, error)| (file.replace(&prefix, ""), error.to_string())).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems["own.tmpl"].starts_with("template: own.tmpl:2: missing value for if"), "{problems:?}");
    assert!(problems["second.tmpl"].starts_with("template: second.tmpl:1: function"), "{problems:?}");
}
