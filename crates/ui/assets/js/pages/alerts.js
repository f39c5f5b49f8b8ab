// Alerts: one line each, flat or in groups, with what was firing in the last day.

import { absolute, ask } from "../api.js";
import { button, chips, fill, fillControls, h, labelText, note, stateWord, visible, outside } from "../dom.js";
import { exact, plain } from "../format.js";
import { atRest } from "../keep.js";
import { onSetting, setSetting, setting, zone } from "../settings.js";
import { ago, formatTime, humanSeconds } from "../time.js";
import { queryAddress } from "../url_state.js";
import { columnHeads, Lists, filterOf, groupBy, labelNames, paged, prepare, searchField, stateButtons, telling } from "./lists.js";
import { choice } from "./range.js";

const ORDER = /** @type {Record<string, number>} */ ({ firing: 0, pending: 1, inactive: 2, unknown: 3 });

/** @typedef {{state: string, name: string, labels: Record<string, string>, annotations: Record<string, string>, since: number | null, value: number, rule: any, group: string, file: string, order: number, search?: string, key: string}} Row */

/** @param {import("../app.js").Context} context */
export default async function alerts(context) {
  const { root, signal, params } = context;
  const states = new Set(params.getAll("state"));
  let search = params.get("search") ?? "";
  // A page is one of rule groups with all their rules, as Prometheus' pages count them.
  const whole = params.has("page");
  let group = params.get("group") ?? (whole ? "(group)" : "");
  /** @type {Row[]} */ let rows = [];
  /** @type {Set<string>} */ const open = new Set();
  const lists = new Lists();
  const controls = h("span", { class: "row" });
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Alerts"), controls), message, body);

  const field = searchField(search, (value) => { search = value; context.setParams({ search }); draw(); }, "Filter by name, label or value");
  /** What was pending and firing, by labels and by name. */
  let strips = new Map();

  const drawControls = () => {
    const count = (/** @type {string} */ state) => rows.filter((row) => row.state === state).length;
    const names = labelNames(rows.map((row) => row.labels)).slice(0, 30);
    fillControls(controls,
      stateButtons("State", [["firing", "Firing", count("firing")], ["pending", "Pending", count("pending")], ["inactive", "Inactive", count("inactive")]], states, () => { context.setParams({ state: [...states] }); drawControls(); draw(); }),
      field, choice("Group by", [["", "No groups"], ["(group)", "By rule group"], ...names.map((name) => /** @type {[string, string]} */ ([name, `By ${visible(name)}`]))], group, (value) => { group = value; context.setParams({ group }); draw(); }),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: setting("annotations"), on: { change: (/** @type {any} */ e) => setSetting("annotations", e.target.checked) } }), "Annotations"));
  };
  signal.addEventListener("abort", onSetting((name) => { if (name === "annotations") draw(); }));

  const draw = () => lists.draw(body, () => {
    // Inactive alerts are shown only when selected, or when there is nothing else.
    const active = rows.some((row) => row.state !== "inactive" && row.state !== "unknown");
    const fits = filterOf(search, textOf);
    const shown = rows.filter((row) => (states.size > 0 ? states.has(row.state) : whole || !active || (row.state !== "inactive" && row.state !== "unknown")) && fits(row));
    if (shown.length === 0) return [h("div", { class: "empty" }, rows.length === 0 ? "No alerting rules are configured." : "No alert passes the filter.")];
    if (group === "") return [table("", shown)];
    const sections = h("div");
    const groups = groupBy(shown, (row) => (group === "(group)" ? `${row.group} · ${row.file}` : row.labels[group] ?? "(none)"));
    if (group === "(group)") groups.sort(([, [a]], [, [b]]) => a.order - b.order);
    lists.rows("groups", sections, groups, ([title, members]) => {
      const firing = members.filter((row) => row.state === "firing").length;
      return h("section", null, h("div", { class: "section" }, h("h2", null, visible(title.slice(0, 200))), h("span", { class: "count" }, `${members.length}`), firing > 0 && stateWord("firing", `${firing} firing`)), table(title, members));
    }, ([title]) => title, 4);
    return [sections];
  });

  /** @param {string} name @param {Row[]} shown */
  const table = (name, shown) => {
    const tbody = h("tbody");
    const box = h("div", { class: "scroll-x" }, h("table", { class: "fixed" }, columnHeads(COLUMNS), tbody));
    lists.rows(`rows of ${name}`, tbody, shown, line, (row) => row.key);
    return box;
  };

  /** @param {Row} row */
  const line = (row) => {
    const toggle = () => { if (open.has(row.key)) open.delete(row.key); else open.add(row.key); draw(); };
    const tr = h("tr", null,
      h("td", { class: "fit" }, stateWord(row.state)),
      h("td", { class: "wrap" }, button(visible(row.name.slice(0, 200)), { class: "link", "aria-expanded": String(open.has(row.key)), on: { click: toggle } })),
      h("td", null, labelText(row.labels, (name) => name !== "alertname"), setting("annotations") && h("div", { class: "muted" }, row.annotations.summary ?? row.annotations.description ?? "")),
      h("td", { class: "fit", title: row.since ? `${formatTime(row.since, zone())} ${zone()}` : "" }, row.since ? ago(row.since) : row.state === "unknown" ? "not evaluated yet" : ""),
      h("td", { class: "num", title: exact(row.value) }, Number.isNaN(row.value) && row.since === null ? "" : plain(row.value, 5)),
      h("td", { class: "fit" }, strip(row)),
      h("td", { class: "fit" }, h("a", { href: queryAddress(row.rule.query, { tab: "graph" }) }, "graph"), row.annotations.runbook_url ? [" · ", outside(row.annotations.runbook_url, "runbook")] : ""));
    return open.has(row.key) ? [tr, detail(row)] : [tr];
  };

  /** @param {Row} row */
  const detail = (row) => h("tr", { class: "detail" }, h("td", { colspan: "7" },
    h("pre", null, row.rule.query),
    h("div", { class: "row muted" }, `for ${humanSeconds(row.rule.duration)}`, row.rule.keepFiringFor ? `, keeps firing for ${humanSeconds(row.rule.keepFiringFor)}` : "", ` · group ${row.group} · ${row.file}`),
    h("div", null, ...chips(row.labels, (name, value) => { search = `"${name}":"${value}"`; field.value = search; context.setParams({ search }); draw(); })),
    h("table", { class: "plain" }, h("tbody", null, ...Object.entries(row.annotations).map(([name, value]) => h("tr", null, h("th", { scope: "row" }, visible(name)), h("td", { class: "wrap" }, outside(value)))))),
    row.rule.lastError && note("err", row.rule.lastError)));

  /** @param {Row} row */
  const strip = (row) => {
    const spans = strips.get(identity(row.labels)) ?? strips.get(`name:${row.name}`) ?? [];
    return h("span", { class: "strip", role: "img", "aria-label": spans.length > 0 ? "Active in the last 24 hours" : "Not active in the last 24 hours" }, ...spans.map((/** @type {any} */ one) => h("i", { data: { s: one.state }, title: `${one.state} until ${formatTime(one.to, zone())}`, style: { left: `${one.left * 100}%`, width: `max(1px, ${one.width * 100}%)` } })));
  };

  const load = telling(message, signal, async () => {
    rows = collect((await ask("rules", { type: "alert" }, { signal })).data.groups);
    drawControls();
    draw();
    void prepare(rows, textOf, signal);
  });
  await load();
  paged(context, lists, "groups", () => group === "(group)");
  const loadStrips = async () => {
    try {
      strips = await readStrips(signal);
      draw();
    } catch { /* The strip is an addition. */ }
  };
  context.onRefresh(() => load().then(loadStrips));
  await loadStrips();
}

