// The worker of a graph: asks the server, keeps the numbers, paints them, and finds what is under the pointer.

import { extent, fromBinary, fromJson, GRAPH_TYPE, hashes, isPresent, labelsOf, statistics } from "./answer.js";
import { areas, COLOURS_MAX, densityPixels, envelope, heatPixels, paths, PATHS_MAX, spanPixels, stack } from "./paint.js";
import { place } from "./scale.js";

/** @type {OffscreenCanvas | null} */
let canvas = null;
/** @type {import("./answer.js").Data | null} */
let data = null;
/** @type {import("./answer.js").Data | null} */
let earlier = null;
/** @type {Uint8Array} */
let slots = new Uint8Array(0);
/** @type {Float64Array} */
let keys = new Float64Array(0);
/** @type {Uint8Array} */
let earlierSlots = new Uint8Array(0);
/** @type {import("./heatmap.js").Heat | null} */
let heat = null;
/** @type {ReturnType<typeof stack> | null} */
let sums = null;
/** @type {Uint8Array | null} */
let hidden = null;
/** @type {import("./paint.js").View | null} */
let view = null;
let stop = new AbortController();

/** @typedef {{address: string, binary: string | null, params: [string, string][], start: number, end: number, step: number, seriesMax: number, rank: string}} Request times in milliseconds */

/** @param {Request} request @param {AbortSignal} signal */
async function fetchData(request, signal) {
  const body = new URLSearchParams(request.params);
  body.set("start", String(request.start / 1000));
  body.set("end", String(request.end / 1000));
  body.set("step", String(request.step / 1000));
  const address = request.binary ?? request.address;
  if (request.binary) {
    body.set("series_max", String(request.seriesMax));
    body.set("rank", request.rank);
  }
  const response = await fetch(address, { method: "POST", body, signal, credentials: "same-origin", headers: { Accept: request.binary ? `${GRAPH_TYPE}, application/json` : "application/json" } });
  const date = response.headers.get("Date");
  const common = { date: date ? Date.parse(date) : null, status: response.status, stopping: response.headers.get("X-Prometheus-Stopping") };
  if (response.ok && response.headers.get("Content-Type")?.startsWith(GRAPH_TYPE)) {
    const buffer = await response.arrayBuffer();
    const received = Date.now();
    try {
      return { ...fromBinary(buffer), bytes: buffer.byteLength, received, ...common };
    } catch {
      throw new Error("The answer is damaged or breaks off in the middle. A proxy may stand between; try again.");
    }
  }
  const text = await response.text();
  const received = Date.now();
  let json = null;
  try {
    json = JSON.parse(text);
  } catch { /* The page explains it. */ }
  if (json?.status !== "success") return { failure: { status: response.status, json, text: text.slice(0, 500), url: response.url, redirected: response.redirected, ok: response.ok, statusText: response.statusText, stopping: common.stopping } };
  const count = Math.floor((request.end - request.start) / request.step + 1e-9) + 1;
  return { data: fromJson(json.data.result, { start: request.start, step: request.step, count }), warnings: json.warnings ?? [], infos: json.infos ?? [], bytes: text.length, received, ...common };
}

/** @param {{id: number, request: Request, earlier: Request | null}} message */
async function load(message) {
  stop.abort();
  stop = new AbortController();
  const { signal } = stop;
  try {
    // Native histograms have no columns: where there are any, the binary endpoint refuses and JSON is asked for.
    let answer = await fetchData(message.request, signal);
    if ("failure" in answer && message.request.binary && answer.failure?.status === 406) answer = await fetchData({ ...message.request, binary: null }, signal);
    if (signal.aborted) return;
    if ("failure" in answer) {
      post({ type: "failed", id: message.id, failure: answer.failure });
      return;
    }
    const other = message.earlier ? await fetchData(message.earlier, signal).catch(() => null) : null;
    if (signal.aborted) return;
    // Few graphs are heatmaps.
    const nextHeat = answer.data.histograms || answer.data.names.includes("le") ? (await import("./heatmap.js")).heatOf(answer.data) : null;
    if (signal.aborted) return;
    data = answer.data;
    hidden = null;
    sums = null;
    slots = new Uint8Array(data.n);
    keys = hashes(data);
    heat = nextHeat;
    earlier = null;
    if (other && !("failure" in other)) {
      earlier = other.data;
      earlier.start += message.request.start - /** @type {Request} */ (message.earlier).start;
    }
    const stats = statistics(data);
    const labels = data.labels.slice();
    post({
      type: "data", id: message.id, start: data.start, step: data.step, count: data.count, n: data.n, total: data.total, names: data.names, texts: data.texts, labels, slots: slots.slice(), hashes: keys.slice(), stats, query: "stats" in answer ? answer.stats : null,
      classic: heat !== null && data.histograms === null, histograms: data.histograms !== null, bounds: heat?.bounds ?? null, heatMax: heat?.max ?? 0, warnings: answer.warnings, infos: answer.infos, bytes: answer.bytes, received: answer.received, date: answer.date,
    }, [labels.buffer, stats.last.buffer, stats.min.buffer, stats.max.buffer, stats.mean.buffer]);
  } catch (error) {
    if (!signal.aborted) post({ type: "failed", id: message.id, failure: null, message: error instanceof Error ? error.message : String(error), network: error instanceof TypeError });
  }
}

