// The tab Graph: time range, resolution, look; the graph and its legend.

import { ask, encode, features, metadata } from "../api.js";
import { Chart } from "../chart/chart.js";
import { Legend } from "../chart/legend.js";
import { copy, csvField, save } from "../copy.js";
import { button, fill, h } from "../dom.js";
import { exact, unitOf } from "../format.js";
import { tokens } from "../editor/tokens.js";
import { formatDuration, parseDuration } from "../time.js";
import { stepOf } from "../url_state.js";
import { curl } from "./query.js";
import { choice, momentField, rangeField } from "./range.js";

const SERIES_MAX = 1000;
/** The server sends no more. */
const SERIES_LIMIT = 20_000;

export class GraphTab {
  /** @param {import("./panel.js").PanelView} panel */
  constructor(panel) {
    this.panel = panel;
    this.controls = h("div", { class: "panel-controls" });
    this.empty = h("div", { class: "empty", hidden: true });
    this.chart = new Chart({
      signal: panel.own.signal,
      onZoom: (from, to) => this.zoom(from, to),
      onBack: () => this.back(),
      onCross: (at) => panel.hooks.cross(panel, at),
      onPick: (series, add) => this.legend.pick(series, add),
    });
    this.legend = new Legend(this.chart);
    this.element = h("div", null, this.controls, this.empty, this.chart.element, this.legend.element);
    this.all = false;
    /** @type {{end: number | null, rangeMs: number}[]} */ this.zooms = [];
    /** @type {[string, string][]} */ this.lastParams = [];
  }

  drawControls() {
    const { state } = this.panel;
    const change = (/** @type {any} */ what, /** @type {any} */ how) => this.panel.change(what, how);
    const look = (/** @type {any} */ what) => {
      Object.assign(state, what);
      this.panel.hooks.write(true);
      void this.applyLook().then(() => { this.legend.show(); this.drawControls(); });
    };
    const { resolution } = state;
    const value = resolution.type === "auto" ? resolution.density : "step";
    const stepField = h("input", { value: resolution.type === "auto" ? "" : formatDuration(resolution.stepMs), style: { width: "64px" }, placeholder: formatDuration(stepOf(resolution, state.rangeMs)), "aria-label": "Step", title: "Step; empty is by the range", on: {
      change: () => {
        const ms = parseDuration(stepField.value);
        if (stepField.value.trim() === "") change({ resolution: { type: "auto", density: "medium" } });
        else if (ms) change({ resolution: { type: "custom", stepMs: ms } });
        else stepField.setAttribute("aria-invalid", "true");
      },
    } });
    fill(this.controls,
      rangeField(state.rangeMs, (rangeMs) => change({ rangeMs }, { share: true })),
      momentField(state.end, state.rangeMs / 2, "End of the range", (end) => change({ end }, { share: true })),
      choice("Resolution", [["low", "Low res."], ["medium", "Medium res."], ["high", "High res."], ...(value === "step" ? /** @type {[string, string][]} */ ([["step", "Own step"]]) : [])], value, (density) => change({ resolution: { type: "auto", density } })),
      stepField,
      choice("Drawn as", [["auto", "Automatic"], ["lines", "Lines"], ["stacked", "Stacked"], ["steps", "Steps"], ["points", "Points"], ...(this.heatable ? /** @type {[string, string][]} */ ([["heatmap", "Heatmap"]]) : [])], state.display, (display) => look({ display })),
      button("Log", { "aria-pressed": String(state.log), title: "Logarithmic axis", on: { click: () => look({ log: !state.log }) } }),
      button("From 0", { "aria-pressed": String(state.yMin === 0), title: "The axis begins at zero", on: { click: () => look({ yMin: state.yMin === 0 ? null : 0 }) } }),
      button("Exemplars", { "aria-pressed": String(state.exemplars), on: { click: () => { state.exemplars = !state.exemplars; this.panel.hooks.write(true); this.drawControls(); void this.exemplars(); } } }),
      choice("Compare with", [["0s", "No comparison"], ["1d", "1 day earlier"], ["1w", "1 week earlier"]], formatDuration(state.compareMs) === "0s" ? "0s" : formatDuration(state.compareMs), (text) => change({ compareMs: parseDuration(text) ?? 0 })),
      this.zooms.length > 0 && button("Zoom back", { title: "Backspace in the graph", on: { click: () => this.back() } }),
      this.chart.head !== null && this.chart.head.total > this.chart.head.n && !this.all && button(`${this.chart.head.total > SERIES_LIMIT ? `${SERIES_LIMIT} of` : "All"} ${this.chart.head.total} series`, { on: { click: () => { this.all = true; void this.panel.run(false); } } }));
  }

