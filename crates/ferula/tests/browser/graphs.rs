//! Graphs: heatmaps, exemplars, the axis, zoom, tooltips, legend and colours.

use std::fmt::Write;

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::common::{Server, Target};
use crate::page::Page;
use crate::stories::{PAINTED, Site, panel};

pub const TESTS: &[Test] = &[
    ("native_histograms_are_drawn_as_a_heatmap_and_in_tables", native),
    ("exemplars_are_marks_with_labels_and_a_trace_link", exemplars),
    ("the_axis_is_linear_or_logarithmic_from_zero_or_fixed", axis),
    ("units_come_from_name_and_metadata", units),
    ("gaps_stay_gaps_and_lone_points_are_dots", gaps),
    ("a_tooltip_is_pinned_and_its_text_copied", tooltip),
    ("the_legend_is_a_table_that_sorts", legend),
    ("a_series_keeps_its_colour_over_refreshes_panels_and_themes", colours),
    ("a_graph_has_a_summary_and_its_numbers_as_a_table", numbers),
    ("lines_can_be_stacked_steps_or_points_and_compared_with_the_day_before", looks),
    ("crosshair_and_zoom_are_linked_unless_unlinked", linked),
];

/// A server with exemplars and native histograms that are made of classic ones.
struct Traced {
    base: String,
    _server: Server,
    _target: Target,
    _directory: tempfile::TempDir,
}

impl Traced {
    fn start() -> Traced {
        let directory = tempfile::tempdir().expect("a directory");
        let target = Target::start(traced_page);
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: traced\n    static_configs: [{{targets: ['{0}']}}]\n  \
             - job_name: native\n    convert_classic_histograms_to_nhcb: true\n    static_configs: [{{targets: ['{0}']}}]\n",
            target.address
        );
        std::fs::write(directory.path().join("prometheus.yml"), config).expect("writable");
        let server = Server::start(directory.path(), &["--enable-feature=exemplar-storage"]);
        server.await_query("count_over_time(traced_seconds_count[1m]) > 4", |result| {
            result.as_array().is_some_and(|all| !all.is_empty()).then_some(())
        });
        let base = format!("http://{}", server.address);
        Traced { base, _server: server, _target: target, _directory: directory }
    }
}

fn traced_page(n: u64) -> String {
    let mut page = String::from("# TYPE traced_seconds histogram\n# UNIT traced_seconds seconds\n");
    for (le, share) in [("0.1", 2), ("0.5", 5), ("1.0", 8), ("+Inf", 10)] {
        let labels = "trace_id=\"4bf92f3577b34da6\",note=\"<b>javascript:throw(1)</b>\"";
        writeln!(page, "traced_seconds_bucket{{le=\"{le}\"}} {} # {{{labels}}} 0.3", n * share)
            .expect("a String");
    }
    writeln!(page, "traced_seconds_sum {n}\ntraced_seconds_count {}\n# EOF", n * 10).expect("a String");
    page
}

fn native(browser: &Browser, _: &Site) {
    let traced = Traced::start();
    let page = Page::open(browser, &traced.base, &panel("traced_seconds", "&g0.tab=graph&g0.range_input=1m"));
    page.wait(PAINTED);
    page.wait("document.querySelector('.common').textContent.startsWith('Native histograms')");
    // The plot has cells of the strongest colour, and none of the colours of lines.
    let [left, top, width, height] = page.rect(".plot-area");
    page.drag((left + width * 0.98, top + height * 0.4), (left + width * 0.98, top + height * 0.4));
    page.wait("document.querySelector('.tooltip')?.innerText.includes('…')");
    page.go(&panel("traced_seconds", "&g0.tab=table"));
    page.wait("document.querySelectorAll('.instant .hist i').length >= 3");
    assert!(page.text(".instant").contains("count "), "{}", page.text(".instant"));
    assert!(
        page.eval("document.querySelector('.hist').title")
            .as_str()
            .is_some_and(|text| text.contains("(0.1, 0.5]"))
    );
    page.go(&panel("traced_seconds", "&g0.view=raw&g0.range_input=1m"));
    page.wait("document.querySelectorAll('.virtual .hist').length > 1");
}

