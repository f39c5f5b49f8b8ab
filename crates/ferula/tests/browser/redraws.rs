//! Lists that are drawn again, by a refresh or because more has arrived, while somebody reads or works in them: what has
//! the focus, what is selected, opened and scrolled to stays.

use serde_json::{Value, json};

use crate::Test;
use crate::alertmanager::Alone;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::{PAINTED, Site, panel};

pub const TESTS: &[Test] = &[
    ("a_refresh_keeps_the_focus_on_its_row_and_what_is_opened", focus),
    ("a_refresh_keeps_the_place_in_a_long_list", place),
    ("a_refresh_keeps_the_selected_text", selection),
    ("a_row_that_goes_leaves_the_focus_to_its_neighbour", gone),
    ("what_arrives_later_takes_no_focus_away", strip),
    ("a_click_is_not_lost_to_a_refresh_between_press_and_release", press),
    ("every_control_of_every_page_keeps_the_focus_over_a_refresh", controls),
    ("answers_on_the_query_page_keep_the_focus_over_a_refresh", answers),
    ("alertmanager_lists_keep_focus_and_typed_text_over_a_refresh", alertmanager),
    ("module_keep_finds_rows_by_their_keys", keys),
];

/// Answers that change with each request: a row more at the front, other times and values.
const LISTS: &str = r#"(() => {
    const real = window.fetch;
    const answer = data => new Response(JSON.stringify({ status: 'success', data }));
    window.asked = 0;
    window.gone = new Set();
    const numbers = n => Array.from({ length: n }, (_, i) => i).filter(i => !window.gone.has(i));
    const extra = () => Array.from({ length: window.asked }, (_, i) => -1 - i);
    const at = () => new Date(Date.now() - 1000 * window.asked).toISOString();
    const labels = i => ({ job: 'j' + (i & 3), instance: 'i' + String(i + 100).padStart(6, '0') });
    const target = i => ({ discoveredLabels: labels(i), labels: labels(i), scrapePool: 'p', scrapeUrl: 'http://x' + String(i + 100).padStart(6, '0'), globalUrl: 'http://x' + i, lastError: '', lastScrape: at(), lastScrapeDuration: 0.01 * window.asked, health: 'up', scrapeInterval: '15s', scrapeTimeout: '10s' });
    const alert = i => ({ labels: { alertname: 'A', ...labels(i) }, annotations: { summary: 'about ' + i }, state: 'firing', activeAt: at(), value: String(window.asked) });
    const rule = i => ({ state: 'firing', name: 'R' + String(i + 100).padStart(6, '0'), query: 'up == ' + i, duration: 0, labels: {}, annotations: {}, alerts: [alert(i)], health: 'ok', evaluationTime: 0.001 * window.asked, lastEvaluation: at(), type: 'alerting' });
    window.fetch = async (address, ...rest) => {
        const text = String(address);
        if (text.includes('v1/targets') || text.includes('v1/rules')) window.asked++;
        if (text.includes('v1/targets')) return answer({ activeTargets: [...extra(), ...numbers(window.many ?? 300)].map(target), droppedTargets: [], droppedTargetCounts: {} });
        if (text.includes('v1/rules')) return answer({ groups: [{ name: 'g', file: 'f', interval: 60, limit: 0, evaluationTime: 0.1 * window.asked, lastEvaluation: at(), rules: [...extra(), ...numbers(window.many ?? 300)].map(rule) }] });
        if (text.includes('status/active_queries')) return new Response(JSON.stringify({ status: 'ok', data: numbers(5).map(i => ({ qid: String(i), id: String(i), duration: window.asked++ + 's', query: 'q' + i, start: 0, end: 0, step: 0, remote_addr: 'c', origin: 'o' })) }));
        return real(address, ...rest);
    };
})()"#;

/// Opens a page with the lists above.
fn open<'a>(browser: &'a Browser, site: &Site, path: &str, more: &str) -> Page<'a> {
    let page = Page::open_with(browser, &site.base, path, &format!("{LISTS}; {more}"));
    page.wait("document.querySelectorAll('main tbody tr').length > 4");
    page
}

