//! Long lists and the editor: from the answer to the first rows, from a key to what it changes.

use std::fmt::Write;

use serde_json::json;

use super::{envelope, number};
use crate::alertmanager::Alone;
use crate::chromium::Browser;
use crate::page::Page;
use crate::played::{PlayedProxy, server_of_page};

/// 5,000 firing alerts and 20,000 targets.
pub fn run(browser: &Browser, between: &PlayedProxy) {
    let labels = |i: usize| json!({ "job": format!("j{}", i % 20), "instance": format!("10.0.{}.{}:9100", i >> 8, i & 255) });
    let targets: Vec<_> = (0..20_000)
        .map(|i| json!({ "discoveredLabels": labels(i), "labels": labels(i), "scrapePool": format!("j{}", i % 20), "scrapeUrl": format!("http://x{i}/metrics"), "globalUrl": format!("http://x{i}/metrics"),
            "lastError": if i % 7 == 0 { "connection refused" } else { "" }, "lastScrape": "2026-11-30T00:00:00Z", "lastScrapeDuration": 0.01, "health": if i % 7 == 0 { "down" } else { "up" }, "scrapeInterval": "15s", "scrapeTimeout": "10s" }))
        .collect();
    between.play(
        "/api/v1/targets",
        envelope(json!({ "activeTargets": targets, "droppedTargets": [], "droppedTargetCounts": {} })),
    );
    let alerts: Vec<_> = (0..5_000)
        .map(|i| json!({ "labels": labels(i), "annotations": { "summary": "x" }, "state": "firing", "activeAt": "2026-11-30T00:00:00Z", "value": "1e+00" }))
        .collect();
    let rule = json!({ "state": "firing", "name": "Many", "query": "up == 0", "duration": 0, "keepFiringFor": 0, "labels": {}, "annotations": {}, "alerts": alerts, "health": "ok", "evaluationTime": 0.001, "lastEvaluation": "2026-11-30T00:00:00Z", "type": "alerting" });
    between.play("/api/v1/rules", envelope(json!({ "groups": [{ "name": "g", "file": "f", "interval": 60, "limit": 0, "evaluationTime": 0.1, "lastEvaluation": "2026-11-30T00:00:00Z", "rules": [rule] }] })));
    println!(
        "\n| list | first rows after the last byte, ms | a key in the filter, ms (longest of five) |\n| --- | --- | --- |"
    );
    for (path, name, piece) in
        [("/alerts", "5,000 firing alerts", "v1/rules"), ("/targets", "20,000 targets", "v1/targets")]
    {
        let page = Page::open_with(
            browser,
            &format!("http://{}", between.address),
            path,
            "new MutationObserver(() => { if (!window.rowsThere && document.querySelector('main tbody tr td')) window.rowsThere = performance.now(); }).observe(document, { childList: true, subtree: true });",
        );
        page.wait("window.rowsThere > 0");
        let rows = page.eval(&format!("window.rowsThere - performance.getEntriesByType('resource').find(r => r.name.includes('{piece}')).responseEnd"));
        let mut longest = 0.0_f64;
        for letter in ["1", "0", ".", "0", "."] {
            let took = page.eval(&format!(
                "new Promise(done => {{ const field = document.querySelector('main input[type=search]'); field.value += '{letter}'; const began = performance.now(); field.dispatchEvent(new Event('input')); \
                 document.body.offsetHeight; done(performance.now() - began); }})"
            ));
            longest = longest.max(number(&took));
        }
        println!("| {name} | {:.0} | {longest:.0} |", number(&rows));
    }
}

/// 10,000 alerts on Alertmanager's page: the server answers itself, and filters.
pub fn alertmanager(browser: &Browser) {
    let alone = Alone::start();
    alone.post_many("Crowd", 10_000);
    let page = Page::open_with(
        browser,
        &alone.base,
        "/#/alerts",
        "new MutationObserver(() => { if (!window.rowsThere && document.querySelector('main tbody tr td')) window.rowsThere = performance.now(); }).observe(document, { childList: true, subtree: true });",
    );
    page.wait("document.querySelector('.count')?.innerText.startsWith('10302 alerts')");
    let figures = page.eval(
        "(() => { const asked = performance.getEntriesByType('resource').find(r => r.name.includes('alerts/groups')); return [window.rowsThere - asked.responseEnd, asked.duration, document.querySelectorAll('*').length]; })()",
    );
    let longest = page.eval(
        "(async () => { let longest = 0; for (let i = 1; i < 40; i++) { const began = performance.now(); scrollTo(0, i * 900); document.body.offsetHeight; await new Promise(requestAnimationFrame); longest = Math.max(longest, performance.now() - began); } return longest; })()",
    );
    println!(
        "| Alertmanager, 10,303 alerts | {:.0} (the answer took {:.0}) | 40 screens scrolled, longest frame {:.0}; {} nodes |",
        number(&figures[0]),
        number(&figures[1]),
        number(&longest),
        figures[2]
    );
}

