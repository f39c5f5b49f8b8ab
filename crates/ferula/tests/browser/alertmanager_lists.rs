//! Alertmanager's lists: ten thousand alerts, what holds alerts back, what was sent; and the keys.

use serde_json::json;

use crate::Test;
use crate::alertmanager::Alone;
use crate::chromium::Browser;
use crate::page::Page;
use crate::played::{Played, PlayedProxy};
use crate::stories::Site;

pub const TESTS: &[Test] = &[
    ("alertmanager_shows_ten_thousand_alerts_as_far_as_they_are_seen", ten_thousand),
    ("alertmanager_says_what_was_sent_and_what_failed", history),
    ("alertmanager_says_what_holds_an_alert_back", held_back),
    ("alertmanager_silences_have_three_states_and_say_who_when_and_why", states),
    ("alertmanager_works_with_keys_alone_and_in_local_time", keys),
];

impl Alone {
    /// More alerts of one name, told apart by the label `n`.
    pub fn post_many(&self, name: &str, count: usize) {
        for from in (0..count).step_by(2_000) {
            let some: Vec<_> = (from..count.min(from + 2_000))
                .map(|n| json!({ "labels": { "alertname": name, "job": format!("j{}", n % 20), "instance": format!("10.0.{}.{}:9100", n >> 8, n & 255), "n": n.to_string() }, "annotations": { "summary": format!("number {n}") } }))
                .collect();
            self.post("/api/v2/alerts", &json!(some).to_string());
        }
    }

    fn post(&self, path: &str, body: &str) -> String {
        let (code, text) =
            self.server.request("POST", path, "application/json", body.as_bytes()).expect("an answer");
        assert_eq!(code, 200, "{text}");
        text
    }
}

/// A condition that may need another look at the server.
fn in_time(condition: &str) -> String {
    format!("(({condition}) || (document.querySelector('[aria-label=\"Refresh now\"]')?.click(), false))")
}

fn ten_thousand(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    alone.post_many("Crowd", 10_000);
    let page = Page::open(browser, &alone.base, "/#/alerts");
    page.wait("document.querySelector('.count')?.innerText === '10302 alerts in 4 groups'");
    let nodes = "document.querySelectorAll('*').length";
    assert!(page.eval(nodes).as_u64() < Some(6_000), "{}", page.eval(nodes));
    // At the end of the page is the end of the list; what was seen before has gone.
    let last = |text: &str| {
        format!(
            "[...document.querySelectorAll('main tbody tr')].some(r => r.innerText.includes({}) && r.getBoundingClientRect().top < innerHeight)",
            json!(text)
        )
    };
    page.eval(
        "[...document.querySelectorAll('section')].find(s => s.innerText.includes('Crowd')).scrollIntoView()",
    );
    for place in [0.2, 0.5, 0.8] {
        page.eval(&format!("(scrollTo(0, document.documentElement.scrollHeight * {place}), 0)"));
        page.wait("[...document.querySelectorAll('main tbody tr:not(.pad)')].some(r => { const b = r.getBoundingClientRect(); return b.top < innerHeight && b.bottom > 60; })");
    }
    assert!(page.eval(nodes).as_u64() < Some(25_000), "{}", page.eval(nodes));
    page.eval("(scrollTo(0, 0), 0)");
    page.enter("input[aria-label=Matchers]", "{alertname=\"Crowd\",n=\"7777\"}");
    page.wait("document.querySelector('.count')?.innerText === '1 alert in 1 group'");
    page.wait(&last("number 7777"));
    page.enter("input[aria-label=Matchers]", "{alertname=\"Crowd\"}");
    page.wait("document.querySelector('.count')?.innerText === '10000 alerts in 1 group'");
    page.enter("input[aria-label='Group by labels']", "job");
    page.wait("document.querySelector('.count')?.innerText === '10000 alerts in 20 groups'");
    assert!(page.eval(nodes).as_u64() < Some(6_000), "{}", page.eval(nodes));
}

