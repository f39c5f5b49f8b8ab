//! Random configurations and timelines, on ours and on the real Alertmanager at the same time: each group of each receiver gets the
//! same notifications in the same order.
//!
//! How fast the machine is does not matter, for nothing is compared with a clock. A timeline consists of steps, and a step changes at
//! most one alert of a group, so that no flush can see half of it. Then a signal is posted: an alert whose group waits for longer than
//! two intervals of the others. When both programs have notified about it, both have flushed all other groups, and the next step
//! begins.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use ferula_alertmanager::{GroupBy, Labels, Route};
use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
use serde_json::{Value, json};

use crate::common::{Alertmanager, Webhook, from_now, ours, peer};
use crate::timeline::shape;

/// Steps of a timeline.
const STEPS: usize = 7;
/// `FERULA_SEEDS=100..120` plays others.
const SEEDS: std::ops::Range<u64> = 1..4;

/// Random numbers that can be repeated (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len())]
    }

    fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const MATCHERS: [&str; 12] = [
    "team=x",
    "team!=y",
    "team=~\"x|y\"",
    "team!~\"x.*\"",
    "sev=page",
    "sev!=page",
    "zone=\"\"",
    "zone=~\".+\"",
    "zone!=eu",
    "g=~\"[124]\"",
    "g!=3",
    "\"utf 8\"=ü",
];

/// A route in flow style, with what it inherits left out.
fn route(random: &mut Random, depth: usize) -> String {
    let mut fields = Vec::new();
    if random.is(75) {
        fields.push(format!("receiver: r{}", random.below(4)));
    }
    let matchers: Vec<String> =
        (0..=random.below(2)).map(|_| format!("'{}'", random.of(&MATCHERS))).collect();
    fields.push(format!("matchers: [{}]", matchers.join(", ")));
    match random.below(8) {
        0 => fields.push("group_by: ['...']".to_owned()),
        1 => fields.push("group_by: [team, g]".to_owned()),
        2 => fields.push("group_by: [zone, sev]".to_owned()),
        3 => fields.push("group_by: []".to_owned()),
        _ => {}
    }
    match random.below(10) {
        0 => fields.push("mute_time_intervals: [always]".to_owned()),
        1 => fields.push("active_time_intervals: [never]".to_owned()),
        2 => fields.push("active_time_intervals: [always]".to_owned()),
        3 => fields.push("mute_time_intervals: [never]".to_owned()),
        _ => {}
    }
    if random.is(35) {
        fields.push("continue: true".to_owned());
    }
    if depth < 3 {
        let children: Vec<String> = (0..random.below(4 - depth)).map(|_| route(random, depth + 1)).collect();
        if !children.is_empty() {
            fields.push(format!("routes: [{}]", children.join(", ")));
        }
    }
    format!("{{{}}}", fields.join(", "))
}

/// Everything but the receivers. An alert with the label `signal` is one.
fn routes_and_rules(random: &mut Random) -> String {
    let mut yaml = "route:
  receiver: r0
  group_by: [g]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
  routes:
  - {receiver: signal, matchers: ['signal=~\".+\"'], group_by: [signal], group_wait: 2500ms}
"
    .to_owned();
    for _ in 0..=random.below(4) {
        let _ = writeln!(yaml, "  - {}", route(random, 1));
    }
    yaml += "time_intervals:
- {name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}
- {name: never, time_intervals: [{years: ['1999']}]}
inhibit_rules:
- {source_matchers: [role=nobody], target_matchers: [role=nobody]}
";
    for _ in 0..random.below(3) {
        // One source for each `g`: of several, the real one forgets some.
        let target = random.of(&["sev=page", "sev!=page", "team=x", "zone=\"\"", "g=~\"[13]\""]);
        let _ = writeln!(
            yaml,
            "- {{source_matchers: [role=source], target_matchers: ['{target}'], equal: [g, more]}}"
        );
    }
    yaml
}

/// A receiver may have several integrations, with their own settings.
fn receivers(random: &mut Random, hook: &str) -> String {
    let mut yaml =
        format!("receivers:\n- {{name: signal, webhook_configs: [{{url: 'http://{hook}/signal'}}]}}\n");
    for name in 0..4 {
        let webhooks: Vec<String> = (0..random.below(3).max(usize::from(name == 0)))
            .map(|at| {
                let resolved = random.of(&["", ", send_resolved: false"]);
                let limit = random.of(&["", "", ", max_alerts: 1", ", max_alerts: 2"]);
                format!("{{url: 'http://{hook}/r{name}/{at}'{resolved}{limit}}}")
            })
            .collect();
        let _ = writeln!(yaml, "- {{name: r{name}, webhook_configs: [{}]}}", webhooks.join(", "));
    }
    yaml
}