  get heatable() {
    return this.chart.head !== null && (this.chart.head.classic || this.chart.head.histograms);
  }

  /** @param {number} from @param {number} to */
  zoom(from, to) {
    const { state } = this.panel;
    this.zooms.push({ end: state.end, rangeMs: state.rangeMs });
    const rangeMs = Math.max(1000, Math.round((to - from) / 1000) * 1000);
    const end = Math.round(to / 1000) * 1000;
    this.panel.change({ end: end > Date.now() && to - from > state.rangeMs ? null : end, rangeMs }, { share: true });
  }

  back() {
    const last = this.zooms.pop();
    if (last) this.panel.change(last, { share: true });
  }

  applyLook() {
    const { state } = this.panel;
    return this.chart.setLook({ display: state.display, log: state.log, yMin: state.yMin });
  }

  clear() {
    this.chart.clear();
    this.legend.show();
  }

  /** @param {string} expr @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async run(expr, signal) {
    const { state } = this.panel;
    const step = stepOf(state.resolution, state.rangeMs);
    // Whole seconds read better, and the same second asked twice is the same question.
    const end = state.end ?? Math.floor(Date.now() / 1000) * 1000;
    const start = end - state.rangeMs;
    if (this.lastExpr !== expr) this.all = false;
    this.lastExpr = expr;
    const known = await features();
    const binary = known.ferula?.graph === true;
    const about = await metadata();
    Object.assign(this.chart.look, { display: state.display, log: state.log, yMin: state.yMin, unit: unitFor(expr, about), boundUnit: boundUnitFor(expr) });
    this.lastParams = [["query", expr], ["start", String(start / 1000)], ["end", String(end / 1000)], ["step", String(step / 1000)]];
    const head = await this.chart.load({ params: [["query", expr]], start, end, step, binary, seriesMax: this.all ? SERIES_LIMIT : SERIES_MAX, rank: state.rank, compareMs: state.compareMs }, signal);
    this.legend.rank = state.rank;
    this.legend.show();
    this.drawControls();
    this.empty.hidden = head.n > 0;
    this.chart.element.hidden = head.n === 0;
    if (head.n === 0) fill(this.empty, await whyEmpty(expr, state.end, state.rangeMs, signal));
    void this.exemplars();
    const points = head.n * head.count;
    const summary = `${head.n === head.total ? head.n : `${head.n} of ${head.total}`} series · step ${formatDuration(step)} · ${points > 10_000 ? `${Math.round(points / 1000)}k` : points} points`;
    this.chart.element.setAttribute("aria-label", `Graph of ${expr.slice(0, 200)}: ${head.n} series over ${formatDuration(state.rangeMs)}. Arrow keys move through it; the numbers are in the table below.`);
    return { summary, warnings: head.warnings, infos: head.infos, date: head.date };
  }

  async exemplars() {
    const { state } = this.panel;
    if (!state.exemplars || !this.chart.head) return this.chart.exemplars.length > 0 && this.chart.setExemplars([]);
    try {
      const { data } = await ask("query_exemplars", { query: state.expr, start: this.chart.from / 1000, end: this.chart.to / 1000 }, { signal: this.panel.own.signal, quiet: true });
      this.chart.setExemplars((data ?? []).flatMap((/** @type {any} */ one) => one.exemplars.map((/** @type {any} */ e) => ({ at: e.timestamp * 1000, value: Number(e.value), labels: e.labels, series: one.seriesLabels }))).slice(0, 5000));
    } catch { /* The graph stands without them. */ }
  }

  /** @param {() => void} close */
  actions(close) {
    const item = (/** @type {string} */ text, /** @type {() => void} */ act) => button(text, { on: { click: () => { close(); act(); } } });
    return [
      item("Copy as curl", () => void copy(curl("query_range", this.lastParams))),
      item("Save as CSV", () => void this.export("csv")),
      item("Save as JSON", () => void this.export("json")),
    ];
  }

  /** @param {"csv" | "json"} format */
  async export(format) {
    if (!this.chart.head) return;
    const { series } = await this.chart.call({ type: "export", format });
    if (format === "json") {
      const result = series.map((/** @type {any} */ one) => ({ metric: one.labels, values: one.cells.map((/** @type {[number, number]} */ [t, v]) => [t, exact(v)]) }));
      save("query.json", "application/json", [JSON.stringify({ status: "success", data: { resultType: "matrix", result } })]);
      return;
    }
    const names = [...new Set(series.flatMap((/** @type {any} */ one) => Object.keys(one.labels)))].sort();
    const lines = [[...names, "time", "value"].map((name) => csvField(String(name))).join(",")];
    for (const one of series) {
      const labels = names.map((name) => csvField(one.labels[/** @type {string} */ (name)] ?? "")).join(",");
      for (const [t, v] of one.cells) lines.push(`${labels}${names.length ? "," : ""}${new Date(t * 1000).toISOString()},${exact(v)}`);
    }
    save("query.csv", "text/csv", [lines.join("\n") + "\n"]);
  }
}

