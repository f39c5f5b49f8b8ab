//! Bad input: texts of a megabyte, markup, characters that turn text around, half of a character; answers with too much of
//! everything; servers that answer strangely or not at all.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::Test;
use crate::chromium::Browser;
use crate::common::escape;
use crate::page::Page;
use crate::played::{Played, PlayedProxy, server_of_page};
use crate::stories::{PAGES, PAINTED, Site, panel};

pub const TESTS: &[Test] = &[
    ("texts_of_a_megabyte_and_of_markup_are_shown_cut_and_as_text", texts),
    ("tooltips_legends_and_raw_show_strange_labels_as_text", strange_graph),
    ("addresses_of_javascript_are_never_links", links),
    ("ten_thousand_series_of_a_thousand_points_are_drawn_in_a_worker", ten_thousand),
    ("a_hundred_thousand_names_and_values_are_searched_on_the_server", many_names),
    ("a_server_that_starts_is_waited_for_with_its_progress", starting),
    ("a_server_that_says_nothing_can_be_stopped", silence),
    ("graphs_explain_html_halves_logins_and_redirects", graph_answers),
    ("a_full_storage_stops_nothing", full_storage),
    ("an_address_of_panel_999_and_sixty_kilobytes_opens", long_addresses),
    ("a_query_over_a_change_to_summer_time_has_all_its_steps", summer_time),
];

/// A text that no page may take for markup, with a character that turns the line around, a bell and half of a pair.
const EVIL: &str = "<script>throw 1</script><img src=x onerror=throw(2)>\u{202e}turned\u{7}{{x}}";

/// The text, and a megabyte behind it.
fn megabyte() -> String {
    format!("{EVIL}{}", "m".repeat(1 << 20))
}

/// JSON with half of a surrogate pair, which serde does not write.
fn with_half(value: &Value) -> String {
    value.to_string().replace("{{x}}", "{{x}}\\ud800")
}