/// The row with the focus, by what tells it apart, and the control in it.
const HOLDS_FOCUS: &str = "JSON.stringify([document.activeElement.closest('tr')?.innerText.match(/i\\d{6}|R\\d{6}|q\\d/)?.[0], document.activeElement.tagName, document.activeElement.innerText])";

fn focus(browser: &Browser, site: &Site) {
    for (path, name, control) in [
        ("/alerts", "i000105", "button.link"),
        ("/alerts?group=job", "i000104", "button.link"),
        ("/rules", "R000105", "a"),
        ("/rules?order=slow", "R000105", "button.link"),
        ("/targets", "i000105", "button.link"),
        ("/targets?group=job", "i000104", "button.chip"),
        ("/service-discovery", "i000105", "button.link"),
        ("/queries", "q3", "button"),
    ] {
        let page = open(browser, site, path, "");
        page.wait(&format!(
            "(() => {{ const row = [...document.querySelectorAll('main tbody tr')].find(r => r.innerText.includes('{name}')); row?.querySelector('{control}')?.focus(); return document.activeElement.closest('tr') === row; }})()"
        ));
        let before = page.eval(HOLDS_FOCUS);
        page.eval("(window.oldRow = document.activeElement.closest('tr'), 0)");
        for _ in 0..3 {
            page.refresh();
            assert_eq!(page.eval(HOLDS_FOCUS), before, "{path}");
        }
        assert_eq!(page.eval("window.oldRow.isConnected"), json!(false), "{path}: it was drawn again");
    }
    // Opened with a key, it stays open; the same key closes it.
    let page = open(browser, site, "/alerts", "");
    page.wait("(() => { const row = [...document.querySelectorAll('main tbody tr')].find(r => r.innerText.includes('i000107')); row?.querySelector('button.link')?.focus(); return document.activeElement.closest('tr') === row; })()");
    page.refresh();
    page.key("Enter", 0);
    page.wait("document.querySelector('tr.detail')?.innerText.includes('about 7')");
    page.refresh();
    assert!(page.text("tr.detail").contains("about 7"));
    assert_eq!(
        page.eval("document.activeElement.closest('tr').nextSibling === document.querySelector('tr.detail')"),
        json!(true)
    );
    // A control in what was opened keeps the focus too.
    page.eval("(document.querySelector('tr.detail button.chip').focus(), 0)");
    page.refresh();
    assert_eq!(page.eval("document.activeElement.closest('tr.detail') !== null && document.activeElement.matches('button.chip')"), json!(true));
    page.eval(
        "(document.querySelector('tr.detail').previousSibling.querySelector('button.link').focus(), 0)",
    );
    page.key("Enter", 0);
    page.wait("document.querySelector('tr.detail') === null");
    // What was folded stays folded.
    let page = open(browser, site, "/targets?group=job", "");
    page.click("section button[aria-expanded]");
    page.refresh();
    assert_eq!(page.eval("document.activeElement.getAttribute('aria-expanded')"), json!("false"));
}

