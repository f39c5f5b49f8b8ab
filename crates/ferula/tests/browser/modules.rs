//! Unit tests of the JavaScript modules, whose functions are called in the browser.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::Site;

pub const TESTS: &[Test] = &[
    ("module_url_state_gives_back_what_it_wrote", url_state),
    ("module_time_has_round_ticks_over_time_changes", ticks),
    ("module_time_reads_what_it_writes", times),
    ("module_tokens_cover_all_texts_of_the_test_scripts", tokens),
    ("module_painters_agree_with_a_plain_one", painters),
    ("module_answer_of_graph_equals_query_range", columns),
    ("module_scale_has_round_ticks_for_any_values", scale),
    ("module_format_keeps_what_the_server_wrote", format),
];

/// Runs the body of an asynchronous function that can import modules; it returns a list of failures.
pub fn check(browser: &Browser, site: &Site, body: &str) {
    check_allowing(browser, site, None, body);
}

/// The same; answers for URLs that contain `piece` may be errors.
fn check_allowing(browser: &Browser, site: &Site, piece: Option<&'static str>, body: &str) {
    let mut page = Page::open(browser, &site.base, "/flags");
    piece.into_iter().for_each(|piece| page.allow(piece));
    let script = format!(
        "(async () => {{ const js = document.querySelector('script[type=module]').src.replace(/app.js$/, ''); \
         const load = name => import(js + name + '.js'); const bad = []; \
         const same = (a, b, why) => {{ const [x, y] = [JSON.stringify(a), JSON.stringify(b)]; if (x !== y && bad.length < 10) bad.push(`${{why}}: ${{x}} is not ${{y}}`); }}; \
         let seed = 7; const random = n => {{ seed = (seed * 1103515245 + 12345) & 0x7fffffff; return Math.floor((seed / 0x7fffffff) * n) % n; }}; \
         {body}; return bad; }})()"
    );
    assert_eq!(page.eval(&script), json!([]));
}

fn url_state(browser: &Browser, site: &Site) {
    check(
        browser,
        site,
        r#"
        const { readPanels, writePanels, newPanel, TABS } = await load('url_state');
        const pick = (...list) => list[random(list.length)];
        for (let i = 0; i < 10000; i++) {
            const panels = Array.from({ length: 1 + random(3) }, () => ({ ...newPanel(pick('up', '', 'a&b=c#d', 'sum(x)\n+ 1', '💥{é="ü"}', '%25 + +')),
                tab: pick(...TABS), showTree: random(2) === 1, end: pick(null, 1767323045000, 0), rangeMs: (1 + random(100000)) * 1000,
                resolution: pick({ type: 'auto', density: pick('low', 'medium', 'high') }, { type: pick('fixed', 'custom'), stepMs: (1 + random(5000)) * 500 }),
                display: pick('auto', 'lines', 'stacked', 'steps', 'points', 'heatmap'), yMin: pick(null, 0, -1.5, 1e9), exemplars: random(2) === 1,
                log: random(2) === 1, compareMs: pick(0, 86400000), rank: pick('max', 'last') }));
            same(readPanels('?' + writePanels(panels)), panels, 'panel ' + i);
        }
        for (const garbage of ['g0.', 'g0.expr', 'g0.expr=%FF%FE&g0.tab=9&g0.range_input=-1&g0.end_input=soon&g0.res_type=fixed&g0.res_step=-5', 'g999.expr=up', '='.repeat(60000)]) readPanels(garbage);
        same(readPanels('g0.expr=a&g2.expr=c').length, 1, 'stops at the first missing');
        "#,
    );
}