/// Answers of all endpoints that pages ask, full of the text.
fn play_evil(between: &PlayedProxy) {
    let evil = megabyte();
    let labels = json!({ "__name__": "up", "job": evil, EVIL: "v", "instance": "javascript:throw(3)" });
    let plays: Vec<(&'static str, Value)> = vec![
        (
            "/api/v1/query ",
            json!({ "resultType": "vector", "result": [{ "metric": labels, "value": [1, "1"] }] }),
        ),
        (
            "/api/v1/rules",
            json!({ "groups": [{ "name": evil, "file": evil, "interval": 1, "limit": 0, "evaluationTime": 0.1, "lastEvaluation": "2026-11-30T00:00:00Z",
            "rules": [{ "state": "firing", "name": evil, "query": evil, "duration": 0, "keepFiringFor": 0, "labels": labels, "annotations": { "summary": evil, "runbook_url": "javascript:throw(4)", EVIL: evil },
                "alerts": [{ "labels": labels, "annotations": { "summary": evil, "runbook_url": "javascript:throw(5)" }, "state": "firing", "activeAt": "2026-11-30T00:00:00Z", "value": "1e+00" }],
                "health": "err", "lastError": evil, "evaluationTime": 0.1, "lastEvaluation": "2026-11-30T00:00:00Z", "type": "alerting" }] }] }),
        ),
        (
            "/api/v1/targets?",
            json!({ "activeTargets": [{ "discoveredLabels": labels, "labels": labels, "scrapePool": evil, "scrapeUrl": "javascript:throw(6)", "globalUrl": "javascript:throw(7)", "lastError": evil,
            "lastScrape": "2026-11-30T00:00:00Z", "lastScrapeDuration": 0.1, "health": "down", "scrapeInterval": "15s", "scrapeTimeout": "10s" }],
            "droppedTargets": [{ "discoveredLabels": labels, "scrapePool": evil }], "droppedTargetCounts": { EVIL: 1 } }),
        ),
        ("/api/v1/scrape_pools", json!({ "scrapePools": [evil] })),
        ("/api/v1/status/flags", json!({ EVIL: evil, "a": "javascript:throw(8)" })),
        ("/api/v1/status/config", json!({ "yaml": format!("a: {evil}\n{evil}: b\n") })),
        ("/api/v1/status/buildinfo", json!({ "version": evil, EVIL: evil })),
        (
            "/api/v1/status/runtimeinfo",
            json!({ "CWD": evil, "hostname": evil, "storageRetention": evil, "startTime": "x", "serverTime": "y", "lastConfigTime": "z" }),
        ),
        ("/api/v1/features", json!({ EVIL: { EVIL: true } })),
        (
            "/api/v1/status/tsdb?",
            json!({ "headStats": { "numSeries": 1, "numLabelPairs": 1, "chunkCount": 1, "minTime": 0, "maxTime": 1 },
            "seriesCountByMetricName": [{ "name": evil, "value": 1 }], "labelValueCountByLabelName": [{ "name": evil, "value": 1 }], "memoryInBytesByLabelName": [{ "name": evil, "value": 1 }], "seriesCountByLabelValuePair": [{ "name": format!("{evil}={evil}"), "value": 1 }] }),
        ),
        (
            "/api/v1/ferula/metrics",
            json!({ "total": 1, "metrics": [{ "name": evil, "type": evil, "help": evil, "unit": evil }] }),
        ),
        (
            "/api/v1/alertmanagers",
            json!({ "activeAlertmanagers": [{ "url": "javascript:throw(9)" }], "droppedAlertmanagers": [{ "url": evil }] }),
        ),
        ("/api/v1/notifications", json!([{ "text": evil, "date": "x", "active": true }])),
    ];
    for (piece, data) in plays {
        between.play(piece, Played::json(with_half(&json!({ "status": "success", "data": data }))));
    }
    let running = json!({ "status": "ok", "data": [{ "qid": "1", "duration": "1s", "query": evil, "start": 0, "end": 1, "step": 1, "remote_addr": evil, "origin": evil }] });
    between.play("/api/v1/status/active_queries", Played::json(with_half(&running)));
    between.play("/api/v1/notifications/live", Played::status("204 No Content", "", ""));
}

fn texts(browser: &Browser, site: &Site) {
    let between = PlayedProxy::start(&site.server.address);
    play_evil(&between);
    let base = format!("http://{}", between.address);
    let mut page = Page::open(browser, &base, "/status");
    page.allow("ferula/");
    page.allow("query");
    let pages = PAGES.map(|(path, _)| format!("/{path}")).into_iter().chain([
        panel("up", "&g0.tab=1"),
        "/alerts?group=job".to_owned(),
        "/targets?group=job".to_owned(),
    ]);
    for path in pages {
        page.go(&path);
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        assert!(!page.text("main").contains("could not be shown"), "{path}: {}", page.text("main"));
        let found = page.eval("JSON.stringify([document.querySelectorAll('body script, body img, body svg, body iframe').length, document.querySelectorAll('a[href^=\"javascript\" i]').length, document.documentElement.scrollWidth - innerWidth, document.body.textContent.includes('\\u202e')])");
        let wide = page.eval("[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll-x, .virtual, pre, .yaml')).slice(0, 4).map(e => e.outerHTML.slice(0, 150)).join('\\n')");
        assert_eq!(
            found,
            json!("[0,0,0,false]"),
            "{path}: elements of others, links of scripts, width, turned text\n{wide}"
        );
        let length = page.eval("document.body.textContent.length").as_u64();
        assert!(length < Some(4 << 20), "{path}: {length:?} characters");
    }
    // Where it is shown, it is shown as text, and says how long it is.
    page.go("/rules");
    page.wait("document.querySelector('main section') !== null");
    let text = page.text("main section");
    assert!(
        text.contains("<script>throw 1</script>") && text.contains("\\u202eturned\\u0007"),
        "{}",
        &text[..500.min(text.len())]
    );
}

