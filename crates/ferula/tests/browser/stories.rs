//! What users do on the pages, one test per story.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::common::{PATIENCE, Server, Target, escape};
use crate::page::Page;
use crate::played::PlayedProxy;
use crate::proxy;

pub const TESTS: &[Test] = &[
    ("every_page_opens_without_a_complaint", every_page),
    ("the_root_and_old_addresses_lead_to_the_query_page", redirects),
    ("enter_runs_and_shift_enter_breaks_the_line", enter_runs),
    ("completion_takes_nothing_by_itself_and_tab_accepts", completion),
    ("a_mistake_is_underlined_with_the_parsers_words", mistake),
    ("a_graph_is_drawn_zoomed_and_zoomed_back", graph),
    ("a_series_can_be_shown_alone_and_hidden", legend),
    ("buckets_are_drawn_as_a_heatmap", heatmap),
    ("addresses_of_prometheus_are_read_and_written_back", addresses),
    ("back_and_forward_walk_through_what_ran", back_and_forward),
    ("panels_are_added_doubled_and_removed", panels),
    ("a_table_is_sorted_and_filtered", table),
    ("raw_samples_show_their_spacing", raw),
    ("a_tree_shows_what_each_part_yields", tree),
    ("explain_says_what_meets_what", explain),
    ("an_empty_answer_says_which_part_is_empty", empty),
    ("alerts_are_lines_that_can_be_filtered_and_grouped", alerts),
    ("failing_rules_show_their_error", rules),
    ("targets_are_filtered_and_show_errors", targets),
    ("a_dropped_target_names_the_rule_that_dropped_it", discovery),
    ("series_are_deleted_only_after_the_selector_is_typed_again", delete),
    ("metrics_are_found_with_their_labels", metrics),
    ("text_of_others_stays_text", hostile_text),
    ("keys_go_everywhere", keys),
    ("every_control_has_a_name", names),
    ("narrow_windows_need_no_sideways_scrolling", narrow),
    ("text_has_contrast_in_both_themes", contrast),
    ("pages_work_below_any_path", below_paths),
    ("a_first_visit_fetches_little_also_with_a_graph", first_visit),
    ("a_second_visit_fetches_no_file_again", cache),
    ("leaving_a_page_gives_its_memory_back", memory),
    ("what_runs_can_be_stopped", stop),
    ("queries_of_others_are_listed_and_stopped", queries),
    ("rules_are_tried_on_the_page_of_a_target", relabel),
    ("hints_are_taken_with_a_click", hints),
    ("a_rule_is_replayed_and_edited_without_saving", backtest),
    ("cardinality_is_counted_by_selector_and_focus", cardinality),
    ("a_failed_reload_is_told_as_it_happens", notifications),
];

/// The server that most tests share, with an hour of history.
pub struct Site {
    pub server: Server,
    pub base: String,
    _target: Target,
    _directory: tempfile::TempDir,
}

/// Texts that a page must not interpret as markup or code.
const HOSTILE: [&str; 6] = [
    "<script>throw 1</script>",
    "<img src=x onerror=throw(2)>",
    "\"><svg onload=throw(3)>",
    "javascript:throw(4)",
    "{{constructor.constructor('throw 5')()}}",
    "\u{202e}turned\u{0007}",
];

const RULES: &str = r#"
groups:
  - name: demo
    interval: 1s
    rules:
      - {record: "job:up:sum", expr: sum by (job) (up)}
      - alert: AlwaysOn
        expr: vector(1)
        labels: {severity: page, hostile: '<img src=x onerror=throw(6)>'}
        annotations: {summary: '<script>throw 7</script>', runbook_url: 'javascript:throw(8)', dashboard: 'https://example.org/d'}
      - {alert: Waiting, expr: up == 1, for: 1h, labels: {severity: info}}
      - {alert: Never, expr: vector(1) > 2}
  - name: broken
    interval: 1s
    rules:
      - {record: "many:to:many", expr: up * on () up}
"#;

impl Site {
    pub fn start() -> Site {
        let directory = tempfile::tempdir().expect("a directory");
        let target = Target::start(page_of_target);
        fixture(directory.path(), &target.address);
        let server = Server::start(directory.path(), &["--web.enable-admin-api", "--web.enable-lifecycle"]);
        let base = format!("http://{}", server.address);
        server.await_query("count(up == 1) >= 1 and on () ALERTS{alertstate='firing'}", |result| {
            result.as_array().is_some_and(|all| !all.is_empty()).then_some(())
        });
        Site { server, base, _target: target, _directory: directory }
    }

    fn page<'a>(&self, browser: &'a Browser, path: &str) -> Page<'a> {
        Page::open(browser, &self.base, path)
    }
}

