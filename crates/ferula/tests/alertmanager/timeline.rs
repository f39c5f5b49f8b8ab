//! Ours and the real Alertmanager on the same timeline and with each other's files, and the real amtool
//! against ours.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Alertmanager, Webhook, alert, from_now, ours, peer};

/// On a busy machine, two times are considered equal if they are this close. Intervals are longer.
const SAME_MOMENT: Duration = Duration::from_millis(900);

const CONFIG: &str = "
route:
  receiver: a
  group_by: [g]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 5s
  routes:
  - {matchers: [team=x], receiver: b, group_by: ['...'], continue: true}
  - {matchers: [team=x], receiver: quiet, group_by: [g], routes: [{matchers: ['g=~\"q.*\"'], receiver: a}]}
  - {matchers: [team=m], receiver: a, mute_time_intervals: [always]}
inhibit_rules:
- {source_matchers: [n=source], target_matchers: [n=target], equal: [g]}
time_intervals: [{name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]
receivers:
- {name: a, webhook_configs: [{url: 'http://HOOK/a'}]}
- {name: b, webhook_configs: [{url: 'http://HOOK/b1'}, {url: 'http://HOOK/b2', send_resolved: false, max_alerts: 1}]}
- {name: quiet, webhook_configs: [{url: 'http://HOOK/quiet', send_resolved: false}]}
";

/// Seconds, labels, start and end of a report.
type Report = (f64, &'static [(&'static str, &'static str)], f64, f64);

const FOREVER: f64 = 600.0;
const REPORTS: [Report; 17] = [
    (0.0, &[("g", "1"), ("n", "1")], 0.0, FOREVER),
    (0.3, &[("g", "1"), ("n", "2")], 0.0, FOREVER),
    (0.4, &[("g", "old"), ("n", "3")], -30.0, FOREVER),
    (0.5, &[("team", "x"), ("g", "2"), ("n", "4")], 0.0, FOREVER),
    (0.6, &[("team", "x"), ("g", "q1"), ("n", "5")], 0.0, FOREVER),
    (0.7, &[("team", "m"), ("g", "3"), ("n", "6")], 0.0, FOREVER),
    (0.8, &[("g", "5"), ("n", "source")], 0.0, FOREVER),
    (0.9, &[("g", "5"), ("n", "target")], 0.0, FOREVER),
    (1.8, &[("g", "1"), ("n", "8")], 0.0, FOREVER),
    (3.9, &[("g", "1"), ("n", "2")], -3.0, 0.0),
    (3.9, &[("team", "x"), ("g", "2"), ("n", "4")], -3.0, 0.0),
    (4.3, &[("g", "1"), ("n", "9")], 0.0, FOREVER),
    (6.7, &[("g", "5"), ("n", "source")], -5.0, 0.0),
    (8.4, &[("g", "1"), ("n", "1")], -9.0, 0.0),
    (8.4, &[("g", "1"), ("n", "8")], -9.0, 0.0),
    (8.4, &[("g", "1"), ("n", "9")], -9.0, 0.0),
    (9.3, &[("g", "short"), ("n", "10")], -0.1, 0.0),
];
const SILENCE_AT: f64 = 4.15;
/// Like all the times above, far from every tick: ticks are two seconds apart, counted from a group's first
/// flush.
const END: f64 = 11.2;

struct Played {
    server: Alertmanager,
    hook: Webhook,
    directory: tempfile::TempDir,
    start: Instant,
}

fn start(command: Command) -> Played {
    let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
    let yaml = CONFIG.replace("HOOK", &hook.address);
    std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
    let server = Alertmanager::start(command, directory.path());
    Played { server, hook, directory, start: Instant::now() }
}

fn play(command: Command) -> Played {
    let played = start(command);
    let wait = |seconds: f64| {
        let left = Duration::from_secs_f64(seconds).saturating_sub(played.start.elapsed());
        std::thread::sleep(left);
    };
    let mut is_silenced = false;
    for (at, labels, starts, ends) in REPORTS {
        if at > SILENCE_AT && !is_silenced {
            is_silenced = true;
            wait(SILENCE_AT);
            let silence = json!({
                "matchers": [{"name": "g", "value": "1", "isRegex": false}],
                "startsAt": from_now(0.0), "endsAt": from_now(4.0), "createdBy": "me", "comment": "c",
            });
            assert_eq!(played.server.post("/api/v2/silences", &silence).0, 200);
        }
        wait(at);
        assert_eq!(played.server.post("/api/v2/alerts", &alert(labels, starts, ends)).0, 200);
    }
    wait(END);
    played
}

/// The notifications (path, group, alerts, reason and truncation) with their times, sorted by everything but
/// the time.
fn told(played: &Played) -> Vec<(String, Duration)> {
    let mut lines: Vec<(String, Duration)> = played
        .hook
        .told()
        .iter()
        .map(|told| {
            let body = &told.body;
            let alerts: Vec<String> = body["alerts"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|alert| format!("{}:{}", alert["labels"]["n"], alert["status"]))
                .collect();
            let reason = &body["notification_reason"];
            let line =
                format!("{} {} {alerts:?} {reason} {}", told.path, body["groupKey"], body["truncatedAlerts"]);
            (line, told.at.duration_since(played.start))
        })
        .collect();
    lines.sort();
    lines
}

/// The answer without the parts that differ from run to run.
pub fn shape(server: &Alertmanager, path: &str) -> Value {
    fn plain(value: &mut Value) {
        match value {
            Value::Object(pairs) => {
                for (key, value) in pairs {
                    match key.as_str() {
                        "id" | "startsAt" | "endsAt" | "updatedAt" => *value = Value::Null,
                        "silencedBy" => *value = Value::from(value.as_array().map_or(0, Vec::len)),
                        _ => plain(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(plain),
            _ => {}
        }
    }
    let mut value = Value::Array(server.list(path));
    plain(&mut value);
    value
}

#[test]
fn both_send_the_same_at_the_same_times_and_continue_with_each_others_files() {
    let Some(real) = peer("alertmanager") else { return };
    let (real_run, our_run) = std::thread::scope(|scope| {
        let real_run = scope.spawn(|| play(Command::new(&real)));
        let our_run = scope.spawn(|| play(ours()));
        (real_run.join().expect("played"), our_run.join().expect("played"))
    });
    let (expected, found) = (told(&real_run), told(&our_run));
    let lines = |told: &[(String, Duration)]| told.iter().map(|(line, _)| line.clone()).collect::<Vec<_>>();
    assert_eq!(lines(&found), lines(&expected));
    assert!(found.len() >= 17, "{found:?}");
    for ((line, ours), (_, theirs)) in found.iter().zip(&expected) {
        assert!(ours.abs_diff(*theirs) < SAME_MOMENT, "{line}: {ours:?} instead of {theirs:?}");
    }
    for path in ["/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences", "/api/v2/receivers"] {
        assert_eq!(shape(&our_run.server, path), shape(&real_run.server, path), "{path}");
    }
    // Each continues with the files of the other: past notifications are not repeated, and the silence is
    // there.
    let (real_directory, our_directory) = (real_run.directory, our_run.directory);
    assert_eq!(our_run.server.stop(), Some(0));
    assert_eq!(real_run.server.stop(), Some(0));
    swap(&real_directory.path().join("data"), &our_directory.path().join("data"));
    let before = [real_run.hook.told().len(), our_run.hook.told().len()];
    // Before the repeat interval has passed.
    let real_again = Alertmanager::start(Command::new(&real), real_directory.path());
    let our_again = Alertmanager::start(ours(), our_directory.path());
    for server in [&real_again, &our_again] {
        let report = alert(&[("team", "x"), ("g", "q1"), ("n", "5")], -20.0, FOREVER);
        assert_eq!(server.post("/api/v2/alerts", &report).0, 200);
        let silences = server.list("/api/v2/silences");
        assert_eq!(silences.len(), 1, "{silences:?}");
        assert_eq!(silences[0]["comment"], "c");
    }
    std::thread::sleep(Duration::from_millis(1200));
    for (hook, before) in [(&real_run.hook, before[0]), (&our_run.hook, before[1])] {
        let new: Vec<String> =
            hook.told()[before..].iter().map(|told| told.body["notification_reason"].to_string()).collect();
        assert!(!new.iter().any(|reason| reason.contains("first")), "told again: {new:?}");
    }
}

/// `export` writes what a running server knows; the real one starts on it, sends nothing again, and shows the same silences.
#[test]
fn the_real_one_starts_on_what_was_exported() {
    let Some(real) = peer("alertmanager") else { return };
    let played = start(ours());
    let report = alert(&[("g", "old"), ("n", "3")], -30.0, FOREVER);
    assert_eq!(played.server.post("/api/v2/alerts", &report).0, 200);
    let silence = json!({
        "matchers": [{"name": "g", "value": "x.*", "isRegex": true}],
        "startsAt": from_now(0.0), "endsAt": from_now(3600.0), "createdBy": "me", "comment": "kept",
        "annotations": {"ferula_remind_before": "5m"},
    });
    assert_eq!(played.server.post("/api/v2/silences", &silence).0, 200);
    played.hook.wait("the notification of the group", |told| !told.is_empty());
    // The notification is known to have arrived.
    let deadline = Instant::now() + crate::common::PATIENCE;
    while played.server.list("/api/v2/notifications?outcome=sent").is_empty() {
        assert!(Instant::now() < deadline, "the log has it");
        std::thread::sleep(Duration::from_millis(20));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let export = |to: &str| {
        let output =
            ours().current_dir(played.directory.path()).args(["--storage.path=data", "export", to]).output();
        let output = output.expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let to = directory.path().join("data");
    let to = to.to_str().expect("a name");
    assert_eq!(export(to), (Some(0), format!("1 silences and 1 notifications written to {to}\n")));
    let ours_shown = shape(&played.server, "/api/v2/silences");
    assert_eq!(played.server.stop(), Some(0));

    let yaml = CONFIG.replace("HOOK", &played.hook.address);
    std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
    let before = played.hook.told().len();
    let theirs = Alertmanager::start(Command::new(&real), directory.path());
    assert_eq!(theirs.post("/api/v2/alerts", &report).0, 200);
    // More than the group's wait and interval, less than the repeat interval.
    std::thread::sleep(Duration::from_millis(3500));
    assert_eq!(played.hook.told().len(), before, "{:?}", played.hook.told());
    assert_eq!(shape(&theirs, "/api/v2/silences"), ours_shown);
}

fn swap(a: &Path, b: &Path) {
    let aside = a.with_extension("aside");
    std::fs::rename(a, &aside).expect("moved");
    std::fs::rename(b, a).expect("moved");
    std::fs::rename(&aside, b).expect("moved");
}

/// Both amtools send the same requests to our server; exit code, output and errors are compared.
#[test]
fn the_real_amtool_and_ours_print_the_same() {
    let Some(real) = peer("amtool") else { return };
    let played = start(ours());
    let link = played.directory.path().join("amtool");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ferula"), &link).expect("linked");
    let url = format!("--alertmanager.url=http://{}", played.server.address);
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program)
            .arg(&url)
            .args(arguments)
            .env("HOME", played.directory.path())
            .output()
            .expect("runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run(&real, &["alert", "add", "A", "team=x", "--annotation=summary=none"]).0, Some(0));
    assert_eq!(run(&link, &["alert", "add", "B", "g=1", "--start=2026-11-30T02:00:00+01:00"]).0, Some(0));
    let (code, id, _) =
        run(&link, &["silence", "add", "A", "team=x", "-c", "for <work>", "-d", "2h", "-a", "me"]);
    let id = id.trim();
    assert_eq!((code, id.len()), (Some(0), 36));
    assert_eq!(run(&real, &["silence", "add", "team!~\"z.*\"", "-c", "c2", "-a", "you"]).0, Some(0));
    let config = played.directory.path().join("alertmanager.yml");
    let config = config.to_str().expect("a name");
    for arguments in [
        &["alert"][..],
        &["alert", "query", "-o", "extended"],
        &["-o", "json", "alert", "query", "A"],
        &["alert", "-s"],
        &["alert", "--receiver=b"],
        &["alert", "add", "a!=b"],
        &["silence"],
        &["silence", "query", "-o", "extended"],
        &["silence", "-o", "json"],
        &["silence", "-q", "A"],
        &["silence", "--within=90m"],
        &["silence", "--expired"],
        &["silence", "add"],
        &["silence", "add", "x=y"],
        &["silence", "add", "x=y", "-c", "c", "-d", "0s"],
        &["silence", "update", "--end=2027-12-30T00:00:00Z", "-c", "new", id],
        &["silence", "expire", "11111111-1111-4111-8111-111111111111"],
        &["silence", "expire"],
        &["cluster"],
        &["cluster", "show", "-o", "extended"],
        &["config"],
        &["config", "show", "-o", "json"],
        &["config", "routes"],
        &["config", "routes", "test", "team=x", "g=q2"],
        &["check-config", config],
        &["nothing"],
        &[
            "template",
            "render",
            "--template.glob=none/*.tmpl",
            "--template.text={{ .Status | toUpper }} {{ len .Alerts }}",
        ],
    ] {
        assert_eq!(run(&link, arguments), run(&real, arguments), "{arguments:?}");
    }
    let (code, explained, _) = run(&link, &["explain", "A"]);
    assert_eq!(code, Some(0));
    assert!(explained.contains(&format!("by {id} (me: new)")), "{explained}");
    assert!(explained.contains("route {}/{team=\"x\"} to b"), "{explained}");
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let played = start(ours());
    let file = played.directory.path().join("alertmanager.yml");
    let before = played.server.get("/api/v2/status").1;
    std::fs::write(&file, "route: {receiver: nobody}\n").expect("written");
    let (status, body) = played.server.post("/-/reload", &Value::Null);
    assert_eq!(status, 500);
    assert!(body.starts_with("failed to reload config: "), "{body}");
    assert_eq!(played.server.get("/api/v2/status").1, before);
    let metrics = played.server.get("/metrics").1;
    assert!(metrics.contains("\nalertmanager_config_last_reload_successful 0\n"));
    std::fs::write(&file, "route: {receiver: other}\nreceivers: [{name: other}]\n").expect("written");
    assert_eq!(played.server.post("/-/reload", &Value::Null).0, 200);
    assert_eq!(played.server.list("/api/v2/receivers")[0]["name"], "other");
    assert_eq!(played.server.stop(), Some(0));
}

/// Invalid files and flags, and the messages with which the start fails.
#[test]
fn invalid_settings_are_refused_with_a_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = "route: {receiver: r}\nreceivers: [{name: r}]\n";
    for (yaml, flags, words) in [
        (good, &["--cluster.peer=x:9094"][..], "this server does not gossip with Alertmanagers"),
        (good, &["--enable-feature=x"], "unknown option 'x' for --enable-feature"),
        ("route: {receiver: x}\nreceivers: [{name: r}]\n", &[], "undefined receiver"),
        ("route: {receiver: r, routes: [null]}\nreceivers: [{name: r}]\n", &[], "empty or null route"),
        (
            "route: {receiver: r}\nreceivers: [{name: r, slack_configs: [null]}]\n",
            &[],
            "missing slack config",
        ),
    ] {
        std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
        let output = ours()
            .current_dir(directory.path())
            .args(["--web.listen-address=127.0.0.1:0", "--storage.path=data"])
            .args(flags)
            .output()
            .expect("runs");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains(words), "{words} in {log}");
    }
}