/** What was pending and firing in the last day, in columns: thousands of alerts as JSON would hold up the page. @param {AbortSignal} signal */
async function readStrips(signal) {
  const strips = new Map();
  const [step, day] = [600, 86_400];
  const end = Math.floor(Date.now() / 1000);
  const body = new URLSearchParams({ query: "ALERTS", start: String(end - day), end: String(end), step: String(step), series_max: "5000", rank: "last" });
  const { fromBinary, GRAPH_TYPE, isPresent, labelsOf } = await import("../chart/answer.js");
  const response = await fetch(absolute("api/v1/ferula/graph"), { method: "POST", body, signal, credentials: "same-origin", headers: { Accept: GRAPH_TYPE } });
  const { data } = fromBinary(await response.arrayBuffer());
  await atRest();
  for (let s = 0; s < data.n; s++) {
    const { alertname, alertstate, __name__, ...labels } = labelsOf(data, s);
    /** @type {number[]} */ const times = [];
    for (let i = 0; i < data.count; i++) if (isPresent(data, s, i)) times.push((data.start + i * data.step) / 1000);
    for (const key of [identity({ alertname, ...labels }), `name:${alertname}`]) {
      const spans = strips.get(key) ?? [];
      // Of all alerts of a name together, a few hundred spans already fill the strip.
      if (spans.length < 300) for (const [from, to] of runs(times, step)) spans.push({ state: alertstate, left: (from - end + day) / day, width: (to - from) / day, to: to * 1000 });
      strips.set(key, spans);
    }
  }
  return strips;
}

/** @type {[string, string, string?][]} */
const COLUMNS = [["State", "92px"], ["Alert", "18%"], ["Labels", "auto"], ["Since", "104px"], ["Value", "96px", "num"], ["Last 24 h", "140px"], ["", "128px"]];

/** What the filter looks at. @param {Row} row */
const textOf = (row) => `${row.key} ${Object.values(row.annotations).join(" ")}`;

/** @param {Record<string, string>} labels */
const identity = (labels) => JSON.stringify(Object.entries(labels).filter(([, value]) => value !== undefined).sort(([a], [b]) => (a < b ? -1 : 1)));

/** Runs of steps without a gap. @param {number[]} times @param {number} step @returns {[number, number][]} */
function runs(times, step) {
  /** @type {[number, number][]} */
  const out = [];
  for (const at of times) {
    const last = out[out.length - 1];
    if (last && at - last[1] <= step * 1.01) last[1] = at;
    else out.push([at - step / 2, at]);
  }
  return out;
}

/** @param {any[]} groups @returns {Row[]} */
function collect(groups) {
  /** @type {Row[]} */
  const rows = [];
  for (const [order, group] of groups.entries()) {
    for (const rule of group.rules) {
      const common = { rule, group: group.name, file: group.file, order };
      const active = rule.alerts ?? [];
      for (const alert of active) rows.push({ ...common, state: alert.state, name: rule.name, labels: alert.labels, annotations: alert.annotations, since: Date.parse(alert.activeAt), value: Number(alert.value.replace("Inf", "Infinity")), key: "" });
      if (active.length === 0) rows.push({ ...common, state: rule.state, name: rule.name, labels: { alertname: rule.name, ...rule.labels }, annotations: rule.annotations, since: null, value: NaN, key: "" });
    }
  }
  for (const row of rows) row.key = `${row.file} ${row.group} ${row.name} ${JSON.stringify(row.labels)}`;
  return rows.sort((a, b) => ORDER[a.state] - ORDER[b.state] || a.name.localeCompare(b.name) || (a.key < b.key ? -1 : 1));
}