/** @param {string} expr @param {Record<string, {unit: string}[]>} about */
export function unitFor(expr, about) {
  const name = tokens(expr).find((token) => token.kind === "name");
  const metric = name ? expr.slice(name.from, name.to) : "";
  return unitOf(expr, about[metric]?.[0]?.unit ?? "");
}

/** The unit of a histogram's bounds: that of its metric's name. @param {string} expr */
export function boundUnitFor(expr) {
  const name = tokens(expr).find((token) => token.kind === "name");
  return unitOf(name ? expr.slice(name.from, name.to).replace(/_bucket$/, "") : "");
}

/** Which part of a query without an answer is empty. @param {string} expr @param {number | null} end @param {number} rangeMs @param {AbortSignal} signal */
export async function whyEmpty(expr, end, rangeMs, signal) {
  const selectors = [...expr.matchAll(/([a-zA-Z_:][\w:]*)?\s*\{[^{}]*\}|[a-zA-Z_:][\w:]*/g)];
  const all = tokens(expr);
  const stop = (end ?? Date.now()) / 1000;
  const range = { start: stop - Math.max(rangeMs / 1000, 300), end: stop };
  for (const token of all.filter((one) => one.kind === "name")) {
    const name = expr.slice(token.from, token.to);
    try {
      const match = (/** @type {string} */ text) => ask("series", { "match[]": [text], ...range, limit: 1 }, { signal, quiet: true });
      if ((await match(name)).data.length === 0) {
        const ever = await ask("series", { "match[]": [name], limit: 1 }, { signal, quiet: true });
        return ever.data.length === 0 ? `No data: there is no metric ${name}.` : `No data: ${name} has no samples in this range; it has at other times.`;
      }
      const whole = selectors.find((found) => (found.index ?? -1) <= token.from && (found.index ?? 0) + found[0].length >= token.to)?.[0];
      if (whole && whole !== name && (await match(whole)).data.length === 0) return `No data: ${name} exists, but no series matches ${whole.slice(name.length).trim()}.`;
    } catch { /* A guess only; the general words follow. */ }
  }
  return "The query is fine and its answer is empty.";
}

/** @param {import("../api.js").Params} params */
export const asParams = (params) => [...encode(params)];
