//! What those who run the server look at: samples of targets and rules, flags, configuration, the admin's tools.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::Site;

pub const TESTS: &[Test] = &[
    ("targets_and_rule_groups_show_their_samples", samples),
    ("flags_can_be_narrowed_to_those_that_were_changed", flags),
    ("a_line_of_the_configuration_has_an_address", config_lines),
    ("snapshots_and_tombstones_are_a_click_for_admins", admin_tools),
    ("blocks_lie_on_a_bar_of_time", blocks),
    ("long_work_shows_how_far_it_is", progress),
    ("the_page_of_an_address_is_a_place_in_the_list", pages),
];

fn samples(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/targets?pool=demo");
    // Six counters, a gauge, four buckets, sum and count.
    page.wait("document.querySelector('tbody tr')?.cells[5].innerText === '13'");
    page.go("/rules?search=job:up");
    page.wait("/\\d+ samples/.test(document.querySelector('.section')?.innerText ?? '')");
}

fn flags(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/flags");
    page.wait("document.querySelectorAll('tbody tr').length > 40");
    page.click(".page-head input[type=checkbox]");
    page.wait("document.querySelectorAll('tbody tr').length < 8");
    let text = page.text("tbody");
    assert!(text.contains("--web.enable-admin-api") && text.contains("--web.listen-address"), "{text}");
    assert!(!text.contains("--query.timeout"), "{text}");
    assert_eq!(page.eval("new URLSearchParams(location.search).get('changed')"), json!("1"));
}

fn config_lines(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/config#l3");
    page.wait("document.querySelector('.yaml [data-at]')?.id === 'l3'");
    page.click(".page-head input[type=search]");
    page.keys("job_name");
    page.wait("document.querySelectorAll('.yaml mark').length === 3");
    page.key("Enter", 0);
    page.wait("document.querySelector('.page-head .count').innerText === '1 of 3'");
}

fn admin_tools(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/tsdb-status");
    page.press("Clean tombstones");
    page.wait(
        "document.querySelector('dialog .note[data-kind=ok]')?.innerText.includes('removed from disk')",
    );
    page.key("Escape", 0);
    page.wait("document.querySelector('dialog') === null");
    page.press("Snapshot");
    page.wait("document.querySelector('dialog .note[data-kind=ok]')?.innerText.includes('below snapshots/')");
}

fn blocks(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/tsdb-status");
    page.wait("document.querySelectorAll('.timebar > i').length >= 2");
    assert_eq!(page.eval("document.querySelectorAll('.timebar > i[data-head]').length"), json!(1));
    let text = page.text("main");
    assert!(text.contains("New series in the last hour") || text.contains("Series in the head"), "{text}");
}

fn progress(browser: &Browser, site: &Site) {
    // Two blocks have tombstones; one is rewritten, then the other.
    let page = Page::open_with(
        browser,
        &site.base,
        "/tsdb-status",
        "{ const real = fetch; window.left = 2; window.cleaning = new Promise(done => window.cleaned = done); const block = n => ({ ulid: 'b' + n, minTime: 0, maxTime: 1, stats: { numTombstones: n < window.left ? 3 : 0 } }); \
         window.fetch = async (a, ...r) => { const answer = data => new Response(JSON.stringify({ status: 'success', data })); if (String(a).includes('tsdb/blocks')) return answer({ blocks: [0, 1, 2].map(block) }); \
         if (String(a).includes('clean_tombstones')) { await window.cleaning; return answer(null); } return real(a, ...r); }; }",
    );
    page.press("Clean tombstones");
    page.wait("document.querySelector('main .note progress')?.value === 0 && document.querySelector('main .note').innerText.includes('0 of 2 blocks')");
    assert_eq!(
        page.eval("[...document.querySelectorAll('.page-head button')].every(b => b.disabled)"),
        json!(true)
    );
    page.eval("(window.left = 1, 0)");
    page.wait("document.querySelector('main .note progress')?.value === 0.5 && document.querySelector('main .note').innerText.includes('1 of 2 blocks')");
    page.eval("(window.cleaned(), 0)");
    page.wait("document.querySelector('dialog .note[data-kind=ok]') !== null && document.querySelector('main .note progress') === null");
    assert_eq!(
        page.eval("[...document.querySelectorAll('.page-head button')].some(b => b.disabled)"),
        json!(false)
    );
    // A replay of a rule says that it runs, and for how long.
    let mut page = Page::open_with(
        browser,
        &site.base,
        "/rules?search=Never",
        "{ const real = fetch; window.held = new Promise(done => window.release = done); window.fetch = async (a, ...r) => { if (String(a).includes('backtest')) await window.held; return real(a, ...r); }; }",
    );
    page.allow("ferula/backtest");
    page.press("backtest");
    page.wait("document.querySelector('dialog .note')?.innerText.includes('is replayed')");
    page.eval("(window.release(), 0)");
    page.wait(
        "document.querySelector('dialog .empty') !== null && document.querySelector('dialog .note') === null",
    );
}

/// Forty-five groups with an alerting rule each.
const GROUPS: &str = "{ const real = fetch; window.fetch = async (a, ...r) => { if (!String(a).includes('v1/rules')) return real(a, ...r); \
    const groups = Array.from({ length: 45 }, (_, g) => ({ name: 'group' + String((g * 7) % 45).padStart(2, '0'), file: 'f', interval: 60, limit: 0, evaluationTime: 0.1, lastEvaluation: '2026-11-30T00:00:00Z', rules: Array.from({ length: 6 }, (_, i) => ({ state: 'inactive', name: 'R' + i, query: 'up', duration: 0, labels: {}, annotations: {}, alerts: [], health: 'ok', evaluationTime: 0.1, lastEvaluation: '2026-11-30T00:00:00Z', type: 'alerting' })) })); \
    return new Response(JSON.stringify({ status: 'success', data: { groups } })); }; }";

fn pages(browser: &Browser, site: &Site) {
    // Prometheus' lists have ten groups on a page, in the order of the answer: the third begins with the twenty-first.
    let first = "[...document.querySelectorAll('main section h2')].find(h => h.getBoundingClientRect().bottom > 56)?.innerText ?? ''";
    for path in ["/rules", "/alerts"] {
        let page = Page::open_with(browser, &site.base, &format!("{path}?page=3"), GROUPS);
        page.wait(&format!("({first}).startsWith('group05')"));
        // What is seen is written back, so that a link leads there, here and in Prometheus.
        page.eval("(() => { const h = [...document.querySelectorAll('main section h2')].find(h => h.getBoundingClientRect().bottom > 56); window.firstHeight = h.closest('section').offsetHeight; scrollBy(0, 12 * (window.firstHeight + 12)); })()");
        page.wait("new URLSearchParams(location.search).get('page') === '4'");
        page.eval("(scrollTo(0, 0), 0)");
        page.wait("new URLSearchParams(location.search).get('page') === null");
        page.wait(&format!("({first}).startsWith('group00')"));
    }
}
