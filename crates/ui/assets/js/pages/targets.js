// Targets: by pool or any label, with error, age, and duration against the timeout.

import { ask } from "../api.js";
import { button, chips, fill, fillControls, h, openDialog, outside, stateWord, visible } from "../dom.js";
import { copy } from "../copy.js";
import { grouped } from "../format.js";
import { zone } from "../settings.js";
import { ago, formatTime, humanSeconds, parseDuration } from "../time.js";
import { columnHeads, Lists, filterOf, groupBy, labelNames, meter, prepare, searchField, stateButtons, telling } from "./lists.js";
import { choice } from "./range.js";
import { yamlView } from "./yaml.js";

const ORDER = /** @type {Record<string, number>} */ ({ down: 0, unknown: 1, up: 2 });

/** @type {[string, string, string?][]} */
const COLUMNS = [["State", "92px"], ["Endpoint", "20%"], ["Labels", "auto"], ["Last scrape", "96px"], ["Took", "152px", "num"], ["Samples", "76px", "num"], ["Error", "20%"]];

/** What the filter looks at. @param {any} row */
const textOf = (row) => `${row.scrapeUrl} ${JSON.stringify(row.labels)} ${row.lastError} ${row.scrapePool}`;

/** @param {Record<string, string>} labels */
const identity = (labels) => JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));

