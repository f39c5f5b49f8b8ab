// The tab Table: the answer at one moment; sorted, filtered, a column per label when that reads better.

import { ask, metadata } from "../api.js";
import { copy } from "../copy.js";
import { button, fill, fillControls, h, labelText, note, visible } from "../dom.js";
import { tokens } from "../editor/tokens.js";
import { exact, grouped, inUnit, parseValue, unitOf } from "../format.js";
import { VirtualTable } from "../rows.js";
import { zone } from "../settings.js";
import { formatTime, humanSeconds } from "../time.js";
import { curl } from "./query.js";
import { momentField } from "./range.js";

/** @typedef {{metric: Record<string, string>, value: number, text: string, at: number, histogram: any | null, search: string}} Row */

export class TableTab {
  /** @param {import("./panel.js").PanelView} panel */
  constructor(panel) {
    this.panel = panel;
    this.controls = h("div", { class: "panel-controls" });
    this.filter = h("input", { type: "search", placeholder: "Filter rows", "aria-label": "Filter rows", on: { input: () => this.showRows() } });
    this.moment = h("span");
    this.asColumns = button("Columns", { title: "A column for each label", "aria-pressed": "true", on: { click: () => { this.columns = !this.columns; this.asColumns.setAttribute("aria-pressed", String(this.columns)); this.show(); } } });
    this.raw = button("Exact", { title: "All digits instead of units", "aria-pressed": "false", on: { click: () => { this.exact = !this.exact; this.raw.setAttribute("aria-pressed", String(this.exact)); this.table?.redraw(); } } });
    this.shown = h("span", { class: "count" });
    fill(this.controls, this.moment, this.filter, this.asColumns, this.raw, this.shown);
    this.body = h("div", { class: "instant" });
    this.element = h("div", null, this.controls, this.body);
    this.columns = true;
    this.exact = false;
    /** @type {Row[]} */ this.rows = [];
    /** @type {VirtualTable<Row> | null} */ this.table = null;
    /** @type {{key: string, down: boolean} | null} */ this.sort = null;
    /** @type {[string, string][]} */ this.lastParams = [];
    this.type = "";
    this.unit = /** @type {import("../format.js").Unit} */ ("");
  }

  drawControls() {
    const { state } = this.panel;
    fillControls(this.moment, momentField(state.end, 60_000, "Evaluation time", (end) => this.panel.change({ end }, { share: true })));
  }

  clear() {
    this.rows = [];
    fill(this.body);
    this.shown.textContent = "";
  }