fn ticks(browser: &Browser, site: &Site) {
    check(
        browser,
        site,
        r#"
        const { timeTicks, fields } = await load('time');
        const HOUR = 3600000;
        for (const [zone, at] of [['Europe/Berlin', Date.UTC(2026, 2, 29, 1)], ['Europe/Berlin', Date.UTC(2026, 9, 25, 1)], ['America/New_York', Date.UTC(2026, 10, 1, 6)],
            ['Australia/Lord_Howe', Date.UTC(2026, 3, 4, 15)], ['Asia/Kathmandu', Date.UTC(2026, 0, 1)], ['UTC', Date.UTC(2026, 5, 1)]]) {
            for (const span of [HOUR / 60, HOUR, 6 * HOUR, 24 * HOUR, 3 * 24 * HOUR, 30 * 24 * HOUR, 400 * 24 * HOUR, 4000 * 24 * HOUR]) {
                const found = timeTicks(at - span / 2, at + span / 2, zone, 12);
                const why = `${zone} ${span / HOUR} h`;
                if (found.length < 2 || found.length > 40) same(found.length, '2 to 40', why);
                for (let i = 0; i < found.length; i++) {
                    const f = fields(found[i].at, zone);
                    if (i > 0 && found[i].at <= found[i - 1].at) same('order', 'rising', why);
                    if (f.ms !== 0 || (span >= HOUR && f.second !== 0)) same(found[i].text, 'a round time', why);
                    if (span >= 24 * HOUR && zone !== 'Australia/Lord_Howe' && f.minute !== 0) same(found[i].text, 'a full hour', why);
                    if (span >= 30 * 24 * HOUR && f.hour !== 0) same(found[i].text, 'midnight', why);
                }
            }
        }
        same(timeTicks(0, 0, 'UTC', 5), [], 'no span');
        same(timeTicks(NaN, 1, 'UTC', 5), [], 'no number');
        "#,
    );
}

fn times(browser: &Browser, site: &Site) {
    check(
        browser,
        site,
        r#"
        const { parseDuration, formatDuration, formatTime, parseTime, humanSeconds } = await load('time');
        for (const text of ['0s', '1s', '90s', '1m30s', '1h', '1d12h', '1w', '2w', '1y', '8d', '5ms', '1h5ms']) same(formatDuration(parseDuration(text)), { '90s': '1m30s' }[text] ?? text, text);
        for (const text of ['', 'x', '1', '-1m', '1m1h', '5 m', '1.5h']) same(parseDuration(text), null, text);
        for (const zone of ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'Pacific/Apia']) {
            for (let i = 0; i < 2000; i++) {
                const at = (1500000000 + random(400000000)) * 1000;
                const text = formatTime(at, zone);
                // In the hour that occurs twice, the first occurrence is meant.
                const back = parseTime(text, zone);
                if (back !== at && back !== at - 3600000) same(back, at, zone + ' ' + text);
                same(formatTime(back, zone), text, zone);
            }
        }
        same(parseTime('2026-03-29 18:30', 'UTC'), Date.UTC(2026, 2, 29, 18, 30), 'without seconds');
        same(parseTime('2026-03-29T18:30:00+02:00', 'UTC'), Date.UTC(2026, 2, 29, 16, 30), 'offset');
        for (const text of ['soon', '2026-13-01', '2026-01-01 25:00', '']) same(parseTime(text, 'UTC'), null, text);
        same([humanSeconds(0.0042), humanSeconds(59), humanSeconds(3700), humanSeconds(0)], ['4.2 ms', '59 s', '1h 1m', '0 s'], 'spans');
        "#,
    );
}

/// The expressions of all test scripts: what follows `eval … at 5m` and the like.
fn expressions() -> Vec<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/promql");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the scripts").map_while(Result::ok) {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        for line in text.lines().filter(|line| line.starts_with("eval")) {
            let words: Vec<&str> = line.split(' ').collect();
            let at = words.iter().position(|word| *word == "at" || *word == "step").map_or(2, |at| at + 2);
            found.push(words[at.min(words.len())..].join(" "));
        }
    }
    found
}

/// The tokens of the server's lexer as `from to class`; keywords count as names on the page. `None` for a
/// text that it cannot tokenize completely.
fn lexed(text: &str) -> Option<Vec<String>> {
    let (pieces, stop) = ferula_promql_syntax::pieces(text);
    let units = |at: usize| text[..at].encode_utf16().count();
    let class = |piece: &ferula_promql_syntax::Piece| match piece.class.as_str() {
        "keyword" => "name",
        class => class,
    };
    let show = |piece: &ferula_promql_syntax::Piece| {
        format!("{} {} {}", units(piece.span.start), units(piece.span.end), class(piece))
    };
    stop.is_none().then(|| pieces.iter().map(show).collect())
}

