//! Two servers that notify as one, and are killed in turn.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{Alertmanager, PATIENCE, Webhook, alert, from_now, ours};

/// `FERULA_PAIR_KILLS=60` kills more often.
fn rounds() -> usize {
    std::env::var("FERULA_PAIR_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

struct Member {
    directory: tempfile::TempDir,
    port: u16,
    peer: u16,
    name: &'static str,
    server: Option<Alertmanager>,
}

impl Member {
    fn start(&mut self) {
        let mut command = ours();
        command.args([
            &format!("--web.listen-address=127.0.0.1:{}", self.port),
            &format!("--pair.peer=http://127.0.0.1:{}", self.peer),
            &format!("--pair.name={}", self.name),
        ]);
        self.server = Some(Alertmanager::start(command, self.directory.path()));
    }

    fn server(&self) -> &Alertmanager {
        self.server.as_ref().expect("it runs")
    }

    fn wait_for_peer(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.server().metric("ferula_alertmanager_pair_present") < 1.0 {
            assert!(Instant::now() < deadline, "{} does not hear of the other", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_pair_notifies_once_and_loses_nothing() {
    let hook = Webhook::start();
    let yaml = format!(
        "route: {{receiver: a, group_by: [g], group_wait: 300ms, group_interval: 2s, repeat_interval: 1h}}\n\
         receivers: [{{name: a, webhook_configs: [{{url: 'http://{}/a'}}]}}]\n",
        hook.address
    );
    let ports = [(); 2].map(|()| ferula_free_port::free_port().expect("a free port"));
    let mut members = [("first", 0), ("second", 1)].map(|(name, at): (&'static str, usize)| {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("alertmanager.yml"), &yaml).expect("written");
        Member { directory, port: ports[at], peer: ports[1 - at], name, server: None }
    });
    members.iter_mut().for_each(Member::start);
    members.iter().for_each(Member::wait_for_peer);
    let post = |members: &[Member; 2], group: &str, ends: f64| {
        for member in members.iter().filter(|member| member.server.is_some()) {
            let posted = member.server().post("/api/v2/alerts", &alert(&[("g", group)], -0.2, ends));
            assert_eq!(posted.0, 200);
        }
    };
    let counts = |hook: &Webhook| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for told in hook.told() {
            *counts.entry(told.body["groupKey"].to_string()).or_default() += 1;
        }
        counts
    };

    // While both run, each notification is sent once.
    for group in 0..10 {
        post(&members, &format!("calm{group}"), 3600.0);
    }
    hook.wait("notifications of all groups", |told| told.len() >= 10);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(counts(&hook).values().copied().collect::<HashSet<_>>(), HashSet::from([1]));
    // A silence of one applies to both.
    let silence = json!({
        "matchers": [{"name": "g", "value": "quiet", "isRegex": false}],
        "startsAt": from_now(0.0), "endsAt": from_now(36_000.0), "createdBy": "me", "comment": "c",
    });
    assert_eq!(members[1].server().post("/api/v2/silences", &silence).0, 200);
    let deadline = Instant::now() + PATIENCE;
    while members[0].server().list("/api/v2/silences").is_empty() {
        assert!(Instant::now() < deadline, "the silence is shared");
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = members[1].server().get("/api/v2/status").1;
    assert!(status.contains("\"status\":\"ready\"") && status.contains("\"name\":\"first\""), "{status}");

    let rounds = rounds();
    for round in 0..rounds {
        // Before the flush, in it, and after it.
        let group = format!("kill{round}");
        post(&members, &group, 3600.0);
        std::thread::sleep(Duration::from_millis(83 * (round as u64 % 7)));
        let victim = &mut members[round % 2];
        victim.server.take().expect("it runs").kill();
        std::thread::sleep(Duration::from_millis(400));
        victim.start();
        members.iter().for_each(Member::wait_for_peer);
    }
    hook.wait("a notification is lost", |told| {
        (0..rounds).all(|round| {
            let key = format!("{{}}:{{g=\"kill{round}\"}}");
            told.iter().any(|told| told.body["groupKey"] == key.as_str())
        })
    });
    std::thread::sleep(Duration::from_secs(4));
    let doubles: usize = counts(&hook).values().map(|count| count - 1).sum();
    eprintln!("{rounds} kills in a pair: {doubles} doubles");
    assert!(doubles <= rounds, "{doubles} doubles in {rounds} kills");
    assert!(!counts(&hook).keys().any(|key| key.contains("quiet")));
    // The end of what fired meanwhile is also notified once.
    let before = hook.told().len();
    post(&members, "calm0", 0.0);
    hook.wait("the notification of the end", |told| told.len() > before);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(hook.told().len(), before + 1);
}
