// The tab Raw: the samples that are stored, with their spacing, gaps and staleness markers.

import { ask } from "../api.js";
import { copy } from "../copy.js";
import { button, fill, h, labelText, note } from "../dom.js";
import { tokens } from "../editor/tokens.js";
import { exact, parseValue } from "../format.js";
import { VirtualTable } from "../rows.js";
import { zone } from "../settings.js";
import { formatDuration, formatTime, humanSeconds } from "../time.js";
import { bars } from "./table_tab.js";
import { curl } from "./query.js";
import { momentField, rangeField } from "./range.js";

const SERIES_MAX = 200;

/** The range vector that an expression stands for: itself, or its only selector over the panel's range. @param {string} expr @param {number} rangeMs @returns {string | null} */
export function rangeVector(expr, rangeMs) {
  const text = expr.trim();
  const all = tokens(text).filter((token) => token.kind !== "space" && token.kind !== "comment");
  const last = all[all.length - 1];
  if (last && text.slice(last.from, last.to) === "]") return text;
  const words = all.map((token) => text.slice(token.from, token.to)).join("");
  return /^[a-zA-Z_:][\w:]*(\{.*\})?$|^\{.*\}$/s.test(words) && !/[()]/.test(words.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, "")) ? `${text}[${formatDuration(rangeMs)}]` : null;
}

export class RawTab {
  /** @param {import("./panel.js").PanelView} panel */
  constructor(panel) {
    this.panel = panel;
    this.controls = h("div", { class: "panel-controls" });
    this.body = h("div");
    this.element = h("div", null, this.controls, this.body);
    /** @type {[string, string][]} */ this.lastParams = [];
  }

  drawControls() {
    const { state } = this.panel;
    fill(this.controls, rangeField(state.rangeMs, (rangeMs) => this.panel.change({ rangeMs })), momentField(state.end, state.rangeMs / 2, "End of the range", (end) => this.panel.change({ end })));
  }

  clear() { fill(this.body); }

  /** @param {string} expr @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async run(expr, signal) {
    const { state } = this.panel;
    const query = rangeVector(expr, state.rangeMs);
    if (query === null) {
      fill(this.body, note("info", "Raw shows stored samples: write a single selector, such as up{job=\"node\"}, or a range vector."));
      return { summary: "" };
    }
    const end = state.end ?? Date.now();
    this.lastParams = [["query", query], ["time", String(end / 1000)]];
    const { data, warnings, infos, date } = await ask("query", { query, time: end / 1000, limit: SERIES_MAX }, { signal, post: true });
    if (data.resultType !== "matrix") {
      fill(this.body, note("info", "This expression has no raw samples."));
      return { summary: "" };
    }
    const series = data.result.map(digest);
    const samples = series.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.count, 0);
    const from = end - state.rangeMs;
    if (series.length === 0) fill(this.body, h("div", { class: "empty" }, "No samples are stored for this selector in this range."));
    else fill(this.body, this.table(series, from, end));
    return { summary: `${series.length} series · ${samples} stored samples`, warnings, infos, date };
  }

  /** @param {ReturnType<typeof digest>[]} series @param {number} from @param {number} to */
  table(series, from, to) {
    const detail = h("div");
    const table = new VirtualTable({
      label: "Series", rowHeight: 28, height: "40vh",
      columns: [
        { key: "series", title: "Series", class: "rest", by: (row) => JSON.stringify(row.metric), cell: (row) => [h("b", null, row.metric.__name__ ?? ""), "{", labelText(row.metric, (name) => name !== "__name__"), "}"] },
        { key: "dots", title: "Samples over time", cell: (row) => dots(row, from, to) },
        { key: "count", title: "Samples", class: "num fit", by: (row) => row.count, cell: (row) => String(row.count) },
        { key: "spacing", title: "Spacing", class: "num fit", by: (row) => row.spacing, cell: (row) => (Number.isNaN(row.spacing) ? "–" : humanSeconds(row.spacing)) },
        { key: "gaps", title: "Gaps", class: "num fit", by: (row) => row.gaps.length, cell: (row) => String(row.gaps.length) },
        { key: "longest", title: "Longest gap", class: "num fit", by: (row) => row.longest, cell: (row) => (row.longest > 0 ? humanSeconds(row.longest) : "–") },
        { key: "show", title: "", class: "fit", cell: (row) => button("Samples", { class: "link", on: { click: () => fill(detail, samplesTable(row)) } }) },
      ],
    });
    table.setRows(series);
    if (series.length === 1) fill(detail, samplesTable(series[0]));
    return h("div", null, table.element, detail);
  }