/// Keys in the editor, with 100,000 metric names of ten series each on the server.
pub fn typing(browser: &Browser) {
    let (_directory, server) = server_of_page(|text, now| {
        for name in 0..100_000 {
            writeln!(text, "# TYPE service_{name}_requests gauge").expect("a String");
            for series in 0..10 {
                writeln!(
                    text,
                    "service_{name}_requests{{instance=\"i{series}\",id=\"{name}-{series}\"}} 1 {now}"
                )
                .expect("a String");
            }
        }
    });
    let page = Page::open(browser, &format!("http://{}", server.address), "/query");
    page.click("textarea");
    // From a key to coloured text: the handler and the layout that follows it.
    let coloured = page.eval(
        "(async () => { const area = document.querySelector('textarea'); const times = []; for (const c of 'sum by (job) (rate(service_requests{code=~\"5..\"}[5m]))') { const began = performance.now(); \
         document.execCommand('insertText', false, c); document.body.offsetHeight; times.push(performance.now() - began); await new Promise(r => setTimeout(r, 5)); } return Math.max(...times); })()",
    );
    page.eval("(() => { const area = document.querySelector('textarea'); area.select(); document.execCommand('delete'); })()");
    let completion = page.eval(
        "(async () => { const area = document.querySelector('textarea'); const list = document.querySelector('.completions'); document.execCommand('insertText', false, 'service_'); const times = []; \
         await new Promise(r => setTimeout(r, 1500)); for (const c of '47114') { const before = list.textContent; const began = performance.now(); document.execCommand('insertText', false, c); \
         while (list.hidden || list.textContent === before) { if (performance.now() - began > 5000) break; await new Promise(r => { const m = new MessageChannel(); m.port1.onmessage = r; m.port2.postMessage(0); }); } times.push(performance.now() - began); } return times; })()",
    );
    let bytes = page.eval("Math.max(...performance.getEntriesByType('resource').filter(r => r.name.includes('ferula/editor')).map(r => r.encodedBodySize))");
    let mut took: Vec<f64> = (0..200)
        .map(|n| {
            let began = std::time::Instant::now();
            server
                .get(&format!("/api/v1/ferula/editor?query=service_{n}&cursor={}", 8 + n.to_string().len()));
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!("\na key to coloured text, longest of 56: {:.1} ms", number(&coloured));
    println!(
        "a key to its completions among 100,000 names and 1,000,000 series (80 ms of rest included), ms: {completion}; the largest answer {} bytes",
        number(&bytes)
    );
    println!("ferula/editor on the server: median {:.1} ms, p99 {:.1} ms of 200", took[100], took[197]);
    million_values(&page);
}

/// The label `id` has a million values: the page that counts them, and completion among them.
fn million_values(page: &Page<'_>) {
    page.go("/tsdb-status?focus=id");
    page.wait(
        "[...document.querySelectorAll('h2')].some(h => h.textContent === 'Series for each value of id')",
    );
    let figures = page.eval("(() => { const asked = performance.getEntriesByType('resource').find(r => r.name.includes('status/tsdb?')); return [asked.duration, asked.encodedBodySize, document.querySelectorAll('*').length]; })()");
    println!(
        "a label with a million values on the TSDB page: answered after {:.0} ms with {} bytes, {} nodes",
        number(&figures[0]),
        figures[1],
        figures[2]
    );
    page.go("/query");
    page.click("textarea");
    let took = page.eval(
        "(async () => { const list = document.querySelector('.completions'); document.execCommand('insertText', false, '{id=\"'); await new Promise(r => setTimeout(r, 3000)); const before = list.textContent; const began = performance.now(); \
         document.execCommand('insertText', false, '4711'); while (list.hidden || list.textContent === before) { if (performance.now() - began > 10000) break; await new Promise(r => { const m = new MessageChannel(); m.port1.onmessage = r; m.port2.postMessage(0); }); } \
         return [performance.now() - began, list.querySelectorAll('.option').length, Math.max(...performance.getEntriesByType('resource').filter(r => r.name.includes('ferula/editor')).map(r => r.encodedBodySize))]; })()",
    );
    println!(
        "completion among a million values: {:.0} ms, {} candidates, the largest answer {} bytes",
        number(&took[0]),
        took[1],
        took[2]
    );
}
