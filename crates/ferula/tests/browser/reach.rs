//! Without a mouse, without sight, with little room, on plain http.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::{PAGES, PAINTED, Site, panel};

pub const TESTS: &[Test] = &[
    ("a_person_with_a_keyboard_goes_from_query_to_zoom_to_table_to_alert", keyboard),
    ("tab_reaches_every_control_and_shows_where_it_is", focus),
    ("the_palette_goes_to_pages_metrics_queries_and_settings", palette),
    ("results_and_errors_are_announced", announced),
    ("tables_are_tables_and_every_page_has_one_heading", tables),
    ("at_twice_the_size_nothing_is_cut_off", zoomed),
    ("copying_works_on_plain_http_and_says_when_it_did_not", plain_http),
    ("lines_have_contrast_against_their_ground", line_contrast),
    ("states_are_told_by_word_and_shape", states),
    ("no_hint_in_a_field_is_cut_off", hints),
    ("type_rows_and_colours_are_those_of_the_design", design),
];

fn keyboard(browser: &Browser, site: &Site) {
    let mut page = Page::open(browser, &site.base, "/alerts");
    page.allow("parse_query");
    page.wait("document.querySelectorAll('tbody tr').length >= 2");
    page.keys("gq");
    page.wait("location.pathname === '/query' && document.querySelector('textarea') !== null");
    page.blur();
    page.keys("/");
    page.wait("document.activeElement.tagName === 'TEXTAREA'");
    page.keys("shop_orders_total");
    page.key("Escape", 0);
    page.key("Enter", 0);
    page.wait("document.querySelector('.panel-bar .end').innerText.length > 3");
    // Two tabs of the browser's order further are the tabs of the panel, which the arrows walk through.
    page.focus("[role=tab][aria-selected=true]");
    page.key("ArrowRight", 0);
    page.wait(PAINTED);
    page.wait("document.activeElement.dataset.tab === 'graph'");
    page.focus(".chart");
    page.key("+", 0);
    page.wait("new URLSearchParams(location.search).get('g0.range_input') === '30m'");
    page.focus(".chart");
    page.key("Backspace", 0);
    page.wait("new URLSearchParams(location.search).get('g0.range_input') === '1h'");
    page.focus(".chart");
    page.key("t", 0);
    page.wait("document.activeElement.getAttribute('aria-label') === 'Numbers of the graph'");
    page.blur();
    page.keys("ga");
    page.wait("location.pathname === '/alerts' && document.querySelectorAll('tbody tr').length >= 2");
    page.focus("tbody button.link");
    page.key("Enter", 0);
    page.wait("document.querySelector('tr.detail') !== null");
}

fn focus(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    for (path, _) in PAGES {
        page.go(&format!("/{path}"));
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        page.blur();
        let mut seen = Vec::new();
        for _ in 0..25 {
            page.key("Tab", 0);
            let found = page.eval(
                "(() => { const e = document.activeElement; if (e === document.body) return null; const s = getComputedStyle(e); const around = getComputedStyle(e.closest('.code') ?? e); \
                 return [e.tagName + ' ' + (e.getAttribute('aria-label') ?? e.innerText ?? '').slice(0, 30), s.outlineStyle !== 'none' || around.outlineStyle !== 'none', e.checkVisibility()]; })()",
            );
            if found.is_null() {
                break;
            }
            assert!(
                found[1] == json!(true) && found[2] == json!(true),
                "{path}: focus is not seen on {found}"
            );
            seen.push(found[0].clone());
        }
        assert!(seen.len() >= 8, "{path}: {seen:?}");
    }
}

fn palette(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/flags");
    page.eval("localStorage.setItem('queryPage.queryHistory', JSON.stringify(['vector(4242)']))");
    for (words, enter, then) in [
        ("tsdb", true, "location.pathname === '/tsdb-status'"),
        (
            "4242",
            true,
            "location.pathname === '/query' && document.querySelector('textarea')?.value === 'vector(4242)'",
        ),
        ("shop_mem", true, "document.querySelector('textarea')?.value === 'shop_memory_bytes'"),
        ("theme dark", true, "document.documentElement.dataset.theme === 'dark'"),
    ] {
        page.key("k", 2);
        page.wait("document.querySelector('dialog [role=option]') !== null");
        page.keys(words);
        page.wait(&format!(
            "document.querySelector('dialog [role=option]')?.textContent.toLowerCase().includes({})",
            json!(words.split(' ').next_back())
        ));
        if enter {
            page.key("Enter", 0);
        }
        page.wait(then);
    }
}