fn place(browser: &Browser, site: &Site) {
    for path in ["/alerts", "/alerts?group=job", "/targets"] {
        let page = open(browser, site, path, "window.many = 1500");
        // Far down, where rows were made on the way.
        page.eval("(scrollTo(0, document.documentElement.scrollHeight * 0.6), 0)");
        page.wait("[...document.querySelectorAll('main tbody tr[aria-rowindex]')].some(r => { const b = r.getBoundingClientRect(); return b.top > 200 && b.bottom < innerHeight; })");
        page.eval("(() => { const row = [...document.querySelectorAll('main tbody tr[aria-rowindex]')].find(r => r.getBoundingClientRect().top > 300); row.querySelector('button, a').focus({ preventScroll: true }); })()");
        // Until rows are there for what is near, too, and the browser has made up for their heights.
        page.eval("(window.lastPlace = NaN, 0)");
        page.wait("(() => { const still = scrollY === window.lastPlace; window.lastPlace = scrollY; return still && [...document.querySelectorAll('main tbody tr.pad')].every(r => { const b = r.getBoundingClientRect(); return b.bottom < -700 || b.top > innerHeight + 700; }); })()");
        let seen = "Math.round(scrollY)";
        let before = page.eval(seen);
        assert!(before.as_u64() > Some(10_000), "{path}: {before}");
        let held = page.eval(HOLDS_FOCUS);
        for _ in 0..3 {
            page.refresh();
            let after = page.eval(seen);
            let moved = after.as_f64().unwrap_or(0.0) - before.as_f64().unwrap_or(0.0);
            // Less than half a row: where the lines of tables fall on half pixels, the browser makes up for them.
            assert!(moved.abs() < 12.0, "{path}: from {before} to {after}");
            assert_eq!(page.eval(HOLDS_FOCUS), held, "{path}");
            // What is in view is there at once, and what is not is not.
            assert_eq!(page.eval("document.elementFromPoint(300, 500).closest('tr[aria-rowindex], tr.detail, section') !== null"), json!(true), "{path}");
        }
        let rows = page.eval("document.querySelectorAll('main tbody tr[aria-rowindex]').length");
        assert!(rows.as_u64() < Some(1_000), "{path}: {rows} rows");
        // Scrolled through to the end, what was passed is taken away again.
        for part in 0..=10 {
            page.eval(&format!("(scrollTo(0, document.documentElement.scrollHeight * {part} / 10), new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0)))))"));
        }
        page.wait("scrollY + innerHeight > document.documentElement.scrollHeight - 700");
        let rows = page.eval("document.querySelectorAll('main tbody tr[aria-rowindex]').length");
        assert!(rows.as_u64() < Some(1_600), "{path}: {rows} rows at the end");
    }
}

fn selection(browser: &Browser, site: &Site) {
    let page = open(browser, site, "/alerts", "");
    page.eval(
        "(() => { const rows = [...document.querySelectorAll('main tbody tr')].filter(r => /i00010[24]/.test(r.innerText)); const text = row => row.querySelectorAll('.v')[1].firstChild; \
         getSelection().setBaseAndExtent(text(rows[0]), 2, text(rows[1]), 5); })()",
    );
    let before = page.eval("String(getSelection())");
    assert!(before.as_str().is_some_and(|text| text.contains("i000103")), "{before}");
    for _ in 0..3 {
        page.refresh();
        let rows = page.eval("JSON.stringify([getSelection().anchorNode, getSelection().focusNode].map(n => n.parentNode.closest('tr').innerText.match(/i\\d{6}/)[0]))");
        assert_eq!(rows, json!("[\"i000102\",\"i000104\"]"));
        assert_eq!(page.eval("[getSelection().anchorOffset, getSelection().focusOffset]"), json!([2, 5]));
    }
}

fn gone(browser: &Browser, site: &Site) {
    for (path, control) in [("/alerts", "button.link"), ("/targets", "button.link")] {
        let page = open(browser, site, path, "");
        page.wait(&format!(
            "(() => {{ const row = [...document.querySelectorAll('main tbody tr')].find(r => r.innerText.includes('i000108')); row?.querySelector('{control}')?.focus(); return document.activeElement.closest('tr') === row; }})()"
        ));
        page.eval("(window.gone.add(8), 0)");
        page.refresh();
        let now: Vec<Value> =
            serde_json::from_str(page.eval(HOLDS_FOCUS).as_str().unwrap_or("[]")).expect("three texts");
        let row = now[0].as_str().unwrap_or("");
        assert!(row.ends_with("000107") || row.ends_with("000109"), "{path}: {now:?}");
        assert_eq!(now[1], json!("BUTTON"), "{path}");
    }
}

