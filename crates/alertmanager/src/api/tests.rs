//! Requests and their answers, as Alertmanager 0.33.1 answers them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::alertmanager::AlertmanagerConfig;
use ferula_model::Timestamp;
use ferula_runtime::SimClock;

use super::*;
use crate::engine::{EngineSettings, Metrics, OwnSettings, Setup};
use crate::silence::SilenceLimits;

const YAML: &str = "
route: {receiver: a, group_by: [alertname]}
receivers: [{name: a}, {name: b, labels: {team: x}}]
inhibit_rules: [{source_matchers: [alertname=Source], target_matchers: [alertname=Target]}]
";

/// 2026-11-30T02:14:00Z
const NOW_MS: i64 = 1_796_004_840_000;

struct Server {
    api: Api,
    clock: SimClock,
    _dir: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        let config = AlertmanagerConfig::parse(YAML, MatcherSyntax::Fallback).expect("a good configuration");
        let clock = SimClock::at(Timestamp::from_millis(NOW_MS));
        let settings = EngineSettings {
            silences: SilenceLimits {
                retention: Duration::from_secs(120 * 3600),
                silences_max: 0,
                silence_bytes_max: 0,
                syntax: MatcherSyntax::Fallback,
            },
            retention: Duration::from_secs(120 * 3600),
            alerts_per_name_max: 0,
            log_silences: false,
            start_at: UnixNanos(0),
            seed: 1,
            own: OwnSettings::default(),
        };
        let (registry, dir) = (Registry::new(), tempfile::tempdir().expect("a directory"));
        let setup = Setup::new(Arc::new(config), BTreeMap::new());
        let metrics = Metrics::new(&registry, false, false);
        let opened =
            Alertmanager::open(dir.path(), settings, setup, metrics, &registry, Arc::new(clock.clone()));
        let alertmanager = Arc::new(opened.expect("an empty directory"));
        let api = Api::new(alertmanager, MatcherSyntax::Fallback, Build::default(), &registry);
        Server { api, clock, _dir: dir }
    }

    fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = format!("/api/v2/{path}");
        let request = Request {
            method,
            path: &path,
            query,
            content_type: Some("application/json; charset=utf-8"),
            accept: None,
            body: body.as_bytes(),
            user: None,
        };
        let answer = self.api.answer(&request);
        (answer.status.code(), String::from_utf8(answer.body).expect("UTF-8"))
    }

    fn get(&self, target: &str) -> String {
        let (status, body) = self.ask("GET", target, "");
        assert_eq!(status, 200, "{body}");
        body
    }
}

#[test]
fn alerts_are_shown_as_alertmanager_shows_them() {
    let server = Server::new();
    let posted = r#"[{"labels":{"alertname":"A","x":""},"annotations":{"s":""},"startsAt":"2026-11-30T02:00:00+01:00","generatorURL":"http://x/y"},
        {"labels":{"alertname":"B"},"endsAt":"2026-12-30T02:00:00.123456Z","startsAt":"0001-01-01T00:00:00Z"}]"#;
    assert_eq!(server.ask("POST", "alerts", posted), (200, String::new()));
    let a = r#"{"annotations":{"s":""},"endsAt":"2026-11-30T02:19:00.000Z","fingerprint":"d2c6efc389df0927","receivers":[{"name":"a"}],"startsAt":"2026-11-30T02:00:00.000+01:00","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"2026-11-30T02:14:00.000Z","generatorURL":"http://x/y","labels":{"alertname":"A"}}"#;
    let b = r#"{"annotations":{},"endsAt":"2026-12-30T02:00:00.123Z","fingerprint":"d2c2efc389db2050","receivers":[{"name":"a"}],"startsAt":"2026-12-30T02:00:00.123Z","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"2026-11-30T02:14:00.000Z","labels":{"alertname":"B"}}"#;
    assert_eq!(server.get("alerts"), format!("[{b},{a}]\n"));
    let group = |alert: &str, name: &str| {
        format!(r#"{{"alerts":[{alert}],"labels":{{"alertname":"{name}"}},"receiver":{{"name":"a"}}}}"#)
    };
    assert_eq!(server.get("alerts/groups"), format!("[{},{}]\n", group(a, "A"), group(b, "B")));
    assert_eq!(server.get("alerts?filter=alertname%3DA"), format!("[{a}]\n"));
    for nothing in [
        "active=maybe",
        "receiver=b",
        "filter=alertname!%3DA&filter=alertname!%3DB",
        "receiver_matchers=name%3Db",
    ] {
        assert_eq!(server.get(&format!("alerts?{nothing}")), "[]\n", "{nothing}");
        assert_eq!(server.get(&format!("alerts/groups?{nothing}")), "[]\n", "{nothing}");
    }
    // An alert that has ended is no longer shown.
    server.clock.advance(Duration::from_secs(301));
    assert_eq!(server.get("alerts"), format!("[{b}]\n"));
}

