//! What amtool does beyond Alertmanager's, against a running server.

use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Alertmanager, Webhook, alert, ours};

const CONFIG: &str = "
route:
  receiver: main
  group_by: [g]
  group_wait: 100ms
  group_interval: 500ms
  repeat_interval: 1h
  routes:
  - {matchers: [team=x], receiver: x, continue: true}
  - {matchers: [team=y], receiver: x}
receivers:
- name: main
  webhook_configs: [{url: 'http://HOOK/main', payload: {text: '{{ .Nothing }}'}}]
- name: x
  webhook_configs: [{url: 'http://HOOK/x'}]
";

#[test]
fn decisions_can_be_asked_for() {
    let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
    let yaml = CONFIG.replace("HOOK", &hook.address);
    std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
    let mut command = ours();
    command.args(["--log.notifications", "--web.enable-receiver-tests"]);
    let server = Alertmanager::start(command, directory.path());
    let amtool = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
            .args(["amtool", &format!("--alertmanager.url=http://{}", server.address)])
            .args(arguments)
            .output()
            .expect("it runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), out.into_owned(), err.into_owned())
    };
    for labels in [&[("g", "1"), ("alertname", "A")][..], &[("g", "2"), ("alertname", "B"), ("team", "x")]] {
        assert_eq!(server.post("/api/v2/alerts", &alert(labels, -1.0, 3600.0)).0, 200);
    }
    hook.wait("both notifications", |told| told.len() >= 2);

    // The template of the payload fails; the page came all the same, and says so.
    let told = hook.told();
    let broken = told.iter().find(|told| told.path == "/main").expect("it came");
    let text = broken.body["text"].as_str().expect("a text");
    assert!(text.contains("[FIRING:1] A") && text.contains("The template of payload.text failed"), "{text}");
    let failures = "the counter of failed templates is there";
    let page = server.get("/metrics").1;
    assert!(
        page.lines().any(|line| {
            line.starts_with("ferula_alertmanager_template_failures_total{")
                && line.contains("field=\"payload.text\"")
        }),
        "{failures}"
    );
    assert_eq!(server.metric("ferula_alertmanager_configuration_warnings"), 1.0);
    let warnings = server.list("/api/v2/warnings");
    assert_eq!(warnings[0]["field"], "receivers[0].webhook_configs[0].payload.text");
    assert_eq!(warnings[0]["line"], 13);
    let events = server.list("/api/v2/notifications?receiver=main&outcome=sent");
    assert_eq!(events[0]["templateErrors"][0]["field"], "payload.text");
    assert!(events[0]["latestAttempts"][0]["result"].as_str().expect("a text").starts_with("200 OK"));
    assert!(server.list("/api/v2/notifications?until=2020-01-01T00:00:00Z").is_empty());

    let (code, out, err) = amtool(&["explain", "B", "--content"]);
    assert_eq!(code, Some(0), "{err}");
    for expected in [
        "{} -> main: matches",
        "{}/{team=\"x\"} -> x: matches",
        "{}/{team=\"y\"} -> x: does not match: team=\"y\" (it is \"x\")",
        "repeat interval elapsed, 1 alerts",
        "POST <secret>",
        "\"alertname\":\"B\"",
        "sent: first notification",
        "attempt 20",
    ] {
        assert!(out.contains(expected), "{expected} is not in\n{out}");
    }
    let (_, out, _) = amtool(&["explain", "B", "--at", "2020-01-01T00:00:00Z"]);
    assert!(out.contains("{} -> main: matches"), "{out}");

    let (code, id, err) = amtool(&[
        "silence",
        "add",
        "--until-resolved",
        "--remind-before=10m",
        "-a",
        "me",
        "-c",
        "why",
        "g=2",
    ]);
    assert_eq!(code, Some(0), "{err}");
    let id = id.trim().to_owned();
    let silence: Value = serde_json::from_str(&server.get(&format!("/api/v2/silence/{id}")).1).expect("JSON");
    assert_eq!(
        silence["annotations"],
        json!({"ferula_end_when_resolved": "true", "ferula_remind_before": "10m"})
    );
    let (_, out, _) = amtool(&["explain", "B"]);
    assert!(out.contains(&format!("by {id} (me: why)")), "{out}");
    let (code, out, err) = amtool(&["silence", "preview", "g=~.+"]);
    assert_eq!((code, out.matches("fires now").count()), (Some(0), 2), "{out}{err}");
    let (_, out, _) = amtool(&["silence", "history", &id]);
    assert!(out.contains("created") && out.contains("me") && out.contains("g=\"2\""), "{out}");

    // A receiver is tried from the page: first without sending, then for real.
    let before = hook.told().len();
    let (status, body) = server.post("/api/v2/receivers/x/test", &json!({"dryRun": true}));
    assert!(status == 200 && body.contains("\"outcome\":\"not sent\""), "{status} {body}");
    assert_eq!(hook.told().len(), before);
    let (status, body) = server.post("/api/v2/receivers/x/test", &json!({"labels": {"team": "x"}}));
    assert!(
        status == 200 && body.contains("\"outcome\":\"sent\"") && !body.contains(&hook.address),
        "{body}"
    );
    assert_eq!(hook.told()[before].body["alerts"][0]["labels"]["alertname"], "FerulaTestNotification");
    assert_eq!(server.post("/api/v2/receivers/nobody/test", &json!({})).0, 404);

    // The silence ends when its alert does.
    let over = alert(&[("g", "2"), ("alertname", "B"), ("team", "x")], -5.0, 0.0);
    assert_eq!(server.post("/api/v2/alerts", &over).0, 200);
    let deadline = std::time::Instant::now() + crate::common::PATIENCE;
    while !amtool(&["silence", "history", &id]).1.contains("ended with its alerts") {
        assert!(std::time::Instant::now() < deadline, "the silence ends");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    // The history survives a crash.
    let before = server.list("/api/v2/notifications?receiver=main").len();
    server.kill();
    let server = Alertmanager::start(ours(), directory.path());
    assert!(server.list("/api/v2/notifications?receiver=main").len() >= before);
    assert!(server.get(&format!("/api/v2/silence/{id}/history")).1.contains("ended with its alerts"));
    let details = server.get("/api/v2/alerts/groups?details=true").1;
    assert!(
        details.contains("\"nextFlush\":\"") && details.contains("\"nextNotifications\":[{"),
        "{details}"
    );
}