/// An alert of the timeline.
struct Identity {
    labels: Labels,
    is_firing: bool,
    /// Where it goes: changes of two alerts with something in common do not happen in the same step.
    groups: BTreeSet<String>,
}

fn identities(random: &mut Random, root: &Route) -> Vec<Identity> {
    let mut all = Vec::new();
    for g in ["1", "2", "3", "4", "5", "6", "7"] {
        for n in 0..4 {
            let mut labels: Labels = [("g", g), ("n", &n.to_string())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
            let mut set = |name: &str, value: &str| {
                if !value.is_empty() {
                    labels.insert(name.to_owned(), value.to_owned());
                }
            };
            set("role", if n == 0 { "source" } else { "" });
            set("team", random.of(&["x", "y", "z", "xx"]));
            set("sev", random.of(&["page", "warn", ""]));
            set("zone", random.of(&["", "eu", "us"]));
            set("utf 8", random.of(&["", "", "ü"]));
            set("job", random.of(&["", "b", "a"]));
            set("alertname", random.of(&["Down", "Slow", "quoted \"\\ ü\n"]));
            let group_key = |route: &Route| {
                let of = |name: &str| labels.get(name).map_or("", String::as_str);
                match &route.group_by {
                    GroupBy::All => format!("{} {labels:?}", route.id),
                    GroupBy::Labels(names) => {
                        format!("{} {:?}", route.id, names.iter().map(|name| of(name)).collect::<Vec<_>>())
                    }
                }
            };
            let mut groups: BTreeSet<String> = root.matching(&labels).into_iter().map(group_key).collect();
            // What inhibits and what is inhibited have this in common.
            groups.insert(format!("g={g}"));
            all.push(Identity { labels, is_firing: false, groups });
        }
    }
    all
}

/// One change, the same for both programs.
enum Step {
    /// Alerts without times, and how many seconds from now they start and end.
    Alerts(Vec<(Value, f64, f64)>),
    Silence(Value),
    /// The silence that was set as this one in turn.
    Expire(usize),
}

fn timeline(random: &mut Random, alerts: &mut [Identity]) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut silences, mut expired) = (0, BTreeSet::new());
    for step in 0..STEPS {
        if step > 0 && random.is(30) {
            let old = (0..silences).find(|at| !expired.contains(at));
            match old.filter(|_| random.is(50)) {
                Some(at) => {
                    expired.insert(at);
                    steps.push(Step::Expire(at));
                }
                None => {
                    silences += 1;
                    let (name, value, is_regexp) = [
                        ("g", "2", false),
                        ("team", "x.*", true),
                        ("sev", "page", false),
                        ("n", "[12]", true),
                    ][random.below(4)];
                    steps.push(Step::Silence(json!({
                        "matchers": [{"name": name, "value": value, "isRegex": is_regexp, "isEqual": random.is(80)},
                                     {"name": "signal", "value": "", "isRegex": false}],
                        "startsAt": from_now(0.0), "endsAt": from_now(3600.0), "createdBy": "me", "comment": "c",
                    })));
                }
            }
            continue;
        }
        let mut touched: BTreeSet<String> = BTreeSet::new();
        let mut posted = Vec::new();
        for _ in 0..60 {
            let at = random.below(alerts.len());
            let alert = &mut alerts[at];
            if !touched.is_disjoint(&alert.groups) {
                continue;
            }
            touched.extend(alert.groups.iter().cloned());
            // Some have fired for a long time: they are not waited for.
            let starts = if random.is(30) { -60.0 } else { 0.0 };
            let ends = if alert.is_firing && random.is(60) { 0.0 } else { 3600.0 };
            let starts = if ends == 0.0 { -100.0 } else { starts };
            alert.is_firing = ends > 0.0;
            let texts = json!({
                "labels": alert.labels,
                "annotations": {"summary": random.of(&["", "one", "two <b> & \"ü\""]), "step": step.to_string()},
                "generatorURL": random.of(&["", "http://prometheus/graph?g0.expr=up%3D%3D0"]),
            });
            posted.push((texts, starts, ends));
        }
        steps.push(Step::Alerts(posted));
    }
    steps
}