fn history(browser: &Browser, site: &Site) {
    let between = PlayedProxy::start(&site.server.address);
    between.play("/good", Played::status("200 OK", "", "fine"));
    between.play("/bad", Played::status("400 Bad Request", "", "<b>no such channel</b>"));
    let config = format!(
        "route: {{receiver: good, group_wait: 10ms, group_by: [alertname], routes: [{{receiver: bad, matchers: ['alertname=\"Root\"']}}]}}\n\
         receivers:\n  - {{name: good, webhook_configs: [{{url: 'http://{0}/good'}}]}}\n  - {{name: bad, webhook_configs: [{{url: 'http://{0}/bad'}}]}}\n",
        between.address
    );
    let alone = Alone::start_with(&config, &[]);
    let page = Page::open(browser, &alone.base, "/#/notifications");
    let row = |word: &str| {
        format!(
            "[...document.querySelectorAll('main tbody tr')].find(r => r.cells[1].innerText === '{word}')?.innerText ?? ''"
        )
    };
    page.wait(&in_time(&format!("({}) !== '' && ({}) !== ''", row("sent"), row("failed"))));
    let sent = page.eval(&row("sent"));
    assert!(
        sent.as_str().is_some_and(|text| text.contains("good") && text.contains("alertname=\"")),
        "{sent}"
    );
    let failed = page.eval(&row("failed"));
    assert!(
        failed
            .as_str()
            .is_some_and(|text| text.contains("bad") && text.contains("400") && text.contains("Root")),
        "{failed}"
    );
    page.enter("select[aria-label=Outcome]", "failed");
    page.wait("[...document.querySelectorAll('main tbody tr')].every(r => r.cells[1].innerText === 'failed') && location.hash.includes('outcome=failed')");
    page.enter("select[aria-label=Receiver]", "good");
    page.wait("document.querySelector('main .empty') !== null");
}

