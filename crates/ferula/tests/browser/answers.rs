//! Table, Raw, Tree and Explain: an answer as rows, as stored, by parts and in words.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::common::{Server, Target};
use crate::page::Page;
use crate::stories::{Site, panel};

pub const TESTS: &[Test] = &[
    ("a_table_has_a_column_per_label_or_one_for_all", columns),
    ("raw_shows_staleness_markers_and_ranges_of_their_own", raw),
    ("a_tree_has_counts_times_and_errors_of_each_part_from_one_request", tree_parts),
    ("a_tree_stands_above_the_answer_when_the_address_says_so", tree_above),
    ("explain_says_why_series_are_dropped", dropped),
    ("explain_shows_the_engines_plan_with_rows_samples_memory_and_time", plan),
    ("each_operation_can_be_explained", operations),
];

fn columns(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, &panel("shop_orders_total offset 10m", ""));
    page.wait("document.querySelectorAll('.instant tbody tr').length === 4");
    let heads = "JSON.stringify([...document.querySelectorAll('.instant th')].map(h => h.innerText.trim()))";
    assert_eq!(page.eval(heads), json!("[\"Metric\",\"city\",\"job\",\"Value\"]"));
    page.press("Columns");
    page.wait("document.querySelectorAll('.instant th').length === 2");
    assert!(
        page.text(".instant tbody").contains("{city=\"Bern\", job=\"shop\"}"),
        "{}",
        page.text(".instant")
    );
    // Values in their unit, all digits on demand, and both in what the pointer rests on.
    page.go(&panel("shop_memory_bytes offset 10m", ""));
    page.wait("document.querySelector('.instant tbody')?.innerText.includes('GiB')");
    page.press("Exact");
    page.wait("!document.querySelector('.instant tbody').innerText.includes('GiB')");
    // A number and a text are no tables of series.
    for (query, text) in [("1 + 1", "2"), ("\"<b>x</b>\"", "<b>x</b>")] {
        page.go(&panel(query, ""));
        page.wait(&format!("document.querySelector('.instant td')?.textContent === {}", json!(text)));
    }
}

fn raw(browser: &Browser, _: &Site) {
    // A target whose series comes and goes: each time it goes, a marker is stored.
    let directory = tempfile::tempdir().expect("a directory");
    let target = Target::start(|n| match n % 4 {
        0 => "# nothing\n".to_owned(),
        _ => format!("comes_and_goes{{a=\"(x)\"}} {n}\n"),
    });
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - {{job_name: t, static_configs: [{{targets: ['{}']}}]}}\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("writable");
    let server = Server::start(directory.path(), &[]);
    server.await_query("count_over_time(comes_and_goes[1m]) > 8", |result| {
        result.as_array().is_some_and(|all| !all.is_empty()).then_some(())
    });
    let base = format!("http://{}", server.address);
    let page = Page::open(browser, &base, &panel("comes_and_goes", "&g0.view=raw&g0.range_input=5m"));
    page.wait("document.querySelector('.panel-bar .end').innerText.includes('staleness markers')");
    page.wait("document.querySelectorAll('[aria-label=Samples] [data-s=down]').length >= 2");
    assert!(page.text("[aria-label=Samples] tbody").contains("stale"));
    assert!(
        page.eval("document.querySelector('canvas.dots').getAttribute('aria-label')")
            .as_str()
            .is_some_and(|text| text.contains("staleness markers"))
    );
    for (query, words) in [
        ("comes_and_goes{a=\"(x)\"}[1m]", "staleness markers"),
        ("comes_and_goes[1m] offset 1s", "stored samples"),
        ("comes_and_goes[1m:5s]", "stored samples"),
    ] {
        page.go(&panel(query, "&g0.view=raw"));
        page.wait(&format!("document.querySelector('.panel-bar .end').innerText.includes('{words}')"));
    }
    page.go(&panel("sum(comes_and_goes)", "&g0.view=raw"));
    page.wait("document.querySelector('.panel .note')?.textContent.includes('write a single selector')");
}

