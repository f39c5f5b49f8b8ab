// A graph: axes, crosshair and zoom here; numbers and lines in the worker behind it.

import { absolute, ApiError, failure } from "../api.js";
import { h } from "../dom.js";
import { inUnit } from "../format.js";
import { zone } from "../settings.js";
import { timeTicks } from "../time.js";
import { labelsOf } from "./answer.js";
import { slotsOf } from "./colours.js";
import { Hover } from "./hover.js";
import { place, scaleFor, valueTicks } from "./scale.js";

/**
 * @typedef {object} Head what is known of an answer outside of the worker
 * @property {number} start
 * @property {number} step
 * @property {number} count
 * @property {number} n
 * @property {number} total
 * @property {string[]} names
 * @property {string[]} texts
 * @property {Int32Array} labels
 * @property {Uint8Array} slots
 * @property {Float64Array} hashes of the labels
 * @property {{last: Float64Array, min: Float64Array, max: Float64Array, mean: Float64Array}} stats
 * @property {any} query statistics of the query, as the server tells them
 * @property {boolean} classic
 * @property {boolean} histograms
 * @property {Float64Array | null} bounds
 * @property {number} heatMax
 * @property {string[]} warnings
 * @property {string[]} infos
 * @property {number} bytes
 * @property {number} received when the last byte arrived, for measurements
 * @property {number | null} date
 *
 * @typedef {{display: import("../url_state.js").Display, log: boolean, yMin: number | null, yMax: number | null, unit: import("../format.js").Unit, boundUnit: import("../format.js").Unit}} Look
 */

/** Trusted Types: the painter's address is the only script address this page makes. */
const painterAddress = (() => {
  const address = new URL("./painter.js", import.meta.url).href;
  const types = /** @type {any} */ (window).trustedTypes;
  if (!types) return address;
  const policy = types.createPolicy("ferula", {
    createScriptURL: (/** @type {string} */ wanted) => {
      if (wanted !== address) throw new TypeError("only the painter may be started");
      return wanted;
    },
  });
  return policy.createScriptURL(address);
})();

const PADDING = { left: 56, right: 8, top: 8, bottom: 22 };

export class Chart {
  /** @param {{signal: AbortSignal, onZoom: (from: number, to: number) => void, onBack: () => void, onCross: (at: number | null) => void, onPick: (series: number, add: boolean) => void, onNumbers: () => void}} options */
  constructor(options) {
    this.options = options;
    this.grid = h("canvas", { "aria-hidden": "true" });
    this.plot = h("canvas", { "aria-hidden": "true" });
    this.marks = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas", { "aria-hidden": "true" });
    this.area = h("div", { class: "plot-area" });
    this.element = h("div", { class: "chart", tabindex: "0", role: "img", "aria-label": "Graph, no data yet" }, this.grid, this.plot, this.marks, this.over, this.area);
    this.worker = new Worker(/** @type {any} */ (painterAddress), { type: "module" });
    this.worker.onmessage = (event) => this.received(event.data);
    this.worker.onerror = () => this.failAll(new Error("The graph's worker could not be started."));
    const off = this.plot.transferControlToOffscreen();
    this.worker.postMessage({ type: "canvas", canvas: off }, [off]);
    /** @type {Head | null} */ this.head = null;
    /** @type {Look} */ this.look = { display: "auto", log: false, yMin: null, yMax: null, unit: "", boundUnit: "" };
    /** @type {Uint8Array | null} */ this.hidden = null;
    this.scale = { y0: 0, y1: 1, log: false };
    this.from = 0;
    this.to = 1;
    this.next = 0;
    /** @type {Map<number, {resolve: (value: any) => void, reject: (reason: any) => void}>} */ this.waiting = new Map();
    /** @type {{at: number, value: number, labels: Record<string, string>, series: Record<string, string>}[]} */ this.exemplars = [];
    /** @type {Map<string, string>} */ this.inks = new Map();
    this.hover = new Hover(this);
    this.size = { width: 0, height: 0, dpr: 1 };
    const observer = new ResizeObserver(() => this.resized());
    observer.observe(this.element);
    const theme = () => this.draw();
    window.addEventListener("ferula-theme", theme, { signal: options.signal });
    options.signal.addEventListener("abort", () => {
      observer.disconnect();
      this.worker.terminate();
      this.failAll(new DOMException("gone", "AbortError"));
    });
  }

