// Painting lines, areas, points and cells into a canvas or straight into pixels. Runs in the worker; the tests call it in a page.

import { place } from "./scale.js";

/**
 * @typedef {object} View
 * @property {number} width in device pixels
 * @property {number} height
 * @property {number} dpr
 * @property {number} from in milliseconds
 * @property {number} to
 * @property {import("./scale.js").Scale} scale
 * @property {string} display
 * @property {[number, number, number][]} palette
 * @property {boolean} dark
 */

/** Above this number of series, lines are written into pixels instead of being drawn as paths. */
export const PATHS_MAX = 200;
/** Above this number of series, pixels count how many lines cross them. */
export const COLOURS_MAX = 2000;

/** Columns of steps and rows of values in pixels. @param {import("./answer.js").Data} data @param {View} view */
export function mapping(data, view) {
  const { width, height, scale } = view;
  const perMs = width / (view.to - view.from);
  const x = new Float64Array(data.count);
  for (let i = 0; i < data.count; i++) x[i] = (data.start + i * data.step - view.from) * perMs;
  const linear = !scale.log;
  const a = linear ? -height / (scale.y1 - scale.y0) : 0;
  const b = linear ? height - a * scale.y0 : 0;
  // Values far outside are moved to the bounds; otherwise paths overflow.
  const [low, high] = [-2 * height, 3 * height];
  const y = (/** @type {number} */ v) => {
    const at = linear ? a * v + b : height * (1 - place(scale, v));
    return at < low ? low : at > high ? high : at;
  };
  return { x, y };
}

/** @param {View} view @param {number} slot */
const colour = (view, slot) => view.palette[slot % 8];
const css = (/** @type {[number, number, number]} */ [r, g, b], alpha = 1) => `rgb(${r} ${g} ${b} / ${alpha})`;

/**
 * Lines as canvas paths: smooth, with dashes; for few series.
 * @param {OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D} context
 * @param {import("./answer.js").Data} data
 * @param {View} view
 * @param {Uint8Array} slots
 * @param {Uint8Array | null} hidden
 * @param {number} [alpha]
 */
export function paths(context, data, view, slots, hidden, alpha = 1) {
  const { x, y } = mapping(data, view);
  const { count } = data;
  const steps = view.display === "steps";
  context.lineWidth = 1.4 * view.dpr;
  context.lineJoin = "round";
  for (let s = 0; s < data.n; s++) {
    if (hidden?.[s]) continue;
    context.strokeStyle = context.fillStyle = css(colour(view, slots[s]), alpha);
    const dash = Math.floor(slots[s] / 8);
    context.setLineDash(dash === 1 ? [6 * view.dpr, 4 * view.dpr] : dash === 2 ? [2 * view.dpr, 3 * view.dpr] : []);
    context.beginPath();
    let before = NaN;
    for (let i = 0, at = s * count; i < count; i++, at++) {
      const v = data.values[at];
      const here = v === v ? y(v) : NaN;
      if (here === here && view.display !== "points") {
        if (before !== before) context.moveTo(x[i], here);
        else {
          if (steps) context.lineTo(x[i], before);
          context.lineTo(x[i], here);
        }
      }
      const next = i + 1 < count ? data.values[at + 1] : NaN;
      if (here === here && (view.display === "points" || (before !== before && next !== next))) {
        const r = (view.display === "points" ? 1.5 : 2) * view.dpr;
        context.fillRect(x[i] - r, here - r, 2 * r, 2 * r);
      }
      before = here;
    }
    context.stroke();
  }
  context.setLineDash([]);
}

/**
 * In which columns of pixels a line lies between two steps, and how far from the step: the same for all series.
 * A line's own part in each is its span.
 */
export class Columns {
  /** @param {import("./answer.js").Data} data @param {View} view */
  constructor(data, view) {
    const { width } = view;
    const { x, y } = mapping(data, view);
    [this.data, this.height, this.x, this.y] = [data, view.height, x, y];
    const { count } = data;
    /** @type {number[]} */ const at = [];
    /** @type {number[]} */ const left = [];
    /** @type {number[]} */ const right = [];
    /** Where the columns before step i begin; those of points without neighbours follow. */
    this.first = new Int32Array(count + 1);
    for (let i = 1; i < count; i++) {
      this.first[i] = at.length;
      const last = Math.min(width - 1, Math.floor(x[i]));
      for (let c = Math.max(0, Math.floor(x[i - 1])); c <= last; c++) {
        at.push(c);
        left.push(Math.max(x[i - 1], c) - x[i - 1]);
        right.push(Math.min(x[i], c + 1) - x[i - 1]);
      }
    }
    this.first[count] = at.length;
    for (let i = 0; i < count; i++) at.push(Math.floor(x[i]));
    this.at = Int32Array.from(at);
    this.left = Float64Array.from(left);
    this.right = Float64Array.from(right);
    /** Upper and lower end of each span; where there is none, the upper end is below the lower. */
    this.tops = new Int16Array(at.length);
    this.bottoms = new Int16Array(at.length);
    this.width = width;
  }