/** Colours of the earlier series: those of the series with the same labels. @param {import("./answer.js").Data} other */
function matchSlots(other) {
  const known = new Map([...keys].map((key, s) => [key, slots[s]]));
  return Uint8Array.from(hashes(other), (key) => known.get(key) ?? key % 8);
}

/** @param {any} message @param {Transferable[]} [transfer] */
const post = (message, transfer = []) => /** @type {any} */ (self).postMessage(message, transfer);

/** Smallest and largest value shown, for the axis. @param {string} display */
function range(display) {
  if (!data) return { min: 0, max: 1, leastPositive: 1 };
  if (display === "stacked") {
    sums = stack(data, hidden);
    return { min: sums.min, max: sums.max, leastPositive: sums.max };
  }
  const mine = extent(data, hidden);
  if (!earlier) return mine;
  const other = extent(earlier, null);
  return { min: Math.min(mine.min, other.min), max: Math.max(mine.max, other.max), leastPositive: Math.min(mine.leastPositive, other.leastPositive) };
}

function paint() {
  if (!canvas || !view) return;
  const { width, height } = view;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  if (!context) return;
  context.clearRect(0, 0, width, height);
  if (!data) return;
  /** @param {Uint32Array} pixels */
  const put = (pixels) => context.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  if (view.display === "heatmap") {
    if (heat && heat.max > 0) put(heatPixels(heat, data, view));
    return;
  }
  let shown = data.n;
  if (hidden) for (const h of hidden) shown -= h;
  if (view.display === "stacked") {
    sums ??= stack(data, hidden);
    areas(context, data, view, slots, hidden, sums);
    return;
  }
  if (shown > COLOURS_MAX) put(densityPixels(data, view, hidden));
  else if (shown > PATHS_MAX) put(spanPixels(data, view, slots, hidden));
  if (!hidden) {
    context.globalCompositeOperation = "destination-over";
    envelope(context, data, view);
    context.globalCompositeOperation = "source-over";
  }
  if (earlier && earlier.n <= PATHS_MAX) paths(context, earlier, { ...view, display: "lines" }, earlierSlots, null, 0.35);
  if (shown <= PATHS_MAX) paths(context, data, view, slots, hidden);
}

/** What is nearest to a place. @param {{id: number, step: number, y: number, series: number}} message `y` from 0 at the lower edge to 1 */
function hover(message) {
  if (!data || !view) return;
  const { count, n, values } = data;
  const i = Math.max(0, Math.min(count - 1, message.step));
  if (view.display === "heatmap" && heat) {
    const row = Math.max(0, Math.min(heat.rows - 1, Math.floor(message.y * heat.rows)));
    post({ type: "hover", id: message.id, step: i, series: -1, value: heat.cells[row * count + i], low: heat.bounds[row], high: heat.bounds[row + 1], row: null });
    return;
  }
  const stacked = view.display === "stacked" && sums !== null;
  const from = stacked ? /** @type {NonNullable<typeof sums>} */ (sums).upper : values;
  let [best, distance] = [message.series, Infinity];
  if (best < 0) {
    for (let s = 0, at = i; s < n; s++, at += count) {
      // Where there is no value there is NaN, which is nearer than nothing.
      const d = Math.abs(place(view.scale, from[at]) - message.y);
      if (d < distance && !hidden?.[s] && (!stacked || isPresent(data, s, i))) [best, distance] = [s, d];
    }
  }
  if (best < 0) {
    post({ type: "hover", id: message.id, step: i, series: -1, value: NaN, row: null });
    return;
  }
  const row = from.slice(best * count, (best + 1) * count);
  if (stacked) for (let k = 0; k < count; k++) if (!isPresent(data, best, k)) row[k] = NaN;
  post({ type: "hover", id: message.id, step: i, series: best, value: values[best * count + i], there: Boolean(isPresent(data, best, i)), row }, [row.buffer]);
}

/** The values of some series. @param {{id: number, series: number[]}} message */
function rowsOf(message) {
  if (!data) return;
  const { count, values } = data;
  post({ type: "rows", id: message.id, rows: message.series.map((s) => values.slice(s * count, (s + 1) * count)) });
}

/** All values as CSV or JSON text, in pieces. @param {{id: number, format: string}} message */
function exportAll(message) {
  if (!data) return;
  const { count } = data;
  const parts = [];
  for (let s = 0; s < data.n; s++) {
    if (hidden?.[s]) continue;
    const cells = [];
    for (let i = 0; i < count; i++) if (isPresent(data, s, i)) cells.push([(data.start + i * data.step) / 1000, data.values[s * count + i]]);
    parts.push({ labels: labelsOf(data, s), cells });
  }
  post({ type: "export", id: message.id, series: parts });
}

self.onmessage = (/** @type {MessageEvent} */ event) => {
  const message = event.data;
  switch (message.type) {
    case "canvas": canvas = message.canvas; break;
    case "load": void load(message); break;
    case "abort": stop.abort(); break;
    case "slots": slots = message.slots; if (earlier) earlierSlots = matchSlots(earlier); break;
    case "clear": data = earlier = heat = sums = null; paint(); break;
    case "range": hidden = message.hidden; sums = null; post({ type: "range", id: message.id, ...range(message.display) }); break;
    case "paint": view = message.view; paint(); post({ type: "painted", id: message.id }); break;
    case "hover": hover(message); break;
    case "export": exportAll(message); break;
    case "rows": rowsOf(message); break;
  }
};
