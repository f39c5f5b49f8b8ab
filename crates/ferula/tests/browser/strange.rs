//! What a page must survive: invalid answers, long lists, garbage in URLs and texts, unavailable storage.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::{Site, panel};

pub const TESTS: &[Test] = &[
    ("strange_answers_are_explained_and_nothing_typed_is_lost", answers),
    ("a_graph_explains_a_server_that_fails", graph_answers),
    ("long_lists_are_drawn_as_far_as_they_are_seen", long_lists),
    ("ten_thousand_rows_stay_out_of_the_document", many_rows),
    ("addresses_of_garbage_open_the_page", garbage),
    ("a_closed_storage_stops_nothing", storage),
    ("odd_numbers_are_drawn", numbers),
];

/// A server's answer as a page sees it, and a part of the message that explains it.
const ANSWERS: [(&str, &str); 9] = [
    ("new Response('<html>login</html>', { status: 200 })", "not JSON"),
    ("new Response('{\"status\":\"success\",\"data\":{\"resultTy', { status: 200 })", "breaks off"),
    ("new Response('oh', { status: 500, statusText: 'Internal Server Error' })", "500 Internal Server Error"),
    (
        "new Response('{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"<b>x</b>\"}', { status: 422 })",
        "The query failed: <b>x</b>",
    ),
    ("new Response('', { status: 401 })", "login may have expired"),
    ("new Response('Service Unavailable', { status: 503 })", "starting"),
    ("new Response('', { status: 503, headers: { 'X-Prometheus-Stopping': 'true' } })", "stopping"),
    (
        "new Response('{\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"query timed out\"}', { status: 503 })",
        "took too long",
    ),
    ("Promise.reject(new TypeError('Failed to fetch'))", "cannot be reached"),
];

fn answers(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    page.click("textarea");
    page.keys("vector(1)");
    page.key("Escape", 0);
    for (answer, words) in ANSWERS {
        page.eval(&format!("(window.fetch = async () => {answer}, 0)"));
        page.key("Enter", 0);
        page.wait(&format!(
            "document.querySelector('.panel .note[data-kind=err]')?.textContent.includes({})",
            json!(words)
        ));
        assert_eq!(page.eval("document.querySelector('textarea').value"), json!("vector(1)"), "{answer}");
        assert_eq!(page.eval("document.querySelectorAll('main b b, main .note b').length"), json!(0));
    }
}

/// The worker's own requests cannot be replaced, but the server can be made to refuse them.
fn graph_answers(browser: &Browser, site: &Site) {
    let mut page = Page::open(browser, &site.base, &panel("up", "&g0.tab=graph"));
    page.allow("ferula/graph");
    page.wait("document.querySelector('.chart')?.dataset.painted > 0");
    for (query, words) in
        [("sum(", "unclosed left parenthesis"), ("up * on () up", "The query failed: found duplicate")]
    {
        page.retype("textarea", query);
        page.key("Escape", 0);
        page.key("Enter", 0);
        page.wait(&format!(
            "document.querySelector('.panel .note[data-kind=err]')?.textContent.includes({})",
            json!(words)
        ));
    }
}

/// The page itself generates the lists: 20,000 targets, 10,000 rules, 5,000 alerts.
const LISTS: &str = r#"(() => {
    const real = window.fetch;
    const labels = i => ({ job: 'j' + (i % 20), instance: '10.0.' + (i >> 8) + '.' + (i & 255) + ':9100' });
    const target = i => ({ discoveredLabels: labels(i), labels: labels(i), scrapePool: 'j' + (i % 20), scrapeUrl: 'http://x' + i, globalUrl: 'http://x' + i, lastError: i % 7 ? '' : 'no', lastScrape: '2026-11-30T00:00:00Z', lastScrapeDuration: 0.01, health: i % 7 ? 'up' : 'down', scrapeInterval: '15s', scrapeTimeout: '10s' });
    const alert = i => ({ labels: { alertname: 'A', ...labels(i) }, annotations: {}, state: 'firing', activeAt: '2026-11-30T00:00:00Z', value: '1e+00' });
    const rule = i => ({ state: 'inactive', name: 'R' + i, query: 'up == ' + i, duration: 0, labels: {}, annotations: {}, alerts: i === 0 ? Array.from({ length: 5000 }, (_, k) => alert(k)) : [], health: 'ok', evaluationTime: 0.001, lastEvaluation: '2026-11-30T00:00:00Z', type: 'alerting' });
    const group = g => ({ name: 'g' + g, file: 'f', interval: 60, limit: 0, evaluationTime: 0.1, lastEvaluation: '2026-11-30T00:00:00Z', rules: Array.from({ length: 100 }, (_, i) => rule(g * 100 + i)) });
    const answer = data => new Response(JSON.stringify({ status: 'success', data }));
    window.fetch = async (address, ...rest) => {
        if (String(address).includes('v1/targets')) return answer({ activeTargets: Array.from({ length: 20000 }, (_, i) => target(i)), droppedTargets: [], droppedTargetCounts: {} });
        if (String(address).includes('v1/rules')) return answer({ groups: Array.from({ length: 100 }, (_, g) => group(g)) });
        return real(address, ...rest);
    };
    return 0;
})()"#;