  /** Finds the spans of a series. @param {number} s */
  of(s) {
    const { data: { values, count }, x, y, first, left, right, tops, bottoms } = this;
    tops.fill(1);
    bottoms.fill(0);
    let before = NaN;
    for (let i = 0, at = s * count; i < count; i++, at++) {
      const v = values[at];
      const here = v === v ? y(v) : NaN;
      if (here === here) {
        if (before === before) {
          const slope = (here - before) / (x[i] - x[i - 1]);
          for (let k = first[i], end = first[i + 1]; k < end; k++) this.put(k, before + slope * left[k], before + slope * right[k]);
        } else if (i + 1 === count || values[at + 1] !== values[at + 1]) {
          const k = first[count] + i;
          if (this.at[k] >= 0 && this.at[k] < this.width) this.put(k, here - 1, here + 1);
        }
      }
      before = here;
    }
  }

  /** @param {number} k @param {number} a @param {number} b */
  put(k, a, b) {
    const low = a < b ? a : b;
    const high = a < b ? b : a;
    if (high < 0 || low >= this.height) return;
    this.tops[k] = low < 0 ? 0 : low;
    this.bottoms[k] = high >= this.height ? this.height - 1 : high;
  }
}

/**
 * Lines written into pixels: the span of each series in each column, later series on top.
 * @param {import("./answer.js").Data} data
 * @param {View} view
 * @param {Uint8Array} slots
 * @param {Uint8Array | null} hidden
 * @returns {Uint32Array} pixels as RGBA, lowest byte red
 */