fn tokens(browser: &Browser, site: &Site) {
    let texts = expressions();
    assert!(texts.len() > 100, "{} expressions", texts.len());
    // The tokens of the server's lexer, with positions in UTF-16 units.
    let pieces: Vec<_> = texts.iter().map(|text| lexed(text)).collect();
    let (texts, pieces) = (json!(texts), json!(pieces));
    check(
        browser,
        site,
        &format!(
            r#"
        const {{ tokens }} = await load('editor/tokens');
        const ours = {{ function: 'name', label: 'name', keyword: 'name', punct: 'punctuation' }};
        const theirs = {pieces};
        for (const [at, text] of {texts}.entries()) {{
            const all = tokens(text);
            if (theirs[at]) same(all.filter(t => t.kind !== 'space').map(t => [t.from, t.to, ours[t.kind] ?? t.kind].join(' ')), theirs[at], 'as the server: ' + text);
            same(all.map(t => text.slice(t.from, t.to)).join(''), text, 'covered');
            if (all.some((t, i) => t.from !== (i ? all[i - 1].to : 0) || t.to <= t.from)) same(text, 'tokens in a row', 'gaps');
            const bad = all.find(t => t.kind === 'bad');
            if (bad) same(text.slice(bad.from, bad.to), 'a token', text);
        }}
        const kinds = text => tokens(text).filter(t => t.kind !== 'space').map(t => t.kind + ':' + text.slice(t.from, t.to));
        same(kinds('sum by (le) (rate(x{{a="b"}}[5m] offset -1h))'), ['keyword:sum', 'keyword:by', 'punct:(', 'label:le', 'punct:)', 'punct:(', 'function:rate', 'punct:(', 'name:x', 'punct:{{', 'label:a', 'operator:=', 'string:"b"', 'punct:}}', 'punct:[', 'duration:5m', 'punct:]', 'keyword:offset', 'operator:-', 'duration:1h', 'punct:)', 'punct:)'], 'kinds');
        same(kinds('0x1F + 1_000 * 1e-3 - .5 > bool Inf # end'), ['number:0x1F', 'operator:+', 'number:1_000', 'operator:*', 'number:1e-3', 'operator:-', 'number:.5', 'operator:>', 'keyword:bool', 'number:Inf', 'comment:# end'], 'numbers');
        same(kinds('"open').map(k => k.slice(0, 3)), ['bad'], 'an open string');
        "#
        ),
    );
}

