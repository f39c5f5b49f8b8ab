//! Lists of alerts, rules, targets and queries, and the pages of an agent: what a person on duty reads first.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::common::Server;
use crate::page::Page;
use crate::stories::Site;

pub const TESTS: &[Test] = &[
    ("an_alert_shows_its_value_its_age_and_its_last_day", alert_line),
    ("the_slowest_rules_stand_first_with_their_share_of_the_interval", slow_rules),
    ("targets_are_grouped_by_a_label_with_errors_in_full", target_groups),
    ("queries_are_ranked_by_time_number_and_memory", ranked_queries),
    ("growth_of_the_last_hour_and_lists_of_any_length", growth),
    ("alertmanagers_are_listed_with_their_addresses", alertmanagers),
    ("an_agent_has_pages_of_its_own", agent),
];

/// A script that answers requests whose address holds a text with data of ours.
fn answering(piece: &str, data: &serde_json::Value) -> String {
    format!(
        "{{ const real = fetch; window.fetch = async (a, ...r) => String(a).includes({}) ? new Response(JSON.stringify({{ status: 'success', data: {data} }})) : real(a, ...r); }}",
        json!(piece)
    )
}

fn alert_line(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/alerts");
    let row = "[...document.querySelectorAll('tbody tr')].find(r => r.innerText.includes('AlwaysOn'))";
    // It has been firing for seconds: that is a mark at the right end of the day.
    page.wait(&format!(
        "Boolean({row}?.querySelector('.strip i[data-s=firing]')) || (document.querySelector('[aria-label=\"Refresh now\"]').click(), false)"
    ));
    let line = page.eval(&format!(
        "(() => {{ const r = {row}; const mark = r.querySelector('.strip i').getBoundingClientRect(); const strip = r.querySelector('.strip').getBoundingClientRect(); \
         return [r.cells[3].innerText, r.cells[4].innerText, r.cells[3].title, strip.right - mark.right]; }})()"
    ));
    assert!(line[0].as_str().is_some_and(|age| age.ends_with("ago")), "{line}");
    assert_eq!(line[1], json!("1"), "the value");
    assert!(line[2].as_str().is_some_and(|moment| moment.ends_with(" UTC")), "{line}");
    assert!(line[3].as_f64().is_some_and(|pixels| pixels.abs() < 4.0), "{line}");
    page.eval("document.querySelector('main input[type=checkbox]').click()");
    page.wait(&format!("{row}?.innerText.includes('<script>throw 7</script>')"));
}

fn slow_rules(browser: &Browser, site: &Site) {
    let rule = |name: &str, seconds: f64| json!({ "name": name, "query": "up", "labels": {}, "health": "ok", "evaluationTime": seconds, "lastEvaluation": "2026-11-30T00:00:00Z", "type": "recording" });
    let group = |name: &str, seconds: f64, rules: serde_json::Value| json!({ "name": name, "file": "f", "interval": 60, "limit": 0, "evaluationTime": seconds, "lastEvaluation": "2026-11-30T00:00:00Z", "rules": rules });
    let groups = json!([
        group("idle", 0.6, json!([rule("a", 0.6)])),
        group("late", 57.0, json!([rule("quick", 7.0), rule("slow", 50.0)]))
    ]);
    let page =
        Page::open_with(browser, &site.base, "/rules", &answering("v1/rules", &json!({ "groups": groups })));
    let names =
        "[...document.querySelectorAll('main section h2, main tbody b')].map(e => e.innerText).join()";
    page.wait(&format!("{names} === 'idle,a,late,quick,slow'"));
    page.enter("select[aria-label=Order]", "slow");
    page.wait(&format!("{names} === 'late,slow,quick,idle,a'"));
    assert_eq!(page.eval("new URLSearchParams(location.search).get('order')"), json!("slow"));
    // 57 s of 60 s are marked, 0.6 s are not.
    let over = "[...document.querySelectorAll('main section .meter')].map(m => 'over' in m.dataset).join()";
    assert_eq!(page.eval(over), json!("true,false"));
    assert!(page.text("main section").contains("every 1m, took 57 s"), "{}", page.text("main section"));
}