/// Configuration, rules and an hour of history in a directory.
fn fixture(directory: &Path, target: &str) {
    let config = format!(
        r#"global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: demo
    static_configs: [{{targets: ['{target}']}}]
  - job_name: gone
    static_configs: [{{targets: ['127.0.0.1:1']}}]
  - job_name: chosen
    relabel_configs: [{{source_labels: [keep], regex: 'no', action: drop}}]
    static_configs:
      - {{targets: ['127.0.0.1:2'], labels: {{keep: 'no', zone: '<script>throw 9</script>'}}}}
      - {{targets: ['{target}'], labels: {{keep: 'yes', zone: '<script>throw 9</script>'}}}}
"#
    );
    std::fs::write(directory.join("prometheus.yml"), config).expect("writable");
    std::fs::write(directory.join("rules.yml"), RULES).expect("writable");
    std::fs::write(directory.join("history.om"), history()).expect("writable");
    let made = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .current_dir(directory)
        .args(["tsdb", "create-blocks-from", "openmetrics", "history.om", "data"])
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn page_of_target(n: u64) -> String {
    let mut page = String::from(
        "# HELP demo_requests_total Requests of the <b>demo</b>.\n# TYPE demo_requests_total counter\n",
    );
    for (i, text) in HOSTILE.iter().enumerate() {
        let label = text.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(page, "demo_requests_total{{path=\"{label}\",i=\"{i}\"}} {}", n * (i as u64 + 1))
            .expect("a String");
    }
    writeln!(page, "# TYPE demo_depth gauge\ndemo_depth {}", n % 7).expect("a String");
    page.push_str("# TYPE demo_latency_seconds histogram\n");
    for (le, share) in [("0.1", 2), ("0.5", 5), ("1", 8), ("+Inf", 10)] {
        writeln!(page, "demo_latency_seconds_bucket{{le=\"{le}\"}} {}", n * share).expect("a String");
    }
    writeln!(page, "demo_latency_seconds_sum {n}\ndemo_latency_seconds_count {}", n * 10).expect("a String");
    page
}

/// An hour of samples until two minutes ago: four counters, a gauge with a gap, buckets, 300 series.
fn history() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (start, end) = (now - 3600, now - 120);
    let mut text = String::from("# TYPE shop_orders counter\n");
    for (n, city) in ["Bern", "Lima", "Oslo", "Rome"].iter().enumerate() {
        for (i, at) in (start..end).step_by(15).enumerate() {
            writeln!(text, "shop_orders_total{{city=\"{city}\",job=\"shop\"}} {} {at}", (n + 1) * i * 3)
                .expect("a String");
        }
    }
    text.push_str("# TYPE shop_memory_bytes gauge\n");
    for (i, at) in (start..end).step_by(15).enumerate().filter(|(i, _)| !(80..120).contains(i)) {
        writeln!(text, "shop_memory_bytes{{job=\"shop\"}} {} {at}", 1 << 30 | (i % 50) << 20)
            .expect("a String");
    }
    text.push_str("# TYPE shop_wait_seconds histogram\n");
    for (le, share) in [("0.1", 1), ("0.5", 4), ("+Inf", 9)] {
        for (i, at) in (start..end).step_by(15).enumerate() {
            writeln!(text, "shop_wait_seconds_bucket{{job=\"shop\",le=\"{le}\"}} {} {at}", i * share)
                .expect("a String");
        }
    }
    text.push_str("# TYPE many gauge\n");
    for n in 0..300 {
        for at in (start..end).step_by(120) {
            writeln!(text, "many{{n=\"{n}\"}} {} {at}", (n * 7 + at) % 1000).expect("a String");
        }
    }
    text.push_str("# EOF\n");
    text
}

/// Every page with its heading.
pub const PAGES: [(&str, &str); 13] = [
    ("query", "Query"),
    ("metrics-explorer", "Metrics"),
    ("alerts", "Alerts"),
    ("rules", "Rules"),
    ("targets", "Targets"),
    ("service-discovery", "Service discovery"),
    ("relabel", "Relabelling"),
    ("queries", "Queries"),
    ("tsdb-status", "TSDB"),
    ("status", "Status"),
    ("flags", "Flags"),
    ("config", "Configuration"),
    ("alertmanager-discovery", "Alertmanagers"),
];

/// The query page with one panel.
pub fn panel(expr: &str, more: &str) -> String {
    format!("/query?g0.expr={}{more}", escape(expr))
}

/// A graph is there, and what the panel says belongs to it.
pub const PAINTED: &str = "document.querySelector('.chart')?.dataset.painted > 0 && document.querySelector('.panel-body[data-stale]') === null";

fn every_page(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/query");
    for (path, heading) in PAGES {
        page.go(&format!("/{path}"));
        assert_eq!(page.eval("document.querySelectorAll('h1').length"), json!(1), "{path}");
        assert_eq!(page.eval("document.querySelector('h1').textContent"), json!(heading));
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        assert_eq!(page.eval("document.querySelector('.note[data-kind=err]') !== null && !location.pathname.endsWith('rules')"), json!(false), "{path}");
        assert_eq!(page.complaints(), Vec::<String>::new(), "{path}");
        pictures(&page, path);
    }
    for (name, address) in [
        ("graph", panel("rate(shop_orders_total[5m])", "&g0.tab=graph&g0.range_input=1h")),
        (
            "heatmap",
            panel("sum by (le) (rate(shop_wait_seconds_bucket[5m]))", "&g0.tab=graph&g0.range_input=1h"),
        ),
        (
            "tree",
            panel(
                "sum by (city) (rate(shop_orders_total[5m])) / on () group_left () no_such",
                "&g0.view=tree",
            ),
        ),
        ("table", panel("shop_orders_total offset 10m", "")),
    ] {
        page.go(&address);
        page.wait("document.querySelector('.panel-bar .end').innerText.length > 3");
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        pictures(&page, name);
    }
}

/// A picture as the page stands, in the directory that `FERULA_SCREENSHOTS` names.
pub fn keep_picture(page: &Page<'_>, name: &str) {
    if let Some(directory) = std::env::var_os("FERULA_SCREENSHOTS") {
        page.screenshot(&Path::new(&directory).join(format!("{name}.png")));
    }
}