fn announced(browser: &Browser, site: &Site) {
    let mut page = Page::open(browser, &site.base, &panel("shop_orders_total offset 10m", "&g0.tab=1"));
    page.allow("/api/v1/query");
    page.allow("parse_query");
    page.wait("document.querySelector('.unseen[aria-live]')?.textContent.startsWith('4 series')");
    page.click("textarea");
    page.keys(" +");
    page.key("Enter", 0);
    page.wait("document.querySelector('.panel [role=alert]')?.textContent.length > 5");
}

fn tables(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    for (path, _) in PAGES {
        page.go(&format!("/{path}"));
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        assert_eq!(page.eval("document.querySelectorAll('h1').length"), json!(1), "{path}");
        let bare = page.eval("[...document.querySelectorAll('main thead th')].filter(h => h.scope !== 'col').map(h => h.outerHTML.slice(0, 80)).join('\\n')");
        assert_eq!(bare, json!(""), "{path}: heads of columns say so");
        assert_eq!(
            page.eval("document.querySelectorAll('main, header, nav').length"),
            json!(3),
            "{path}: landmarks"
        );
        assert_eq!(page.eval("[...document.querySelectorAll('img, canvas:not([aria-hidden])')].filter(e => !e.getAttribute('aria-label')).length"), json!(0));
    }
}

fn zoomed(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    // A window of 1400 pixels at 200 %.
    page.call(
        "Emulation.setDeviceMetricsOverride",
        json!({ "width": 700, "height": 450, "deviceScaleFactor": 2, "mobile": false }),
    );
    for path in PAGES
        .map(|(path, _)| format!("/{path}"))
        .into_iter()
        .chain([panel("rate(shop_orders_total[5m])", "&g0.tab=graph")])
    {
        page.go(&path);
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        let over = page.eval("document.documentElement.scrollWidth - innerWidth");
        assert!(over.as_i64() <= Some(0), "{path} is {over} px too wide");
        let cut = page.eval("[...document.querySelectorAll('main button, main select, .bar button, .bar select')].filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 2 && e.tagName === 'BUTTON' && getComputedStyle(e).overflowX !== 'visible').map(e => e.innerText).join('|')");
        assert_eq!(cut, json!(""), "{path}");
    }
}