fn tree_parts(browser: &Browser, site: &Site) {
    let query = "sum by (city) (shop_orders_total offset 10m) + on () group_left () (up * on () up)";
    let page = Page::open(browser, &site.base, &panel(query, "&g0.view=tree"));
    page.wait("document.querySelector('.panel-bar .end').innerText.startsWith('7 parts')");
    let part = |text: &str| {
        page.eval(&format!(
            "[...document.querySelectorAll('.part')].find(p => p.querySelector('code').textContent === {})?.innerText ?? ''",
            json!(text)
        ))
    };
    let selector = part("shop_orders_total offset 10m");
    for piece in ["4 series", "4 samples", "s", "city 4 values", "job=\"shop\""] {
        assert!(selector.as_str().is_some_and(|text| text.contains(piece)), "{piece}: {selector}");
    }
    let failed = part("up * on () up");
    assert!(failed.as_str().is_some_and(|text| text.contains("found duplicate series")), "{failed}");
    let asked = page
        .eval("performance.getEntriesByType('resource').filter(r => r.name.includes('ferula/tree')).length");
    assert_eq!(asked, json!(1));
}

fn tree_above(browser: &Browser, site: &Site) {
    let page = Page::open(
        browser,
        &site.base,
        &panel("sum(shop_orders_total offset 10m)", "&g0.tab=1&g0.show_tree=1"),
    );
    page.wait("document.querySelectorAll('.above .part').length === 2 && document.querySelector('.instant tbody tr') !== null");
    page.click("[aria-label=More]");
    page.press("Hide tree");
    page.wait("document.querySelector('.above .part') === null");
    assert_eq!(page.eval("new URLSearchParams(location.search).get('g0.show_tree')"), json!("0"));
}

fn dropped(browser: &Browser, site: &Site) {
    let query = "shop_orders_total offset 10m * on (city) label_replace(shop_orders_total{city=~\"Bern|Oslo\"} offset 10m, \"city\", \"Paris\", \"city\", \"Oslo\")";
    let page = Page::open(browser, &site.base, &panel(query, "&g0.tab=explain"));
    page.wait("document.querySelectorAll('[aria-label=\"Vector matching\"] tbody tr').length === 5");
    let text = page.text("[aria-label='Vector matching']");
    assert!(text.contains("1 of 5 groups pass") && text.contains("dropped: nothing on the right"), "{text}");
    assert!(text.contains("dropped: nothing on the left") && text.contains("nearest: city is"), "{text}");
    page.go(&panel("up * on () up", "&g0.tab=explain"));
    page.wait("document.querySelector('[aria-label=\"Vector matching\"] [data-s=err]')?.innerText.includes('use group_left or group_right')");
}

fn plan(browser: &Browser, site: &Site) {
    let page = Page::open(
        browser,
        &site.base,
        &panel("sum by (city) (rate(shop_orders_total[5m] offset 10m)) > 0", "&g0.tab=explain"),
    );
    page.wait("document.querySelectorAll('[aria-label=Plan] tbody tr').length === 4");
    let text = page.text("[aria-label=Plan]");
    assert!(text.contains("aggregate Sum by (city)") && text.contains("window 300000 ms"), "{text}");
    // Of the selector: four series, some samples, some bytes, some time.
    let cells = page.eval("JSON.stringify([...[...document.querySelectorAll('[aria-label=Plan] tbody tr')].at(-1).cells].map(c => c.innerText))");
    let cells: Vec<String> = serde_json::from_str(cells.as_str().unwrap_or("[]")).expect("cells");
    assert!(cells[1] == "4" && cells[2].parse::<u32>().is_ok_and(|n| n > 40), "{cells:?}");
    assert!(cells[3].ends_with('B') && cells[4].ends_with('s'), "{cells:?}");
}

fn operations(browser: &Browser, site: &Site) {
    let query = "(shop_orders_total unless on (city) shop_orders_total{city=\"Bern\"}) and on (job) shop_memory_bytes";
    let page = Page::open(
        browser,
        &site.base,
        &panel(
            &query.replace("shop_orders_total", "(shop_orders_total offset 10m)").replace(
                "(shop_orders_total offset 10m){city=\"Bern\"}",
                "(shop_orders_total{city=\"Bern\"} offset 10m)",
            ),
            "&g0.tab=explain",
        ),
    );
    page.wait("document.querySelectorAll('select[aria-label=Operation] option').length === 2");
    page.enter("select[aria-label=Operation]", "1");
    page.wait("document.querySelector('[aria-label=\"Vector matching\"]').innerText.includes('dropped: has a partner')");
}
