//! What it takes to open a page: bytes, files, the first paint, the first key.

use serde_json::json;

use super::number;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::Site;

const FIGURES: &str = "(() => { const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]; \
    const files = all.filter(r => !/\\/(api|-)\\//.test(new URL(r.name).pathname)); \
    const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN; \
    return [files.reduce((sum, r) => sum + (r.transferSize > 0 ? r.encodedBodySize : 0), 0) / 1024, files.length, paint]; })()";

/// First and second visit of the query page.
pub fn first_visit(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    let first = page.eval(FIGURES);
    // The field has the focus when the page is there; a key then has to arrive.
    let typed = page.eval(
        "new Promise(done => { const look = () => { const area = document.querySelector('textarea'); if (area) done(performance.now()); else requestAnimationFrame(look); }; look(); })",
    );
    page.go("/query?again=1");
    let second = page.eval(FIGURES);
    println!(
        "query page, first visit: {:.1} KiB of bodies in {} files, first paint after {:.0} ms, editor seen by {:.0} ms; second visit: {:.1} KiB (the HTML), first paint after {:.0} ms",
        number(&first[0]),
        first[1],
        number(&first[2]),
        number(&typed),
        number(&second[0]),
        number(&second[2])
    );
    println!(
        "query page, editor there (cold, five visits): {}",
        (0..5).map(|_| format!("{:.0} ms", editor_there(browser, site))).collect::<Vec<_>>().join(", ")
    );
}

/// Milliseconds from the start of the navigation until the editor takes keys, in a context without a cache.
fn editor_there(browser: &Browser, site: &Site) -> f64 {
    let page = Page::open_with(
        browser,
        &site.base,
        "/query",
        "const seen = new MutationObserver(() => { if (document.querySelector('textarea') === document.activeElement && document.activeElement) { window.editorThere = performance.now(); seen.disconnect(); } }); \
         addEventListener('DOMContentLoaded', () => seen.observe(document, { childList: true, subtree: true })); addEventListener('focusin', () => { window.editorThere ??= performance.now(); });",
    );
    number(&page.eval("window.editorThere"))
}

/// Another page by its address: what can be told without knowing it.
pub fn other(browser: &Browser, address: &str) {
    let Some((base, path)) = address.find("://").map(|at| {
        let slash = address[at + 3..].find('/').map_or(address.len(), |slash| at + 3 + slash);
        (&address[..slash], &address[slash..])
    }) else {
        println!("{address}: not an address");
        return;
    };
    let mut page = Page::open_elsewhere(browser, base);
    page.trace_begin();
    page.call("Page.navigate", json!({ "url": format!("{base}{path}") }));
    page.eval("new Promise(done => setTimeout(done, 6000))");
    let tasks = page.trace_end();
    let figures = page.eval(FIGURES);
    let (own, worker) = page.heaps();
    let nodes = page.eval("document.querySelectorAll('*').length");
    println!(
        "{address}: {:.1} KiB in {} files, first paint after {:.0} ms, longest task {:.0} ms ({:.0} of CPU), all tasks {:.0} ms, heap with buffers {:.1} MiB, {nodes} nodes",
        number(&figures[0]),
        figures[1],
        number(&figures[2]),
        tasks.longest_ms,
        tasks.longest_cpu_ms,
        tasks.all_ms,
        own + worker
    );
}