fn strip(browser: &Browser, site: &Site) {
    let page = open(
        browser,
        site,
        "/alerts",
        "{ const before = window.fetch; window.later = new Promise(done => window.arrive = done); window.fetch = async (a, ...r) => { \
         if (!String(a).includes('ferula/graph')) return before(a, ...r); await window.later; \
         const head = new TextEncoder().encode(JSON.stringify({ start: Date.now() - 600000, step: 600000, steps: 2, names: ['__name__', 'alertname', 'alertstate'], values: ['ALERTS', 'R000105', 'firing'], series: [[0, 0, 1, 1, 2, 2]], total: 1 })); \
         const bytes = new Uint8Array(4 + head.length + 1 + 16); const view = new DataView(bytes.buffer); view.setUint32(0, head.length, true); bytes.set(head, 4); bytes[4 + head.length] = 3; \
         for (const at of [5, 13]) view.setFloat64(at + head.length, 1, true); return new Response(bytes); }; }",
    );
    page.focus("tbody button.link");
    page.eval("(window.arrive(), 0)");
    page.wait("document.querySelector('.strip > i') !== null");
    page.key("Enter", 0);
    page.wait("document.querySelector('tr.detail') !== null");
}

fn press(browser: &Browser, site: &Site) {
    let page = open(browser, site, "/alerts", "");
    let [left, top, width, height] = page.rect("tbody button.link");
    let (x, y) = (left + width / 2.0, top + height / 2.0);
    let event = |kind: &str, held: u32| {
        page.call(
            "Input.dispatchMouseEvent",
            json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": held, "clickCount": 1 }),
        )
    };
    event("mouseMoved", 0);
    event("mousePressed", 1);
    page.eval("(window.row = document.querySelector('tbody button.link').closest('tr'), window.askedBefore = window.asked, document.querySelector('[aria-label=\"Refresh now\"]').click())");
    // The answer has arrived, and waits.
    page.wait("window.asked > window.askedBefore");
    page.eval("new Promise(done => setTimeout(done, 100))");
    assert_eq!(page.eval("window.row.isConnected"), json!(true), "nothing is drawn under a pressed button");
    event("mouseReleased", 0);
    page.wait("document.querySelector('tr.detail') !== null");
    page.wait("!window.row.isConnected");
}

/// What has the focus, without the numbers in it.
const FOCUSED: &str = "(e => [e.tagName, (e.getAttribute('aria-label') ?? e.innerText ?? '').replace(/[\\d.,]+/g, '#').trim().slice(0, 60)].join(' '))(document.activeElement)";

fn controls(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/query");
    for path in [
        "/alerts",
        "/alerts?group=severity",
        "/rules",
        "/targets",
        "/service-discovery",
        "/relabel?pool=demo",
        "/tsdb-status?focus=le",
        "/status",
        "/flags",
        "/config",
        "/alertmanager-discovery",
    ] {
        page.go(path);
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        let count = page
            .eval("(window.controls = () => [...document.querySelectorAll('main button, main a[href], main input, main select, main textarea, main summary')].filter(e => e.checkVisibility() && !e.disabled), window.controls().length)")
            .as_u64()
            .unwrap_or(0);
        // All of the head, and some of the list.
        for index in (0..count.min(10)).chain((10..count).step_by(1 + count as usize / 6)) {
            page.eval(&format!("(window.controls()[{index}]?.focus(), 0)"));
            let before = page.eval(FOCUSED);
            page.refresh();
            assert_eq!(page.eval(FOCUSED), before, "{path}, control {index}");
        }
    }
}

