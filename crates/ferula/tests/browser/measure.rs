//! `--measure`: the cost of a graph with many series, in figures for `benches/README.md`. Nothing is
//! asserted, because machines differ. The query multiplies the series, so the fixture stays small.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::chromium::Browser;
use crate::common::escape;
use crate::page::Page;
use crate::stories::Site;

/// Prints a table of figures.
pub fn run(browser: &Browser, site: &Site) {
    println!("first visit: {}", first_visit(browser, site));
    println!(
        "| graph | wire KiB | answer to picture ms | longest task ms (CPU) | tasks in all ms | heap MiB | nodes | pointer move ms |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (copies, step_seconds, all) in [(1, 12, false), (4, 5, false), (34, 14, false), (34, 14, true)] {
        println!("{}", graph(browser, site, copies, step_seconds, all));
    }
}

/// 300 series of the fixture, `copies` times with a different label.
fn many(copies: usize) -> String {
    let copy = |n: usize| format!("label_replace(many, \"copy\", \"{n}\", \"\", \"\")");
    (0..copies).map(copy).collect::<Vec<_>>().join(" or ")
}

fn first_visit(browser: &Browser, site: &Site) -> String {
    let page = Page::open(browser, &site.base, "/query");
    let figures = page.eval(
        "(() => { const all = performance.getEntriesByType('resource').filter(r => r.name.includes('/assets/')); \
         const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN; \
         return [all.reduce((sum, r) => sum + r.transferSize, 0) / 1024, all.length, paint]; })()",
    );
    let figure = |at: usize| figures[at].as_f64().unwrap_or(f64::NAN);
    format!("{:.1} KiB in {} files, first paint after {:.0} ms", figure(0), figure(1), figure(2))
}

fn graph(browser: &Browser, site: &Site, copies: usize, step_seconds: usize, all: bool) -> String {
    let query = many(copies);
    let address = format!(
        "/query?g0.expr={}&g0.tab=graph&g0.range_input=1h&g0.res_type=fixed&g0.res_step={step_seconds}",
        escape(&query)
    );
    let pressed = "document.querySelector('.chart')?.dataset.painted > 0";
    let mut page = Page::open(browser, &site.base, &address);
    page.wait(pressed);
    page.wait("[...document.querySelectorAll('button')].some(b => b.innerText === 'Run')");
    if all {
        // The default picture was drawn first; the complete one is measured.
        page.wait("[...document.querySelectorAll('button')].some(b => b.innerText.startsWith('All '))");
    }
    page.take_events();
    page.call("Tracing.start", json!({ "transferMode": "ReportEvents", "categories": "toplevel,disabled-by-default-devtools.timeline" }));
    let again = if all {
        "[...document.querySelectorAll('button')].find(b => b.innerText.startsWith('All ')).click()"
    } else {
        "[...document.querySelectorAll('button')].find(b => b.innerText === 'Run').click()"
    };
    let took = page.eval(&format!(
        "new Promise(done => {{ const chart = document.querySelector('.chart'); const before = chart.dataset.painted; {again}; \
         const look = () => chart.dataset.painted !== before && !document.querySelector('.panel-body[data-stale]') ? done(Number(chart.dataset.took)) : requestAnimationFrame(look); look(); }})"
    ));
    page.eval("new Promise(done => setTimeout(done, 300))");
    page.call("Tracing.end", json!({}));
    let events = page.await_trace();
    let (longest_wall, longest_cpu, sum) = tasks(&events);
    let head = page.text(".panel-bar .end");
    let wire = page.eval("Number(document.querySelector('.chart').dataset.bytes) / 1024");
    page.call("HeapProfiler.collectGarbage", json!({}));
    let heap = page.call("Runtime.getHeapUsage", json!({}));
    let bytes = |name: &str| heap[name].as_f64().unwrap_or(0.0);
    let nodes = page.eval("document.querySelectorAll('*').length");
    let pointer = pointer_move(&page);
    format!(
        "| {head} | {:.0} | {:.0} | {longest_wall:.0} ({longest_cpu:.0}) | {sum:.0} | {:.1} | {nodes} | {pointer:.1} |",
        wire.as_f64().unwrap_or(f64::NAN),
        took.as_f64().unwrap_or(f64::NAN),
        (bytes("usedSize") + bytes("backingStorageSize")) / f64::from(1 << 20)
    )
}

/// Mean time from a pointer move to its tooltip.
fn pointer_move(page: &Page<'_>) -> f64 {
    let mean = page.eval(
        "(async () => { const area = document.querySelector('.plot-area'); const box = area.getBoundingClientRect(); let sum = 0; const n = 20; \
         for (let i = 0; i < n; i++) { const tip = document.querySelector('.tooltip'); const before = tip.textContent; const began = performance.now(); \
         area.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width * (0.2 + 0.03 * i), clientY: box.top + box.height * (0.3 + 0.02 * i), bubbles: true })); \
         while (tip.textContent === before && performance.now() - began < 1000) await new Promise(r => { const c = new MessageChannel(); c.port1.onmessage = r; c.port2.postMessage(0); }); \
         sum += performance.now() - began; } return sum / n; })()",
    );
    mean.as_f64().unwrap_or(f64::NAN)
}

/// The longest task of the page's main thread (wall-clock and CPU time), and the sum of all tasks longer than
/// a millisecond, in milliseconds.
fn tasks(events: &[Value]) -> (f64, f64, f64) {
    let id = |event: &Value| (event["pid"].as_u64(), event["tid"].as_u64());
    let main: HashMap<_, _> = events
        .iter()
        .filter(|event| event["name"] == "thread_name" && event["args"]["name"] == "CrRendererMain")
        .map(|event| (id(event), ()))
        .collect();
    let (mut wall, mut cpu, mut sum) = (0.0_f64, 0.0_f64, 0.0);
    for event in events.iter().filter(|event| {
        event["name"].as_str().is_some_and(|name| name.ends_with("RunTask")) && main.contains_key(&id(event))
    }) {
        let millis = |name: &str| event[name].as_f64().unwrap_or(0.0) / 1000.0;
        wall = wall.max(millis("dur"));
        cpu = cpu.max(millis("tdur"));
        sum += if millis("dur") > 1.0 { millis("dur") } else { 0.0 };
    }
    (wall, cpu, sum)
}
