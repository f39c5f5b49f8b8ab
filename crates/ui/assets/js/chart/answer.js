// From an answer of the server to columns of numbers. Runs in the worker.

/**
 * @typedef {object} Data
 * @property {number} start in milliseconds
 * @property {number} step in milliseconds
 * @property {number} count steps
 * @property {number} n series
 * @property {string[]} names label names
 * @property {string[]} texts label values
 * @property {Int32Array} labels for each series and name an index into `texts`, or -1
 * @property {Float64Array} values series by series; NaN where there is nothing
 * @property {Uint8Array} present a bit for each value, lowest first
 * @property {number} bytesPerRow of `present`
 * @property {Histogram[][] | null} histograms for each series, by step
 * @property {number} total series of the whole answer, those that were left out included
 * @property {{min: Float64Array, max: Float64Array, count: Uint32Array} | null} rest of the series left out, by step
 *
 * @typedef {{step: number, count: number, sum: number, buckets: [number, number, number, number][]}} Histogram
 */

/** @param {string} text */
export function number(text) {
  if (text === "+Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

/**
 * Columns from the JSON of `query_range`.
 * @param {{metric: Record<string, string>, values?: [number, string][], histograms?: [number, any][]}[]} result
 * @param {{start: number, step: number, count: number}} grid in milliseconds
 * @returns {Data}
 */
export function fromJson(result, grid) {
  const { start, step, count } = grid;
  const n = result.length;
  const table = new Labels(n);
  const values = new Float64Array(n * count).fill(NaN);
  const bytesPerRow = Math.ceil(count / 8);
  const present = new Uint8Array(n * bytesPerRow);
  /** @type {Histogram[][]} */
  const histograms = [];
  let some = false;
  result.forEach((series, s) => {
    table.add(s, series.metric);
    for (const [at, text] of series.values ?? []) {
      const i = Math.round((at * 1000 - start) / step);
      if (i < 0 || i >= count) continue;
      values[s * count + i] = number(text);
      present[s * bytesPerRow + (i >> 3)] |= 1 << (i & 7);
    }
    histograms.push((series.histograms ?? []).map(([at, h]) => {
      some = true;
      return { step: Math.round((at * 1000 - start) / step), count: number(h.count), sum: number(h.sum), buckets: (h.buckets ?? []).map((/** @type {any[]} */ b) => [b[0], number(b[1]), number(b[2]), number(b[3])]) };
    }));
  });
  return { start, step, count, n, ...table.done(), values, present, bytesPerRow, histograms: some ? histograms : null, total: n, rest: null };
}

/** Label names and values, each text once. */
class Labels {
  /** @param {number} n */
  constructor(n) {
    this.n = n;
    /** @type {Map<string, number>} */ this.names = new Map();
    /** @type {Map<string, number>} */ this.texts = new Map();
    /** @type {[number, number, number][]} */ this.cells = [];
  }

  /** @param {number} s @param {Record<string, string>} labels */
  add(s, labels) {
    for (const name in labels) {
      const text = labels[name];
      let i = this.names.get(name);
      if (i === undefined) this.names.set(name, (i = this.names.size));
      let t = this.texts.get(text);
      if (t === undefined) this.texts.set(text, (t = this.texts.size));
      this.cells.push([s, i, t]);
    }
  }

  done() {
    const width = this.names.size;
    const labels = new Int32Array(this.n * width).fill(-1);
    for (const [s, name, text] of this.cells) labels[s * width + name] = text;
    return { names: [...this.names.keys()], texts: [...this.texts.keys()], labels };
  }
}

/** Whether this machine has the bytes of numbers in the order of the answer. */
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Type of the binary answer of `ferula/graph`. */
export const GRAPH_TYPE = "application/vnd.ferula.graph";

/**
 * Columns from the binary answer; see docs/format/graph.md.
 * @param {ArrayBuffer} buffer
 * @returns {{data: Data, warnings: string[], infos: string[], stats: any}}
 */
export function fromBinary(buffer) {
  const view = new DataView(buffer);
  const headBytes = view.getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headBytes)));
  const { start, step, steps: count, names, values: texts } = head;
  const n = head.series.length;
  const labels = new Int32Array(n * names.length).fill(-1);
  head.series.forEach((/** @type {number[]} */ pairs, /** @type {number} */ s) => {
    for (let i = 0; i < pairs.length; i += 2) labels[s * names.length + pairs[i]] = pairs[i + 1];
  });
  const bytesPerRow = Math.ceil(count / 8);
  const present = new Uint8Array(n * bytesPerRow);
  const values = new Float64Array(n * count);
  // Most rows are whole, and then their bytes are those of the numbers.
  const [from, into] = [new Uint8Array(buffer), new Uint8Array(values.buffer)];
  const lastBits = 0xff >> (bytesPerRow * 8 - count);
  let at = 4 + headBytes;
  for (let s = 0; s < n; s++) {
    const bits = from.subarray(at, at + bytesPerRow);
    present.set(bits, s * bytesPerRow);
    at += bytesPerRow;
    const base = s * count;
    if (LITTLE && bits.every((byte, i) => byte === (i + 1 < bytesPerRow ? 0xff : lastBits)) && at + count * 8 <= from.length) {
      into.set(from.subarray(at, at + count * 8), base * 8);
      at += count * 8;
      continue;
    }
    values.fill(NaN, base, base + count);
    for (let i = 0; i < count; i++) {
      if ((bits[i >> 3] >> (i & 7)) & 1) {
        values[base + i] = view.getFloat64(at, true);
        at += 8;
      }
    }
  }
  let rest = null;
  if (head.total > n) {
    rest = { min: new Float64Array(count), max: new Float64Array(count), count: new Uint32Array(count) };
    for (let i = 0; i < count; i++, at += 20) {
      rest.min[i] = view.getFloat64(at, true);
      rest.max[i] = view.getFloat64(at + 8, true);
      rest.count[i] = view.getUint32(at + 16, true);
    }
  }
  if (at !== buffer.byteLength) throw new Error(`The answer has ${buffer.byteLength} bytes, ${at} were expected.`);
  const data = { start, step, count, n, names, texts, labels, values, present, bytesPerRow, histograms: null, total: head.total, rest };
  return { data, warnings: head.warnings ?? [], infos: head.infos ?? [], stats: head.stats ?? null };
}