fn strange_graph(browser: &Browser, site: &Site) {
    let between = PlayedProxy::start(&site.server.address);
    let name = format!("{EVIL}{}", "n".repeat(100_000));
    let matrix: Vec<Value> = (0..3)
        .map(|n| {
            let values: Vec<Value> = (0..60).map(|i| json!([1_700_000_000 + i * 60, format!("{}", n * i)])).collect();
            json!({ "metric": { "__name__": "up", "n": n.to_string(), "evil": format!("{n}{name}") }, "values": values })
        })
        .collect();
    between.play(
        "/api/v1/query_range",
        Played::json(with_half(
            &json!({ "status": "success", "data": { "resultType": "matrix", "result": matrix } }),
        )),
    );
    between.play(
        "/api/v1/ferula/graph",
        Played::status(
            "406 Not Acceptable",
            "Content-Type: application/json\r\n",
            r#"{"status":"error","errorType":"not_acceptable","error":"no"}"#,
        ),
    );
    let mut page = Page::open(browser, &format!("http://{}", between.address), "/query");
    page.allow("ferula/graph");
    page.go(&panel(
        "up",
        "&g0.tab=graph&g0.range_input=1h&g0.end_input=2023-11-14%2023:12:20&g0.res_type=fixed&g0.res_step=60",
    ));
    page.wait(PAINTED);
    page.wait("document.querySelectorAll('.legend tbody tr').length === 3");
    let [left, top, width, height] = page.rect(".plot-area");
    page.drag((left + width / 2.0, top + height / 2.0), (left + width / 2.0, top + height / 2.0));
    page.wait("document.querySelector('.tooltip')?.innerText.includes('<script>')");
    for place in [".tooltip", ".legend", ".chart"] {
        assert_eq!(
            page.eval(&format!("document.querySelectorAll('{place} script, {place} img').length")),
            json!(0)
        );
        let length = page.eval(&format!("document.querySelector('{place}').textContent.length")).as_u64();
        assert!(length < Some(20_000), "{place}: {length:?}");
    }
    let box_height = page.rect(".tooltip")[3];
    assert!(box_height < 400.0, "a tooltip of {box_height} px");
    assert!(page.eval("document.documentElement.scrollWidth - innerWidth").as_i64() <= Some(0));
}

fn links(browser: &Browser, site: &Site) {
    let between = PlayedProxy::start(&site.server.address);
    play_evil(&between);
    let mut page = Page::open(browser, &format!("http://{}", between.address), "/alerts");
    page.allow("ferula/");
    page.allow("query");
    // Labels of a megabyte fit into no address; the page says so.
    page.allow("relabel_steps");
    page.expect_failures();
    for path in ["/alerts", "/targets", "/alertmanager-discovery", "/service-discovery"] {
        page.go(path);
        page.wait("document.querySelectorAll('tbody tr').length > 0");
        page.eval("document.querySelector('tbody button.link')?.click()");
        assert!(page.text("main").contains("javascript:throw"), "{path}: it is shown");
        let targets = page.eval("JSON.stringify([...document.querySelectorAll('main a')].map(a => a.protocol).filter(p => !['http:', 'https:'].includes(p)))");
        assert_eq!(targets, json!("[]"), "{path}");
    }
}

/// An answer of `ferula/graph` as the server writes it: `count` series of `steps` samples.
pub fn columns(count: usize, total: usize, steps: usize, start_ms: u64, step_ms: u64) -> Vec<u8> {
    let series: Vec<[usize; 2]> = (0..count).map(|n| [0, n]).collect();
    let values: Vec<String> = (0..count).map(|n| format!("v{n}")).collect();
    let head = json!({ "start": start_ms, "step": step_ms, "steps": steps, "names": ["n"], "values": values, "series": series, "total": total }).to_string();
    let mut body = Vec::with_capacity(head.len() + count * (steps.div_ceil(8) + 8 * steps));
    body.extend((head.len() as u32).to_le_bytes());
    body.extend(head.as_bytes());
    let mut bits = vec![0xff; steps.div_ceil(8)];
    if !steps.is_multiple_of(8) {
        bits[steps / 8] = (1 << (steps % 8)) - 1;
    }
    for n in 0..count {
        body.extend(&bits);
        for i in 0..steps {
            body.extend((((n * 31 + i * 7) % 1000) as f64 + n as f64).to_le_bytes());
        }
    }
    if total > count {
        for i in 0..steps {
            body.extend((i as f64).to_le_bytes());
            body.extend((20_000.0 + i as f64).to_le_bytes());
            body.extend(((total - count) as u32).to_le_bytes());
        }
    }
    body
}