/** @param {import("../app.js").Context} context */
export default async function targets(context) {
  const { root, signal, params } = context;
  const health = new Set(params.getAll("health"));
  let search = params.get("search") ?? "";
  let group = params.get("group") ?? "";
  let pool = params.get("pool") ?? "";
  /** @type {any[]} */ let rows = [];
  /** @type {string[]} */ let pools = [];
  /** @type {Set<string>} */ const closed = new Set();
  const lists = new Lists();
  /** @type {Map<string, number>} */ const samples = new Map();
  const controls = h("span", { class: "row" });
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Targets"), controls), message, body);
  const field = searchField(search, (value) => { search = value; context.setParams({ search }); draw(); }, "Filter by address, label or error");

  const drawControls = () => {
    const inPool = rows.filter((row) => pool === "" || row.scrapePool === pool);
    const count = (/** @type {string} */ state) => inPool.filter((row) => row.health === state).length;
    const names = labelNames(rows.slice(0, 2000).map((row) => row.labels)).slice(0, 30);
    fillControls(controls,
      choice("Scrape pool", [["", `All ${pools.length} pools`], ...pools.map((name) => /** @type {[string, string]} */ ([name, visible(name)]))], pool, (value) => { pool = value; context.setParams({ pool }); drawControls(); draw(); }),
      stateButtons("Health", [["up", "Up", count("up")], ["down", "Down", count("down")], ["unknown", "Unknown", count("unknown")]], health, () => { context.setParams({ health: [...health] }); drawControls(); draw(); }),
      field, choice("Group by", [["", "By pool"], ...names.map((name) => /** @type {[string, string]} */ ([name, `By ${visible(name)}`]))], group, (value) => { group = value; context.setParams({ group }); draw(); }));
  };

  const draw = () => lists.draw(body, () => {
    const fits = filterOf(search, textOf);
    const shown = rows.filter((row) => (pool === "" || row.scrapePool === pool) && (health.size === 0 || health.has(row.health)) && fits(row));
    if (shown.length === 0) return [h("div", { class: "empty" }, rows.length === 0 ? "No targets yet: scrape_configs is empty, or discovery has found nothing." : "No target passes the filter.")];
    const groups = groupBy(shown, (row) => (group === "" ? row.scrapePool : row.labels[group] ?? "(none)"));
    const sections = h("div");
    lists.rows("groups", sections, groups, ([title, members]) => section(title, members), ([title]) => title, 2);
    return [sections];
  });

  /** @param {string} title @param {any[]} members */
  const section = (title, members) => {
    const up = members.filter((row) => row.health === "up").length;
    const tbody = h("tbody");
    const table = h("div", { class: "scroll-x", hidden: closed.has(title) }, h("table", { class: "fixed" }, columnHeads(COLUMNS), tbody));
    const toggle = button(closed.has(title) ? "▸" : "▾", { class: "bare", "aria-expanded": String(!closed.has(title)), "aria-label": `Targets of ${title}`, on: { click: () => {
      if (closed.has(title)) closed.delete(title); else closed.add(title);
      table.hidden = closed.has(title);
      toggle.textContent = table.hidden ? "▸" : "▾";
      toggle.setAttribute("aria-expanded", String(!table.hidden));
    } } });
    const element = h("section", null, h("div", { class: "section" }, toggle, h("h2", null, visible(title.slice(0, 200))), stateWord(up === members.length ? "up" : "down", `${up} of ${members.length} up`),
      group === "" && button("Scrape configuration", { class: "link", on: { click: () => void showPool(title) } })), table);
    lists.rows(`targets of ${title}`, tbody, members, line, (row) => `${row.scrapePool} ${row.scrapeUrl} ${JSON.stringify(row.labels)}`, 20);
    return element;
  };

  /** @param {any} row */
  const line = (row) => {
    const last = row.lastScrape.startsWith("0001-") ? 0 : Date.parse(row.lastScrape);
    const timeout = (parseDuration(row.scrapeTimeout) ?? 0) / 1000;
    return h("tr", null,
      h("td", { class: "fit" }, stateWord(row.health)),
      h("td", { class: "wrap" }, outside(row.globalUrl, row.scrapeUrl)),
      h("td", null, ...chips(row.labels, pick), button("copy", { class: "link small", title: "Copy these labels", on: { click: () => void copy(`{${Object.entries(row.labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ")}}`) } }), " · ",
        button("discovered", { class: "link small", on: { click: () => openDialog("Labels before relabelling", h("div", null, ...chips(row.discoveredLabels))) } })),
      h("td", { class: "fit", title: last ? `${formatTime(last, zone())}, every ${row.scrapeInterval}` : "" }, last ? ago(last) : "never"),
      h("td", { class: "num fit" }, humanSeconds(row.lastScrapeDuration), meter(row.lastScrapeDuration, timeout, `Time-out after ${row.scrapeTimeout}`)),
      h("td", { class: "num fit" }, samples.has(identity(row.labels)) ? grouped(samples.get(identity(row.labels)) ?? 0) : ""),
      h("td", { class: "wrap" }, row.lastError ? h("span", { class: "state-text" }, visible(row.lastError)) : ""));
  };

  /** @param {string} name @param {string} value */
  const pick = (name, value) => { search = `"${name}":${JSON.stringify(value)}`; field.value = search; context.setParams({ search }); draw(); };

  /** @param {string} name */
  const showPool = async (name) => {
    const { data } = await ask("scrape_pools/config", { scrapePool: name }, { signal });
    openDialog(`Scrape pool ${name}`, yamlView(data.yaml, ""));
  };

  const load = telling(message, signal, async () => {
    const { data } = await ask("targets", { state: "active" }, { signal });
    rows = data.activeTargets;
    rows.sort((a, b) => ORDER[a.health] - ORDER[b.health] || (a.scrapeUrl < b.scrapeUrl ? -1 : 1));
    pools = [...new Set(rows.map((row) => row.scrapePool))].sort();
    drawControls();
    draw();
    void loadSamples();
    void prepare(rows, textOf, signal);
  });
  /** How many samples the last scrape of each target had; the table stands without. */
  const loadSamples = async () => {
    // An agent has no store that could be asked.
    if (document.documentElement.dataset.agent === "true") return;
    try {
      const { data } = await ask("query", { query: "scrape_samples_scraped" }, { signal, quiet: true });
      for (const one of data.result) {
        const { __name__, ...labels } = one.metric;
        samples.set(identity(labels), Number(one.value[1]));
      }
      if (samples.size > 0) draw();
    } catch { /* No samples are shown. */ }
  };
  await load();
  context.onRefresh(load);
}