fn exemplars(browser: &Browser, _: &Site) {
    let traced = Traced::start();
    let query = "rate(traced_seconds_bucket{le=\"0.5\"}[10s])";
    let page = Page::open(
        browser,
        &traced.base,
        &panel(query, "&g0.tab=graph&g0.range_input=1m&g0.show_exemplars=1&g0.y_axis_min=0&g0.y_axis_max=10"),
    );
    page.wait(PAINTED);
    page.eval("localStorage.setItem('ferula.traceLink', JSON.stringify('https://tempo.example/trace/{}'))");
    page.go(&panel(
        query,
        "&g0.tab=graph&g0.range_input=1m&g0.show_exemplars=1&g0.y_axis_min=0&g0.y_axis_max=10",
    ));
    page.wait(PAINTED);
    page.wait("Number(document.querySelector('.chart').dataset.exemplars) > 0");
    let at: (f64, f64) = serde_json::from_value(
        page.eval("JSON.parse(document.querySelector('.chart').dataset.lastExemplar)"),
    )
    .expect("a place");
    let [left, top, ..] = page.rect(".chart");
    page.drag((left + at.0, top + at.1), (left + at.0, top + at.1));
    page.wait("document.querySelector('.tooltip')?.innerText.includes('Exemplar')");
    page.click_at(left + at.0, top + at.1);
    page.wait("document.querySelector('.tooltip[data-pinned]') !== null");
    assert_eq!(
        page.eval("document.querySelector('.tooltip a').href"),
        json!("https://tempo.example/trace/4bf92f3577b34da6")
    );
    let text = page.text(".tooltip");
    assert!(text.contains("<b>javascript:throw(1)</b>") && text.contains("le=\"0.5\""), "{text}");
    assert_eq!(page.eval("document.querySelectorAll('.tooltip a').length"), json!(1));
}

/// The texts beside the axis are painted; what they were is kept for tests and for screen readers' summary.
const TICKS: &str = "document.querySelector('.chart').dataset.ticks";

