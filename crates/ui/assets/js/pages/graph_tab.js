// The tab Graph: time range, resolution, look; the graph and its legend.

import { ask, features, metadata } from "../api.js";
import { Chart } from "../chart/chart.js";
import { Legend } from "../chart/legend.js";
import { copy } from "../copy.js";
import { button, fill, fillControls, h, menu, visible } from "../dom.js";
import { bytes, grouped, inUnit, unitOf } from "../format.js";
import { tokens } from "../editor/tokens.js";
import { zone } from "../settings.js";
import { formatDuration, formatTime, humanSeconds, parseDuration } from "../time.js";
import { stepOf } from "../url_state.js";
import { curl } from "./query.js";
import { unitFor } from "./table_tab.js";
import { choice, momentField, rangeField } from "./range.js";

const SERIES_MAX = 1000;
/** The server's limit. */
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
      onNumbers: () => void this.showNumbers(),
    });
    this.legend = new Legend(this.chart);
    this.numbers = h("div");
    this.element = h("div", null, this.controls, this.empty, this.chart.element, this.legend.element, this.numbers);
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
    fillControls(this.controls,
      rangeField(state.rangeMs, (rangeMs) => change({ rangeMs }, { share: true })),
      momentField(state.end, state.rangeMs / 2, "End of the range", (end) => change({ end }, { share: true })),
      choice("Resolution", [["low", "Low res."], ["medium", "Medium res."], ["high", "High res."], ...(value === "step" ? /** @type {[string, string][]} */ ([["step", "Own step"]]) : [])], value, (density) => change({ resolution: { type: "auto", density } })),
      stepField,
      choice("Drawn as", [["auto", "Automatic"], ["lines", "Lines"], ["stacked", "Stacked"], ["steps", "Steps"], ["points", "Points"], ...(this.heatable ? /** @type {[string, string][]} */ ([["heatmap", "Heatmap"]]) : [])], state.display, (display) => look({ display })),
      menu(`Axis${state.log ? ": log" : ""}${state.yMin !== null || state.yMax !== null ? ": fixed" : ""}`, { class: "axis" }, async () => (await import("./axis.js")).axisChoices(state, look)),
      button("Exemplars", { "aria-pressed": String(state.exemplars), on: { click: () => { state.exemplars = !state.exemplars; this.panel.hooks.write(true); this.drawControls(); void this.exemplars(); } } }),
      choice("Compare with", [["0s", "No comparison"], ["1d", "1 day earlier"], ["1w", "1 week earlier"]], formatDuration(state.compareMs) === "0s" ? "0s" : formatDuration(state.compareMs), (text) => change({ compareMs: parseDuration(text) ?? 0 })),
      button("Numbers", { title: "The graph as a table (t in the graph)", on: { click: () => void this.showNumbers() } }),
      this.zooms.length > 0 && button("Zoom back", { title: "Backspace in the graph", on: { click: () => this.back() } }),
      this.chart.head !== null && this.chart.head.total > this.chart.head.n && !this.all && button(`${this.chart.head.total > SERIES_LIMIT ? `${SERIES_LIMIT} of` : "All"} ${this.chart.head.total} series`, { on: { click: () => { this.all = true; void this.panel.run(false); } } }));
  }

  async showNumbers() {
    const { toggleNumbers } = await import("../chart/numbers.js");
    await toggleNumbers(this.chart, this.numbers);
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
    return this.chart.setLook({ display: state.display, log: state.log, yMin: state.yMin, yMax: state.yMax });
  }

  clear() {
    this.chart.clear();
    this.legend.show();
  }

  /** @param {string} expr @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async run(expr, signal) {
    const { state } = this.panel;
    const step = stepOf(state.resolution, state.rangeMs);
    // Whole seconds are easier to read, and a repeated request within a second has the same parameters.
    const end = state.end ?? Math.floor(Date.now() / 1000) * 1000;
    const start = end - state.rangeMs;
    if (this.lastExpr !== expr) this.all = false;
    this.lastExpr = expr;
    const known = await features();
    const binary = known.ferula?.graph === true;
    const about = await metadata();
    Object.assign(this.chart.look, { display: state.display, log: state.log, yMin: state.yMin, yMax: state.yMax, unit: unitFor(expr, about), boundUnit: boundUnitFor(expr) });
    this.lastParams = [["query", expr], ["start", String(start / 1000)], ["end", String(end / 1000)], ["step", String(step / 1000)]];
    const head = await this.chart.load({ params: [["query", expr]], start, end, step, binary, seriesMax: this.all ? SERIES_LIMIT : SERIES_MAX, rank: state.rank, compareMs: state.compareMs }, signal);
    this.legend.rank = state.rank;
    this.legend.show();
    this.drawControls();
    this.empty.hidden = head.n > 0;
    this.chart.element.hidden = head.n === 0;
    if (head.n === 0) fill(this.empty, await (await import("./empty.js")).whyEmpty(expr, state.end, state.rangeMs, signal));
    if (this.numbers.firstChild) void import("../chart/numbers.js").then(({ showNumbers }) => showNumbers(this.chart, this.numbers));
    void this.exemplars();
    const points = head.n * head.count;
    const summary = `${head.n === head.total ? head.n : `${head.n} of ${head.total}`} series · step ${formatDuration(step)} · ${points > 10_000 ? `${Math.round(points / 1000)}k` : points} points`;
    this.chart.element.setAttribute("aria-label", this.words(expr, head));
    const q = head.query;
    const stats = q && /** @type {[string, string][]} */ ([["Samples used", grouped(q.samples)], ["Samples read", grouped(q.read)], ["Peak samples", grouped(q.peak)], ["Peak memory", bytes(q.bytes)], ["Time on the server", humanSeconds(q.seconds)], ["Bytes received", bytes(head.bytes)]]);
    return { summary, stats, warnings: head.warnings, infos: head.infos, date: head.date };
  }

  /** The graph for those who do not see it. @param {string} expr @param {import("../chart/chart.js").Head} head */
  words(expr, head) {
    const { last } = head.stats;
    const name = (/** @type {number} */ s) => Object.entries(this.chart.labels(s)).map(([key, value]) => `${key} ${value}`).join(", ").slice(0, 120) || "the series";
    const top = [...head.slots.keys()].filter((s) => !Number.isNaN(last[s])).sort((a, b) => last[b] - last[a]).slice(0, 3).map((s) => `${name(s)}: ${inUnit(last[s], this.chart.look.unit)}`);
    return visible(`Graph of ${expr.slice(0, 200)}: ${head.total} series from ${formatTime(this.chart.from, zone())} to ${formatTime(this.chart.to, zone())}. ${top.length > 0 ? `Highest at the end: ${top.join("; ")}. ` : ""}Arrow keys move through it, t shows its numbers.`);
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
    const [{ series }, { saveGraph }] = await Promise.all([this.chart.call({ type: "export" }), import("./export.js")]);
    saveGraph(series, format);
  }
}

/** The unit of a histogram's bounds: that of its metric's name. @param {string} expr */
export function boundUnitFor(expr) {
  const name = tokens(expr).find((token) => token.kind === "name");
  return unitOf(name ? expr.slice(name.from, name.to).replace(/_bucket$/, "") : "");
}
