// The tab Raw: the samples that are stored, with their spacing, gaps and staleness markers.

import { ask } from "../api.js";
import { copy } from "../copy.js";
import { button, fill, fillControls, h, labelText, note, visible } from "../dom.js";
import { tokens } from "../editor/tokens.js";
import { exact, parseValue } from "../format.js";
import { VirtualTable } from "../rows.js";
import { zone } from "../settings.js";
import { formatTime, humanSeconds, parseDuration } from "../time.js";
import { bars } from "./table_tab.js";
import { curl } from "./query.js";
import { momentField, rangeField } from "./range.js";

const SERIES_MAX = 200;

/**
 * What of the store an expression means: a selector alone over the panel's range or over its own, or a range vector that has
 * to be evaluated, such as one with an offset; null for anything else.
 * @param {string} expr @param {number} rangeMs
 * @returns {{selector: string, rangeMs: number} | {query: string} | null}
 */
export function stored(expr, rangeMs) {
  const text = expr.trim();
  const all = tokens(text).filter((token) => token.kind !== "space" && token.kind !== "comment");
  if (all.length === 0) return null;
  const word = (/** @type {import("../editor/tokens.js").Token} */ token) => text.slice(token.from, token.to);
  const plain = (/** @type {import("../editor/tokens.js").Token[]} */ some) => {
    const words = some.map(word).join("");
    return /^[a-zA-Z_:][\w:]*(\{.*\})?$|^\{.*\}$/s.test(words) && !/[()]/.test(words.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, ""));
  };
  if (plain(all)) return { selector: text, rangeMs };
  const [open, span, close] = all.slice(-3);
  if (close && word(close) === "]") {
    const ms = parseDuration(word(span));
    return ms !== null && word(open) === "[" && plain(all.slice(0, -3)) ? { selector: text.slice(0, open.from), rangeMs: ms } : { query: text };
  }
  // A range vector with `offset` or `@` behind it.
  const end = all.findLastIndex((token) => word(token) === "]");
  return end > 0 && end < all.length - 1 && all.slice(end + 1).every((token) => ["keyword", "number", "duration", "operator"].includes(token.kind)) ? { query: text } : null;
}

export class RawTab {
  /** @param {import("./panel.js").PanelView} panel */
  constructor(panel) {
    this.panel = panel;
    this.controls = h("div", { class: "panel-controls" });
    this.body = h("div");
    this.element = h("div", null, this.controls, this.body);
    /** @type {[string, string][]} */ this.lastParams = [];
    this.lastPath = "query";
    /** @type {VirtualTable<Digest> | null} */ this.list = null;
    /** The series whose samples are shown. */ this.chosen = "";
    /** @type {VirtualTable<any> | null} */ this.samples = null;
    this.detail = h("div");
    this.holder = h("div");
  }

  drawControls() {
    const { state } = this.panel;
    fillControls(this.controls, rangeField(state.rangeMs, (rangeMs) => this.panel.change({ rangeMs })), momentField(state.end, state.rangeMs / 2, "End of the range", (end) => this.panel.change({ end })));
  }

  clear() { fill(this.body); }