export function spanPixels(data, view, slots, hidden) {
  const { width, height } = view;
  const pixels = new Uint32Array(width * height);
  const columns = new Columns(data, view);
  const { at, tops, bottoms } = columns;
  const colours = view.palette.map(([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
  for (let s = 0; s < data.n; s++) {
    if (hidden?.[s]) continue;
    const c = colours[slots[s] % 8];
    columns.of(s);
    for (let k = 0; k < at.length; k++) for (let p = tops[k] * width + at[k], end = bottoms[k] * width + at[k]; p <= end; p += width) pixels[p] = c;
  }
  return pixels;
}

/** Lines counted per pixel and coloured by how many cross it. @param {import("./answer.js").Data} data @param {View} view @param {Uint8Array | null} hidden */
export function densityPixels(data, view, hidden) {
  const { width, height } = view;
  // Column by column, where spans begin and where they have ended: their sums are the numbers of lines.
  const changes = new Int32Array(width * (height + 1));
  const columns = new Columns(data, view);
  const { at, tops, bottoms } = columns;
  for (let s = 0; s < data.n; s++) {
    if (hidden?.[s]) continue;
    columns.of(s);
    for (let k = 0; k < at.length; k++) {
      if (tops[k] > bottoms[k]) continue;
      const base = at[k] * (height + 1);
      changes[base + tops[k]] += 1;
      changes[base + bottoms[k] + 1] -= 1;
    }
  }
  let most = 1;
  for (let column = 0; column < width; column++) {
    let sum = 0;
    for (let p = column * (height + 1), end = p + height; p < end; p++) {
      sum = changes[p] += sum;
      if (sum > most) most = sum;
    }
  }
  const table = new Uint32Array(most + 1);
  for (let c = 1; c <= most; c++) {
    const [r, g, b] = heatColour(0.25 + 0.75 * (Math.log(c) / Math.log(most + 1)), view.dark);
    table[c] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  const pixels = new Uint32Array(width * height);
  for (let row = 0, p = 0; row < height; row++) for (let column = 0; column < width; column++, p++) pixels[p] = table[changes[column * (height + 1) + row]];
  return pixels;
}

/** Running sums over the series, positive and negative apart; a missing value adds nothing. @param {import("./answer.js").Data} data @param {Uint8Array | null} hidden */
export function stack(data, hidden) {
  const { n, count, values } = data;
  const lower = new Float64Array(n * count);
  const upper = new Float64Array(n * count);
  const up = new Float64Array(count);
  const down = new Float64Array(count);
  let [min, max] = [0, 0];
  for (let s = 0; s < n; s++) {
    for (let i = 0; i < count; i++) {
      const at = s * count + i;
      const v = values[at];
      const sums = v < 0 ? down : up;
      lower[at] = sums[i];
      if (!hidden?.[s] && v - v === 0) sums[i] += v;
      upper[at] = sums[i];
      if (sums[i] < min) min = sums[i];
      if (sums[i] > max) max = sums[i];
    }
  }
  return { lower, upper, min, max };
}

/** @param {OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D} context @param {import("./answer.js").Data} data @param {View} view @param {Uint8Array} slots @param {Uint8Array | null} hidden @param {{lower: Float64Array, upper: Float64Array}} sums */
export function areas(context, data, view, slots, hidden, sums) {
  const { x, y } = mapping(data, view);
  const { count } = data;
  context.lineWidth = view.dpr;
  for (let s = 0; s < data.n; s++) {
    if (hidden?.[s]) continue;
    const base = s * count;
    let i = 0;
    while (i < count) {
      while (i < count && data.values[base + i] !== data.values[base + i]) i++;
      const from = i;
      while (i < count && data.values[base + i] === data.values[base + i]) i++;
      if (from === i) continue;
      context.beginPath();
      for (let k = from; k < i; k++) context.lineTo(x[k], y(sums.upper[base + k]));
      context.strokeStyle = css(colour(view, slots[s]));
      context.stroke();
      for (let k = i - 1; k >= from; k--) context.lineTo(x[k], y(sums.lower[base + k]));
      context.closePath();
      context.fillStyle = css(colour(view, slots[s]), 0.45);
      if (i - from === 1) context.fillRect(x[from] - 1, y(sums.upper[base + from]), 2, Math.max(1, y(sums.lower[base + from]) - y(sums.upper[base + from])));
      else context.fill();
    }
  }
}

/** The span between smallest and largest of the series that were left out. @param {OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D} context @param {import("./answer.js").Data} data @param {View} view */
export function envelope(context, data, view) {
  const { rest } = data;
  if (!rest) return;
  const { x, y } = mapping(data, view);
  context.fillStyle = view.dark ? "rgb(154 162 177 / 0.22)" : "rgb(89 96 112 / 0.18)";
  for (let i = 0; i < data.count; i++) {
    if (rest.count[i] === 0) continue;
    const left = i > 0 ? (x[i - 1] + x[i]) / 2 : x[i];
    const right = i + 1 < data.count ? (x[i] + x[i + 1]) / 2 : x[i] + 1;
    const top = y(rest.max[i]);
    context.fillRect(left, top, right - left, Math.max(1, y(rest.min[i]) - top));
  }
}

/** Cells of a heatmap; rows of equal height, the square root of the count as colour. @param {import("./heatmap.js").Heat} heat @param {import("./answer.js").Data} data @param {View} view */
export function heatPixels(heat, data, view) {
  const { width, height } = view;
  const pixels = new Uint32Array(width * height);
  const perMs = width / (view.to - view.from);
  for (let i = 0; i < data.count; i++) {
    const at = (data.start + i * data.step - view.from) * perMs;
    const half = (data.step * perMs) / 2;
    const left = Math.max(0, Math.round(at - half));
    const right = Math.min(width, Math.max(left + 1, Math.round(at + half)));
    for (let row = 0; row < heat.rows; row++) {
      const v = heat.cells[row * data.count + i];
      if (!(v > 0)) continue;
      const [r, g, b] = heatColour(Math.sqrt(v / heat.max), view.dark);
      const c = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
      const top = Math.round(height - ((row + 1) * height) / heat.rows);
      const bottom = Math.round(height - (row * height) / heat.rows);
      for (let py = top; py < bottom; py++) pixels.fill(c, py * width + left, py * width + right);
    }
  }
  return pixels;
}

/** Colour of a share of the largest count: from the background over blue to the strongest. @param {number} share 0 to 1 @param {boolean} dark @returns {[number, number, number]} */
function heatColour(share, dark) {
  const stops = dark ? [[29, 38, 58], [38, 78, 140], [66, 129, 232], [150, 200, 255], [240, 248, 255]] : [[232, 239, 251], [170, 200, 245], [90, 140, 225], [9, 63, 184], [3, 24, 80]];
  const at = Math.max(0, Math.min(1, share)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  const part = at - i;
  return /** @type {[number, number, number]} */ ([0, 1, 2].map((c) => Math.round(stops[i][c] + (stops[i + 1][c] - stops[i][c]) * part)));
}
