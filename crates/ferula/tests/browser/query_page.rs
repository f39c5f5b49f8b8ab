//! The query page around its answers: refresh, zones, history, formatting, what is copied and saved, clocks that differ.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::{PAINTED, Site, panel};

pub const TESTS: &[Test] = &[
    ("a_refresh_runs_again_is_in_the_address_and_rests_while_hidden", refresh),
    ("two_refreshes_never_run_at_once", one_refresh),
    ("times_are_shown_in_any_zone_also_over_summer_time", zones),
    ("history_keeps_five_hundred_with_stars_and_search", history),
    ("expressions_are_formatted_and_undone", format),
    ("links_commands_and_files_hold_what_is_shown", export),
    ("warnings_infos_and_statistics_are_told", told),
    ("clocks_that_differ_are_told", skew),
    ("one_panel_is_embedded_alone", embed),
    ("metrics_are_inserted_at_the_cursor", insert),
    ("metrics_are_ranked_with_series_and_small_graphs", explorer),
];

fn refresh(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, &panel("vector(time())", "&refresh=5s"));
    page.wait("document.querySelector('.instant td.num') !== null");
    assert_eq!(
        page.eval("document.querySelector('select[aria-label=\"Refresh every\"]').value"),
        json!("5s")
    );
    page.eval("(window.first = document.querySelector('.instant td.num').innerText, 0)");
    page.wait("document.querySelector('.instant td.num').innerText !== window.first");
    // Nobody looks: nothing is asked.
    page.eval("(() => { Object.defineProperty(document, 'hidden', { get: () => true, configurable: true }); const real = fetch; window.asked = 0; window.fetch = (...a) => { window.asked++; return real(...a); }; })()");
    page.eval("new Promise(done => setTimeout(done, 6000))");
    assert_eq!(page.eval("window.asked"), json!(0));
    page.eval("delete document.hidden");
    page.wait("window.asked > 0");
    page.enter("select[aria-label=\"Refresh every\"]", "15m");
    page.wait("new URLSearchParams(location.search).get('refresh') === '15m'");
    assert_eq!(page.eval("[...document.querySelector('select[aria-label=\"Refresh every\"]').options].map(o => o.value).join()"), json!(",5s,10s,15s,30s,1m,5m,15m"));
}

fn one_refresh(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, &panel("vector(1)", ""));
    page.wait("document.querySelector('.instant td.num') !== null");
    page.eval(
        "(() => { const real = fetch; window.asked = 0; window.held = new Promise(done => window.release = done); \
         window.fetch = async (a, ...r) => { if (String(a).includes('v1/query')) { window.asked++; await window.held; } return real(a, ...r); }; })()",
    );
    page.eval("(() => { window.refreshedBefore = document.documentElement.dataset.refreshed; for (let i = 0; i < 5; i++) document.querySelector('[aria-label=\"Refresh now\"]').click(); })()");
    page.wait("window.asked > 0");
    page.blur();
    page.keys("rrr");
    page.eval("(window.release(), 0)");
    page.wait("document.documentElement.dataset.refreshed !== window.refreshedBefore");
    assert_eq!(page.eval("window.asked"), json!(1));
    // The next one is a new one.
    page.refresh();
    assert_eq!(page.eval("window.asked"), json!(2));
}

fn zones(browser: &Browser, site: &Site) {
    // The clocks of Berlin go from 2:00 to 3:00 at 1:00 UTC on this day.
    let address = panel("vector(1)", "&g0.tab=graph&g0.range_input=6h&g0.end_input=2026-03-29%2004:00:00");
    let page = Page::open(browser, &site.base, &format!("{address}&tz=Europe/Berlin"));
    page.wait(PAINTED);
    assert_eq!(page.eval("document.querySelector('input.wide').value"), json!("2026-03-29 06:00:00"));
    assert_eq!(
        page.eval("document.querySelector('[aria-label^=\"Time zone\"]').getAttribute('aria-label')"),
        json!("Time zone: Europe/Berlin")
    );
    page.focus(".chart");
    page.key("t", 0);
    page.wait("document.querySelector('table[aria-label=\"Numbers of the graph\"] tbody tr') !== null");
    let rows = page.eval("(async () => { const box = document.querySelector('.virtual[aria-label=\"Numbers of the graph\"]'); const all = []; for (let at = 0; at < box.scrollHeight; at += 200) { box.scrollTop = at; await new Promise(requestAnimationFrame); all.push(box.innerText); } return all.join(' '); })()");
    let rows = rows.as_str().unwrap_or("");
    assert!(
        rows.contains("2026-03-29 01:59") && rows.contains("2026-03-29 03:00"),
        "{}",
        &rows[..2000.min(rows.len())]
    );
    assert!(!rows.contains("2026-03-29 02:"), "that hour does not exist");
    // Chosen by hand, it is kept.
    page.click("[aria-label^='Time zone']");
    page.wait("document.querySelector('input[aria-label=\"Other time zone\"]') !== null");
    page.enter("input[aria-label=\"Other time zone\"]", "Asia/Kathmandu");
    page.wait("document.querySelector('[aria-label=\"Time zone: Asia/Kathmandu\"]') !== null");
    page.go("/flags");
    page.wait("document.querySelector('[aria-label=\"Time zone: Asia/Kathmandu\"]') !== null");
}