  /** @param {string} expr @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async run(expr, signal) {
    const { state } = this.panel;
    const time = (state.end ?? Date.now()) / 1000;
    this.lastParams = [["query", expr], ["time", String(time)]];
    const { data, warnings, infos, date } = await ask("query", { query: expr, time, stats: "all" }, { signal, post: true });
    this.type = data.resultType;
    this.unit = unitFor(expr, await metadata());
    this.moment.title = "";
    if (data.resultType === "scalar" || data.resultType === "string") {
      this.rows = [];
      this.table = null;
      this.shown.textContent = "";
      fill(this.body, h("table", { class: "plain" }, h("tbody", null, h("tr", null, h("th", { scope: "row" }, data.resultType), h("td", { class: "mono" }, visible(String(data.result[1])))))));
      return { summary: data.resultType, warnings, infos, date };
    }
    if (data.resultType === "matrix") {
      fill(this.body, note("info", "This is a range vector: its samples are shown in the tab Raw. Wrap it in a function such as rate() for a table."));
      this.rows = [];
      this.shown.textContent = "";
      return { summary: `${data.result.length} series`, warnings, infos, date };
    }
    this.rows = data.result.map((/** @type {any} */ one) => {
      const [at, value] = one.value ?? one.histogram;
      const text = one.value ? value : `count ${value.count}, sum ${value.sum}`;
      return { metric: one.metric, at, text, value: one.value ? parseValue(value) : parseValue(value.count), histogram: one.histogram ? value : null, search: (JSON.stringify(one.metric) + text).toLowerCase() };
    });
    if (this.rows.length === 0) {
      this.table = null;
      this.shown.textContent = "";
      fill(this.body, h("div", { class: "empty" }, await (await import("./empty.js")).whyEmpty(expr, state.end, 300_000, signal)));
    } else this.show();
    const samples = data.stats?.samples?.totalQueryableSamples;
    const t = data.stats?.timings;
    const stats = t && /** @type {[string, string][]} */ ([["Samples used", grouped(samples)], ["Samples read", grouped(data.stats.samples.samplesRead ?? samples)], ["Peak samples", grouped(data.stats.samples.peakSamples)], ...[["Waited for a place", t.execQueueTime], ["Prepared", t.queryPreparationTime], ["Evaluated", t.innerEvalTime], ["Time on the server", t.execTotalTime]].map(([name, seconds]) => [name, humanSeconds(seconds)])]);
    return { summary: `${this.rows.length} series${samples === undefined ? "" : ` · ${samples.toLocaleString("en")} samples read`} · ${formatTime(Math.round(time * 1000), zone()).slice(0, 19)}`, stats, warnings, infos, date };
  }

  show() {
    if (this.rows.length === 0) return;
    const names = [...new Set(this.rows.slice(0, 2000).flatMap((row) => Object.keys(row.metric)))].sort((a, b) => (a === "__name__" ? -1 : b === "__name__" ? 1 : a < b ? -1 : 1));
    const asColumns = this.columns && names.length > 0 && names.length <= 12;
    /** @type {import("../rows.js").Column<Row>[]} */
    const columns = asColumns
      ? names.map((name) => ({ key: name, title: name === "__name__" ? "Metric" : visible(name), by: (row) => row.metric[name] ?? "", cell: (row) => h("bdi", { title: (row.metric[name] ?? "").slice(0, 500) }, visible((row.metric[name] ?? "").slice(0, 300))) }))
      : [{ key: "series", title: "Series", class: "rest", by: (row) => row.search, cell: (row) => [h("b", null, visible(row.metric.__name__ ?? "")), "{", labelText(row.metric, (name) => name !== "__name__"), "}"] }];
    columns.push({ key: "value", title: "Value", class: "num fit", by: (row) => row.value, cell: (row) => this.value(row) });
    this.table ??= new VirtualTable({ label: "Result", columns, key: (row) => JSON.stringify(row.metric), sort: this.sort ?? undefined, onSort: (sort) => { this.sort = sort; } });
    this.table.rowHeight = this.rows.some((row) => row.histogram) ? 28 : 24;
    this.table.setColumns(columns);
    fill(this.body, this.table.element);
    this.showRows();
  }

  showRows() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = words.length === 0 ? this.rows : this.rows.filter((row) => words.every((word) => row.search.includes(word)));
    this.shown.textContent = rows.length === this.rows.length ? "" : `${rows.length} of ${this.rows.length}`;
    this.table?.setRows(rows);
  }

  /** @param {Row} row */
  value(row) {
    if (row.histogram) return [bars(row.histogram), row.text];
    return h("span", { title: row.text }, this.exact || this.unit === "" ? row.text : inUnit(row.value, this.unit, 6));
  }

  /** @param {"csv" | "json"} format */
  async save(format) {
    (await import("./export.js")).saveTable(this.rows, format);
  }

  /** @param {() => void} close */
  actions(close) {
    const item = (/** @type {string} */ text, /** @type {() => void} */ act) => button(text, { on: { click: () => { close(); act(); } } });
    return [
      item("Copy as curl", () => void copy(curl("query", this.lastParams))),
      item("Save as CSV", () => void this.save("csv")),
      item("Save as JSON", () => void this.save("json")),
    ];
  }
}

/** The unit of an answer: that of the first metric named. @param {string} expr @param {Record<string, {unit: string}[]>} about */
export function unitFor(expr, about) {
  const name = tokens(expr).find((token) => token.kind === "name");
  const metric = name ? expr.slice(name.from, name.to) : "";
  return unitOf(expr, about[metric]?.[0]?.unit ?? "");
}

/** A native histogram as small bars; a tooltip holds its buckets. @param {any} histogram */
export function bars(histogram) {
  const buckets = /** @type {[number, string, string, string][]} */ (histogram.buckets ?? []);
  const most = Math.max(1e-300, ...buckets.map((bucket) => parseValue(bucket[3])));
  const text = buckets.map((bucket) => `${"(["[Number(bucket[0] === 1 || bucket[0] === 3)]}${bucket[1]}, ${bucket[2]}${")]"[Number(bucket[0] === 0 || bucket[0] === 3)]}: ${exact(parseValue(bucket[3]))}`).join("\n");
  return h("span", { class: "hist", title: text, role: "img", "aria-label": `Histogram of ${buckets.length} buckets` }, ...buckets.slice(0, 60).map((bucket) => h("i", { style: { height: `${(18 * parseValue(bucket[3])) / most}px` } })));
}