fn long_lists(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/flags");
    page.eval(LISTS);
    for (path, heading, found, search) in [
        ("targets", "Targets", "Up 17142", "x19999"),
        ("rules", "Rules", "Ok 10000", "R9999"),
        ("alerts", "Alerts", "Firing 5000", "10.0.19.135"),
    ] {
        page.eval(&format!("document.querySelector('.nav a[href={path}]').click()"));
        page.wait(&format!("document.querySelector('h1')?.textContent === '{heading}' && document.querySelectorAll('main tbody tr').length > 5"));
        let counts = page.eval("[...document.querySelectorAll('main .joined button')].map(b => b.textContent.replace(/(\\d)/, ' $1')).join(' ')");
        assert!(counts.as_str().is_some_and(|text| text.contains(found)), "{path}: {counts}");
        let nodes = page.eval("document.querySelectorAll('*').length").as_u64();
        assert!(nodes < Some(12_000), "{path}: {nodes:?} elements for what is in view");
        page.click("main input[type=search]");
        page.keys(search);
        page.wait("document.querySelectorAll('main tbody tr').length <= 4");
        assert!(page.text("main").contains(search), "{path}");
    }
}

fn many_rows(browser: &Browser, site: &Site) {
    let many: Vec<String> =
        (0..34).map(|n| format!("label_replace(many offset 10m, \"c\", \"{n}\", \"\", \"\")")).collect();
    let page = Page::open(browser, &site.base, &panel(&many.join(" or "), ""));
    page.wait("document.querySelector('.panel-bar .end').innerText.startsWith('10,166 series') || document.querySelector('.panel-bar .end').innerText.startsWith('10200 series') || document.querySelector('.panel-bar .end').innerText.startsWith('10166 series')");
    assert!(page.eval("document.querySelectorAll('*').length").as_u64() < Some(900));
    page.eval("(document.querySelector('.virtual').scrollTop = 1e9, 0)");
    page.wait("Number([...document.querySelectorAll('.virtual tr[aria-rowindex]')].at(-1)?.getAttribute('aria-rowindex')) > 10000");
    page.click(".panel input[type=search]");
    page.keys("\"33\" \"299");
    page.wait("document.querySelectorAll('.virtual tr[aria-rowindex]').length <= 1");
}

fn garbage(browser: &Browser, site: &Site) {
    let long = "%F0%9F%92%A5%22%00".repeat(3_000);
    let mut page = Page::open(browser, &site.base, "/query");
    page.allow("/api/v1/query");
    for address in [
        format!("/query?g0.expr={long}&g0.tab=graph&g0.range_input=-5&g0.end_input=never"),
        "/query?g0.expr=up&g0.range_input=999999y&g0.res_type=fixed&g0.res_step=1e-9&g0.tab=table".to_owned(),
        "/query?g999.expr=up&g0.&=&&%FF%FE=%".to_owned(),
        "/targets?pool=%00&health=%3Cb%3E&search=%F0%9F%92%A5".to_owned(),
        "/alerts?state=nothing&group=__proto__&page=-1".to_owned(),
        "/tsdb-status?limit=10&focus=__proto__".to_owned(),
        "/queries?last=1d&search=%22".to_owned(),
        "/metrics-explorer?metric=no_such_metric&search=constructor".to_owned(),
        "/config#l99999".to_owned(),
    ] {
        page.go(&address);
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        assert_eq!(page.eval("document.querySelectorAll('h1').length"), json!(1), "{address}");
        assert!(!page.text("main").contains("could not be shown"), "{address}");
    }
}

fn storage(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/flags");
    page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({ "source": "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('closed', 'SecurityError'); } })" }),
    );
    page.go(&panel("vector(41)", ""));
    page.wait("document.querySelector('.instant tbody')?.innerText.includes('41')");
    page.click("[aria-label=Settings]");
    page.wait("document.querySelector('.popup select') !== null");
    page.enter(".popup select", "dark");
    assert_eq!(page.eval("document.documentElement.dataset.theme"), json!("dark"));
}

fn numbers(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    for query in [
        "vector(0) / 0",
        "vector(1) / 0",
        "-vector(1) / 0",
        "vector(1e300)",
        "vector(-1e-300)",
        "vector(5)",
        "vector(time()) % 2 == 0",
        "many * 1e305",
        "vector(1) > 2",
    ] {
        for log in ["", "&g0.log=1"] {
            page.go(&panel(query, &format!("&g0.tab=graph&g0.range_input=1h{log}")));
            page.wait("document.querySelector('.chart')?.dataset.painted > 0 || document.querySelector('.panel .empty:not([hidden])') !== null");
            assert_eq!(
                page.eval("document.querySelector('.panel .note[data-kind=err]')"),
                json!(null),
                "{query}"
            );
        }
    }
}