  /** @param {Error} error */
  failAll(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  /** Sends to the worker and waits for its answer. @param {any} message @returns {Promise<any>} */
  call(message) {
    const id = ++this.next;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...message, id });
    });
  }

  /** @param {any} message */
  received(message) {
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (!waiting) return;
    if (message.type !== "failed") waiting.resolve(message);
    else if (message.failure) {
      const { json, text, status, url, redirected, ok, statusText, stopping } = message.failure;
      const headers = new Headers(stopping ? { "X-Prometheus-Stopping": stopping } : {});
      waiting.reject(failure(/** @type {any} */ ({ status, url, redirected, ok, statusText, headers }), json, text));
    } else waiting.reject(message.network ? new ApiError("The server cannot be reached. It may be restarting, or the network may be down.", "network") : new Error(message.message));
  }

  /**
   * Asks for other data; the graph shows the old answer until the new one has arrived.
   * @param {{params: [string, string][], start: number, end: number, step: number, binary: boolean, seriesMax: number, rank: string, compareMs: number}} wanted
   * @param {AbortSignal} signal
   * @returns {Promise<Head>}
   */
  async load(wanted, signal) {
    const { params, start, end, step, seriesMax, rank } = wanted;
    const request = { address: absolute("api/v1/query_range"), binary: wanted.binary ? absolute("api/v1/ferula/graph") : null, params, start, end, step, seriesMax, rank };
    const earlier = wanted.compareMs ? { ...request, start: start - wanted.compareMs, end: end - wanted.compareMs, seriesMax: 200 } : null;
    const stop = () => {
      this.worker.postMessage({ type: "abort" });
      this.failAll(new DOMException("stopped", "AbortError"));
    };
    signal.addEventListener("abort", stop, { once: true });
    try {
      const head = await this.call({ type: "load", request, earlier });
      head.slots = slotsOf(head.hashes);
      this.worker.postMessage({ type: "slots", slots: head.slots });
      this.head = head;
      this.hidden = null;
      this.from = start;
      this.to = end;
      await this.rescale();
      this.element.dataset.bytes = String(head.bytes);
      this.element.dataset.took = String(Date.now() - head.received);
      return head;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  clear() {
    this.head = null;
    this.exemplars = [];
    this.worker.postMessage({ type: "clear" });
    this.draw();
  }

  /** How it is drawn: the choice, or what suits the answer. */
  get display() {
    const { display } = this.look;
    const heat = this.head !== null && (this.head.histograms || this.head.classic);
    if (this.head?.histograms) return "heatmap";
    if (display === "auto") return heat ? "heatmap" : "lines";
    return display === "heatmap" && !heat ? "lines" : display;
  }

  /** @param {Partial<Look>} look */
  async setLook(look) {
    Object.assign(this.look, look);
    await this.rescale();
  }

  /** @param {Uint8Array | null} hidden */
  async setHidden(hidden) {
    this.hidden = hidden;
    await this.rescale();
  }

  async rescale() {
    if (!this.head) return;
    const display = this.display;
    const { min, max, leastPositive } = await this.call({ type: "range", display, hidden: this.hidden });
    this.scale = display === "heatmap" ? { y0: 0, y1: 1, log: false } : scaleFor(min, max, { log: this.look.log, yMin: this.look.yMin, yMax: this.look.yMax, stacked: display === "stacked", leastPositive });
    await this.draw();
  }

  resized() {
    const { clientWidth, clientHeight } = this.element;
    if (clientWidth === this.size.width && clientHeight === this.size.height) return;
    clearTimeout(this.resizeTimer);
    this.resizeTimer = window.setTimeout(() => void this.draw(), this.size.width === 0 ? 0 : 60);
  }

  /** The rectangle of the lines, in CSS pixels. */
  get rect() {
    const { width, height } = this.size;
    return { left: PADDING.left, top: PADDING.top, width: Math.max(1, width - PADDING.left - PADDING.right), height: Math.max(1, height - PADDING.top - PADDING.bottom) };
  }

  /** A colour of the theme; looked up once for each picture. @param {string} name */
  ink(name) {
    let colour = this.inks.get(name);
    if (colour === undefined) this.inks.set(name, (colour = getComputedStyle(document.documentElement).getPropertyValue(name).trim()));
    return colour;
  }

  /** Draws axes, and has the worker draw the lines. */
  async draw() {
    const dpr = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.element;
    if (clientWidth === 0) return;
    this.size = { width: clientWidth, height: clientHeight, dpr };
    const { rect } = this;
    Object.assign(this.area.style, { left: `${rect.left}px`, top: `${rect.top}px`, width: `${rect.width}px`, height: `${rect.height}px` });
    Object.assign(this.plot.style, { left: `${rect.left}px`, top: `${rect.top}px`, width: `${rect.width}px`, height: `${rect.height}px`, opacity: "1" });
    const style = getComputedStyle(document.documentElement);
    this.inks.clear();
    this.drawGrid((name) => this.ink(name));
    this.hover.clear();
    if (!this.head) return;
    const palette = Array.from({ length: 8 }, (_, i) => rgb(this.ink(`--s${i}`)));
    this.palette = palette;
    const dark = style.colorScheme === "dark";
    const view = { width: Math.round(rect.width * dpr), height: Math.round(rect.height * dpr), dpr, from: this.from, to: this.to, scale: this.scale, display: this.display, palette, dark };
    await this.call({ type: "paint", view }).catch(() => {});
    this.element.dataset.painted = String(++painted);
  }

  /** @param {(name: string) => string} ink */
  drawGrid(ink) {
    const { width, height, dpr } = this.size;
    const { rect } = this;
    for (const canvas of [this.grid, this.marks, this.over]) {
      canvas.width = Math.round(width * dpr);
      canvas.height = Math.round(height * dpr);
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    const context = this.grid.getContext("2d");
    if (!context) return;
    context.scale(dpr, dpr);
    context.font = `11px ${ink("--font")}`;
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    const ticks = this.yTicks();
    this.element.dataset.ticks = ticks.map((tick) => tick.text).join("|");
    for (const { at, text } of ticks) {
      const y = Math.round(rect.top + rect.height * (1 - at)) + 0.5;
      context.strokeStyle = ink("--grid");
      context.beginPath();
      context.moveTo(rect.left, y);
      context.lineTo(rect.left + rect.width, y);
      context.stroke();
      context.fillStyle = ink("--axis");
      context.fillText(text, rect.left - 6, y, PADDING.left - 8);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    if (!this.head) return;
    for (const tick of timeTicks(this.from, this.to, zone(), Math.max(2, Math.floor(rect.width / 90)))) {
      const x = Math.round(rect.left + ((tick.at - this.from) / (this.to - this.from)) * rect.width) + 0.5;
      context.strokeStyle = ink("--grid");
      context.beginPath();
      context.moveTo(x, rect.top);
      context.lineTo(x, rect.top + rect.height);
      context.stroke();
      context.fillStyle = tick.bold ? ink("--text") : ink("--axis");
      context.font = `${tick.bold ? "600 " : ""}11px ${ink("--font")}`;
      context.fillText(tick.text, Math.min(Math.max(x, rect.left + 8), rect.left + rect.width - 14), rect.top + rect.height + 6);
    }
    context.strokeStyle = ink("--line");
    context.strokeRect(rect.left + 0.5, rect.top + 0.5, rect.width - 1, rect.height - 1);
    this.drawExemplars(ink);
  }

  yTicks() {
    const countMax = Math.max(2, Math.floor(this.rect.height / 44));
    if (this.display === "heatmap" && this.head?.bounds) {
      const { bounds } = this.head;
      const rows = bounds.length - 1;
      const every = Math.max(1, Math.ceil(bounds.length / (this.rect.height / 18)));
      return [...bounds].map((bound, i) => ({ at: i / rows, text: inUnit(bound, this.look.boundUnit, 3) })).filter((_, i) => i % every === 0);
    }
    if (!this.head) return [];
    return valueTicks(this.scale, countMax, this.look.unit).map((value) => ({ at: place(this.scale, value), text: inUnit(value, this.look.unit, 5) })).filter((tick) => tick.at >= -0.001 && tick.at <= 1.001);
  }

  /** Marks above the lines and cells. @param {(name: string) => string} ink */
  drawExemplars(ink) {
    const context = this.marks.getContext("2d");
    if (!context) return;
    context.scale(this.size.dpr, this.size.dpr);
    context.fillStyle = ink("--warn");
    context.strokeStyle = ink("--bg");
    for (const exemplar of this.exemplars) {
      const { x, y } = this.exemplarAt(exemplar);
      context.beginPath();
      context.moveTo(x, y - 4);
      context.lineTo(x + 4, y);
      context.lineTo(x, y + 4);
      context.lineTo(x - 4, y);
      context.closePath();
      context.fill();
      context.stroke();
    }
  }

  /** Where an exemplar is marked. @param {{at: number, value: number}} exemplar */
  exemplarAt(exemplar) {
    const { rect } = this;
    const x = rect.left + ((exemplar.at - this.from) / (this.to - this.from)) * rect.width;
    let at = place(this.scale, exemplar.value);
    const bounds = this.head?.bounds;
    if (this.display === "heatmap" && bounds) {
      const row = bounds.findIndex((bound, i) => i > 0 && exemplar.value <= bound);
      at = (Math.max(1, row) - 0.5) / (bounds.length - 1);
    }
    return { x, y: rect.top + rect.height * (1 - Math.max(0, Math.min(1, at))) };
  }

  /** @param {typeof this.exemplars} exemplars */
  setExemplars(exemplars) {
    this.exemplars = exemplars.filter((one) => one.at >= this.from && one.at <= this.to);
    void this.draw().then(() => {
      const last = this.exemplars[this.exemplars.length - 1];
      this.element.dataset.exemplars = String(this.exemplars.length);
      if (last) { const { x, y } = this.exemplarAt(last); this.element.dataset.lastExemplar = JSON.stringify([x, y]); }
    });
  }

  /** One label of a series, "" when it has none. @param {number} s @param {string} name */
  label(s, name) {
    const { head } = this;
    const t = head ? head.labels[s * head.names.length + head.names.indexOf(name)] : undefined;
    return t !== undefined && t >= 0 ? /** @type {Head} */ (head).texts[t] : "";
  }

  /** @param {number} s @returns {Record<string, string>} */
  labels(s) {
    return this.head ? labelsOf(this.head, s) : {};
  }
}

/** Counts pictures, so that a test can wait for one. */
let painted = 0;

/** `#rrggbb` as numbers. @param {string} hex @returns {[number, number, number]} */
function rgb(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}