fn painters(browser: &Browser, site: &Site) {
    check(
        browser,
        site,
        r#"
        const { spanPixels, densityPixels, mapping, stack } = await load('chart/paint');
        const { fromJson, statistics, extent, labelsOf } = await load('chart/answer');
        const palette = Array.from({ length: 8 }, (_, i) => [i + 1, 2 * i, 3 * i]);
        for (let round = 0; round < 40; round++) {
            const count = 2 + random(60);
            const n = 1 + random(5);
            const values = () => Array.from({ length: count }, (_, i) => [i, random(6) === 0 ? null : String(random(1000) / 10.007 - 19.987)]).filter(pair => pair[1] !== null);
            const data = fromJson(Array.from({ length: n }, (_, s) => ({ metric: { s: String(s), x: 'y' }, values: values() })), { start: 0, step: 1000, count });
            const view = { width: 40 + random(100), height: 20 + random(40), dpr: 1, from: 0, to: (count - 1) * 1000, scale: { y0: -20, y1: 80, log: false }, display: 'lines', palette, dark: false };
            const pixels = spanPixels(data, view, Uint8Array.from({ length: n }, (_, s) => s % 8), null);
            // The reference implementation: many points along each line, each of which sets its pixel.
            const plain = new Uint8Array(view.width * view.height);
            const map = mapping(data, view);
            const [x, y] = [i => map.x[i], map.y];
            for (let s = 0; s < n; s++) for (let i = 0; i + 1 < count; i++) {
                const [a, b] = [data.values[s * count + i], data.values[s * count + i + 1]];
                if (Number.isNaN(a) || Number.isNaN(b)) continue;
                for (let k = 0; k <= 400; k++) {
                    const [px, py] = [Math.floor(x(i) + ((x(i + 1) - x(i)) * k) / 400), Math.floor(y(a) + ((y(b) - y(a)) * k) / 400)];
                    if (px >= 0 && px < view.width && py >= 0 && py < view.height) plain[py * view.width + px] = 1;
                }
            }
            for (let i = 0; i < plain.length; i++) if (plain[i] && !pixels[i]) { same(i, 'painted', `round ${round}: a pixel of the plain picture is missing`); break; }
            // Nothing is painted more than a pixel away from the reference, except for isolated points.
            const near = i => [-1, 0, 1].some(dx => [-1, 0, 1].some(dy => plain[i + dy * view.width + dx]));
            const lone = new Set();
            for (let s = 0; s < n; s++) for (let i = 0; i < count; i++) { const v = k => (k < 0 || k >= count ? NaN : data.values[s * count + k]); if (!Number.isNaN(v(i)) && Number.isNaN(v(i - 1)) && Number.isNaN(v(i + 1))) lone.add(Math.floor(x(i))); }
            for (let i = 0; i < plain.length; i++) if (pixels[i] && !near(i) && !lone.has(i % view.width)) { same(i, 'empty', `round ${round}: a pixel too many`); break; }
            const dense = densityPixels(data, view, null);
            same([...dense].map(Boolean), [...pixels].map(Boolean), 'density covers the same pixels');
            const stats = statistics(data);
            for (let s = 0; s < n; s++) {
                const row = [...data.values.slice(s * count, (s + 1) * count)].filter(v => !Number.isNaN(v));
                same([stats.min[s], stats.max[s], stats.last[s]], row.length ? [Math.min(...row), Math.max(...row), row.at(-1)] : [NaN, NaN, NaN], 'statistics');
                same(labelsOf(data, s), { s: String(s), x: 'y' }, 'labels');
            }
            const sums = stack(data, null);
            same(sums.max >= 0 && sums.min <= 0, true, 'a stack holds zero');
            const all = [...data.values].filter(v => !Number.isNaN(v));
            if (all.length) same([extent(data, null).min, extent(data, null).max], [Math.min(...all), Math.max(...all)], 'extent');
        }
        "#,
    );
}

fn scale(browser: &Browser, site: &Site) {
    check(
        browser,
        site,
        r#"
        const { scaleFor, valueTicks, place, valueAt } = await load('chart/scale');
        const values = [0, 1, -1, 5, 0.1, 1e-9, 1e9, 1e300, -1e300, 1.7e308, 123456.789, 5e-324];
        for (const a of values) for (const b of values) for (const log of [false, true]) for (const unit of ['', 'bytes', 'seconds']) {
            const [min, max] = [Math.min(a, b), Math.max(a, b)];
            const found = scaleFor(min, max, { log, leastPositive: [min, max].find(v => v > 0) });
            if (!(found.y0 < found.y1) || !Number.isFinite(found.y0) || !Number.isFinite(found.y1)) same([min, max, log], 'a scale', JSON.stringify(found));
            const ticks = valueTicks(found, 6, unit);
            if (ticks.length > 60) same(ticks.length, 'few ticks', `${min} ${max} ${log} ${unit}`);
            if (ticks.some((t, i) => i > 0 && !(t > ticks[i - 1]))) same(ticks, 'rising', `${min} ${max} ${unit}`);
        }
        same(scaleFor(NaN, NaN, {}), { y0: 0, y1: 1, log: false }, 'nothing');
        same(valueTicks({ y0: 0, y1: 10, log: false }, 5), [0, 2, 4, 6, 8, 10], 'tens');
        same(valueTicks({ y0: 0, y1: 0.3, log: false }, 3), [0, 0.1, 0.2, 0.3], 'no digits of adding');
        same(valueTicks({ y0: 0, y1: 4 * 2 ** 30, log: false }, 4, 'bytes').map(v => v / 2 ** 30), [0, 1, 2, 3, 4], 'bytes');
        same(valueTicks({ y0: 0, y1: 3600, log: false }, 4, 'seconds'), [0, 900, 1800, 2700, 3600], 'seconds');
        const s = { y0: 2, y1: 7, log: false };
        same(valueAt(s, place(s, 3.5)), 3.5, 'there and back');
        "#,
    );
}

