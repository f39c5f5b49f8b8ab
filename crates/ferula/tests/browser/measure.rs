//! `--measure [URL…]`: what the pages cost, in numbers for `benches/README.md`; of other pages, by their address, what can be
//! told without knowing them. Nothing is asserted: machines differ.
//!
//! Answers of graphs and long lists are played by a server between, so that the page is measured and not the query.

mod lists;
mod load;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::chromium::Browser;
use crate::hostile::{GRAPH, columns};
use crate::page::Page;
use crate::played::{Played, PlayedProxy};
use crate::stories::{PAINTED, Site, panel};

/// Prints tables of figures.
pub fn run(browser: &Browser, site: &Site, others: &[String]) {
    load::first_visit(browser, site);
    println!("query page with a graph, first visit: {:.1} KiB of bodies", graph_visit(browser, site));
    for address in others {
        load::other(browser, address);
    }
    let between = PlayedProxy::start(&site.server.address);
    println!(
        "\n| graph | wire KiB | picture after the last byte, ms | longest task, ms (CPU) | all tasks, ms | heap with buffers, MiB (page, worker) | nodes | pointer move, ms |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (count, total, steps, all) in [
        (100, 100, 250, false),
        (1_000, 1_000, 720, false),
        (1_000, 10_000, 250, false),
        (10_000, 10_000, 250, true),
        (1_000, 10_000, 1_000, false),
        (10_000, 10_000, 1_000, true),
    ] {
        println!("{}", graph(browser, &between, count, total, steps, all));
    }
    lists::run(browser, &between);
    lists::alertmanager(browser);
    lists::typing(browser);
}

/// KiB that the server sends for a first visit with a graph, modules of the worker included, answers of the API not.
fn graph_visit(browser: &Browser, site: &Site) -> f64 {
    let between = PlayedProxy::start(&site.server.address);
    let page = Page::open(
        browser,
        &format!("http://{}", between.address),
        &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"),
    );
    page.wait(PAINTED);
    let files = between.passed().into_iter().filter(|(path, _)| !path.contains("/api/"));
    files.map(|(_, bytes)| bytes as f64 / 1024.0).sum()
}

/// Draws twice: first so that everything is loaded and compiled, then measured.
fn graph(
    browser: &Browser,
    between: &PlayedProxy,
    count: usize,
    total: usize,
    steps: usize,
    all: bool,
) -> String {
    let played = |count: usize| Played::Answer {
        status: "200 OK",
        headers: GRAPH,
        body: Arc::new(columns(count, total, steps, 1_700_000_000_000, 1_000)),
    };
    between.play("/api/v1/ferula/graph", played(count.min(1_000)));
    // The answer begins at 22:13:20 of the day, 80,000 seconds after midnight, and fills the range.
    let last = 80_000 + steps - 1;
    let range = format!(
        "&g0.tab=graph&g0.range_input={}s&g0.end_input=2023-11-14%20{:02}:{:02}:{:02}&g0.res_type=fixed&g0.res_step=1",
        steps - 1,
        last / 3600,
        last / 60 % 60,
        last % 60
    );
    let mut page = Page::open(browser, &format!("http://{}", between.address), &panel("up", &range));
    page.wait("document.querySelector('.chart')?.dataset.painted > 0 && document.querySelector('.panel-body[data-stale]') === null");
    between.play("/api/v1/ferula/graph", played(count));
    let again = match all {
        true => {
            "[...document.querySelectorAll('button')].find(b => /^(All|\\d+ of) .* series$/.test(b.innerText)) ?? [...document.querySelectorAll('button')].find(b => b.innerText === 'Run')"
        }
        false => "[...document.querySelectorAll('button')].find(b => b.innerText === 'Run')",
    };
    page.trace_begin();
    let took = page.eval(&format!(
        "new Promise(done => {{ const chart = document.querySelector('.chart'); const before = chart.dataset.painted; ({again}).click(); \
         const look = () => chart.dataset.painted !== before && !document.querySelector('.panel-body[data-stale]') ? done(Number(chart.dataset.took)) : requestAnimationFrame(look); look(); }})"
    ));
    page.eval("new Promise(done => setTimeout(done, 300))");
    let tasks = page.trace_end();
    let wire = page.eval("Number(document.querySelector('.chart').dataset.bytes) / 1024");
    let (own, worker) = page.heaps();
    let nodes = page.eval("document.querySelectorAll('*').length");
    assert!(number(&page.eval(INKED)) > 0.01, "{total} × {steps}: nothing was drawn");
    let pointer = pointer_move(&page);
    let share = if all || count == total { "all" } else { "default" };
    format!(
        "| {total} × {steps}, {share} | {:.0} | {:.0} | {:.0} ({:.0}) | {:.0} | {:.1} ({own:.1}, {worker:.1}) | {nodes} | {pointer:.1} |",
        number(&wire),
        number(&took),
        tasks.longest_ms,
        tasks.longest_cpu_ms,
        tasks.all_ms,
        own + worker
    )
}

/// The share of the plot's pixels that are not empty.
const INKED: &str = "(() => { const plot = document.querySelectorAll('.chart canvas')[1]; const c = document.createElement('canvas'); c.width = plot.width; c.height = plot.height; const x = c.getContext('2d'); x.drawImage(plot, 0, 0); \
    return x.getImageData(0, 0, c.width, c.height).data.reduce((sum, v, i) => i % 4 === 3 && v > 0 ? sum + 1 : sum, 0) / (c.width * c.height); })()";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Mean time from a pointer move to its tooltip.
fn pointer_move(page: &Page<'_>) -> f64 {
    number(&page.eval(
        "(async () => { const area = document.querySelector('.plot-area'); const box = area.getBoundingClientRect(); let sum = 0; const n = 20; \
         for (let i = 0; i < n; i++) { const tip = document.querySelector('.tooltip'); const before = tip.textContent; const began = performance.now(); \
         area.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width * (0.2 + 0.03 * i), clientY: box.top + box.height * (0.3 + 0.02 * i), bubbles: true })); \
         while (tip.textContent === before && performance.now() - began < 1000) await new Promise(r => { const c = new MessageChannel(); c.port1.onmessage = r; c.port2.postMessage(0); }); \
         sum += performance.now() - began; } return sum / n; })()",
    ))
}

/// An answer in the envelope.
fn envelope(data: Value) -> Played {
    Played::json(json!({ "status": "success", "data": data }).to_string())
}