  /** @param {string} expr @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async run(expr, signal) {
    const { state } = this.panel;
    const wanted = stored(expr, state.rangeMs);
    if (wanted === null) {
      fill(this.body, note("info", "Raw shows stored samples: write a single selector, such as up{job=\"node\"}, or a range vector."));
      return { summary: "" };
    }
    const end = state.end ?? Date.now();
    if ("query" in wanted) return this.evaluated(wanted.query, end, signal);
    const start = end - wanted.rangeMs;
    this.lastParams = [["match[]", wanted.selector], ["start", String(start / 1000)], ["end", String(end / 1000)]];
    this.lastPath = "ferula/raw";
    const { data, date } = await ask("ferula/raw", { "match[]": [wanted.selector], start: start / 1000, end: end / 1000 }, { signal, post: true });
    return { ...this.show(data.series, data.total, start, end), date };
  }

  /** What the engine makes of a range vector; it has no staleness markers. @param {string} query @param {number} end @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async evaluated(query, end, signal) {
    this.lastParams = [["query", query], ["time", String(end / 1000)]];
    this.lastPath = "query";
    const { data, warnings, infos, date } = await ask("query", { query, time: end / 1000, limit: SERIES_MAX }, { signal, post: true });
    if (data.resultType !== "matrix") {
      fill(this.body, note("info", "This expression has no raw samples."));
      return { summary: "" };
    }
    return { ...this.show(data.result, data.result.length, end - this.panel.state.rangeMs, end), warnings, infos, date };
  }

  /** @param {any[]} found @param {number} total @param {number} from @param {number} end */
  show(found, total, from, end) {
    const series = found.map(digest).filter((one) => one.count + one.stale > 0);
    const samples = series.reduce((sum, one) => sum + one.count, 0);
    const stale = series.reduce((sum, one) => sum + one.stale, 0);
    const first = Math.min(from, ...series.map((one) => one.samples[0].at));
    if (series.length === 0) fill(this.body, h("div", { class: "empty" }, "No samples are stored for this selector in this range."));
    else fill(this.body, total > found.length && note("info", `The first ${found.length} of ${total} series are shown.`), this.holder);
    if (series.length > 0) this.table(series, first, end);
    return { summary: `${series.length} series · ${samples} stored samples${stale > 0 ? ` · ${stale} staleness markers` : ""}` };
  }

  /** @param {Digest[]} series @param {number} from @param {number} to */
  table(series, from, to) {
    /** @type {import("../rows.js").Column<Digest>[]} */
    const columns = [
    { key: "series", title: "Series", class: "rest", by: (row) => JSON.stringify(row.metric), cell: (row) => [h("b", null, visible(row.metric.__name__ ?? "")), "{", labelText(row.metric, (name) => name !== "__name__"), "}"] },
    { key: "dots", title: "Samples over time", cell: (row) => dots(row, from, to) },
    { key: "count", title: "Samples", class: "num fit", by: (row) => row.count, cell: (row) => String(row.count) },
    { key: "spacing", title: "Spacing", class: "num fit", by: (row) => row.spacing, cell: (row) => (Number.isNaN(row.spacing) ? "–" : humanSeconds(row.spacing)) },
    { key: "stale", title: "Stale", class: "num fit", by: (row) => row.stale, cell: (row) => String(row.stale) },
    { key: "gaps", title: "Gaps", class: "num fit", by: (row) => row.gaps.length, cell: (row) => String(row.gaps.length) },
    { key: "longest", title: "Longest gap", class: "num fit", by: (row) => row.longest, cell: (row) => (row.longest > 0 ? humanSeconds(row.longest) : "–") },
    { key: "show", title: "", class: "fit", cell: (row) => button("Samples", { class: "link", on: { click: () => { this.chosen = nameOf(row); this.showSamples(row); } } }) },
    ];
    this.list ??= new VirtualTable({ label: "Series", key: nameOf, rowHeight: 28, height: "40vh", columns });
    this.list.setColumns(columns);
    fill(this.holder, this.list.element, this.detail);
    this.list.setRows(series);
    this.showSamples(series.length === 1 ? series[0] : series.find((row) => nameOf(row) === this.chosen));
  }

  /** @param {Digest | undefined} row */
  showSamples(row) {
    if (!row) return fill(this.detail);
    const { columns, rows, rowHeight } = samplesOf(row);
    this.samples ??= new VirtualTable({ label: "Samples", height: "40vh", key: (s) => s.at, columns });
    this.samples.rowHeight = rowHeight;
    this.samples.setColumns(columns);
    fill(this.detail, h("div", { class: "section" }, h("h2", null, visible(row.metric.__name__ ?? "Series")), labelText(row.metric, (name) => name !== "__name__")), this.samples.element);
    this.samples.setRows(rows);
  }