fn format(browser: &Browser, site: &Site) {
    check(
        browser,
        site,
        r#"
        const { bytes, si, seconds, plain, exact, unitOf, parseValue } = await load('format');
        same([exact(NaN), exact(Infinity), exact(-Infinity), exact(-0), exact(0.1)], ['NaN', '+Inf', '-Inf', '-0', '0.1'], 'exact');
        same([parseValue('+Inf'), parseValue('-Inf'), parseValue('1e+21')], [null, null, 1e21], 'read');
        same([bytes(1536), bytes(0), bytes(1073741824)], ['1.5 KiB', '0 B', '1 GiB'], 'bytes');
        same([si(1234567), si(0.00042), si(0), si(-15000)], ['1.235M', '420µ', '0', '-15k'], 'si');
        same([seconds(0.00042), seconds(90), seconds(7200)], ['420 µs', '90 s', '2 h'], 'seconds');
        for (const [expr, unit] of [['process_resident_memory_bytes', 'bytes'], ['rate(node_network_receive_bytes_total[5m])', 'bytes/s'], ['sum by (job) (rate(x_bytes_total{a="b_seconds"}[5m]))', 'bytes/s'],
            ['rate(cpu_seconds_total[5m])', ''], ['histogram_quantile(0.9, sum by (le) (rate(x_seconds_bucket[5m])))', 'seconds'], ['a_bytes / b_bytes', ''], ['count(a_bytes)', ''], ['a_seconds', 'seconds'], ['a_bytes - b_seconds', ''], ['up', '']]) same(unitOf(expr), unit, expr);
        "#,
    );
}

/// The binary answer of `ferula/graph` and the JSON of `query_range`, parsed by the page's own modules.
fn columns(browser: &Browser, site: &Site) {
    check_allowing(
        browser,
        site,
        Some("ferula/graph"),
        r#"
        const { fromBinary, fromJson, labelsOf } = await load('chart/answer');
        const end = Math.floor(Date.now() / 1000) - 60;
        const ask = async (path, params) => fetch('api/v1/' + path, { method: 'POST', body: new URLSearchParams(params) });
        for (const query of ['shop_orders_total', 'rate(shop_orders_total[5m])', 'many', 'shop_memory_bytes / 0', 'vector(1)', '1', 'no_such_metric', '{job=~"shop|demo"}']) {
            const params = { query, start: end - 3600, end, step: 15 };
            const { data } = fromBinary(await (await ask('ferula/graph', { ...params, series_max: 20000 })).arrayBuffer());
            const json = fromJson((await (await ask('query_range', params)).json()).data.result, { start: (end - 3600) * 1000, step: 15000, count: 241 });
            for (const key of ['start', 'step', 'count', 'n', 'total']) same(data[key], json[key], query + ' ' + key);
            for (let s = 0; s < json.n; s++) same(labelsOf(data, s), labelsOf(json, s), query);
            same(data.values.every((v, i) => Object.is(v, json.values[i])), true, query + ' values');
            same([...data.present], [...json.present], query + ' present');
            // If there are more series than requested, the others are sent as an envelope.
            if (json.n < 3) continue;
            const cut = fromBinary(await (await ask('ferula/graph', { ...params, series_max: 2, rank: 'last' })).arrayBuffer()).data;
            same([cut.n, cut.total], [2, json.n], query + ' cut');
            for (let i = 0; i < 241; i++) {
                const all = Array.from({ length: json.n }, (_, s) => json.values[s * 241 + i]).filter((v, s) => (json.present[s * json.bytesPerRow + (i >> 3)] >> (i & 7)) & 1);
                const whole = [0, 1].filter(s => (cut.present[s * cut.bytesPerRow + (i >> 3)] >> (i & 7)) & 1).length;
                same(cut.rest.count[i], all.length - whole, query + ' count at ' + i);
            }
        }
        const refused = await ask('ferula/graph', { query: 'up', start: 1, end: 2, step: 1, rank: 'best' });
        same([refused.status, (await refused.json()).errorType], [400, 'bad_data'], 'a rank that does not exist');
        const invalid = await ask('ferula/graph', { query: 'sum(', start: 1, end: 2, step: 1 });
        same([invalid.status, (await invalid.json()).errorType], [400, 'bad_data'], 'a mistake');
        "#,
    );
}