pub const GRAPH: &str = "Content-Type: application/vnd.ferula.graph\r\n";

fn ten_thousand(browser: &Browser, site: &Site) {
    let between = PlayedProxy::start(&site.server.address);
    let answer = |count: usize| Played::Answer {
        status: "200 OK",
        headers: GRAPH,
        body: Arc::new(columns(count, 10_000, 1_000, 1_700_000_000_000, 4_000)),
    };
    between.play("/api/v1/ferula/graph", answer(1_000));
    let page = Page::open(
        browser,
        &format!("http://{}", between.address),
        &panel(
            "up",
            "&g0.tab=graph&g0.range_input=3996s&g0.end_input=2023-11-14%2023:19:56&g0.res_type=fixed&g0.res_step=4",
        ),
    );
    page.wait(PAINTED);
    assert!(
        page.text(".panel-bar .end").contains("1000 of 10000 series"),
        "{}",
        page.text(".panel-bar .end")
    );
    assert!(page.text(".common").contains("the grey area spans the others"));
    between.play("/api/v1/ferula/graph", answer(10_000));
    page.repaints(|page| page.press("All 10000 series"));
    let told = page.text(".panel-bar .end");
    assert!(told.contains("10000 series"), "{told}");
    assert!(page.eval("document.querySelectorAll('*').length").as_u64() < Some(900));
    // What the page itself holds is small: the numbers are in the worker.
    page.call("HeapProfiler.collectGarbage", json!({}));
    let heap = page.call("Runtime.getHeapUsage", json!({}));
    assert!(heap["usedSize"].as_f64() < Some(12.0 * f64::from(1 << 20)), "{heap}");
    // A pointer is followed, and something is found below it.
    let [left, top, width, height] = page.rect(".plot-area");
    page.drag((left + width / 2.0, top + height / 2.0), (left + width / 2.0, top + height / 2.0));
    page.wait("document.querySelector('.tooltip')?.innerText.includes('n=\"v')");
}

fn many_names(browser: &Browser, _: &Site) {
    use std::fmt::Write;
    let (_directory, server) = server_of_page(|text, now| {
        for n in 0..50_000 {
            writeln!(text, "# TYPE metric_{n}_total gauge\nmetric_{n}_total 1 {now}").expect("a String");
        }
        text.push_str("# TYPE wide gauge\n");
        for n in 0..50_000 {
            writeln!(text, "wide{{id=\"value_{n}\"}} 1 {now}").expect("a String");
        }
    });
    let mut page = Page::open(browser, &format!("http://{}", server.address), "/query");
    page.allow("parse_query");
    page.click("textarea");
    page.keys("metric_4711");
    page.wait("document.querySelectorAll('.completions .option').length > 1 && document.querySelector('.completions .option').textContent.includes('metric_4711_total')");
    assert!(page.eval("document.querySelectorAll('.completions .option').length").as_u64() <= Some(60));
    page.key("Tab", 0);
    assert_eq!(page.eval("document.querySelector('textarea').value"), json!("metric_4711_total"));
    page.retype("textarea", "wide{id=\"e_31415");
    page.wait("[...document.querySelectorAll('.completions .option')].some(o => o.textContent.includes('value_31415'))");
    // The answers are small, whatever there is.
    let largest = page.eval("Math.max(...performance.getEntriesByType('resource').filter(r => r.name.includes('ferula/editor')).map(r => r.encodedBodySize))");
    assert!(largest.as_u64() <= Some(20 * 1024), "{largest} bytes");
    page.go("/metrics-explorer?search=metric_31");
    page.wait("document.querySelector('.page-head .count').innerText.includes('of 50')");
    assert!(page.eval("document.querySelectorAll('*').length").as_u64() < Some(900));
    page.go(&panel("{__name__=~\"metric_1.*\"}", "&g0.tab=1"));
    page.wait("document.querySelector('.panel-bar .end').innerText.includes('11111 series')");
    assert!(page.eval("document.querySelectorAll('*').length").as_u64() < Some(1200));
}