fn history(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    page.eval("localStorage.setItem('queryPage.queryHistory', JSON.stringify(Array.from({ length: 500 }, (_, i) => `vector(${i})`)))");
    page.go("/query?g0.expr=vector(4711)&g0.tab=1");
    page.press("Run");
    page.wait("JSON.parse(localStorage.getItem('queryPage.queryHistory'))[0] === 'vector(4711)'");
    assert_eq!(page.eval("JSON.parse(localStorage.getItem('queryPage.queryHistory')).length"), json!(500));
    page.press("History");
    page.wait("document.querySelectorAll('dialog .option').length === 500");
    page.enter("dialog input", "49 vec");
    page.wait("document.querySelectorAll('dialog .option').length === 14");
    page.click("dialog .option button[aria-label=Star]");
    page.wait("document.querySelector('dialog .option button[aria-pressed=true]') !== null");
    page.press("Forget all but starred");
    page.wait("document.querySelectorAll('dialog .option').length === 1");
    page.press("Use");
    page.wait("document.querySelector('dialog') === null && document.querySelector('textarea').value.includes('49')");
    // With the keys: older, and back to what was being typed.
    page.click("textarea");
    page.key("ArrowUp", 2);
    page.key("ArrowDown", 2);
    assert!(
        page.eval("document.querySelector('textarea').value")
            .as_str()
            .is_some_and(|text| text.contains("49"))
    );
}

fn format(browser: &Browser, site: &Site) {
    let mut page = Page::open(browser, &site.base, "/query");
    page.allow("format_query");
    page.click("textarea");
    page.keys("sum( rate(shop_orders_total[5m] ))by(city)");
    page.key("Escape", 0);
    page.key("F", 10);
    page.wait("document.querySelector('textarea').value === 'sum by (city) (rate(shop_orders_total[5m]))'");
    page.command("undo");
    page.wait("document.querySelector('textarea').value === 'sum( rate(shop_orders_total[5m] ))by(city)'");
}

fn export(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, &panel("shop_orders_total offset 10m", "&g0.tab=1"));
    page.eval("(() => { const real = URL.createObjectURL; URL.createObjectURL = blob => { window.saved = blob.text(); return real.call(URL, blob); }; })()");
    page.wait("document.querySelectorAll('.instant tbody tr').length === 4");
    page.press("Copy link");
    page.wait("document.querySelector('.toast')?.textContent === 'Link copied'");
    let link = page.pasted();
    assert!(link.starts_with(&site.base) && link.contains("g0.expr=shop_orders_total+offset+10m&"), "{link}");
    let choose = |text: &str| {
        page.click("[aria-label=More]");
        page.press(text);
    };
    choose("Copy as curl");
    page.wait("document.querySelector('.toast')?.textContent === 'Copied'");
    let command = page.pasted();
    assert!(
        command.starts_with("curl -sS 'http://")
            && command.contains("--data-urlencode 'query=shop_orders_total offset 10m'"),
        "{command}"
    );
    let ran = std::process::Command::new("/bin/sh").args(["-c", &command]).output();
    if let Ok(ran) = ran
        && ran.status.success()
    {
        assert!(String::from_utf8_lossy(&ran.stdout).contains("\"city\":\"Bern\""), "{command}");
    }
    choose("Save as CSV");
    page.wait("window.saved !== undefined");
    let csv = page.eval("window.saved");
    let csv = csv.as_str().unwrap_or("");
    assert!(csv.starts_with("__name__,city,job,value\nshop_orders_total,Bern,shop,"), "{csv}");
    page.eval("(window.saved = undefined, 0)");
    choose("Save as JSON");
    page.wait("window.saved !== undefined");
    assert_eq!(page.eval("window.saved.then(text => JSON.parse(text).length)"), json!(4));
    page.go(&panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
    page.eval("(() => { const real = URL.createObjectURL; window.saved = undefined; URL.createObjectURL = blob => { window.saved = blob.text(); return real.call(URL, blob); }; })()");
    choose("Save as CSV");
    page.wait("window.saved !== undefined");
    assert_eq!(
        page.eval("window.saved.then(text => text.split('\\n')[0])"),
        json!("__name__,city,job,time,value")
    );
    assert!(page.eval("window.saved.then(text => text.split('\\n').length)").as_u64() > Some(400));
}