/// Pictures in both themes and two widths, in the directory that `FERULA_SCREENSHOTS` names.
fn pictures(page: &Page<'_>, name: &str) {
    if std::env::var_os("FERULA_SCREENSHOTS").is_none() {
        return;
    }
    for (theme, width) in [("light", 1400), ("dark", 1400), ("light", 360), ("dark", 360)] {
        page.prefer(theme);
        page.resize(width, 900);
        page.eval("new Promise(done => setTimeout(done, 250))");
        keep_picture(page, &format!("{name}-{theme}-{width}"));
    }
    page.resize(1400, 900);
    page.prefer("light");
}

fn redirects(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/");
    assert_eq!(page.eval("location.pathname"), json!("/query"));
    page.go("/graph?g0.expr=up&g0.tab=1");
    assert_eq!(page.eval("location.pathname"), json!("/query"));
    page.wait("document.querySelector('.instant tbody tr') !== null");
    assert_eq!(page.eval("document.querySelector('textarea').value"), json!("up"));
}

fn enter_runs(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/query");
    page.allow("parse_query");
    page.click("textarea");
    page.keys("count");
    page.key("Enter", 8);
    page.keys("(shop_orders_total offset 10m)");
    assert_eq!(
        page.eval("document.querySelector('textarea').value"),
        json!("count\n(shop_orders_total offset 10m)")
    );
    page.key("Enter", 0);
    page.wait("document.querySelector('.instant tbody tr') !== null");
    assert!(page.text(".instant tbody").contains('4'), "{}", page.text(".instant"));
    assert_eq!(
        page.eval("new URLSearchParams(location.search).get('g0.expr')"),
        json!("count\n(shop_orders_total offset 10m)")
    );
}

fn completion(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/query");
    page.allow("parse_query");
    page.click("textarea");
    page.keys("shop_ord");
    page.wait("document.querySelectorAll('.completions .option').length > 0 && !document.querySelector('.completions').hidden");
    assert_eq!(page.eval("document.querySelector('.completions [aria-selected=true]')"), json!(null));
    page.key("Enter", 0);
    assert_eq!(
        page.eval("document.querySelector('textarea').value"),
        json!("shop_ord"),
        "Enter must not complete"
    );
    page.wait("document.querySelector('.panel .empty') !== null");
    page.keys("e");
    page.wait("!document.querySelector('.completions').hidden");
    page.key("Tab", 0);
    assert_eq!(page.eval("document.querySelector('textarea').value"), json!("shop_orders_total"));
    page.keys("{ci");
    page.wait("!document.querySelector('.completions').hidden && document.querySelector('.completions').textContent.includes('city')");
    page.key("ArrowDown", 0);
    page.key("Enter", 0);
    page.keys("\"B");
    page.wait("!document.querySelector('.completions').hidden && document.querySelector('.completions').textContent.includes('Bern')");
    assert_eq!(
        page.eval("document.querySelector('.completions').textContent.includes('Oslo')"),
        json!(false),
        "narrowed"
    );
    page.key("Tab", 0);
    page.keys("}");
    assert_eq!(
        page.eval("document.querySelector('textarea').value"),
        json!("shop_orders_total{city=\"Bern\"}")
    );
}

fn mistake(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/query");
    page.allow("parse_query");
    page.allow("/api/v1/query");
    page.click("textarea");
    page.keys("sum(up");
    page.key("Escape", 0);
    page.wait("!document.querySelector('.problem').hidden");
    assert_eq!(page.text(".problem"), "1:7 unclosed left parenthesis");
    assert_eq!(page.eval("document.querySelector('textarea').getAttribute('aria-invalid')"), json!("true"));
    page.key("Enter", 0);
    page.wait("document.querySelector('.panel .note[data-kind=err]') !== null");
    assert_eq!(
        page.eval("document.querySelector('textarea').value"),
        json!("sum(up"),
        "what was typed stays"
    );
    page.keys(")");
    page.wait("document.querySelector('.problem').hidden");
}

