// Counts by bucket and step: native histograms, and series with `le`.

import { labelsOf, number } from "./answer.js";

/**
 * @typedef {object} Heat
 * @property {Float64Array} bounds edges of the rows, rising; one more than there are rows
 * @property {number} rows
 * @property {Float64Array} cells row by row, `count` each
 * @property {number} max largest cell
 */

/** Whether all series are buckets of a classic histogram. @param {import("./answer.js").Data} data */
export function isClassic(data) {
  const le = data.names.indexOf("le");
  if (le < 0 || data.n < 2) return false;
  for (let s = 0; s < data.n; s++) if (data.labels[s * data.names.length + le] < 0) return false;
  return true;
}

/** @param {import("./answer.js").Data} data @returns {Heat | null} */
export function heatOf(data) {
  if (data.histograms) return native(data);
  return isClassic(data) ? classic(data) : null;
}

/** @param {import("./answer.js").Data} data @returns {Heat} */
function classic(data) {
  const { count } = data;
  /** @type {Map<number, Float64Array>} */
  const byBound = new Map();
  for (let s = 0; s < data.n; s++) {
    const bound = number(labelsOf(data, s).le);
    if (Number.isNaN(bound)) continue;
    let sums = byBound.get(bound);
    if (!sums) byBound.set(bound, (sums = new Float64Array(count)));
    for (let i = 0; i < count; i++) {
      const v = data.values[s * count + i];
      if (v === v) sums[i] += v;
    }
  }
  const bounds = [...byBound.keys()].sort((a, b) => a - b);
  const cells = new Float64Array(bounds.length * count);
  bounds.forEach((bound, row) => {
    const upper = /** @type {Float64Array} */ (byBound.get(bound));
    const lower = row > 0 ? byBound.get(bounds[row - 1]) : undefined;
    for (let i = 0; i < count; i++) cells[row * count + i] = Math.max(0, upper[i] - (lower?.[i] ?? 0));
  });
  const first = bounds[0] > 0 ? 0 : -Infinity;
  return { bounds: Float64Array.from([first, ...bounds]), rows: bounds.length, cells, max: largest(cells) };
}

/** @param {import("./answer.js").Data} data @returns {Heat} */
function native(data) {
  const { count } = data;
  const edges = new Set(/** @type {number[]} */ ([]));
  const all = /** @type {import("./answer.js").Histogram[][]} */ (data.histograms);
  for (const series of all) for (const h of series) for (const [, low, high] of h.buckets) { edges.add(low); edges.add(high); }
  const bounds = Float64Array.from([...edges].sort((a, b) => a - b));
  const rows = Math.max(0, bounds.length - 1);
  const index = new Map([...bounds].map((bound, i) => [bound, i]));
  const cells = new Float64Array(rows * count);
  for (const series of all) {
    for (const h of series) {
      if (h.step < 0 || h.step >= count) continue;
      for (const [, low, high, observations] of h.buckets) {
        const from = /** @type {number} */ (index.get(low));
        const to = /** @type {number} */ (index.get(high));
        // A wide bucket beside finer ones is spread evenly over the rows that it covers.
        for (let row = from; row < to; row++) cells[row * count + h.step] += observations / (to - from);
      }
    }
  }
  return { bounds, rows, cells, max: largest(cells) };
}

/** @param {Float64Array} cells */
function largest(cells) {
  let max = 0;
  for (const v of cells) if (v > max && v < Infinity) max = v;
  return max;
}