fn axis(browser: &Browser, site: &Site) {
    let page =
        Page::open(browser, &site.base, &panel("shop_orders_total + 10", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
    page.click(".menu button.axis");
    page.wait("document.querySelectorAll('.popup input').length === 4");
    page.click(".popup input[type=checkbox]");
    page.wait("new URLSearchParams(location.search).get('g0.log') === '1'");
    page.wait(&format!("{TICKS}.split('|').join(' ').includes('10 100 1k')"));
    page.go(&panel(
        "shop_orders_total + 10",
        "&g0.tab=graph&g0.range_input=1h&g0.y_axis_min=0&g0.y_axis_max=4000",
    ));
    page.wait(PAINTED);
    page.wait(&format!("{TICKS}.startsWith('0|') && {TICKS}.endsWith('4k')"));
    page.click(".menu button.axis");
    page.wait("document.querySelector('input[aria-label=Highest]')?.value === '4000'");
    page.enter("input[aria-label=Highest]", "x");
    assert_eq!(
        page.eval("document.querySelector('input[aria-label=Highest]').getAttribute('aria-invalid')"),
        json!("true")
    );
}

fn units(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    for (query, unit) in [
        ("shop_memory_bytes", "GiB"),
        ("rate(shop_memory_bytes[5m])", "B/s"),
        ("histogram_quantile(0.5, sum by (le) (rate(shop_wait_seconds_bucket[5m])))", " ms"),
        ("shop_memory_bytes / 3e9", ""),
    ] {
        page.go(&panel(query, "&g0.tab=graph&g0.range_input=1h"));
        page.wait(PAINTED);
        let ticks = page.eval(TICKS);
        let ticks = ticks.as_str().unwrap_or("");
        assert!(ticks.contains(unit) && (!unit.is_empty() || !ticks.contains('B')), "{query}: {ticks}");
    }
}

fn gaps(browser: &Browser, site: &Site) {
    // A tenth of the hour has no samples: there the picture has no ink.
    let page =
        Page::open(browser, &site.base, &panel("shop_memory_bytes", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
    let inked = page.eval(
        "(async () => { const plot = document.querySelectorAll('.chart canvas')[1]; const c = document.createElement('canvas'); c.width = plot.width; c.height = plot.height; \
         const x = c.getContext('2d'); x.drawImage(plot, 0, 0); const { data } = x.getImageData(0, 0, c.width, c.height); let columns = []; \
         for (let i = 0; i < c.width; i++) { let ink = 0; for (let j = 0; j < c.height; j++) if (data[4 * (j * c.width + i) + 3] > 0) ink++; columns.push(ink > 0); } \
         let runs = 0; let gap = 0; let longest = 0; for (let i = 1; i < columns.length; i++) { if (columns[i] && !columns[i - 1]) runs++; gap = columns[i] ? 0 : gap + 1; if (runs + (columns[0] ? 1 : 0) === 1) longest = Math.max(longest, gap); } \
         return [runs + (columns[0] ? 1 : 0), longest / c.width]; })()",
    );
    assert_eq!(inked[0], json!(2), "two pieces of a line: {inked}");
    assert!(inked[1].as_f64() > Some(0.05), "{inked}");
    page.go(&panel(
        "shop_memory_bytes and on () (vector(time()) % 600 < 60)",
        "&g0.tab=graph&g0.range_input=1h&g0.res_type=fixed&g0.res_step=60",
    ));
    page.wait(PAINTED);
    page.wait("document.querySelectorAll('.legend tbody tr').length === 1");
}

fn tooltip(browser: &Browser, site: &Site) {
    let page =
        Page::open(browser, &site.base, &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
    let [left, top, width, height] = page.rect(".plot-area");
    let at = (left + width / 3.0, top + height / 2.0);
    page.drag(at, at);
    page.wait("!document.querySelector('.tooltip').hidden");
    page.click_at(at.0, at.1);
    page.wait("document.querySelector('.tooltip[data-pinned]') !== null");
    let text = page.text(".tip-text");
    // It stays where it is, whatever the pointer does, and its text can be selected.
    page.drag((at.0 + 90.0, at.1), (at.0 + 90.0, at.1));
    assert_eq!(page.text(".tip-text"), text);
    assert_ne!(page.eval("getComputedStyle(document.querySelector('.tooltip')).userSelect"), json!("none"));
    page.press("Copy");
    page.wait("document.querySelector('.toast')?.textContent === 'Copied'");
    assert!(page.pasted().contains("city=\""), "{}", page.pasted());
    page.press("Only this series");
    page.wait("document.querySelectorAll('.legend tr[data-off]').length === 3");
    page.focus(".chart");
    page.key("ArrowRight", 0);
    page.wait("!document.querySelector('.tooltip').hidden");
    page.key("Enter", 0);
    page.wait("document.querySelector('.tooltip[data-pinned]') !== null");
    page.key("Escape", 0);
    page.wait("document.querySelector('.tooltip').hidden");
}

fn legend(browser: &Browser, site: &Site) {
    let page =
        Page::open(browser, &site.base, &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait("document.querySelectorAll('.legend tbody tr').length === 4");
    let column = |n: usize| {
        page.eval(&format!("JSON.stringify([...document.querySelectorAll('.legend tbody tr')].map(r => r.cells[{n}].innerText.trim()))"))
    };
    assert_eq!(
        page.eval("JSON.stringify([...document.querySelectorAll('.legend th')].map(h => h.innerText.replace(/[^a-zA-Z]/g, '')))"),
        json!("[\"city\",\"Last\",\"Min\",\"Max\",\"Mean\"]")
    );
    assert_eq!(column(0), json!("[\"Rome\",\"Oslo\",\"Lima\",\"Bern\"]"), "by the last value");
    page.press("city");
    assert_eq!(column(0), json!("[\"Bern\",\"Lima\",\"Oslo\",\"Rome\"]"));
    page.press("Mean");
    assert_eq!(column(0), json!("[\"Rome\",\"Oslo\",\"Lima\",\"Bern\"]"));
    assert_eq!(
        page.eval("document.querySelector('.legend th[aria-sort=descending]').innerText.includes('Mean')"),
        json!(true)
    );
    // With the keyboard as well.
    page.focus(".legend tbody tr");
    page.key("Enter", 0);
    page.wait("document.querySelectorAll('.legend tr[data-off]').length === 3");
}

fn colours(browser: &Browser, site: &Site) {
    let page =
        Page::open(browser, &site.base, &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait("document.querySelectorAll('.legend tbody tr').length === 4");
    let colours = |panel: usize| {
        page.eval(&format!(
            "JSON.stringify([...document.querySelectorAll('.panel')[{panel}].querySelectorAll('.legend tbody tr')].map(r => [r.innerText.split('\\t')[0].trim(), r.querySelector('.swatch').style.color, r.querySelector('.swatch').dataset.dash]).sort())"
        ))
    };
    let before = colours(0);
    let list: Vec<(String, String, String)> =
        serde_json::from_str(before.as_str().unwrap_or("[]")).expect("a list");
    let mut different: Vec<_> = list.iter().map(|(_, colour, dash)| (colour, dash)).collect();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 4, "four series, four looks: {list:?}");
    page.blur();
    page.repaints(|page| page.keys("r"));
    assert_eq!(colours(0), before, "after a refresh");
    page.prefer("dark");
    page.wait("document.querySelectorAll('.legend tbody tr').length === 4");
    assert_eq!(colours(0), before, "in the dark");
    // Another panel with some of the series, and others before them.
    page.click(".panel .menu:last-of-type > button[aria-label=More]");
    page.press("Duplicate panel");
    page.wait("document.querySelectorAll('.panel').length === 2");
    page.eval("(() => { const t = document.querySelectorAll('textarea')[1]; t.focus(); t.select(); })()");
    page.keys("{__name__=~\"shop_orders_total|shop_memory_bytes\",city=~\"|Oslo|Rome\"}");
    page.key("Escape", 0);
    page.key("Enter", 0);
    page.wait("document.querySelectorAll('.panel')[1].querySelectorAll('.legend tbody tr').length === 3");
    let other = page.eval(
        "JSON.stringify([...document.querySelectorAll('.panel')[1].querySelectorAll('.legend tbody tr')].map(r => [r.innerText.split('\\t').map(t => t.trim()).find(t => ['Oslo', 'Rome'].includes(t)), r.querySelector('.swatch').style.color, r.querySelector('.swatch').dataset.dash]).filter(r => r[0]).sort())",
    );
    let other: Vec<(String, String, String)> =
        serde_json::from_str(other.as_str().unwrap_or("[]")).expect("a list");
    assert_eq!(other.len(), 2);
    for one in other {
        assert!(list.contains(&one), "{one:?} was {list:?}");
    }
}

fn numbers(browser: &Browser, site: &Site) {
    let page =
        Page::open(browser, &site.base, &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait("document.querySelectorAll('.legend tbody tr').length === 4");
    let summary = page.eval("document.querySelector('.chart').getAttribute('aria-label')");
    let summary = summary.as_str().unwrap_or("");
    assert!(
        summary.starts_with("Graph of shop_orders_total: 4 series from ")
            && summary.contains("Highest at the end: "),
        "{summary}"
    );
    page.focus(".chart");
    page.key("t", 0);
    page.wait("document.querySelector('[aria-label=\"Numbers of the graph\"] tbody tr') !== null");
    assert_eq!(
        page.eval("document.querySelectorAll('table[aria-label=\"Numbers of the graph\"] th').length"),
        json!(5)
    );
    // The last row of the table is what the legend has as the last value.
    let same = page.eval(
        "(() => { const table = document.querySelector('table[aria-label=\"Numbers of the graph\"]'); const heads = [...table.querySelectorAll('th')].map(h => h.innerText); \
         const at = heads.findIndex(h => h.includes('Rome')); const rows = [...table.querySelectorAll('tbody tr[aria-rowindex]')]; return at > 0 && rows.some(r => Number(r.cells[at].querySelector('span')?.title) > 0); })()",
    );
    assert_eq!(same, json!(true));
    page.press("Close");
    page.wait("document.querySelector('[aria-label=\"Numbers of the graph\"]') === null");
}

fn looks(browser: &Browser, site: &Site) {
    let page =
        Page::open(browser, &site.base, &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
    let mut pictures = Vec::new();
    for look in ["lines", "stacked", "steps", "points"] {
        // The first of them is the look that the graph has by itself.
        page.repaints(|page| page.enter("select[aria-label=\"Drawn as\"]", look));
        let ink = page.eval("(() => { const plot = document.querySelectorAll('.chart canvas')[1]; const c = document.createElement('canvas'); c.width = plot.width; c.height = plot.height; const x = c.getContext('2d'); x.drawImage(plot, 0, 0); \
            return x.getImageData(0, 0, c.width, c.height).data.reduce((sum, v, i) => i % 4 === 3 && v > 0 ? sum + 1 : sum, 0); })()");
        pictures.push(ink.as_u64().unwrap_or(0));
    }
    assert!(pictures.iter().all(|ink| *ink > 100), "{pictures:?}");
    assert!(pictures[1] > 4 * pictures[0], "areas have more ink than lines: {pictures:?}");
    assert!(pictures[3] < pictures[0] || pictures[3] != pictures[2], "{pictures:?}");
    page.repaints(|page| page.enter("select[aria-label=\"Compare with\"]", "1d"));
    assert_eq!(page.eval("new URLSearchParams(location.search).get('g0.compare')"), json!("1d"));
}

fn linked(browser: &Browser, site: &Site) {
    let address = format!(
        "{}&g1.expr=shop_memory_bytes&g1.tab=graph&g1.range_input=1h",
        panel("shop_memory_bytes", "&g0.tab=graph&g0.range_input=1h")
    );
    let page = Page::open(browser, &site.base, &address);
    page.wait("[...document.querySelectorAll('.chart')].filter(c => c.dataset.painted > 0).length === 2");
    let [left, top, width, height] = page.rect(".plot-area");
    let drawn = "(() => { const over = document.querySelectorAll('.chart')[1].querySelectorAll('canvas')[3]; return over.getContext('2d').getImageData(0, 0, over.width, over.height).data.some(v => v > 0); })()";
    page.drag((left + width / 2.0, top + height / 2.0), (left + width / 2.0, top + height / 2.0));
    page.wait(drawn);
    let range =
        |n: usize| page.eval(&format!("new URLSearchParams(location.search).get('g{n}.range_input')"));
    page.drag((left + width / 4.0, top + 20.0), (left + width / 2.0, top + 20.0));
    page.wait("!['1h', null].includes(new URLSearchParams(location.search).get('g1.range_input'))");
    assert_eq!(range(0), range(1));
    page.click(".below input[type=checkbox]");
    page.wait("new URLSearchParams(location.search).get('unlinked') === '1'");
    page.wait("[...document.querySelectorAll('.chart')].filter(c => c.dataset.painted > 0).length === 2");
    let before = range(1);
    page.focus(".chart");
    page.key("Backspace", 0);
    page.wait("new URLSearchParams(location.search).get('g0.range_input') === '1h'");
    assert_eq!(range(1), before);
}
