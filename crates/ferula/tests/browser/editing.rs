//! The editor: colours while typing, and what is offered.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::Site;

pub const TESTS: &[Test] = &[
    ("completion_offers_metrics_functions_labels_durations_and_history", offers),
    ("colours_are_there_with_the_key_and_nothing_else_moves", colours),
];

fn offers(browser: &Browser, site: &Site) {
    let mut page = Page::open(browser, &site.base, "/query");
    page.allow("parse_query");
    page.eval("localStorage.setItem('queryPage.queryHistory', JSON.stringify(['vector(4711) + demo_requests_total']))");
    page.click("textarea");
    // What is typed, the candidate, its sign, and words that stand beside it.
    for (text, candidate, sign, words) in [
        ("demo_req", "demo_requests_total", "c", "counter · Requests of the <b>demo</b>."),
        ("rat", "rate", "ƒ", "(range) growth per second of a counter"),
        ("sum by (job) (avg_ov", "avg_over_time", "ƒ", "(range)"),
        ("bott", "bottomk", "Σ", "(k, v)"),
        ("shop_orders_total{ci", "city", "l", ""),
        ("sum by (ci", "city", "l", ""),
        ("shop_orders_total{job=\"shop\",city=~\"B", "Bern", "v", ""),
        ("rate(demo_requests_total[1", "1h", "d", ""),
        ("4711", "vector(4711) + demo_requests_total", "↺", "recent"),
    ] {
        page.retype("textarea", text);
        page.wait(&format!(
            "!document.querySelector('.completions').hidden && [...document.querySelectorAll('.completions .option')].some(o => o.querySelector('.text').textContent === {} && o.querySelector('.kind').textContent === {} && o.querySelector('.detail').textContent.includes({}))",
            json!(candidate),
            json!(sign),
            json!(words)
        ));
        assert_eq!(page.eval("document.querySelector('textarea').value"), json!(text), "nothing is inserted");
        page.key("Escape", 0);
    }
}

fn colours(browser: &Browser, site: &Site) {
    let mut page = Page::open(browser, &site.base, "/query");
    page.allow("parse_query");
    page.click("textarea");
    // In the same task as the key: no request is needed.
    let kinds = page.eval(
        "(() => { document.execCommand('insertText', false, 'sum by (job) (rate(up{a=~\"b\"}[5m])) > 2 # why'); return [...document.querySelectorAll('.editor pre span')].map(s => s.className.slice(2) + ':' + s.textContent).join(' '); })()",
    );
    for piece in [
        "keyword:sum",
        "keyword:by",
        "function:rate",
        "label:a",
        "string:\"b\"",
        "duration:5m",
        "operator:>",
        "number:2",
        "comment:# why",
    ] {
        assert!(kinds.as_str().is_some_and(|text| text.contains(piece)), "{piece}: {kinds}");
    }
    // Coloured text and typed text have the same shape.
    let shapes = page.eval(
        "(() => { const [a, b] = ['.editor pre', '.editor textarea'].map(s => document.querySelector(s)); return ['fontFamily', 'fontSize', 'lineHeight', 'letterSpacing', 'paddingLeft', 'whiteSpace', 'overflowWrap'].filter(k => getComputedStyle(a)[k] !== getComputedStyle(b)[k]).concat(a.offsetWidth === b.offsetWidth && a.offsetHeight === b.offsetHeight ? [] : ['size']).join(); })()",
    );
    assert_eq!(shapes, json!(""));
    // Keys of an input method are not taken.
    page.eval("document.querySelector('textarea').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true }))");
    assert_eq!(page.eval("location.search"), json!(""));
}