/** @param {Data} data @param {number} s @param {number} i */
export const isPresent = (data, s, i) => (data.present[s * data.bytesPerRow + (i >> 3)] >> (i & 7)) & 1;

/** @param {Pick<Data, "names" | "texts" | "labels">} data @param {number} s @returns {Record<string, string>} */
export function labelsOf(data, s) {
  /** @type {Record<string, string>} */
  const out = {};
  const width = data.names.length;
  const order = data.names.map((name, i) => ({ name, i })).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, i } of order) {
    const t = data.labels[s * width + i];
    if (t >= 0) out[name] = data.texts[t];
  }
  return out;
}

/** Last, smallest, largest and mean of each series. @param {Data} data */
export function statistics(data) {
  const { n, count, values } = data;
  const make = () => new Float64Array(n).fill(NaN);
  const out = { last: make(), min: make(), max: make(), mean: make() };
  for (let s = 0; s < n; s++) {
    let [min, max, sum, seen] = [Infinity, -Infinity, 0, 0];
    for (let i = 0, at = s * count; i < count; i++, at++) {
      const v = values[at];
      if (v !== v) continue;
      if (v < min) min = v;
      if (v > max) max = v;
      sum += v;
      seen += 1;
      out.last[s] = v;
    }
    if (seen > 0) [out.min[s], out.max[s], out.mean[s]] = [min, max, sum / seen];
  }
  return out;
}

/** Smallest and largest finite value of the series that are shown. @param {Data} data @param {Uint8Array | null} hidden */
export function extent(data, hidden) {
  let [min, max, leastPositive] = [Infinity, -Infinity, Infinity];
  const { n, count, values } = data;
  for (let s = 0; s < n; s++) {
    if (hidden?.[s]) continue;
    for (let i = s * count, end = i + count; i < end; i++) {
      const v = values[i];
      if (v - v !== 0) continue;
      if (v < min) min = v;
      if (v > max) max = v;
      if (v > 0 && v < leastPositive) leastPositive = v;
    }
  }
  if (data.rest && !hidden) {
    for (let i = 0; i < count; i++) {
      if (data.rest.count[i] === 0) continue;
      if (data.rest.min[i] - data.rest.min[i] === 0) min = Math.min(min, data.rest.min[i]);
      if (data.rest.max[i] - data.rest.max[i] === 0) max = Math.max(max, data.rest.max[i]);
    }
  }
  return { min, max, leastPositive };
}

/** A number for each series, from its labels alone. @param {Data} data */
export function hashes(data) {
  const width = data.names.length;
  const order = data.names.map((name, i) => ({ name, i })).sort((a, b) => (a.name < b.name ? -1 : 1));
  const out = new Float64Array(data.n);
  for (let s = 0; s < data.n; s++) {
    let [low, high] = [0x811c9dc5, 0x9e3779b9];
    const mix = (/** @type {string} */ text) => {
      for (let k = 0; k < text.length; k++) {
        const c = text.charCodeAt(k);
        low = Math.imul(low ^ c, 0x01000193);
        high = Math.imul(high ^ c, 0x85ebca6b);
      }
      low = Math.imul(low ^ 0xff, 0x01000193);
      high = Math.imul(high ^ 0xff, 0x85ebca6b);
    };
    for (const { name, i } of order) {
      const t = data.labels[s * width + i];
      if (t >= 0) { mix(name); mix(data.texts[t]); }
    }
    low ^= low >>> 15;
    out[s] = (low >>> 0) + (high >>> 12) * 0x100000000;
  }
  return out;
}