fn starting(browser: &Browser, site: &Site) {
    let between = PlayedProxy::start(&site.server.address);
    between.play(
        "/query ",
        Played::status(
            "200 OK",
            "Content-Type: text/html\r\n",
            &shell_of(site).replace("data-ready=\"true\"", "data-ready=\"false\""),
        ),
    );
    between.play(
        "/-/ready",
        Played::status("503 Service Unavailable", "X-Prometheus-Stopping: false\r\n", "Service Unavailable"),
    );
    between.play(
        "/api/v1/status/walreplay",
        Played::json(r#"{"status":"success","data":{"min":0,"max":9,"current":4}}"#),
    );
    let mut page = Page::open(browser, &format!("http://{}", between.address), "/query");
    page.allow("/-/ready");
    page.wait("document.querySelector('main')?.innerText.includes('segment 4 of 9 (40 %)')");
    assert_eq!(page.eval("document.querySelector('progress').value"), json!(0.4));
    between.clear();
    // It opens by itself.
    page.wait("document.querySelector('textarea') !== null");
}

/// The HTML of the query page.
fn shell_of(site: &Site) -> String {
    site.server.get("/query").1
}

fn silence(browser: &Browser, site: &Site) {
    let between = PlayedProxy::start(&site.server.address);
    let page = Page::open(browser, &format!("http://{}", between.address), &panel("vector(1)", "&g0.tab=1"));
    page.wait("document.querySelector('.instant td.num') !== null");
    between.play("/api/v1/query ", Played::Silence);
    between.play("/api/v1/ferula/graph", Played::Silence);
    for tab in ["table", "graph"] {
        page.click(&format!("[data-tab={tab}]"));
        // Another tab asks by itself.
        if tab == "table" {
            page.press("Run");
        }
        page.wait("document.querySelector('.panel-bar .end').innerText.includes('Running for ')");
        // What is typed meanwhile is there.
        page.focus("textarea");
        page.keys(" ");
        page.key("Escape", 0);
        page.focus("textarea");
        page.key("Escape", 0);
        page.wait("document.querySelector('.panel-bar .end').innerText === 'Stopped.'");
    }
    assert_eq!(page.eval("document.querySelector('textarea').value.trim()"), json!("vector(1)"));
}

/// Answers of the server to the worker of a graph, and words that explain them.
fn graph_answers(browser: &Browser, site: &Site) {
    let between = PlayedProxy::start(&site.server.address);
    let mut page = Page::open(
        browser,
        &format!("http://{}", between.address),
        &panel("up", "&g0.tab=graph&g0.range_input=1m"),
    );
    for piece in ["ferula/graph", "net::ERR_CONTENT_LENGTH_MISMATCH", "127.0.0.1:1"] {
        page.allow(piece);
    }
    page.wait(PAINTED);
    let html = Arc::new(b"<html>login</html>".to_vec());
    let json = "Content-Type: application/json\r\n";
    for (played, words) in [
        (Played::status("200 OK", "Content-Type: text/html\r\n", "<html>login</html>"), "not JSON"),
        (
            Played::status("500 Internal Server Error", "", "<b>oh</b>"),
            "500 Internal Server Error: <b>oh</b>",
        ),
        (Played::status("401 Unauthorized", "", ""), "login may have expired"),
        (Played::status("503 Service Unavailable", "X-Prometheus-Stopping: true\r\n", ""), "stopping"),
        (Played::status("302 Found", "Location: /login\r\n", ""), "404"),
        (Played::Answer { status: "200 OK", headers: GRAPH, body: html.clone() }, "answer"),
        (
            Played::Answer {
                status: "200 OK",
                headers: json,
                body: Arc::new(
                    b"{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":".to_vec(),
                ),
            },
            "breaks off",
        ),
    ] {
        between.play("/api/v1/ferula/graph", played);
        page.press("Run");
        page.wait(&format!(
            "document.querySelector('.panel .note[data-kind=err]')?.textContent.includes({})",
            json!(words)
        ));
        assert_eq!(page.eval("document.querySelectorAll('.panel b, .panel .note html').length"), json!(0));
        assert_eq!(page.eval("document.querySelector('textarea').value"), json!("up"));
        between.clear();
        page.press("Run");
        page.wait("document.querySelector('.panel .note[data-kind=err]') === null && document.querySelector('.panel-body[data-stale]') === null");
    }
    between.play(
        "/api/v1/ferula/graph",
        Played::Half { headers: GRAPH, body: Arc::new(columns(10, 10, 60, 1_700_000_000_000, 1000)) },
    );
    page.press("Run");
    page.wait("document.querySelector('.panel .note[data-kind=err]')?.textContent.length > 20");
    page.expect_failures();
}

fn full_storage(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/flags");
    page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({ "source": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }" }),
    );
    page.go(&panel("vector(41)", "&g0.tab=1"));
    page.press("Run");
    page.wait("document.querySelector('.instant tbody')?.innerText.includes('41')");
    page.press("History");
    page.wait("document.querySelector('dialog') !== null");
}

fn long_addresses(browser: &Browser, site: &Site) {
    let mut page = Page::open(browser, &site.base, "/query");
    page.allow("/api/v1/");
    // As many panels as there are numbers without a hole; more than anyone has, and none is lost silently.
    let many: String = (0..60).map(|n| format!("&g{n}.expr=vector({n})&g{n}.tab=1")).collect();
    page.go(&format!("/query?{}", &many[1..]));
    page.wait("document.querySelectorAll('.panel').length === 60");
    page.go(&format!(
        "/query?g999.expr=up&g0.expr=vector(1)&g0.tab=1&g0.junk={}",
        escape(&"\u{1f4a5}<b>\u{0}".repeat(2_000))
    ));
    page.wait("document.querySelectorAll('.panel').length === 1 && document.querySelector('.instant td.num')?.innerText === '1'");
    let long = format!("vector(1) # {}", "x".repeat(55_000));
    page.go(&format!("/query?g0.expr={}&g0.tab=1", escape(&long)));
    page.wait("document.querySelector('.instant td.num')?.innerText === '1' || document.querySelector('.panel .note[data-kind=err]') !== null");
    assert_eq!(page.eval("document.querySelector('textarea').value.length"), json!(long.len()));
}

fn summer_time(browser: &Browser, site: &Site) {
    // Both changes of Berlin, and a zone whose clocks change by half an hour.
    let page = Page::open(browser, &site.base, "/query");
    for (end, zone) in [
        ("2026-03-29 06:00:00", "Europe/Berlin"),
        ("2026-10-25 06:00:00", "Europe/Berlin"),
        ("2026-04-05 00:00:00", "Australia/Lord_Howe"),
    ] {
        page.go(&format!(
            "{}&tz={}",
            panel(
                "vector(time())",
                &format!(
                    "&g0.tab=graph&g0.range_input=12h&g0.end_input={}&g0.res_type=fixed&g0.res_step=600",
                    escape(end)
                )
            ),
            escape(zone)
        ));
        page.wait(PAINTED);
        assert!(
            page.text(".panel-bar .end").contains("73 points"),
            "{end}: {}",
            page.text(".panel-bar .end")
        );
    }
}