fn answers(browser: &Browser, site: &Site) {
    let query = "shop_orders_total offset 10m";
    for (more, find, same) in [
        ("&g0.tab=1", "th button", "document.activeElement.innerText"),
        ("&g0.tab=1", "input[aria-label='Filter rows']", "document.activeElement.ariaLabel"),
        (
            "&g0.tab=graph&g0.range_input=1h",
            ".legend tbody tr:nth-child(3)",
            "document.activeElement.innerText.split('\\t')[0]",
        ),
        ("&g0.tab=graph&g0.range_input=1h", ".chart", "document.activeElement.className"),
        (
            "&g0.tab=graph&g0.range_input=1h",
            "select[aria-label=Resolution]",
            "document.activeElement.ariaLabel",
        ),
        (
            "&g0.tab=graph&g0.range_input=1h",
            "button[aria-label='Longer range']",
            "document.activeElement.ariaLabel",
        ),
        (
            "&g0.view=raw&g0.range_input=1h",
            ".virtual tbody tr:nth-child(2) button",
            "document.activeElement.closest('tr').innerText.match(/city=\"(.*?)\"/)[1]",
        ),
        (
            "&g0.view=tree",
            ".part button",
            "document.activeElement.closest('.part').querySelector('code').innerText",
        ),
    ] {
        let expression = match more {
            "&g0.view=raw&g0.range_input=1h" => "shop_orders_total",
            "&g0.view=tree" => "sum(shop_orders_total offset 10m)",
            _ => query,
        };
        let page = Page::open(browser, &site.base, &panel(expression, more));
        page.wait(&format!("document.querySelector(\"{find}\") !== null && document.querySelector('.panel-body[data-stale]') === null"));
        page.focus(find);
        let before = page.eval(same);
        for _ in 0..2 {
            page.refresh();
            assert_eq!(page.eval(same), before, "{more} {find}");
        }
    }
    // The samples that were opened and the numbers of a graph are still there, with the focus where it was.
    let page = Page::open(browser, &site.base, &panel("shop_orders_total", "&g0.view=raw&g0.range_input=1h"));
    page.click(".virtual tbody tr:nth-child(2) button");
    page.wait("document.querySelector('.virtual[aria-label=Samples] tbody tr') !== null");
    page.eval("(document.querySelector('.virtual[aria-label=Samples]').scrollTop = 1200, 0)");
    page.refresh();
    assert_eq!(
        page.eval("Math.round(document.querySelector('.virtual[aria-label=Samples]').scrollTop)"),
        json!(1200)
    );
    let page =
        Page::open(browser, &site.base, &panel("shop_orders_total", "&g0.tab=graph&g0.range_input=1h"));
    page.wait(PAINTED);
    page.focus(".chart");
    page.key("t", 0);
    page.wait("document.activeElement.getAttribute('aria-label') === 'Numbers of the graph'");
    page.refresh();
    page.wait("document.activeElement.getAttribute('aria-label') === 'Numbers of the graph' && document.querySelectorAll('.virtual[aria-label=\"Numbers of the graph\"] tbody tr').length > 4");
    // A menu that is open stays open, and a tooltip that is pinned stays pinned.
    page.click(".menu button.axis");
    page.wait("document.querySelector('.popup input') !== null");
    page.refresh();
    assert_eq!(page.eval("document.querySelector('.popup input') !== null"), json!(true));
}