  /** @param {() => void} close */
  actions(close) {
    return [button("Copy as curl", { on: { click: () => { close(); void copy(curl(this.lastPath, this.lastParams)); } } })];
  }
}

/** @typedef {{at: number, text: string, histogram: any, stale: boolean}} Sample */

/** @typedef {ReturnType<typeof digest>} Digest */

/** @param {Digest} row */
const nameOf = (row) => JSON.stringify(row.metric);

/** @param {any} one */
function digest(one) {
  /** @type {Sample[]} */
  const samples = [
    ...(one.values ?? []).map((/** @type {[number, string]} */ [at, text]) => ({ at: at * 1000, text, histogram: null, stale: false })),
    ...(one.histograms ?? []).map((/** @type {[number, any]} */ [at, value]) => ({ at: at * 1000, text: `count ${value.count}`, histogram: value, stale: false })),
    ...(one.stale ?? []).map((/** @type {number} */ at) => ({ at: at * 1000, text: "NaN", histogram: null, stale: true })),
  ].sort((a, b) => a.at - b.at);
  const steps = samples.slice(1).map((sample, i) => (sample.at - samples[i].at) / 1000);
  const sorted = [...steps].sort((a, b) => a - b);
  const spacing = sorted.length > 0 ? sorted[Math.floor(sorted.length / 2)] : NaN;
  const gaps = steps.map((step, i) => ({ step, from: samples[i].at })).filter((gap) => gap.step > spacing * 1.6);
  const stale = samples.filter((sample) => sample.stale).length;
  return { metric: /** @type {Record<string, string>} */ (one.metric), samples, steps, count: samples.length - stale, stale, spacing, gaps, longest: gaps.reduce((most, gap) => Math.max(most, gap.step), 0) };
}

/** @param {Digest} row @param {number} from @param {number} to */
function dots(row, from, to) {
  const canvas = h("canvas", { class: "dots", width: "600", height: "44", role: "img", "aria-label": `${row.count} samples, ${row.gaps.length} gaps, ${row.stale} staleness markers` });
  const context = canvas.getContext("2d");
  if (context) {
    const style = getComputedStyle(document.documentElement);
    const [sample, stale] = [style.getPropertyValue("--s0"), style.getPropertyValue("--err")];
    for (const one of row.samples) {
    const x = ((one.at - from) / (to - from)) * 600;
    context.fillStyle = one.stale ? stale : sample;
    // A marker is told apart by its shape too: it reaches from edge to edge.
    if (one.stale) context.fillRect(x - 1, 2, 3, 40);
    else context.fillRect(x - 1, 14, 2, 16);
    }
  }
  canvas.style.width = "300px";
  return canvas;
}

/** @param {Digest} row */
function samplesOf(row) {
  const rows = row.samples.map((sample, i) => ({ ...sample, step: i > 0 ? row.steps[i - 1] : NaN }));
  /** @type {import("../rows.js").Column<Sample & {step: number}>[]} */
  const columns = [
    { key: "at", title: `Time (${zone()})`, class: "mono fit", by: (s) => s.at, cell: (s) => formatTime(s.at, zone()) },
    { key: "unix", title: "Unix", class: "num fit", cell: (s) => (s.at / 1000).toFixed(3) },
    { key: "step", title: "After", class: "num fit", by: (s) => s.step, cell: (s) => (Number.isNaN(s.step) ? "–" : s.step > row.spacing * 1.6 ? h("b", null, `${humanSeconds(s.step)} gap`) : humanSeconds(s.step)) },
    { key: "value", title: "Value", class: "num fit", by: (s) => parseValue(s.text), cell: (s) => (s.stale ? h("span", { class: "state", data: { s: "down" } }, "stale") : s.histogram ? [bars(s.histogram), s.text] : exact(parseValue(s.text))) },
    { key: "rest", title: "", cell: () => "" },
  ];
  return { columns, rows, rowHeight: row.samples.some((s) => s.histogram) ? 28 : 24 };
}
