// Metrics explorer: search, what a metric is, its labels with their number of values, a small graph.

import { ask, isAbort, metadata } from "../api.js";
import { button, fill, h, note, visible } from "../dom.js";
import { metricNames } from "../palette.js";
import { grouped } from "../format.js";
import { VirtualTable } from "../rows.js";
import { queryAddress } from "../url_state.js";
import { searchField } from "./lists.js";

const NAMES_MAX = 2000;
const SERIES_MAX = 5000;

/** @param {import("../app.js").Context} context */
export default async function metrics(context) {
  const { root, signal, params } = context;
  let search = params.get("search") ?? "";
  let asked = new AbortController();
  /** @type {Record<string, {type: string, help: string, unit: string}[]>} */ let about = {};
  /** @type {Map<string, number>} */ const series = new Map();
  const count = h("span", { class: "count", role: "status" });
  const side = h("div");
  let timer = 0;
  const field = searchField(search, (value) => {
    search = value;
    context.setParams({ search });
    clearTimeout(timer);
    timer = window.setTimeout(() => void load(), 120);
  }, "Search names and help texts");
  const of = (/** @type {string} */ name) => about[name]?.[0] ?? about[name.replace(/_(bucket|sum|count|total)$/, "")]?.[0];
  const table = new VirtualTable({
    label: "Metrics", height: "calc(100vh - 110px)",
    columns: [
      { key: "name", title: "Metric", by: (/** @type {string} */ name) => name, cell: (name) => button(visible(name), { class: "link mono", on: { click: () => void show(name) } }) },
      { key: "type", title: "Type", class: "fit", by: (name) => of(name)?.type ?? "", cell: (name) => of(name)?.type ?? "" },
      { key: "help", title: "Help", class: "rest", cell: (name) => h("span", { class: "muted", title: of(name)?.help ?? "" }, visible((of(name)?.help ?? "").slice(0, 200))) },
    ],
  });
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Metrics"), field, count), h("div", { class: "columns" }, table.element, side));

  const load = async () => {
    asked.abort();
    asked = new AbortController();
    signal.addEventListener("abort", () => asked.abort());
    try {
      const names = await metricNames(search.trim(), NAMES_MAX + 1, asked.signal);
      about = await metadata();
      const words = search.toLowerCase().split(/\s+/).filter(Boolean);
      const known = new Set(names);
      const byHelp = words.length === 0 ? [] : Object.keys(about).filter((name) => !known.has(name) && words.every((word) => `${name} ${about[name][0].help}`.toLowerCase().includes(word)));
      const all = [...names.slice(0, NAMES_MAX), ...byHelp];
      count.textContent = names.length > NAMES_MAX ? `first ${grouped(NAMES_MAX)} names; type to narrow` : `${all.length} metrics`;
      table.setRows(all);
    } catch (error) {
      if (!isAbort(error)) fill(side, note("err", /** @type {Error} */ (error).message));
    }
  };

  /** @param {string} name */
  const show = async (name) => {
    context.setParams({ metric: name });
    const entry = of(name);
    const canvas = h("canvas", { width: "840", height: "160", role: "img", "aria-label": `Small graph of ${name}` });
    canvas.style.width = "420px";
    const selector = /^[a-zA-Z_:][\w:]*$/.test(name) ? name : `{${JSON.stringify(name)}}`;
    const suggested = entry?.type === "counter" ? `rate(${selector}[5m])` : /_bucket$/.test(name) ? `histogram_quantile(0.9, sum by (le) (rate(${selector}[5m])))` : selector;
    const labels = h("div", { class: "muted" }, "Labels are being counted…");
    fill(side, h("h2", { class: "wrap" }, visible(name)), h("p", { class: "muted" }, entry ? `${entry.type}${entry.unit ? `, ${entry.unit}` : ""}` : "no metadata: no active target exposes it, or it is the result of a rule"), h("p", null, visible(entry?.help ?? "")),
      h("p", { class: "row" }, h("a", { class: "button", href: queryAddress(selector, { tab: "graph" }) }, "Graph"), h("a", { class: "button", href: queryAddress(selector) }, "Table"), suggested !== selector && h("a", { class: "button", href: queryAddress(suggested, { tab: "graph" }) }, `Graph of ${suggested.slice(0, 40)}${suggested.length > 40 ? "…" : ""}`)),
      canvas, labels);
    try {
      const end = Math.floor(Date.now() / 1000);
      const [all, graph] = await Promise.all([
        ask("series", { "match[]": [selector], limit: SERIES_MAX, start: end - 3600, end }, { signal }),
        ask("query_range", { query: suggested.startsWith("histogram") ? selector : suggested, start: end - 3600, end, step: 60, limit: 20 }, { signal, quiet: true }),
      ]);
      const found = /** @type {Record<string, string>[]} */ (all.data);
      series.set(name, found.length);
      sparkline(canvas, graph.data.result, end - 3600, end);
      /** @type {Map<string, Map<string, number>>} */
      const values = new Map();
      for (const one of found) for (const [label, value] of Object.entries(one)) {
        if (label === "__name__") continue;
        const counts = values.get(label) ?? new Map();
        counts.set(value, (counts.get(value) ?? 0) + 1);
        values.set(label, counts);
      }
      fill(labels, h("div", { class: "section" }, h("h2", null, `${found.length === SERIES_MAX ? "More than " : ""}${grouped(found.length)} series in the last hour`)),
        h("table", null, h("thead", null, h("tr", null, h("th", null, "Label"), h("th", { class: "num" }, "Values"), h("th", null, "Most frequent"))), h("tbody", null, ...[...values].sort((a, b) => b[1].size - a[1].size).map(([label, counts]) => h("tr", null, h("td", { class: "mono fit" }, visible(label)), h("td", { class: "num fit" }, grouped(counts.size)),
          h("td", null, ...[...counts].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([value, n]) => h("a", { class: "chip", title: `${n} series`, href: queryAddress(selector.includes("{") ? `{${JSON.stringify(name)},${label}=${JSON.stringify(value)}}` : `${selector}{${label}=${JSON.stringify(value)}}`, { tab: "graph" }) }, h("bdi", null, visible(value.slice(0, 120)) || "(empty)"))), counts.size > 8 && h("span", { class: "muted" }, `and ${counts.size - 8} more`)))))));
      labels.className = "";
    } catch (error) {
      if (!isAbort(error)) fill(labels, note("err", /** @type {Error} */ (error).message));
    }
  };
  await load();
  const wanted = params.get("metric");
  if (wanted) void show(wanted);
  else fill(side, h("div", { class: "empty" }, "Choose a metric to see its labels and a small graph."));
  if (!wanted) field.focus();
}

/** @param {HTMLCanvasElement} canvas @param {{values?: [number, string][]}[]} result @param {number} from @param {number} to */
export function sparkline(canvas, result, from, to) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const values = result.flatMap((one) => (one.values ?? []).map((pair) => Number(pair[1]))).filter(Number.isFinite);
  const [min, max] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const span = max - min || 1;
  const { width, height } = canvas;
  context.lineWidth = 2;
  const style = getComputedStyle(document.documentElement);
  result.forEach((one, i) => {
    context.strokeStyle = style.getPropertyValue(`--s${i % 8}`);
    context.beginPath();
    let before = -Infinity;
    for (const [at, text] of one.values ?? []) {
      const x = ((at - from) / (to - from)) * width;
      const y = height - 6 - ((Number(text) - min) / span) * (height - 12);
      if (at - before > 150) context.moveTo(x, y);
      else context.lineTo(x, y);
      before = at;
    }
    context.stroke();
  });
}