struct Player {
    server: Alertmanager,
    hook: Webhook,
    silences: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Player {
    fn start(command: Command, seed: u64) -> Self {
        let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
        let mut random = Random(seed);
        let yaml = routes_and_rules(&mut random) + &receivers(&mut random, &hook.address);
        std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
        let server = Alertmanager::start(command, directory.path());
        Player { server, hook, silences: Vec::new(), _directory: directory }
    }

    fn play(&mut self, step: &Step, alerts: &Value) {
        match step {
            Step::Alerts(_) => {
                let (status, body) = self.server.post("/api/v2/alerts", alerts);
                assert_eq!(status, 200, "{body}");
            }
            Step::Silence(silence) => {
                let (status, body) = self.server.post("/api/v2/silences", silence);
                assert_eq!(status, 200, "{body}");
                let body: Value = serde_json::from_str(&body).expect("JSON");
                self.silences.push(body["silenceID"].as_str().expect("an identifier").to_owned());
            }
            Step::Expire(at) => {
                let path = format!("/api/v2/silence/{}", self.silences[*at]);
                assert_eq!(crate::common::http(&self.server.address, "DELETE", &path, None).0, 200);
            }
        }
    }

    /// Has every group flushed after what was done.
    fn post_signal(&self, step: usize) {
        let signal = json!([{"labels": {"signal": step.to_string()}, "endsAt": from_now(3600.0)}]);
        assert_eq!(self.server.post("/api/v2/alerts", &signal).0, 200);
    }

    fn wait_for_signal(&self, step: usize) {
        let name = Value::from(step.to_string());
        self.hook.wait("the signal", |told| {
            told.iter().any(|told| told.path == "/signal" && told.body["groupLabels"]["signal"] == name)
        });
    }

    /// What each group of each integration was notified about, in order.
    fn told(&self) -> BTreeMap<(String, String), Vec<Value>> {
        let mut told: BTreeMap<_, Vec<Value>> = BTreeMap::new();
        for one in self.hook.told() {
            let mut body = one.body.clone();
            let fields = body.as_object_mut().expect("an object");
            fields.remove("externalURL");
            let key = fields["groupKey"].as_str().expect("a text").to_owned();
            if one.path != "/signal" {
                told.entry((one.path, key)).or_default().push(body);
            }
        }
        told
    }
}

/// The alerts of a step, with times from now on.
fn body_of(step: &Step) -> Value {
    let Step::Alerts(alerts) = step else { return Value::Null };
    let with_times = alerts.iter().map(|(texts, starts, ends)| {
        let mut alert = texts.clone();
        alert["startsAt"] = Value::from(from_now(*starts));
        alert["endsAt"] = Value::from(from_now(*ends));
        alert
    });
    with_times.collect()
}

/// Plays one timeline; returns how many notifications there were.
fn play(seed: u64) -> usize {
    let real = peer("alertmanager").expect("looked for before");
    let mut random = Random(seed);
    let yaml = routes_and_rules(&mut random) + &receivers(&mut random, "x");
    let config = AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback).expect("a good configuration");
    let mut alerts = identities(&mut random, &Route::tree(config.root_route()));
    let mut players = [Player::start(ours(), seed), Player::start(Command::new(real), seed)];
    let steps = timeline(&mut random, &mut alerts);
    for (at, step) in steps.iter().enumerate() {
        let alerts = body_of(step);
        for player in &mut players {
            player.play(step, &alerts);
            player.post_signal(at);
        }
        players.iter().for_each(|player| player.wait_for_signal(at));
    }
    let [ours, theirs] = &players;
    let (found, expected) = (ours.told(), theirs.told());
    let keys = |told: &BTreeMap<(String, String), Vec<Value>>| told.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&found), keys(&expected), "seed {seed}:\n{yaml}");
    for (key, expected) in &expected {
        assert_eq!(&found[key], expected, "seed {seed}, {key:?}:\n{yaml}");
    }
    // Groups with equal labels and receivers, of different routes, are in no order there.
    let sorted = |server: &Alertmanager, path: &str| {
        let mut items: Vec<String> =
            shape(server, path).as_array().into_iter().flatten().map(ToString::to_string).collect();
        items.sort();
        items
    };
    for path in ["/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/receivers"] {
        assert_eq!(sorted(&ours.server, path), sorted(&theirs.server, path), "seed {seed}, {path}:\n{yaml}");
    }
    found.values().map(Vec::len).sum()
}

#[test]
fn random_timelines_are_notified_about_as_by_the_real_one() {
    if peer("alertmanager").is_none() {
        return;
    }
    let seeds = std::env::var("FERULA_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    let seeds: std::ops::Range<u64> = seeds.unwrap_or(SEEDS);
    let mut told = 0;
    // A few at a time: they wait most of the time.
    for some in seeds.clone().collect::<Vec<_>>().chunks(3) {
        told += std::thread::scope(|scope| {
            let playing: Vec<_> = some.iter().map(|seed| scope.spawn(|| play(*seed))).collect();
            playing.into_iter().map(|thread| thread.join().expect("both did the same")).sum::<usize>()
        });
    }
    let timelines = (seeds.end - seeds.start) as usize;
    assert!(told > timelines * 5, "{told} notifications in {timelines} timelines compare nothing");
    println!("{told} notifications in {timelines} timelines");
}