fn graph(browser: &Browser, site: &Site) {
    let page = site.page(browser, &panel("rate(shop_orders_total[5m])", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
    page.wait("document.querySelectorAll('.legend tbody tr').length === 4");
    let [left, top, width, height] = page.rect(".plot-area");
    page.drag((left + width / 3.0, top + height / 2.0), (left + width / 3.0, top + height / 2.0));
    page.wait("!document.querySelector('.tooltip').hidden");
    assert!(page.text(".tooltip").contains("city=\""), "{}", page.text(".tooltip"));
    page.drag((left + width / 4.0, top + 20.0), (left + width / 2.0, top + 20.0));
    page.wait("new URLSearchParams(location.search).get('g0.range_input').startsWith('15m') || new URLSearchParams(location.search).get('g0.range_input').startsWith('14m')");
    assert_ne!(page.eval("new URLSearchParams(location.search).get('g0.end_input')"), json!(null));
    page.focus(".chart");
    page.key("Backspace", 0);
    page.wait("new URLSearchParams(location.search).get('g0.range_input') === '1h'");
    assert_eq!(page.eval("new URLSearchParams(location.search).get('g0.end_input')"), json!(null));
    // 300 series are painted into pixels instead of drawn as paths.
    page.go(&panel("many", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
    assert!(page.text(".panel").contains("300 series"));
    assert!(
        page.eval("document.querySelectorAll('*').length").as_u64() < Some(900),
        "rows out of view are not there"
    );
}

fn legend(browser: &Browser, site: &Site) {
    let page = site.page(browser, &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait("document.querySelectorAll('.legend tbody tr').length === 4");
    assert!(page.text(".common").contains("job=\"shop\""), "labels that all share stand once");
    let off = "document.querySelectorAll('.legend tr[data-off]').length";
    page.click(".legend tbody tr");
    page.wait(&format!("{off} === 3"));
    page.click(".legend tbody tr");
    page.wait(&format!("{off} === 0"));
    page.eval("document.querySelector('.legend tbody tr').dispatchEvent(new MouseEvent('click', { ctrlKey: true, bubbles: true }))");
    page.wait(&format!("{off} === 1"));
    page.press("Show all series");
    page.wait(&format!("{off} === 0"));
}

fn heatmap(browser: &Browser, site: &Site) {
    let page = site.page(
        browser,
        &panel("sum by (le) (rate(shop_wait_seconds_bucket[5m]))", "&g0.tab=graph&g0.range_input=1h"),
    );
    page.wait(PAINTED);
    page.wait("document.querySelector('.common').textContent.startsWith('Classic histogram')");
    page.enter("select[aria-label=\"Drawn as\"]", "lines");
    page.wait("document.querySelectorAll('.legend tbody tr').length === 3");
    assert_eq!(page.eval("new URLSearchParams(location.search).get('g0.display_mode')"), json!("lines"));
}

fn addresses(browser: &Browser, site: &Site) {
    let wanted = "g0.expr=up&g0.show_tree=0&g0.tab=graph&g0.end_input=2026-01-02+03%3A04%3A05&g0.moment_input=2026-01-02+03%3A04%3A05\
        &g0.range_input=1d12h&g0.res_type=fixed&g0.res_step=60&g0.display_mode=stacked&g0.y_axis_min=0&g0.show_exemplars=1\
        &g1.expr=vector%281%29&g1.show_tree=0&g1.tab=table&g1.range_input=1h&g1.res_type=auto&g1.res_density=medium&g1.show_exemplars=0";
    let page = site.page(browser, &format!("/query?{wanted}"));
    page.wait("document.querySelectorAll('.panel').length === 2");
    page.press("Run");
    page.wait("location.search.length > 0");
    assert_eq!(page.eval("location.search.slice(1)"), json!(wanted));
    // Numeric tabs, `stacked` and `step_input` come from older versions.
    page.go("/query?g0.expr=up&g0.tab=0&g0.stacked=1&g0.step_input=30&g0.range_input=30m&g2.expr=lost");
    page.wait(PAINTED);
    page.press("Run");
    assert_eq!(
        page.eval("location.search.slice(1)"),
        json!(
            "g0.expr=up&g0.show_tree=0&g0.tab=graph&g0.range_input=30m&g0.res_type=custom&g0.res_step=30&g0.display_mode=stacked&g0.show_exemplars=0"
        )
    );
}

fn back_and_forward(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/query");
    for query in ["vector(41)", "vector(42)"] {
        page.retype("textarea", query);
        page.key("Enter", 0);
        page.wait(&format!(
            "document.querySelector('.instant tbody')?.innerText.includes('{}')",
            &query[7..9]
        ));
    }
    page.eval("history.back()");
    page.wait("document.querySelector('.instant tbody')?.innerText.includes('41')");
    assert_eq!(page.eval("document.querySelector('textarea').value"), json!("vector(41)"));
    page.eval("history.forward()");
    page.wait("document.querySelector('.instant tbody')?.innerText.includes('42')");
    page.press("History");
    page.wait("document.querySelectorAll('dialog .history-list .option').length === 2");
}

fn panels(browser: &Browser, site: &Site) {
    let page = site.page(browser, &panel("vector(1)", ""));
    page.press("Add panel");
    page.wait("document.querySelectorAll('.panel').length === 2");
    page.click(".panel .menu button");
    page.press("Duplicate panel");
    page.wait("document.querySelectorAll('.panel').length === 3");
    let expressions = "JSON.stringify([...document.querySelectorAll('textarea')].map(t => t.value))";
    assert_eq!(page.eval(expressions), json!("[\"vector(1)\",\"vector(1)\",\"\"]"));
    page.eval("document.querySelectorAll('.panel')[2].querySelector('.menu button').click()");
    page.press("Move up");
    assert_eq!(page.eval(expressions), json!("[\"vector(1)\",\"\",\"vector(1)\"]"));
    page.click(".panel .menu button");
    page.press("Remove panel");
    page.wait("document.querySelectorAll('.panel').length === 2");
    assert_eq!(page.eval("new URLSearchParams(location.search).get('g1.expr')"), json!("vector(1)"));
}

fn table(browser: &Browser, site: &Site) {
    let page = site.page(browser, &panel("shop_orders_total offset 10m", ""));
    page.wait("document.querySelectorAll('.instant tbody tr').length === 4");
    let cities = "JSON.stringify([...document.querySelectorAll('.instant tbody tr')].map(r => r.innerText.split('\\t')[1]))";
    page.press("Value");
    assert_eq!(page.eval(cities), json!("[\"Rome\",\"Oslo\",\"Lima\",\"Bern\"]"));
    page.press("city");
    assert_eq!(page.eval(cities), json!("[\"Bern\",\"Lima\",\"Oslo\",\"Rome\"]"));
    assert_eq!(
        page.eval("document.querySelector('th[aria-sort=ascending]').innerText.trim()"),
        json!("city")
    );
    page.click(".panel input[type=search]");
    page.keys("li");
    page.wait("document.querySelectorAll('.instant tbody tr').length === 1");
    assert!(page.text(".instant tbody").contains("Lima"));
}

fn raw(browser: &Browser, site: &Site) {
    let page = site.page(browser, &panel("shop_memory_bytes", "&g0.view=raw&g0.range_input=1h"));
    page.wait("document.querySelectorAll('.panel tbody tr').length > 1");
    let row = page.text(".panel tbody");
    assert!(row.contains("15 s") && row.contains("10m 15s"), "spacing and the longest gap: {row}");
}

fn tree(browser: &Browser, site: &Site) {
    let page = site.page(
        browser,
        &panel(
            "sum by (city) (rate(shop_orders_total{city!=\"Rome\"}[5m])) / on () no_such",
            "&g0.view=tree",
        ),
    );
    page.wait("document.querySelector('.panel-bar .end').innerText.startsWith('5 parts')");
    let text = page.text(".tree");
    assert!(text.contains("no_such") && text.contains("0 series"), "{text}");
    assert_eq!(page.eval("document.querySelectorAll('.part[data-empty]').length"), json!(2), "{text}");
    assert_eq!(page.eval("document.querySelectorAll('.tree li li li li').length"), json!(1), "{text}");
    page.eval("document.querySelectorAll('.part')[1].querySelector('button.link').click()");
    page.wait("document.querySelector('textarea').value.startsWith('sum by') && document.querySelectorAll('.part').length === 3");
}

fn explain(browser: &Browser, site: &Site) {
    let page =
        site.page(browser, &panel("up * on (job) group_left (keep) count by (job) (up)", "&g0.tab=explain"));
    page.wait("document.querySelector('.explain table') !== null");
    let text = page.text(".explain");
    assert!(text.contains("partners have the same job") && text.contains("matched"), "{text}");
    assert!(text.contains("count counts the series for each value of job"), "{text}");
}

fn empty(browser: &Browser, site: &Site) {
    let page = site.page(browser, &panel("rate(no_such_metric[5m])", ""));
    page.wait(
        "document.querySelector('.empty')?.textContent === 'No data: there is no metric no_such_metric.'",
    );
    page.go(&panel("up{job=\"nobody\"}", ""));
    page.wait("document.querySelector('.empty')?.textContent === 'No data: up exists, but no series matches {job=\"nobody\"}.'");
}

fn alerts(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/alerts");
    page.wait("document.querySelectorAll('tbody tr').length >= 2");
    assert!(page.text("tbody tr").contains("AlwaysOn"), "what fires stands first");
    assert!(page.rect("tbody tr")[3] <= 28.0, "an alert is a line");
    page.press("AlwaysOn");
    page.wait("document.querySelector('tr.detail') !== null");
    let detail = page.text("tr.detail");
    assert!(detail.contains("<script>throw 7</script>") && detail.contains("vector(1)"), "{detail}");
    assert_eq!(page.eval("document.querySelector('tr.detail a[href^=javascript]')"), json!(null));
    assert_eq!(page.eval("document.querySelector('tr.detail a').rel"), json!("noopener noreferrer"));
    page.click("[aria-label=State] button:nth-child(2)");
    page.wait("new URLSearchParams(location.search).get('state') === 'pending'");
    assert!(!page.text("main").contains("AlwaysOn"));
    page.go("/alerts?state=inactive&search=never");
    page.wait("document.querySelectorAll('tbody tr').length === 1");
    page.go("/alerts?group=severity");
    page.wait("document.querySelectorAll('.section').length === 2");
}

fn rules(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/rules?health=err");
    page.wait("document.querySelector('.note[data-kind=err]')?.textContent.includes('many-to-many')");
    assert!(!page.text("main").contains("AlwaysOn"));
    page.go("/rules?search=job:up");
    page.wait("document.querySelectorAll('tbody tr').length === 1");
    page.press("graph");
    page.wait("location.pathname === '/query'");
    page.wait(PAINTED);
}

fn targets(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/targets?health=down");
    page.wait("document.querySelectorAll('tbody tr').length === 1");
    assert!(page.text("tbody").contains("connection refused"), "{}", page.text("tbody"));
    page.go("/targets?pool=chosen");
    page.wait("document.querySelectorAll('tbody tr').length === 1");
    assert!(page.text("tbody").contains("zone=\"<script>throw 9</script>\""));
    page.press("Scrape configuration");
    page.wait("document.querySelector('dialog .yaml')?.innerText.includes('job_name: chosen')");
}

fn discovery(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/service-discovery?state=dropped");
    page.wait("document.querySelectorAll('tbody tr').length === 1");
    page.press("Which rule?");
    page.wait("document.querySelector('tbody').innerText.includes('dropped by drop [keep] =~ \"no\"')");
    page.press("steps");
    page.wait("document.querySelector('dialog tbody').innerText.includes('drops the target')");
}

fn delete(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/tsdb-status");
    page.press("Delete series…");
    page.click("dialog input[aria-label=Selector]");
    page.keys("many{n=\"299\"}");
    page.press("Show what would go");
    page.wait("document.querySelector('dialog .note')?.textContent.startsWith('1 series')");
    let disabled =
        "[...document.querySelectorAll('dialog button')].find(b => b.innerText === 'Delete').disabled";
    assert_eq!(page.eval(disabled), json!(true));
    page.click("dialog input[aria-label='The selector again']");
    page.keys("many{n=\"29");
    assert_eq!(page.eval(disabled), json!(true));
    page.keys("9\"}");
    assert_eq!(page.eval(disabled), json!(false));
    page.press("Delete");
    page.wait("document.querySelector('dialog .note[data-kind=ok]') !== null");
    let (_, left) = site.server.get("/api/v1/query?query=count(many%20offset%2010m)");
    assert!(left.contains("\"299\""), "{left}");
}

fn metrics(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/metrics-explorer?search=demo%20request");
    page.wait("document.querySelectorAll('tbody tr').length === 1");
    page.press("demo_requests_total");
    page.wait("document.querySelectorAll('.columns > div:last-child tbody tr').length >= 3");
    assert!(page.text("main").contains("Requests of the <b>demo</b>."));
}

fn hostile_text(browser: &Browser, site: &Site) {
    let page = site.page(browser, &panel("demo_requests_total", ""));
    page.wait("document.querySelectorAll('.instant tbody tr').length >= 6");
    let text = page.text(".instant");
    for hostile in &HOSTILE[..5] {
        assert!(text.contains(hostile), "{hostile} is not shown as it is");
    }
    assert!(text.contains("\\u202eturned\\u0007"), "characters that cannot be seen are written out");
    for more in ["&g0.tab=graph&g0.range_input=1m", "&g0.view=raw", "&g0.tab=explain"] {
        page.go(&panel("demo_requests_total", more));
        page.wait("document.querySelector('.panel-bar .end').innerText.length > 3");
        assert_eq!(
            page.eval("document.querySelectorAll('main script, main img, main svg').length"),
            json!(0)
        );
    }
    let title = format!("/query?g0.expr={}", escape("<img src=x onerror=throw(1)>"));
    let mut page = site.page(browser, "/query");
    page.allow("parse_query");
    page.allow("/api/v1/query");
    page.go(&title);
    page.wait("document.querySelector('.panel .note[data-kind=err]') !== null");
    assert_eq!(page.eval("document.querySelectorAll('main img').length"), json!(0));
}

fn keys(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/flags");
    page.wait("document.querySelectorAll('tbody tr').length > 10");
    page.blur();
    page.keys("ga");
    page.wait("location.pathname === '/alerts' && document.querySelector('h1').textContent === 'Alerts'");
    page.keys("?");
    page.wait("document.querySelector('dialog')?.innerText.includes('run the query')");
    page.key("Escape", 0);
    page.wait("document.querySelector('dialog') === null");
    page.key("k", 2);
    page.wait("document.querySelector('dialog [role=option]') !== null");
    page.keys("shop_ord");
    page.wait("document.querySelector('dialog [role=option]')?.textContent.includes('shop_orders_total')");
    page.key("Enter", 0);
    page.wait(
        "location.pathname === '/query' && document.querySelector('textarea')?.value === 'shop_orders_total'",
    );
    page.wait(PAINTED);
    page.focus(".chart");
    page.key("ArrowRight", 0);
    page.wait("!document.querySelector('.tooltip').hidden");
}

fn names(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/query");
    for (path, _) in PAGES {
        page.go(&format!("/{path}"));
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        assert_eq!(page.unnamed_controls(), Vec::<String>::new(), "{path}");
        assert_eq!(
            page.eval(
                "document.querySelectorAll('[tabindex]:not([tabindex=\"0\"]):not([tabindex=\"-1\"])').length"
            ),
            json!(0)
        );
    }
    page.go(&panel("shop_orders_total", "&g0.tab=graph"));
    page.wait(PAINTED);
    assert_eq!(page.unnamed_controls(), Vec::<String>::new(), "the graph");
}

fn narrow(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/query");
    page.resize(360, 800);
    for path in PAGES
        .map(|(path, _)| format!("/{path}"))
        .into_iter()
        .chain([panel("rate(shop_orders_total[5m])", "&g0.tab=graph")])
    {
        page.go(&path);
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        let over = page.eval("document.documentElement.scrollWidth - innerWidth");
        assert!(over.as_i64() <= Some(0), "{path} is {over} px too wide");
    }
}

/// The lowest contrast of any text on the page, from the colours that the browser computed.
pub const CONTRAST: &str = r"(() => {
    const luminance = ([r, g, b]) => { const f = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
    const parse = text => { const n = text.match(/[\d.]+/g).map(Number); return n.length > 3 && n[3] === 0 ? null : n; };
    const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c) return c; } return parse(getComputedStyle(document.documentElement).backgroundColor); };
    let worst = [99, ''];
    for (const e of document.querySelectorAll('body *')) {
        if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility() || e.closest('[aria-hidden], .unseen, textarea, [disabled], option, [data-off]')) continue;
        const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(ground(e))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < worst[0]) worst = [ratio, e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40)];
    }
    return worst;
})()";

