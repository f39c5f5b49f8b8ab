//! What clients send to an Alertmanager: matchers, bodies and parameters of its API, requests of the other member of a pair, entries
//! of the history. Nothing panics, every answer has a status, and what was taken survives a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_alertmanager::api::{Api, Build, Request, Status};
use ferula_alertmanager::engine::{HistoryEntry, Metrics, OwnSettings};
use ferula_alertmanager::pair::read_request;
use ferula_alertmanager::silence::SilenceLimits;
use ferula_alertmanager::{Alertmanager, EngineSettings, Setup};
use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax, parse_matcher, parse_matchers};
use ferula_model::UnixNanos;
use ferula_runtime::RealClock;
use ferula_telemetry::Registry;

const SYNTAX: MatcherSyntax = MatcherSyntax::Fallback;
const YAML: &str = "
route: {receiver: a, group_by: [g], routes: [{matchers: [g=~\".+\"], receiver: b}]}
inhibit_rules: [{source_matchers: [n=1], target_matchers: [n=2]}]
receivers: [{name: a}, {name: b}]
";

const SEEDS: [&str; 6] = [
    r#"[{"labels":{"alertname":"A","g":"1"},"annotations":{"s":"t"},"startsAt":"2026-01-02T03:04:05Z","generatorURL":"http://x/"}]"#,
    r#"{"matchers":[{"name":"a","value":"b.*","isRegex":true,"isEqual":false}],"startsAt":"2026-11-30T00:00:00Z","endsAt":"2099-11-30T00:00:00Z","createdBy":"me","comment":"c","annotations":{"ferula_remind_before":"5m"}}"#,
    r#"{"matchers":[{"name":"g","value":"1","isRegex":false}],"days":3}"#,
    r#"{foo="bar", "utf 8"!~'x', baz=~"[a-z]+"}"#,
    "filter=a%3D%22b%22&receiver=.%2A&active=false&at=2026-01-02T03%3A04%3A05Z&limit=3&label=a%3Db",
    "\u{2}\u{0}\u{0}\u{0}",
];

fn open(dir: &std::path::Path) -> (Arc<Alertmanager>, Api) {
    let config = AlertmanagerConfig::parse(YAML, SYNTAX).expect("a good configuration");
    let settings = EngineSettings {
        silences: SilenceLimits {
            retention: Duration::from_secs(3600),
            silences_max: 0,
            silence_bytes_max: 0,
            syntax: SYNTAX,
        },
        retention: Duration::from_secs(3600),
        alerts_per_name_max: 0,
        log_silences: false,
        start_at: UnixNanos(0),
        seed: 1,
        own: OwnSettings::default(),
    };
    let registry = Registry::new();
    let (setup, metrics) =
        (Setup::new(Arc::new(config), BTreeMap::new()), Metrics::new(&registry, false, false));
    let opened = Alertmanager::open(dir, settings, setup, metrics, &registry, RealClock::shared());
    let alertmanager = Arc::new(opened.expect("a directory"));
    alertmanager.change(|engine, _| engine.join_pair("me".to_owned(), Duration::from_secs(1)));
    let api = Api::new(alertmanager.clone(), SYNTAX, Build::default(), &registry);
    (alertmanager, api)
}

fn main() {
    let dir = std::env::temp_dir().join(format!("ferula-fuzz-alertmanager-{}", std::process::id()));
    let (alertmanager, api) = open(&dir);
    let seeds: Vec<&[u8]> = SEEDS.iter().map(|seed| seed.as_bytes()).collect();
    ferula_fuzz::drive("alertmanager_input", &seeds, |input| {
        let text = String::from_utf8_lossy(input);
        for syntax in [MatcherSyntax::Fallback, MatcherSyntax::Utf8, MatcherSyntax::Classic] {
            if let Ok(parsed) = parse_matcher(&text, syntax) {
                let shown = parsed.value.to_string();
                let again = parse_matcher(&shown, MatcherSyntax::Fallback).expect("what is shown is read");
                assert_eq!(again.value, parsed.value, "{shown}");
            }
            let _ = parse_matchers(&text, syntax);
        }
        let _ = HistoryEntry::decode(input);
        let _ = read_request(input);
        let ask = |method: &str, path: &str, query: &str, body: &[u8]| {
            let request = Request {
                method,
                path,
                query,
                content_type: Some("application/json"),
                accept: None,
                body,
                user: None,
            };
            let answer = api.answer(&request);
            assert!(answer.status != Status::Internal, "{path}");
        };
        for path in ["alerts", "silences", "silences/preview", "pair"] {
            ask("POST", &format!("/api/v2/{path}"), "", input);
        }
        for path in ["alerts", "alerts/groups", "silences", "receivers", "notifications", "routes/match"] {
            ask("GET", &format!("/api/v2/{path}"), &text, b"");
        }
        ask("GET", &format!("/api/v2/{text}"), "", b"");
        alertmanager.change(|engine, now| {
            let _ = engine.poll(now);
            for record in engine.state_records(now).iter().take(20) {
                let read = ferula_alertmanager::engine::Record::decode(&record.encode());
                assert!(matches!(read, Ok(Some(_))), "{record:?}");
            }
        });
    });
    let _ = std::fs::remove_dir_all(&dir);
}