fn plain_http(browser: &Browser, site: &Site) {
    let port = site.server.address.rsplit(':').next().unwrap_or("");
    let page = Page::open(browser, &format!("http://plain.test:{port}"), &panel("vector(1)", "&g0.tab=1"));
    assert_eq!(page.eval("[isSecureContext, navigator.clipboard === undefined]"), json!([false, true]));
    page.wait("document.querySelector('.instant td.num') !== null");
    page.press("Copy link");
    page.wait("document.querySelector('.toast')?.textContent === 'Link copied'");
    assert!(page.pasted().starts_with("http://plain.test"), "{}", page.pasted());
    page.eval("(document.execCommand = () => false, 0)");
    page.press("Copy link");
    page.wait("document.querySelector('.toast')?.textContent.includes('refused to copy')");
    // The rest needs no secure context either.
    page.go(&panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
}

fn line_contrast(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    for theme in ["light", "dark"] {
        page.prefer(theme);
        page.go("/query");
        let worst = page.eval(
            r"(() => { const s = getComputedStyle(document.documentElement);
            const rgb = name => { const n = parseInt(s.getPropertyValue(name).trim().slice(1), 16); return [n >> 16, (n >> 8) & 255, n & 255]; };
            const l = ([r, g, b]) => { const f = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
            const ratio = (a, b) => { const [x, y] = [l(rgb(a)), l(rgb(b))].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
            const names = ['--s0', '--s1', '--s2', '--s3', '--s4', '--s5', '--s6', '--s7', '--border', '--accent'];
            return names.map(n => [ratio(n, '--bg'), n]).sort((a, b) => a[0] - b[0])[0]; })()",
        );
        assert!(worst[0].as_f64() >= Some(3.0), "{theme}: {worst}");
    }
}

fn states(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/targets");
    // Read in one go: the list may be drawn again at any time.
    page.wait(
        "(() => { const found = ['up', 'down'].map(s => document.querySelector(`.state[data-s=${s}]`)); \
         if (found.includes(null)) return false; \
         window.shownStates = JSON.stringify(found.map(e => { const shape = getComputedStyle(e, '::before').content; \
         return [shape.length > 2, e.innerText.length > 1, shape]; })); return true; })()",
    );
    let shown = page.eval("window.shownStates");
    let shown: Vec<(bool, bool, String)> = serde_json::from_str(shown.as_str().unwrap_or("[]")).expect("two");
    assert!(shown.iter().all(|(shape, word, _)| *shape && *word) && shown[0].2 != shown[1].2, "{shown:?}");
}

/// Fields whose placeholder does not fit. The button that empties a search field needs its room as well.
const CUT: &str = "[...document.querySelectorAll('input[placeholder]')].filter(e => e.checkVisibility()).filter(e => { \
    const style = getComputedStyle(e); const context = document.createElement('canvas').getContext('2d'); context.font = style.font; \
    const room = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - (e.type === 'search' ? 14 : 0); \
    return context.measureText(e.placeholder).width > room; }).map(e => e.placeholder).join('|')";

fn hints(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    for width in [1400, 360] {
        page.resize(width, 800);
        for path in PAGES
            .map(|(path, _)| format!("/{path}"))
            .into_iter()
            .chain([panel("vector(1)", ""), panel("vector(1)", "&g0.tab=graph")])
        {
            page.go(&path);
            page.wait("document.querySelector('.loading').dataset.on === undefined");
            assert_eq!(page.eval(CUT), json!(""), "{path} at {width}");
        }
    }
}

fn design(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, &panel("shop_orders_total offset 10m", ""));
    page.wait("document.querySelectorAll('.instant tbody tr').length === 4");
    let type_of = |selector: &str| {
        page.eval(&format!(
            "(() => {{ const s = getComputedStyle(document.querySelector({})); return [s.fontSize, s.fontFamily.split(',')[0]]; }})()",
            json!(selector)
        ))
    };
    assert_eq!(type_of("body"), json!(["13px", "system-ui"]));
    assert_eq!(type_of("table"), json!(["12px", "system-ui"]));
    assert_eq!(type_of(".editor textarea"), json!(["13px", "ui-monospace"]));
    assert!((page.rect(".instant tbody tr")[3] - 24.0).abs() < 1.5, "{:?}", page.rect(".instant tbody tr"));
    assert_eq!(
        page.eval("getComputedStyle(document.querySelector('.instant td.num')).fontVariantNumeric"),
        json!("tabular-nums")
    );
    // Nothing has to be waited for.
    let moving = page.eval("[...document.querySelectorAll('*')].filter(e => { const s = getComputedStyle(e); return parseFloat(s.transitionDuration) > 0.12 || s.animationName !== 'none'; }).length");
    assert_eq!(moving, json!(0));
    for (theme, colours) in [
        ("light", "#093fb8 #773d06 #28a3a6 #a31960 #1c831a #8163b2 #c96468 #aa940d"),
        ("dark", "#4281e8 #ad773c #04ecf0 #cf4c8d #76b623 #ce94f6 #fe998c #e9cc17"),
    ] {
        page.prefer(theme);
        let series = "(() => { const s = getComputedStyle(document.documentElement); return [0, 1, 2, 3, 4, 5, 6, 7].map(i => s.getPropertyValue(`--s${i}`).trim()).join(' '); })()";
        page.wait(&format!("{series} === {}", json!(colours)));
        // Distances in OKLab times 100: as all see them, and without one of the three kinds of cones (Machado, Oliveira and
        // Fernandes 2009).
        let nearest = page.eval(NEAREST);
        let nearest: [f64; 4] = serde_json::from_value(nearest).expect("four numbers");
        assert!(nearest[0] > 16.0 && nearest[1..].iter().all(|distance| *distance > 8.8), "{nearest:?}");
    }
}

const NEAREST: &str = "(() => { const style = getComputedStyle(document.documentElement); const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; \
    const sights = [[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]], \
      [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]], [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]]; \
    const times = (m, v) => m.map(r => r[0] * v[0] + r[1] * v[1] + r[2] * v[2]); \
    const lab = v => { const lms = times([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]], v.map(x => Math.max(0, x))).map(Math.cbrt); \
      return times([[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]], lms); }; \
    return sights.map(sight => { const all = [0, 1, 2, 3, 4, 5, 6, 7].map(i => { const n = parseInt(style.getPropertyValue(`--s${i}`).trim().slice(1), 16); return lab(times(sight, [n >> 16, (n >> 8) & 255, n & 255].map(linear))); }); \
      return Math.min(...all.flatMap((a, i) => all.slice(0, i).map(b => 100 * Math.hypot(...a.map((x, k) => x - b[k]))))); }); })()";
