// Metrics explorer: search in names and help texts, what a metric is, how many series it has, its labels, small graphs.

import { ask, isAbort } from "../api.js";
import { button, fill, h, note, visible } from "../dom.js";
import { grouped } from "../format.js";
import { VirtualTable } from "../rows.js";
import { queryAddress } from "../url_state.js";
import { searchField } from "./lists.js";
import { counted, sparkline } from "./metrics_view.js";

const NAMES_MAX = 2000;
const SERIES_MAX = 5000;

/** @typedef {{name: string, type?: string, help?: string, unit?: string}} Metric */

/** @param {string} name */
const selectorOf = (name) => (/^[a-zA-Z_:][\w:]*$/.test(name) ? name : `{${JSON.stringify(name)}}`);

/** @param {import("../app.js").Context & {insert?: (selector: string) => void}} context with `insert`, selectors go there */
export default async function metrics(context) {
  const { root, signal, params, insert } = context;
  let search = insert ? "" : params.get("search") ?? "";
  let asked = new AbortController();
  const count = h("span", { class: "count", role: "status" });
  const side = h("div");
  let timer = 0;
  const field = searchField(search, (value) => {
    search = value;
    if (!insert) context.setParams({ search });
    clearTimeout(timer);
    timer = window.setTimeout(() => void load(), 120);
  }, "Search names and help texts");
  const view = counted(signal, () => table.redraw());
  /** @type {VirtualTable<Metric>} */
  const table = new VirtualTable({
    label: "Metrics", key: (row) => row.name, height: insert ? "60vh" : "calc(100vh - 124px)", rowHeight: 28, onView: (rows) => view.want(rows),
    columns: [
      { key: "name", title: "Metric", by: (row) => row.name, cell: (row) => button(visible(row.name.slice(0, 200)), { class: "link mono", on: { click: () => void show(row) } }) },
      { key: "type", title: "Type", class: "fit", by: (row) => row.type ?? "", cell: (row) => row.type ?? "" },
      { key: "unit", title: "Unit", class: "fit", by: (row) => row.unit ?? "", cell: (row) => row.unit ?? "" },
      { key: "series", title: "Series", class: "num fit", cell: (row) => view.series(row.name) },
      { key: "graph", title: "Last hour", class: "fit", cell: (row) => view.graph(row.name) },
      { key: "help", title: "Help", class: "rest", cell: (row) => h("span", { class: "muted", title: (row.help ?? "").slice(0, 1000) }, visible((row.help ?? "").slice(0, 200))) },
    ],
  });
  fill(root, h("div", { class: "page-head" }, insert ? "" : h("h1", null, "Metrics"), field, count, h("span", { class: "muted" }, "A click on a metric shows its labels and a graph.")), h("div", { class: "columns explorer" }, table.element, side));

  const load = async () => {
    asked.abort();
    asked = new AbortController();
    signal.addEventListener("abort", () => asked.abort());
    try {
      const { data } = await ask("ferula/metrics", { search: search.trim().slice(0, 900), limit: NAMES_MAX }, { signal: asked.signal, quiet: true });
      count.textContent = data.metrics.length === NAMES_MAX ? `first ${grouped(NAMES_MAX)} of ${grouped(data.total)} metrics; type to narrow` : `${grouped(data.metrics.length)} of ${grouped(data.total)} metrics`;
      table.setRows(data.metrics);
    } catch (error) {
      if (!isAbort(error)) fill(side, note("err", /** @type {Error} */ (error).message));
    }
  };

  /** A link to the query page, or a button that puts the selector where it is wanted. @param {string} expr @param {string} text @param {any} [props] @param {any} [panel] */
  const use = (expr, text, props = {}, panel = { tab: "graph" }) => (insert
    ? button(text, { ...props, on: { click: () => insert(expr) } })
    : h("a", { ...props, href: queryAddress(expr, panel) }, text));

  /** @param {Metric} entry */
  const show = async (entry) => {
    const { name } = entry;
    if (!insert) context.setParams({ metric: name });
    const canvas = h("canvas", { width: "840", height: "160", role: "img", "aria-label": `Small graph of ${name.slice(0, 200)}` });
    canvas.style.width = "420px";
    canvas.style.maxWidth = "100%";
    const selector = selectorOf(name);
    const suggested = entry.type === "counter" ? `rate(${selector}[5m])` : /_bucket$/.test(name) ? `histogram_quantile(0.9, sum by (le) (rate(${selector}[5m])))` : selector;
    const labels = h("div", { class: "muted" }, "Labels are being counted…");
    fill(side, h("h2", { class: "wrap" }, visible(name)), h("p", { class: "muted" }, entry.type ? `${entry.type}${entry.unit ? `, ${entry.unit}` : ""}` : "no metadata: no active target exposes it, or it is the result of a rule"), h("p", null, visible((entry.help ?? "").slice(0, 5000))),
      h("p", { class: "row" }, use(selector, insert ? "Insert" : "Graph", { class: "button" }), !insert && use(selector, "Table", { class: "button" }, {}), suggested !== selector && use(suggested, `${insert ? "Insert" : "Graph of"} ${suggested.slice(0, 40)}${suggested.length > 40 ? "…" : ""}`, { class: "button" })),
      canvas, labels);
    try {
      const end = Math.floor(Date.now() / 1000);
      const [all, graph] = await Promise.all([
        ask("series", { "match[]": [selector], limit: SERIES_MAX, start: end - 3600, end }, { signal }),
        ask("query_range", { query: suggested.startsWith("histogram") ? selector : suggested, start: end - 3600, end, step: 60, limit: 20 }, { signal, quiet: true }),
      ]);
      const found = /** @type {Record<string, string>[]} */ (all.data);
      sparkline(canvas, graph.data.result, end - 3600, end);
      /** @type {Map<string, Map<string, number>>} */
      const values = new Map();
      for (const one of found) for (const [label, value] of Object.entries(one)) {
        if (label === "__name__") continue;
        const counts = values.get(label) ?? new Map();
        counts.set(value, (counts.get(value) ?? 0) + 1);
        values.set(label, counts);
      }
      const narrowed = (/** @type {string} */ label, /** @type {string} */ value) => {
        const matcher = `${/^[a-zA-Z_]\w*$/.test(label) ? label : JSON.stringify(label)}=${JSON.stringify(value)}`;
        return selector.includes("{") ? `{${JSON.stringify(name)},${matcher}}` : `${selector}{${matcher}}`;
      };
      fill(labels, h("div", { class: "section" }, h("h2", null, `${found.length === SERIES_MAX ? "More than " : ""}${grouped(found.length)} series in the last hour`)),
        h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Label"), h("th", { scope: "col", class: "num" }, "Values"), h("th", { scope: "col" }, "Most frequent"))), h("tbody", null, ...[...values].sort((a, b) => b[1].size - a[1].size).map(([label, counts]) => h("tr", null, h("td", { class: "mono wrap" }, visible(label.slice(0, 200))), h("td", { class: "num fit" }, grouped(counts.size)),
          h("td", null, ...[...counts].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([value, n]) => use(narrowed(label, value), visible(value.slice(0, 120)) || "(empty)", { class: "chip", title: `${n} series` })), counts.size > 8 && h("span", { class: "muted" }, `and ${counts.size - 8} more`)))))));
      labels.className = "";
    } catch (error) {
      if (!isAbort(error)) fill(labels, note("err", /** @type {Error} */ (error).message));
    }
  };
  await load();
  const wanted = insert ? null : params.get("metric");
  if (wanted) void show(table.rows.find((row) => row.name === wanted) ?? { name: wanted });
  else field.focus();
}
