//! A crash loses nothing that was acknowledged, and no notification that is due.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::common::{Alertmanager, Webhook, alert, from_now, ours};

/// `FERULA_KILLS=200` kills more often.
fn rounds() -> usize {
    std::env::var("FERULA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

#[test]
fn kills_lose_neither_silences_nor_notifications() {
    let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
    let yaml = format!(
        "route: {{receiver: a, group_by: [g], group_wait: 300ms, group_interval: 700ms, repeat_interval: 1h}}\n\
         receivers: [{{name: a, webhook_configs: [{{url: 'http://{}/a'}}]}}]\n",
        hook.address
    );
    std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
    let mut silences = HashSet::new();
    let mut server = Alertmanager::start(ours(), directory.path());
    let rounds = rounds();
    for round in 0..rounds {
        let group = format!("r{round}");
        assert_eq!(server.post("/api/v2/alerts", &alert(&[("g", &group)], 0.0, 3600.0)).0, 200);
        if round % 2 == 1 {
            // The group of the previous round is over.
            let before = format!("r{}", round - 1);
            assert_eq!(server.post("/api/v2/alerts", &alert(&[("g", &before)], -5.0, 0.0)).0, 200);
        }
        let silence = json!({
            "matchers": [{"name": "x", "value": group, "isRegex": false}],
            "startsAt": from_now(0.0), "endsAt": from_now(36_000.0), "createdBy": "me", "comment": "c",
        });
        let (status, body) = server.post("/api/v2/silences", &silence);
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        silences.insert(body["silenceID"].as_str().expect("an identifier").to_owned());
        // At different times in the life of a group.
        std::thread::sleep(std::time::Duration::from_millis(97 * (round as u64 % 9)));
        server.kill();
        server = Alertmanager::start(ours(), directory.path());
        let known = server.list("/api/v2/silences");
        let known: HashSet<String> =
            known.iter().filter_map(|silence| silence["id"].as_str()).map(str::to_owned).collect();
        assert_eq!(known, silences);
    }
    let statuses = |told: &[crate::common::ReceivedNotification]| {
        let mut statuses: HashMap<String, Vec<String>> = HashMap::new();
        for alert in told.iter().filter_map(|told| told.body["alerts"].as_array()).flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            statuses.entry(text(&alert["labels"]["g"])).or_default().push(text(&alert["status"]));
        }
        statuses
    };
    // Groups of odd rounds fire. Those of even rounds are resolved, and receivers that were notified about
    // them are notified again.
    hook.wait("a notification is lost", |told| {
        let statuses = statuses(told);
        (0..rounds).all(|round| {
            let told = statuses.get(&format!("r{round}")).cloned().unwrap_or_default();
            match round % 2 {
                1 => told.contains(&"firing".to_owned()),
                _ => told.is_empty() || told.contains(&"resolved".to_owned()),
            }
        })
    });
    // At each kill, the one notification in flight may be sent again.
    let repeated: usize = statuses(&hook.told())
        .values()
        .map(|told| told.len() - told.iter().collect::<HashSet<_>>().len())
        .sum();
    eprintln!("{rounds} kills: {repeated} notifications were repeated");
    assert!(repeated <= rounds, "{repeated} notifications were repeated");
    assert_eq!(server.stop(), Some(0));
}