#[test]
fn suppressed_alerts_name_what_suppresses_them() {
    let server = Server::new();
    let silence = r#"{"matchers":[{"name":"alertname","value":"A","isRegex":false}],"startsAt":"2026-11-30T02:00:00Z","endsAt":"2027-11-30T02:00:00Z","createdBy":"me","comment":"c"}"#;
    let (_, body) = server.ask("POST", "silences", silence);
    let id = body.trim().trim_start_matches(r#"{"silenceID":""#).trim_end_matches("\"}").to_owned();
    server.ask("POST", "alerts", r#"[{"labels":{"alertname":"A"}},{"labels":{"alertname":"Source"}},{"labels":{"alertname":"Target"}}]"#);
    let statuses: Vec<String> = server
        .get("alerts")
        .split("\"status\":")
        .skip(1)
        .map(|rest| rest.split_inclusive('}').next().unwrap_or_default().to_owned())
        .collect();
    let status = |inhibited: &str, silenced: &str, state: &str| {
        format!(r#"{{"inhibitedBy":[{inhibited}],"mutedBy":[],"silencedBy":[{silenced}],"state":"{state}"}}"#)
    };
    let source = server.get("alerts?filter=alertname%3DSource");
    let source = source
        .split("\"fingerprint\":")
        .nth(1)
        .expect("shown")
        .split(',')
        .next()
        .expect("a value")
        .to_owned();
    for expected in [
        status("", &format!("\"{id}\""), "suppressed"),
        status(&source, "", "suppressed"),
        status("", "", "active"),
    ] {
        assert!(statuses.contains(&expected), "{expected} in {statuses:?}");
    }
    assert_eq!(
        server.get("alerts?silenced=false&inhibited=false&active=true").matches("fingerprint").count(),
        1
    );
    let explained = server.get(&format!("alerts/{}/explain", source.trim_matches('"')));
    for part in [
        r#""route":"{}","receiver":"a""#,
        r#""key":"{}:{alertname=\"Source\"}""#,
        r#""nextFlush":"2026-11-30T02:14:30.000Z""#,
    ] {
        assert!(explained.contains(part), "{part} in {explained}");
    }
}

#[test]
fn silences_are_shown_as_alertmanager_shows_them() {
    let server = Server::new();
    let post = |body: &str| server.ask("POST", "silences", body);
    let (status, body) = post(
        r#"{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2026-11-30T02:00:00Z","endsAt":"2027-11-30T02:00:00Z","createdBy":"me","comment":"c","annotations":{"x":"y"}}"#,
    );
    assert_eq!(
        (status, body.len()),
        (200, r#"{"silenceID":"7046aa70-f0a5-409c-94c9-5de58c40aca7"}"#.len() + 1)
    );
    let id = &body[14..50];
    let pending = r#"{"matchers":[{"name":"a","value":"b.*","isRegex":true,"isEqual":false}],"startsAt":"2026-12-01T02:00:00Z","endsAt":"2027-11-30T02:00:00Z","createdBy":"me","comment":"c"}"#;
    assert_eq!(post(pending).0, 200);
    let shown = |state: &str, updated: &str, ends: &str| {
        format!(
            r#"{{"id":"{id}","status":{{"state":"{state}"}},"updatedAt":"{updated}","annotations":{{"x":"y"}},"comment":"c","createdBy":"me","endsAt":"{ends}","matchers":[{{"isEqual":true,"isRegex":false,"name":"a","value":"b"}}],"startsAt":"2026-11-30T02:14:00.000Z"}}"#
        )
    };
    let active = shown("active", "2026-11-30T02:14:00.000Z", "2027-11-30T02:00:00.000Z");
    assert_eq!(server.get(&format!("silence/{id}")), format!("{active}\n"));
    assert!(server.get("silences").starts_with(&format!("[{active},")));
    assert_eq!(server.get("silences?filter=a%3D%22b%22&pending=false"), format!("[{active}]\n"));
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.ask("DELETE", &format!("silence/{id}"), ""), (200, String::new()));
    let expired = shown("expired", "2026-11-30T02:14:01.000Z", "2026-11-30T02:14:01.000Z");
    assert!(server.get("silences").ends_with(&format!(",{expired}]\n")));
}

/// Invalid requests and their answers, all recorded from Alertmanager.
#[test]
fn errors_are_those_of_alertmanager() {
    let silence = |change: &str, to: &str| {
        r#"{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2026-11-30T02:00:00Z","endsAt":"2027-11-30T02:00:00Z","createdBy":"me","comment":"c"}"#
            .replace(change, to)
    };
    let server = Server::new();
    for (method, target, body, status, expected) in [
        ("POST", "alerts", r#"[{"labels":{}},{"labels":{"a":"b"}, "startsAt":"2026-12-30T02:00:00Z","endsAt":"2026-12-29T02:00:00Z"}]"#.to_owned(), 400, "\"at least one label pair required\\nstart time must be before end time\"\n"),
        ("POST", "alerts", r#"[{"annotations":{}}]"#.to_owned(), 422, r#"{"code":602,"message":"0.labels in body is required"}"#),
        ("POST", "alerts", r#"[{"labels":{"a":"b"},"startsAt":"yesterday"}]"#.to_owned(), 400, r#"{"code":400,"message":"parsing alerts body from \"\" failed, because parsing time \"yesterday\" as \"2006-01-02\": cannot parse \"yesterday\" as \"2006\""}"#),
        ("POST", "alerts", r#"[{"labels":{"a":1}}]"#.to_owned(), 400, r#"{"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal number into Go struct field Alert.labels.a of type string"}"#),
        ("POST", "alerts", r#"{"labels":{"a":1}}"#.to_owned(), 400, r#"{"code":400,"message":"parsing alerts body from \"\" failed, because json: cannot unmarshal object into Go value of type models.PostableAlerts"}"#),
        ("POST", "alerts", "[{".to_owned(), 400, r#"{"code":400,"message":"parsing alerts body from \"\" failed, because unexpected EOF"}"#),
        ("POST", "alerts", String::new(), 422, r#"{"code":602,"message":"alerts in body is required"}"#),
        ("POST", "alerts", "null".to_owned(), 200, ""),
        ("POST", "alerts", "[null]".to_owned(), 422, r#"{"code":602,"message":"0 in body is required"}"#),
        ("POST", "alerts", r#"[{"labels":{"a":"b"},"generatorURL":"no uri"}]"#.to_owned(), 422, r#"{"code":601,"message":"0.generatorURL in body must be of type uri: \"no uri\""}"#),
        ("GET", "alerts?filter=a", String::new(), 400, "\"bad matcher format: a\"\n"),
        ("GET", "alerts?receiver=(", String::new(), 400, "\"failed to parse receiver param: error parsing regexp: missing closing ): `^(?:()$`\"\n"),
        ("GET", "alerts?receiver_matchers=a", String::new(), 400, "\"failed to parse receiver_matchers param: bad matcher format: a\"\n"),
        ("DELETE", "alerts", String::new(), 405, r#"{"code":405,"message":"method DELETE is not allowed, but [GET,POST] are"}"#),
        ("PUT", "silence/abc", String::new(), 405, r#"{"code":405,"message":"method PUT is not allowed, but [DELETE,GET] are"}"#),
        ("GET", "nothing", String::new(), 404, r#"{"code":404,"message":"path /api/v2/nothing was not found"}"#),
        ("GET", "silence/abc", String::new(), 422, r#"{"code":601,"message":"silenceID in path must be of type uuid: \"abc\""}"#),
        ("GET", "silence/11111111-1111-4111-8111-111111111111", String::new(), 404, ""),
        ("DELETE", "silence/11111111-1111-4111-8111-111111111111", String::new(), 404, ""),
        ("POST", "silences", "{}".to_owned(), 422, r#"{"code":602,"message":"comment in body is required"}"#),
        ("POST", "silences", "null".to_owned(), 422, r#"{"code":602,"message":"comment in body is required"}"#),
        ("POST", "silences", String::new(), 422, r#"{"code":602,"message":"silence in body is required"}"#),
        ("POST", "silences", "[]".to_owned(), 400, r#"{"code":400,"message":"parsing silence body from \"\" failed, because json: cannot unmarshal array into Go value of type struct { ID string \"json:\\\"id,omitempty\\\"\" }"}"#),
        ("POST", "silences", r#"{"matchers":[{"name":"a","value":"b","isRegex":"x"}]}"#.to_owned(), 400, r#"{"code":400,"message":"parsing silence body from \"\" failed, because json: cannot unmarshal string into Go struct field Silence.matchers.0.isRegex of type bool"}"#),
        ("POST", "silences", silence(r#"{"name":"a","value":"b","isRegex":false}"#, ""), 422, r#"{"code":612,"message":"matchers in body should have at least 1 items"}"#),
        ("POST", "silences", silence(r#","isRegex":false"#, ""), 422, r#"{"code":602,"message":"matchers.0.isRegex in body is required"}"#),
        ("POST", "silences", silence(r#""startsAt":"2026-11-30T02:00:00Z","#, ""), 422, r#"{"code":602,"message":"startsAt in body is required"}"#),
        ("POST", "silences", silence(r#""value":"b""#, r#""value":"""#), 400, "\"invalid silence: matcher set 0: at least one matcher must not match the empty string\"\n"),
        ("POST", "silences", silence(r#""value":"b","isRegex":false"#, r#""value":"(","isRegex":true"#), 400, "\"invalid silence: invalid label matcher 0 in set 0: invalid regular expression \\\"(\\\": error parsing regexp: missing closing ): `(`\"\n"),
        ("POST", "silences", silence("{\"m", "{\"id\":\"x\",\"m"), 404, "\"silence not found\"\n"),
        ("POST", "silences", silence("2026-11-30", "2027-11-30"), 400, "\"Failed to create silence: start time must be before end time\"\n"),
        ("POST", "silences", silence("2027-11-30", "2026-11-29").replace("2026-11-30", "2026-11-28"), 400, "\"Failed to create silence: end time can't be in the past\"\n"),
    ] {
        assert_eq!(server.ask(method, target, &body), (status, expected.to_owned()), "{method} {target} {body}");
    }
    let mut request = Request {
        method: "POST",
        path: "/api/v2/alerts",
        query: "",
        content_type: None,
        accept: None,
        body: b"[]",
        user: None,
    };
    let message = |answer: Answer| String::from_utf8(answer.body).expect("UTF-8");
    assert_eq!(
        message(server.api.answer(&request)),
        r#"{"code":415,"message":"unsupported media type \"application/octet-stream\", only [application/json] are allowed"}"#
    );
    request.content_type = Some("text/plain");
    assert_eq!(
        message(server.api.answer(&request)),
        r#"{"code":415,"message":"unsupported media type \"text/plain\", only [application/json] are allowed"}"#
    );
    request = Request { method: "GET", accept: Some("text/html"), ..request };
    assert_eq!(
        message(server.api.answer(&request)),
        r#"{"code":406,"message":"unsupported media type requested, only [application/json] are available"}"#
    );
}

#[test]
fn the_status_shows_the_configuration_and_receivers_their_labels() {
    let server = Server::new();
    let status = server.get("status");
    assert!(status.starts_with(r#"{"cluster":{"peers":[],"status":"disabled"},"config":{"original":"global:\n  resolve_timeout: 5m\n"#), "{status}");
    assert!(status.contains(r#""uptime":"2026-11-30T02:14:00.000Z","versionInfo":{"branch":"""#), "{status}");
    assert_eq!(
        server.get("receivers"),
        "[{\"labels\":{\"name\":\"a\"},\"name\":\"a\"},{\"labels\":{\"name\":\"b\",\"team\":\"x\"},\"name\":\"b\"}]\n"
    );
    assert!(!server.get("receivers?receiver_matchers=team%3Dx").contains("\"a\""));
}

#[test]
fn routes_warnings_and_times_can_be_asked_for() {
    let server = Server::new();
    assert_eq!(
        server.get("routes/match?label=alertname%3DA"),
        "{\"receivers\":[\"a\"],\"tree\":{\"route\":\"{}\",\"receiver\":\"a\",\"verdict\":\"matched\",\"children\":[]},\
         \"routes\":[{\"route\":\"{}\",\"receiver\":\"a\",\"mutedBy\":[]}]}\n"
    );
    assert!(server.get("routes").starts_with(
        "{\"route\":\"{}\",\"receiver\":\"a\",\"matchers\":[],\"continue\":false,\"groupBy\":[\"alertname\"],\"groupWait\":\"30s\""
    ));
    assert_eq!(server.get("warnings"), "[]\n");
    for (method, target, body, status, expected) in [
        ("GET", "routes/match?label=a!%3Db", "", 400, "\"labels are given as name=value\"\n"),
        ("GET", "routes/match?at=now", "", 400, "\"bad at: now is no time of RFC 3339\"\n"),
        ("GET", "notifications?since=x", "", 400, "\"bad since: x is no time of RFC 3339\"\n"),
        ("GET", "alerts/zz/explain", "", 400, "\"not a fingerprint: zz\"\n"),
        ("GET", "alerts/1/explain", "", 404, "\"no alert has this fingerprint\"\n"),
        (
            "GET",
            "silence/x/history",
            "",
            422,
            r#"{"code":601,"message":"silenceID in path must be of type uuid: \"x\""}"#,
        ),
        ("GET", "silence/11111111-1111-4111-8111-111111111111/history", "", 404, ""),
        (
            "POST",
            "silences/preview",
            "{\"matchers\":[]}",
            422,
            r#"{"code":612,"message":"matchers in body should have at least 1 items"}"#,
        ),
        (
            "POST",
            "silences/preview",
            "{\"matchers\":[{\"name\":\"a\",\"value\":\"b\",\"isRegex\":false}],\"days\":-1}",
            400,
            r#"{"code":400,"message":"parsing preview body from \"\" failed, because days is no number of days"}"#,
        ),
        (
            "POST",
            "receivers/a/test",
            "{}",
            403,
            "\"tests of receivers are switched off (--web.enable-receiver-tests)\"\n",
        ),
        ("POST", "pair", "x", 404, "\"this server is no member of a pair (--pair.peer)\"\n"),
    ] {
        assert_eq!(server.ask(method, target, body), (status, expected.to_owned()), "{method} {target}");
    }
    let (status, preview) = server.ask(
        "POST",
        "silences/preview",
        "{\"matchers\":[{\"name\":\"a\",\"value\":\"b\",\"isRegex\":false}]}",
    );
    assert_eq!((status, preview.as_str()), (200, "{\"now\":[],\"past\":[]}\n"));
}