fn held_back(browser: &Browser, _: &Site) {
    let config = r#"
route:
  receiver: team
  group_wait: 10ms
  group_by: [alertname]
  routes: [{receiver: team, matchers: ['alertname="Evil"'], mute_time_intervals: [always]}]
receivers: [{name: team}]
time_intervals: [{name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]
inhibit_rules: [{source_matchers: ['alertname="Root"'], target_matchers: ['alertname="Leaf"']}]
"#;
    let alone = Alone::start_with(config, &[]);
    let silence = json!({ "matchers": [{ "name": "alertname", "value": "Many", "isRegex": false, "isEqual": true }], "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "me", "comment": "a reason" });
    alone.post("/api/v2/silences", &silence.to_string());
    let page =
        Page::open(browser, &alone.base, "/#/alerts?active=true&silenced=true&inhibited=true&muted=true");
    let state = |name: &str| {
        format!(
            "[...document.querySelectorAll('main tbody tr')].find(r => r.innerText.includes('\"{name}\"'))?.querySelector('.state').innerText"
        )
    };
    for (name, word) in [("Evil", "muted"), ("Leaf", "inhibited"), ("Root", "active"), ("Many", "silenced")] {
        page.enter("input[aria-label=Matchers]", &format!("{{alertname=\"{name}\"}}"));
        page.wait(&in_time(&format!("{} === '{word}'", state(name))));
        if name == "Evil" {
            page.wait(&in_time("document.querySelector('main').innerText.includes('muted by always')"));
        }
    }
    page.press("its silence");
    page.wait("document.querySelector('h1')?.innerText === 'Silence' && document.querySelector('main').innerText.includes('a reason')");
}

fn states(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    for (from, to, comment) in [
        ("2026-01-01", "2099-01-01", "now"),
        ("2098-01-01", "2099-01-01", "later"),
        ("2026-01-01", "2099-01-01", "over"),
    ] {
        let silence = json!({ "matchers": [{ "name": "a", "value": comment, "isRegex": false, "isEqual": true }], "startsAt": format!("{from}T00:00:00Z"), "endsAt": format!("{to}T00:00:00Z"), "createdBy": "zoe", "comment": comment });
        let made: serde_json::Value =
            serde_json::from_str(&alone.post("/api/v2/silences", &silence.to_string())).expect("JSON");
        if comment == "over" {
            let path = format!("/api/v2/silence/{}", made["silenceID"].as_str().unwrap_or(""));
            let (code, text) =
                alone.server.request("DELETE", &path, "application/json", b"").expect("an answer");
            assert_eq!(code, 200, "{text}");
        }
    }
    let page = Page::open(browser, &alone.base, "/#/silences");
    for (state, comment, action) in
        [("Active", "now", "expire"), ("Pending", "later", "expire"), ("Expired", "over", "recreate")]
    {
        page.press(&format!("{state} 1"));
        page.wait(&format!(
            "document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody tr').cells[1].innerText === '{comment}'"
        ));
        let row = page.text("tbody tr");
        assert!(row.contains("zoe") && row.contains(action) && row.contains("a=\""), "{row}");
    }
    // How long ago it began and was changed, and when it ends.
    page.press("Active 1");
    page.wait("document.querySelector('tbody tr')?.cells[1].innerText === 'now'");
    let times = page
        .eval("JSON.stringify([3, 4, 5].map(i => document.querySelector('tbody tr').cells[i].innerText))");
    let times: [String; 3] = serde_json::from_str(times.as_str().unwrap_or("")).expect("three");
    assert!(
        times[0].ends_with("ago") && times[1].ends_with("ago") && times[2].starts_with("in "),
        "{times:?}"
    );
}

fn keys(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    let mut page = Page::open(browser, &alone.base, "/#/status");
    page.allow("preview");
    page.call("Emulation.setTimezoneOverride", json!({ "timezoneId": "Asia/Kathmandu" }));
    page.go("/?keys#/alerts");
    page.wait("document.querySelectorAll('main section').length >= 3");
    page.blur();
    page.keys("/");
    page.wait("document.activeElement.getAttribute('aria-label') === 'Matchers'");
    page.keys("alertname=\"Root\"");
    page.key("Enter", 0);
    page.wait("document.querySelector('.count')?.innerText === '1 alert in 1 group'");
    // Each stop of the Tab key is seen.
    page.blur();
    let mut seen = Vec::new();
    for _ in 0..40 {
        page.key("Tab", 0);
        let stop = page.eval("(() => { const e = document.activeElement; if (e === document.body) return null; return [(e.getAttribute('aria-label') ?? e.innerText ?? '').trim(), getComputedStyle(e).outlineStyle !== 'none', e.checkVisibility()]; })()");
        if stop.is_null() {
            break;
        }
        assert!(stop[1] == json!(true) && stop[2] == json!(true), "{stop}");
        seen.push(stop[0].as_str().unwrap_or("").to_owned());
    }
    for stop in ["Receiver", "Silence the group", "why", "silence"] {
        assert!(seen.iter().any(|one| one == stop), "{stop}: {seen:?}");
    }
    page.focus("main tbody button.link");
    page.key("Enter", 0);
    page.wait("document.querySelector('dialog')?.innerText.includes('To page')");
    page.key("Escape", 0);
    page.wait("document.querySelector('dialog') === null");
    // Local time or UTC.
    let since = "document.querySelector('main tbody tr')?.cells[2].title ?? ''";
    page.wait(&format!("({since}).endsWith(' UTC')"));
    page.press("UTC");
    page.wait(&format!("({since}).endsWith(' Asia/Kathmandu') || ({since}).endsWith(' Asia/Katmandu')"));
    page.press("Local");
    page.wait(&format!("({since}).endsWith(' UTC')"));
    page.blur();
    page.keys("n");
    page.wait("document.querySelector('h1')?.innerText === 'New silence'");
}
