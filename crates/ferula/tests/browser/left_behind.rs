//! What a page holds after it has been left: nodes, workers and memory must come back. Every test ends with this look.

use std::time::Instant;

use serde_json::json;

use crate::common::PATIENCE;
use crate::page::Page;

/// Nodes that scripts may hold on to when the document is empty: the bar, a menu, the place of the page.
const NODES_MAX: f64 = 2_500.0;
/// MiB that the page's scripts may hold then; each module and what the browser compiled of it counts.
const HEAP_MIB_MAX: f64 = 12.0;

/// Goes to a page with nothing much on it, as a link does, and takes away what is shown, and what tests have put into
/// globals. A server that no longer answers cannot stop that.
const LEAVE: &str = "(() => { if (document.querySelector('.nav a[href^=\"#/\"]')) location.hash = '#/settings'; \
    else { history.pushState(null, '', 'alertmanager-discovery'); dispatchEvent(new PopStateEvent('popstate')); } \
    for (const name of Object.getOwnPropertyNames(window)) if (!window.firstNames?.has(name)) delete window[name]; \
    document.querySelectorAll('dialog').forEach(d => d.remove()); document.body.replaceChildren(); return true; })()";

/// Leaves the page, and returns what did not come back in time.
pub fn after_leaving(page: &mut Page<'_>) -> Option<String> {
    if page.eval("document.querySelector('.nav') === null") == json!(true) {
        return None;
    }
    page.eval(LEAVE);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (own, workers) = page.heap_and_workers();
        let counted = page.call("Memory.getDOMCounters", json!({}));
        let nodes = counted["nodes"].as_f64().unwrap_or(f64::NAN);
        let kept = format!("{nodes} nodes, {own:.1} MiB, {workers} workers are left");
        if std::env::var_os("FERULA_LEFT_BEHIND").is_some() {
            eprintln!("{kept}");
        }
        if nodes <= NODES_MAX && own <= HEAP_MIB_MAX && workers == 0 {
            return None;
        }
        if Instant::now() > deadline {
            return Some(kept);
        }
        page.eval("new Promise(done => setTimeout(done, 100))");
    }
}