fn alertmanager(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    let silence = |comment: &str| {
        json!({ "matchers": [{ "name": "a", "value": comment, "isRegex": false, "isEqual": true }], "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "c", "comment": comment }).to_string()
    };
    let add = |comment: &str| {
        let body = silence(comment);
        let (code, text) = alone
            .server
            .request("POST", "/api/v2/silences", "application/json", body.as_bytes())
            .expect("an answer");
        assert_eq!(code, 200, "{text}");
    };
    (0..5).for_each(|n| add(&format!("s{n}")));
    let mut page = Page::open(browser, &alone.base, "/");
    page.allow("history");
    page.allow("warnings");
    for (hash, find, same) in [
        (
            "alerts?inhibited=true",
            "tbody tr a[href*='silences/new']",
            "document.activeElement.closest('tr').innerText.slice(0, 60)",
        ),
        ("alerts?inhibited=true", "tbody tr button.chip", "document.activeElement.innerText"),
        ("alerts", "input[type=checkbox]", "document.activeElement.parentNode.innerText"),
        ("silences", "tbody tr:nth-child(3) button", "document.activeElement.ariaLabel"),
        ("silences", "[aria-label=State] button", "document.activeElement.innerText.replace(/\\d+/, '#')"),
        ("notifications", "select", "document.activeElement.ariaLabel"),
        ("routes", "input[type=search]", "document.activeElement.ariaLabel"),
    ] {
        page.go(&format!("/?{}#/{hash}", hash.len()));
        page.focus(find);
        let before = page.eval(same);
        for n in 0..2 {
            add(&format!("between {n}"));
            page.refresh();
            assert_eq!(page.eval(same), before, "{hash} {find}");
        }
    }
    // What was typed and not yet taken is still there, with the cursor in it.
    page.go("/?typed#/alerts");
    page.focus("input[aria-label='Group by labels']");
    page.keys("jo");
    page.refresh();
    page.keys("b");
    assert_eq!(page.eval("document.activeElement.value"), json!("job"));
    page.key("Enter", 0);
    page.wait("location.hash.includes('group=job')");
}

fn keys(browser: &Browser, site: &Site) {
    crate::modules::check(
        browser,
        site,
        r#"
        const { keyed, keep } = await load('keep');
        const { h, fill } = await load('dom');
        const root = document.querySelector('main').appendChild(h('div'));
        // A list of lists: rows with keys, in each some controls, some of which come and go.
        const cells = row => [h('td', null, String(random(1000))), h('td', null, random(2) ? h('b', null, 'x') : '', h('button', { type: 'button' }, 'one ' + row), ' ', h('button', { type: 'button', 'aria-label': 'two' }, '2'))];
        const line = (name, row) => keyed(h('tr', null, ...cells(row)), name + row);
        const build = groups => groups.map(({ name, rows }) => keyed(h('section', null, h('h2', null, name), h('table', null, h('tbody', null, ...rows.map(row => line(name, row))))), name));
        const shuffled = list => list.map(x => [random(1e6), x]).sort((a, b) => a[0] - b[0]).map(x => x[1]);
        let groups = Array.from({ length: 4 }, (_, g) => ({ name: 'g' + g, rows: Array.from({ length: 8 }, (_, r) => 'r' + r) }));
        fill(root, build(groups));
        for (let i = 0; i < 300; i++) {
            const buttons = [...root.querySelectorAll('button')];
            const held = buttons[random(buttons.length)];
            held.focus();
            const [key, label] = [held.closest('tr').innerText.match(/one (\S+)/)[1] + held.closest('section').innerText.slice(0, 2), held.getAttribute('aria-label') ?? held.innerText];
            groups = shuffled(groups).map(group => ({ ...group, rows: shuffled(group.rows) }));
            if (random(3) === 0) groups[random(4)].rows.push('n' + i);
            if (random(3) === 0) groups[random(4)].rows = groups[random(4)].rows.filter((row, k, all) => all.length < 3 || row + 'x' === key || random(4) > 0 || !row.startsWith('n'));
            const there = groups.some(group => group.rows.some(row => row + group.name === key));
            fill(root, build(groups));
            const now = document.activeElement;
            if (!root.contains(now)) same('outside', 'inside', 'focus ' + i);
            else if (there) same([now.closest('tr').innerText.match(/one (\S+)/)[1] + now.closest('section').innerText.slice(0, 2), now.getAttribute('aria-label') ?? now.innerText], [key, label], 'focus ' + i);
        }
        // Nodes that stay are not moved: a field keeps focus, text and cursor.
        const field = h('input', { value: 'abcdef' });
        fill(root, h('i'), field, h('b'));
        field.focus();
        field.setSelectionRange(2, 4);
        let blurs = 0;
        field.addEventListener('blur', () => blurs++);
        for (let i = 0; i < 5; i++) fill(root, h('i'), h('u'), field, h('b'));
        same([document.activeElement === field, field.selectionStart, field.selectionEnd, blurs], [true, 2, 4, 0], 'a field that stays');
        root.remove();
        "#,
    );
}