fn target_groups(browser: &Browser, site: &Site) {
    let error = format!("Get \"http://x\": {} the very end", "a long way down ".repeat(200));
    let target = |zone: &str, health: &str, error: &str| {
        json!({ "discoveredLabels": { "__address__": "x" }, "labels": { "job": "j", "zone": zone, "instance": zone }, "scrapePool": "j", "scrapeUrl": "http://x", "globalUrl": "http://x", "lastError": error,
            "lastScrape": "2026-11-30T00:00:00Z", "lastScrapeDuration": 9.5, "health": health, "scrapeInterval": "15s", "scrapeTimeout": "10s" })
    };
    let targets = json!({ "activeTargets": [target("north", "up", ""), target("south", "down", &error), target("south", "up", "")], "droppedTargets": [], "droppedTargetCounts": {} });
    let page =
        Page::open_with(browser, &site.base, "/targets?group=zone", &answering("v1/targets", &targets));
    page.wait(
        "[...document.querySelectorAll('main section h2')].map(h => h.innerText).join() === 'north,south'",
    );
    let text = page.text("main");
    assert!(text.contains("1 of 1 up") && text.contains("1 of 2 up"), "{text}");
    assert!(text.contains("the very end") && text.contains("9.5 s"), "the whole error: {text}");
    let meter = page.eval("(() => { const m = document.querySelector('.meter'); return [m.title, 'over' in m.dataset, m.querySelector('i').style.width]; })()");
    assert_eq!(meter, json!(["Time-out after 10s", true, "95%"]));
    assert!(page.eval("document.documentElement.scrollWidth - innerWidth").as_i64() <= Some(0));
    page.press("discovered");
    page.wait("document.querySelector('dialog')?.innerText.includes('__address__')");
}

fn ranked_queries(browser: &Browser, _: &Site) {
    // On a server of its own: the lists hold twenty queries each.
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("prometheus.yml"), "global: {}\n").expect("writable");
    let server = Server::start(directory.path(), &[]);
    let page = Page::open(browser, &format!("http://{}", server.address), "/flags");
    let ran = page.eval("fetch('api/v1/query?query=' + encodeURIComponent('sum(count_over_time(vector(1)[50m:20ms]))')).then(r => r.status)");
    assert_eq!(ran, json!(200));
    page.go("/queries");
    for list in ["Most time in all", "Longest on average", "Most often", "Most memory on average"] {
        page.wait(&format!(
            "document.querySelector('section[aria-label={}] tbody')?.innerText.includes('[50m:20ms]')",
            json!(list)
        ));
    }
}

fn growth(browser: &Browser, site: &Site) {
    let grown = json!({ "resultType": "vector", "result": [{ "metric": {}, "value": [1, "1234.4"] }] });
    let page =
        Page::open_with(browser, &site.base, "/tsdb-status", &answering("head_series_created_total", &grown));
    page.wait("document.querySelector('main')?.innerText.replace(/\\s+/g, ' ').includes('New series in the last hour 1 234')");
    page.enter("select[aria-label='Length of the lists']", "20");
    page.wait("new URLSearchParams(location.search).get('limit') === '20' && [...document.querySelectorAll('section')].some(s => s.querySelectorAll('tbody tr').length > 10)");
}

fn alertmanagers(browser: &Browser, _: &Site) {
    let directory = tempfile::tempdir().expect("a directory");
    let config =
        "alerting: {alertmanagers: [{scheme: https, static_configs: [{targets: ['127.0.0.1:1']}]}]}\n";
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("writable");
    let server = Server::start(directory.path(), &[]);
    let page = Page::open(browser, &format!("http://{}", server.address), "/alertmanager-discovery");
    page.wait(
        "document.querySelector('[aria-label=\"Refresh now\"]') && (document.querySelector('tbody a')?.href === 'https://127.0.0.1:1/api/v2/alerts' || (document.querySelector('[aria-label=\"Refresh now\"]').click(), false))",
    );
    assert_eq!(page.text("tbody .state"), "active");
}

fn agent(browser: &Browser, _: &Site) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("prometheus.yml"), "global: {}\n").expect("writable");
    let server = Server::start(directory.path(), &["--agent"]);
    let mut page = Page::open(browser, &format!("http://{}", server.address), "/");
    assert_eq!(page.eval("location.pathname"), json!("/agent"));
    assert!(page.text("main").contains("runs in agent mode"), "{}", page.text("main"));
    let links: Vec<String> = serde_json::from_str(
        page.eval(
            "JSON.stringify([...document.querySelectorAll('.nav a')].map(a => a.getAttribute('href')))",
        )
        .as_str()
        .unwrap_or("[]"),
    )
    .expect("a list");
    assert_eq!(links, ["agent", "targets", "service-discovery", "status", "flags", "config"]);
    for path in links {
        page.go(&format!("/{path}"));
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        assert_eq!(page.eval("document.querySelector('.note[data-kind=err]')"), json!(null), "{path}");
        assert_eq!(page.complaints(), Vec::<String>::new(), "{path}");
    }
}