fn told(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, &panel("rate(many[5m] offset 10m)", "&g0.tab=1"));
    // Prometheus' info about a gauge as a counter.
    page.wait("document.querySelector('.panel .note[data-kind=info]')?.textContent.includes('metric might not be a counter')");
    let status = page.text(".panel-bar .end");
    assert!(
        status.contains(" series · ") && status.contains("samples read") && status.contains(" ms"),
        "{status}"
    );
    page.go(&panel("histogram_quantile(2, shop_wait_seconds_bucket offset 10m)", "&g0.tab=1"));
    page.wait("document.querySelector('.panel .note[data-kind=warn]')?.textContent.includes('quantile value should be between 0 and 1')");
    page.press("Statistics");
    page.wait("document.querySelector('dialog')?.innerText.includes('Peak samples')");
}

fn skew(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/flags");
    page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({ "source": "{ const real = Date.now; Date.now = () => real() + 3600000; }" }),
    );
    page.go(&panel("vector(1)", "&g0.tab=1"));
    page.wait("document.querySelector('main > div .note[data-kind=warn]')?.textContent.includes('1h apart (the browser is ahead)')");
    page.wait("document.querySelector('.instant td.num')?.innerText === '1'");
}

fn embed(browser: &Browser, site: &Site) {
    let page = Page::open(
        browser,
        &site.base,
        &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h&embed=1"),
    );
    page.wait(PAINTED);
    let shown = "JSON.stringify(['.bar', '.panel-top', '.below', '.chart', '.legend'].map(s => document.querySelector(s)?.checkVisibility() ?? false))";
    assert_eq!(page.eval(shown), json!("[false,false,false,true,true]"));
    assert_eq!(page.eval("new URLSearchParams(location.search).get('embed')"), json!("1"));
}

fn insert(browser: &Browser, site: &Site) {
    let mut page = Page::open(browser, &site.base, "/query");
    page.allow("parse_query");
    page.click("textarea");
    page.keys("sum()");
    page.key("Escape", 0);
    page.key("ArrowLeft", 0);
    page.click(".panel-top button[title^='Find a metric']");
    page.wait("document.querySelectorAll('dialog tbody tr').length > 3");
    page.keys("orders");
    page.wait("document.querySelectorAll('dialog tbody tr').length === 1");
    page.press("shop_orders_total");
    page.press("Oslo");
    page.wait("document.querySelector('dialog') === null");
    assert_eq!(
        page.eval("document.querySelector('textarea').value"),
        json!("sum(shop_orders_total{city=\"Oslo\"})")
    );
}

fn explorer(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/metrics-explorer?search=dmrq");
    // Letters in order are enough.
    page.wait(
        "[...document.querySelectorAll('tbody tr')].some(r => r.innerText.startsWith('demo_requests_total'))",
    );
    page.wait("document.querySelector('tbody tr').innerText.includes('counter') && document.querySelector('tbody tr').cells[3].innerText !== ''");
    assert_eq!(
        page.eval("document.querySelector('tbody tr').cells[3].innerText"),
        json!("12"),
        "six of each of two targets"
    );
    // Small graphs are asked for what is in view, all with one request.
    page.go("/metrics-explorer?search=shop");
    page.wait("document.querySelectorAll('tbody tr canvas.spark').length >= 3");
    let asked = page
        .eval("performance.getEntriesByType('resource').filter(r => r.name.includes('query_range')).length");
    assert!(asked.as_u64() <= Some(2), "{asked} requests");
    page.go("/metrics-explorer?search=the+demo");
    page.wait("document.querySelector('tbody tr')?.innerText.startsWith('demo_requests_total')");
}