fn contrast(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/query");
    for theme in ["light", "dark"] {
        page.prefer(theme);
        for path in PAGES
            .map(|(path, _)| format!("/{path}"))
            .into_iter()
            .chain([panel("shop_orders_total", "&g0.tab=graph")])
        {
            page.go(&path);
            page.wait("document.querySelector('.loading').dataset.on === undefined");
            let worst = page.eval(CONTRAST);
            assert!(worst[0].as_f64() >= Some(4.5), "{theme} {path}: {worst}");
        }
    }
}

fn below_paths(browser: &Browser, site: &Site) {
    let try_all = |base: &str, prefix: &str| {
        let page = Page::open(browser, base, &format!("{prefix}/query?g0.expr=vector(7)&g0.tab=graph"));
        page.wait(PAINTED);
        page.go(&format!("{prefix}/targets"));
        page.press("Rules");
        page.wait("document.querySelector('h1')?.textContent === 'Rules'");
        assert_eq!(page.eval("location.pathname"), json!(format!("{prefix}/rules")));
        page.go(&format!("{prefix}/rules"));
    };
    let through = proxy::start(&site.server.address, "/deep/er");
    try_all(&format!("http://{through}"), "/deep/er");
    for (arguments, prefix) in [
        (["--web.external-url=http://h/a/b", "--web.route-prefix=/"].as_slice(), ""),
        (["--web.external-url=http://h/a/b"].as_slice(), "/a/b"),
        (["--web.route-prefix=/x"].as_slice(), "/x"),
        (["--web.external-url=http://h/a", "--web.route-prefix=/x"].as_slice(), "/x"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::start(directory.path(), arguments);
        try_all(&format!("http://{}", server.address), prefix);
    }
}

fn first_visit(browser: &Browser, site: &Site) {
    for (path, kib_max) in
        [("/query".to_owned(), 45), (panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"), 60)]
    {
        let between = PlayedProxy::start(&site.server.address);
        let page = Page::open(browser, &format!("http://{}", between.address), &path);
        if path.contains("graph") {
            page.wait(PAINTED);
        }
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        let files: Vec<(String, u64)> =
            between.passed().into_iter().filter(|(path, _)| !path.contains("/api/")).collect();
        let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        assert!(files.len() > 15, "{files:?}");
        assert!(bytes <= kib_max * 1024, "{path}: {bytes} bytes in {} files: {files:?}", files.len());
    }
}

fn cache(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/query");
    page.complaints();
    let before = page.take_events().len();
    page.go("/query?again=1");
    page.complaints();
    let fetched: Vec<_> = page.take_events()[before..]
        .iter()
        .filter(|event| event["method"] == "Network.responseReceived")
        .map(|event| &event["params"]["response"])
        .filter(|response| response["url"].as_str().is_some_and(|url| url.contains("/assets/")))
        .filter(|response| response["fromDiskCache"] != json!(true))
        .map(|response| response["url"].clone())
        .collect();
    // Chromium does not report the source of modules that it still has in memory.
    let sent = page.eval("performance.getEntriesByType('resource').filter(r => r.name.includes('/assets/')).reduce((sum, r) => sum + r.transferSize, 0)");
    assert_eq!(sent, json!(0), "{fetched:?}");
}

fn memory(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/query");
    let used = |page: &Page| {
        page.call("HeapProfiler.collectGarbage", json!({}));
        page.call("Runtime.getHeapUsage", json!({}))["usedSize"].as_f64().unwrap_or(0.0)
    };
    let round = |page: &Page| {
        page.eval("document.querySelector('.nav a[href=targets]').click()");
        page.wait("document.querySelector('h1')?.textContent === 'Targets'");
        page.eval("document.querySelector('.nav a[href=query]').click()");
        page.wait("document.querySelector('textarea') !== null");
        page.click("textarea");
        page.keys("many");
        page.eval("document.querySelector('[data-tab=graph]').click()");
        page.key("Enter", 0);
        page.wait(PAINTED);
    };
    // What the browser compiles and caches at first is not the page's.
    (0..10).for_each(|_| round(&page));
    let before = used(&page);
    (0..10).for_each(|_| round(&page));
    let after = used(&page);
    assert!(after < before * 1.2 + 256.0 * 1024.0, "{before} bytes became {after}");
}

fn stop(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/query");
    page.allow("parse_query");
    page.focus("textarea");
    page.keys("sum(sum_over_time((many * on () group_left () vector(1))[50m:1ms]))");
    page.key("Escape", 0);
    page.key("Enter", 0);
    page.wait("[...document.querySelectorAll('button')].some(b => b.innerText === 'Stop') || document.querySelector('.panel-bar .end').innerText !== ''");
    page.focus("textarea");
    page.key("Escape", 0);
    page.wait("document.querySelector('.panel-bar .end').innerText === 'Stopped.'");
    assert_eq!(
        page.eval("[...document.querySelectorAll('button')].some(b => b.innerText === 'Run')"),
        json!(true)
    );
    // The query has ended on the server too.
    let running = || {
        site.server
            .get("/metrics")
            .1
            .lines()
            .find(|line| line.starts_with("prometheus_engine_queries "))
            .map(str::to_owned)
    };
    let deadline = Instant::now() + PATIENCE;
    while running().as_deref() != Some("prometheus_engine_queries 0") {
        assert!(Instant::now() < deadline, "the query is still running: {:?}", running());
        std::thread::yield_now();
    }
}

fn queries(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/queries");
    page.allow("/api/v1/query");
    page.eval("(window.slow = fetch('api/v1/query?query=' + encodeURIComponent('sum(sum_over_time((many * on () group_left () vector(1))[50m:1ms]))')).then(r => r.json()), 0)");
    page.wait("[...document.querySelectorAll('button')].some(b => b.innerText === 'Stop')");
    assert!(page.text("main").contains("[50m:1ms]") && page.text("main").contains("127.0.0.1"));
    page.press("Stop");
    assert_eq!(page.eval("window.slow.then(answer => answer.errorType)"), json!("canceled"));
    page.wait("![...document.querySelectorAll('button')].some(b => b.innerText === 'Stop')");
    // The query is in the list of the slowest.
    page.blur();
    page.keys("r");
    page.wait("document.querySelector('section[aria-label=\"Most time in all\"] tbody')?.innerText.includes('[50m:1ms]')");
}

fn relabel(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/relabel?pool=demo&search=requests");
    page.allow("scrape_preview");
    page.wait("document.querySelectorAll('section tbody tr').length === 6");
    assert!(page.text("section tbody").contains("<script>throw 1</script>"));
    page.retype(
        "textarea[aria-label=metric_relabel_configs]",
        "- {source_labels: [i], regex: '[1-9]', action: drop}",
    );
    page.key("Enter", 0);
    page.keys("- {regex: path, action: labeldrop}");
    page.press("Try these rules");
    page.wait(
        "[...document.querySelectorAll('button')].some(b => b.innerText.replace(/\\s+/g, '') === 'Dropped5')",
    );
    let text = page.text("section tbody");
    assert!(text.contains("dropped by rule 1") && text.contains("rule 2"), "{text}");
    // The configuration is unchanged, and errors are shown.
    assert!(!site.server.get("/api/v1/status/config").1.contains("labeldrop"));
    page.retype("textarea[aria-label=metric_relabel_configs]", "- {action: fly}");
    page.press("Try these rules");
    page.wait("document.querySelector('section .note[data-kind=err]')?.innerText.includes('fly')");
    page.press("Try");
    page.wait("document.querySelector('section[aria-label=\"Rules on labels\"] tbody')?.innerText.includes('host=\"10.0.0.5\"')");
}

fn hints(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, &panel("demo_requests_total", ""));
    page.allow("/api/v1/query");
    page.press("Use rate(demo_requests_total[5m])");
    page.wait("document.querySelector('textarea').value === 'rate(demo_requests_total[5m])'");
    page.go(&panel("shop_orders_total{city=\"Rom\"}", ""));
    page.press("Use \"Rome\"");
    page.wait("document.querySelector('textarea').value === 'shop_orders_total{city=\"Rome\"}'");
    // Each mistake, the words that name it, and what a click makes of it.
    for (query, words, button, fixed) in [
        ("rate(demo_depth[5m])", "is a gauge", "Use deriv", "deriv(demo_depth[5m])"),
        (
            "rate(sum(demo_requests_total)[5m:])",
            "",
            "Use sum (rate(demo_requests_total[5m]))",
            "sum (rate(demo_requests_total[5m]))",
        ),
        ("rate(demo_requests_total[1s])", "scrape", "Use [", "rate(demo_requests_total["),
        (
            "histogram_quantile(0.9, sum by (job) (rate(demo_latency_seconds_bucket[5m])))",
            "le",
            "Keep le",
            "histogram_quantile(0.9, sum by (le, job) (rate(demo_latency_seconds_bucket[5m])))",
        ),
        (
            "demo_request_total",
            "There is no metric demo_request_total",
            "Use demo_requests_total",
            "demo_requests_total",
        ),
    ] {
        page.go(&panel(query, ""));
        let of_hint = format!(
            "[...document.querySelectorAll('.panel .note[data-kind=info]')].find(n => n.innerText.includes({})) && [...document.querySelectorAll('.panel .note button')].find(b => b.innerText.startsWith({}))",
            json!(words),
            json!(button)
        );
        page.wait(&format!(
            "(() => {{ const b = {of_hint}; if (!b) return false; b.click(); return true; }})()"
        ));
        page.wait(&format!("document.querySelector('textarea').value.startsWith({})", json!(fixed)));
    }
}

fn backtest(browser: &Browser, site: &Site) {
    let mut page = site.page(browser, "/rules?search=Never");
    page.allow("ferula/backtest");
    page.press("backtest");
    page.wait("document.querySelector('dialog .empty')?.textContent === 'Nothing would have been pending or firing.'");
    page.retype("dialog textarea", "shop_orders_total > 300");
    page.key("Escape", 0);
    page.eval("document.querySelector('dialog input[aria-label=for]').value = '5m'");
    page.press("Run");
    page.wait("document.querySelectorAll('dialog tbody tr').length === 4");
    let text = page.text("dialog");
    assert!(text.contains("Fired 4 times") && text.contains("city=\"Rome\""), "{text}");
    assert_eq!(page.eval("document.querySelectorAll('dialog .strip i[data-s=firing]').length"), json!(4));
    let (_, rules) = site.server.get("/api/v1/rules");
    assert!(!rules.contains("300"), "nothing is saved");
}

fn cardinality(browser: &Browser, site: &Site) {
    let page = site.page(browser, "/tsdb-status?match={job%3D%22demo%22}&focus=le");
    page.wait(
        "[...document.querySelectorAll('h2')].some(h => h.textContent === 'Series for each value of le')",
    );
    let text = page.text("main");
    assert!(text.contains("match the selector"), "{text}");
    assert_eq!(page.eval("[...document.querySelectorAll('section')].find(s => s.innerText.startsWith('Series for each value of le')).querySelectorAll('tbody tr').length"), json!(4));
    assert!(!page.text("section").contains("ALERTS"), "only what the selector chooses");
}

fn notifications(browser: &Browser, site: &Site) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("prometheus.yml"), "global: {}\n").expect("writable");
    let server = Server::start(directory.path(), &["--web.enable-lifecycle"]);
    let mut page = Page::open(browser, &format!("http://{}", server.address), "/flags");
    page.allow("/-/reload");
    let told = "document.querySelector('[aria-label=\"1 notification\"]') !== null";
    page.wait("document.querySelectorAll('tbody tr').length > 10");
    assert_eq!(page.eval(told), json!(false));
    std::fs::write(directory.path().join("prometheus.yml"), "global: [\n").expect("writable");
    page.eval("fetch('-/reload', { method: 'POST' }).then(() => 0)");
    page.wait(told);
    std::fs::write(directory.path().join("prometheus.yml"), "global: {}\n").expect("writable");
    page.eval("fetch('-/reload', { method: 'POST' }).then(() => 0)");
    page.wait(&format!("!({told})"));
    let _ = site;
}
