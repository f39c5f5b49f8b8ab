// Numbers of series and small graphs of metrics, requested only for those in view, many at once.

import { ask } from "../api.js";
import { h } from "../dom.js";
import { grouped } from "../format.js";

const STEP = 120;
const SPAN = 3600;
/** Metrics of one request. */
const TOGETHER_MAX = 60;

/** @typedef {{name: string, type?: string}} Metric */

/** @param {AbortSignal} signal @param {() => void} redraw called when more is known */
export function counted(signal, redraw) {
  /** @type {Map<string, {series: number | null, points: [number, number][]}>} */
  const known = new Map();
  let timer = 0;
  const load = async (/** @type {Metric[]} */ wanted) => {
    const names = wanted.map((one) => one.name);
    for (const name of names) known.set(name, { series: null, points: [] });
    const regex = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
    const match = `{__name__=~${JSON.stringify(regex)}}`;
    const end = Math.floor(Date.now() / 1000);
    const [counts, graph] = await Promise.all([
      ask("status/tsdb", { "match[]": [match], limit: TOGETHER_MAX }, { signal, quiet: true, post: false }).then((answer) => answer.data.seriesCountByMetricName, () => []),
      ask("query_range", { query: `avg by (__name__) (${match})`, start: end - SPAN, end, step: STEP }, { signal, quiet: true, post: true }).then((answer) => answer.data.result, () => []),
    ]);
    if (signal.aborted) return;
    for (const { name, value } of counts) { const entry = known.get(name); if (entry) entry.series = value; }
    for (const one of graph) {
      const entry = known.get(one.metric.__name__);
      const rising = /counter|histogram|summary/.test(wanted.find((metric) => metric.name === one.metric.__name__)?.type ?? "");
      const values = /** @type {[number, number][]} */ ((one.values ?? []).map((/** @type {[number, string]} */ [at, text]) => [at, Number(text)]));
      // Counters are shown as rates.
      if (entry) entry.points = rising ? values.slice(1).map(([at, v], i) => [at, Math.max(0, v - values[i][1])]) : values;
    }
    redraw();
  };
  return {
    /** @param {Metric[]} rows those in view */
    want(rows) {
      clearTimeout(timer);
      timer = window.setTimeout(() => {
        const fresh = rows.filter((row) => !known.has(row.name) && row.name.length < 500).slice(0, TOGETHER_MAX);
        if (fresh.length > 0) void load(fresh);
      }, 150);
    },
    /** @param {string} name */
    series: (name) => { const series = known.get(name)?.series; return series === null || series === undefined ? "" : grouped(series); },
    /** @param {string} name */
    graph: (name) => {
      const points = known.get(name)?.points ?? [];
      if (points.length < 2) return "";
      const canvas = h("canvas", { width: "160", height: "40", class: "spark", role: "img", "aria-label": "Last hour" });
      const to = Math.floor(Date.now() / 1000);
      sparkline(canvas, [{ values: points.map(([at, v]) => [at, String(v)]) }], to - SPAN, to);
      return canvas;
    },
  };
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
      const y = height - 4 - ((Number(text) - min) / span) * (height - 8);
      if (at - before > 150) context.moveTo(x, y);
      else context.lineTo(x, y);
      before = at;
    }
    context.stroke();
  });
}