  /** @param {() => void} close */
  actions(close) {
    return [button("Copy as curl", { on: { click: () => { close(); void copy(curl("query", this.lastParams)); } } })];
  }
}

/** @param {any} one */
function digest(one) {
  const samples = [...(one.values ?? []).map((/** @type {[number, string]} */ [at, text]) => ({ at: at * 1000, text, histogram: null })), ...(one.histograms ?? []).map((/** @type {[number, any]} */ [at, value]) => ({ at: at * 1000, text: `count ${value.count}`, histogram: value }))].sort((a, b) => a.at - b.at);
  const steps = samples.slice(1).map((sample, i) => (sample.at - samples[i].at) / 1000);
  const sorted = [...steps].sort((a, b) => a - b);
  const spacing = sorted.length > 0 ? sorted[Math.floor(sorted.length / 2)] : NaN;
  const gaps = steps.map((step, i) => ({ step, from: samples[i].at })).filter((gap) => gap.step > spacing * 1.6);
  return { metric: /** @type {Record<string, string>} */ (one.metric), samples, steps, count: samples.length, spacing, gaps, longest: gaps.reduce((most, gap) => Math.max(most, gap.step), 0) };
}

/** @param {ReturnType<typeof digest>} row @param {number} from @param {number} to */
function dots(row, from, to) {
  const canvas = h("canvas", { class: "dots", width: "600", height: "44", role: "img", "aria-label": `${row.count} samples, ${row.gaps.length} gaps` });
  const context = canvas.getContext("2d");
  if (context) {
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--s0");
    for (const sample of row.samples) context.fillRect(((sample.at - from) / (to - from)) * 600 - 1, 14, 2, 16);
  }
  canvas.style.width = "300px";
  return canvas;
}

/** @param {ReturnType<typeof digest>} row */
function samplesTable(row) {
  const rows = row.samples.map((sample, i) => ({ ...sample, step: i > 0 ? row.steps[i - 1] : NaN }));
  const table = new VirtualTable({
    label: "Samples", height: "40vh", rowHeight: row.samples.some((s) => s.histogram) ? 28 : 24,
    columns: [
      { key: "at", title: `Time (${zone()})`, class: "mono fit", by: (s) => s.at, cell: (s) => formatTime(s.at, zone()) },
      { key: "unix", title: "Unix", class: "num fit", cell: (s) => (s.at / 1000).toFixed(3) },
      { key: "step", title: "After", class: "num fit", by: (s) => s.step, cell: (s) => (Number.isNaN(s.step) ? "–" : s.step > row.spacing * 1.6 ? h("b", null, `${humanSeconds(s.step)} gap`) : humanSeconds(s.step)) },
      { key: "value", title: "Value", class: "num fit", by: (s) => parseValue(s.text), cell: (s) => (s.histogram ? [bars(s.histogram), s.text] : exact(parseValue(s.text))) },
      { key: "rest", title: "", cell: () => "" },
    ],
  });
  table.setRows(rows);
  return h("div", null, h("div", { class: "section" }, h("h2", null, row.metric.__name__ ?? "Series"), labelText(row.metric, (name) => name !== "__name__")), table.element);
}
