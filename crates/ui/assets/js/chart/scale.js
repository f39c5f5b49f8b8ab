// From values to pixels and back, and round places for ticks on a value axis.

/** @typedef {{y0: number, y1: number, log: boolean}} Scale */

/**
 * A scale around the values shown.
 * @param {number} min smallest finite value
 * @param {number} max largest finite value
 * @param {{log?: boolean, yMin?: number | null, yMax?: number | null, stacked?: boolean, leastPositive?: number}} options
 * @returns {Scale}
 */
export function scaleFor(min, max, options) {
  if (!(min <= max)) return { y0: 0, y1: 1, log: false };
  if (options.log && max > 0) {
    const low = min > 0 ? min : Math.max(options.leastPositive ?? max / 1e6, Number.MIN_VALUE);
    // Powers of ten beyond these are 0 or infinite.
    const exponent = (/** @type {number} */ e) => Math.max(-307, Math.min(307, e));
    const from = Math.min(306, exponent(Math.floor(Math.log10(low) + 1e-9)));
    const to = exponent(Math.ceil(Math.log10(max) - 1e-9));
    const fixedLow = options.yMin !== null && options.yMin !== undefined && options.yMin > 0 ? options.yMin : 0;
    const y0 = fixedLow || 10 ** from;
    const fixedHigh = options.yMax !== null && options.yMax !== undefined && options.yMax > y0 ? options.yMax : 0;
    return { y0, y1: fixedHigh || Math.max(10 ** Math.max(to, from + 1), y0 * 10), log: true };
  }
  let low = options.stacked ? Math.min(0, min) : min;
  let high = options.stacked ? Math.max(0, max) : max;
  const fixedHigh = options.yMax !== null && options.yMax !== undefined && options.yMax > (options.yMin ?? low);
  if (fixedHigh) high = /** @type {number} */ (options.yMax);
  const fixed = options.yMin !== null && options.yMin !== undefined && options.yMin < high;
  if (fixed) low = /** @type {number} */ (options.yMin);
  const span = high - low;
  if (!(span > Math.abs(high) * 1e-12)) {
    // All values are equal: the line stands in the middle.
    const half = Math.abs(high) > 1e-300 ? Math.abs(high) * 0.1 : 1;
    const bounded = (/** @type {number} */ v) => Math.max(-Number.MAX_VALUE / 2, Math.min(Number.MAX_VALUE / 2, v));
    return { y0: Math.min(bounded(fixed ? low : low - half), Number.MAX_VALUE / 4), y1: bounded(fixedHigh && high > low ? high : high + half), log: false };
  }
  if (!Number.isFinite(span)) return { y0: -Number.MAX_VALUE / 2, y1: Number.MAX_VALUE / 2, log: false };
  const pad = span * 0.05;
  const keepZero = low >= 0 && low - pad < 0;
  return { y0: fixed ? low : keepZero ? 0 : low - pad, y1: fixedHigh ? high : high + pad, log: false };
}

/** Where a value lies, 0 at the lower edge and 1 at the upper. @param {Scale} scale @param {number} value */
export function place(scale, value) {
  if (scale.log) return value > 0 ? (Math.log10(value) - Math.log10(scale.y0)) / (Math.log10(scale.y1) - Math.log10(scale.y0)) : -1;
  return (value - scale.y0) / (scale.y1 - scale.y0);
}

/** The value at a place. @param {Scale} scale @param {number} at */
export function valueAt(scale, at) {
  if (scale.log) return 10 ** (Math.log10(scale.y0) + at * (Math.log10(scale.y1) - Math.log10(scale.y0)));
  return scale.y0 + at * (scale.y1 - scale.y0);
}

const SECONDS = [1e-9, 1e-6, 1e-3, 1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

/**
 * Round values inside of a scale.
 * @param {Scale} scale
 * @param {number} countMax
 * @param {string} [unit] bytes step by powers of two, seconds by minutes and hours
 * @returns {number[]}
 */
export function valueTicks(scale, countMax, unit = "") {
  const { y0, y1, log } = scale;
  if (log) {
    const from = Math.round(Math.log10(y0));
    const to = Math.round(Math.log10(y1));
    const by = Math.max(1, Math.ceil((to - from) / Math.max(1, countMax)));
    const ticks = [];
    for (let e = from; e <= to; e += by) ticks.push(Number(`1e${e}`));
    // Between fixed ends there may be no power of ten.
    if (ticks.filter((tick) => tick >= y0 && tick <= y1).length > 1) return ticks;
  }
  const least = (y1 - y0) / Math.max(1, countMax);
  const step = unit.startsWith("bytes") ? binaryStep(least) : unit === "seconds" && least > 1 ? (SECONDS.find((s) => s >= least) ?? roundStep(least / 86_400) * 86_400) : roundStep(least);
  if (!(step > 0) || !Number.isFinite(step)) return [];
  const ticks = [];
  for (let i = Math.ceil(y0 / step - 1e-9); i * step <= y1 * (1 + 1e-12) + step * 1e-9 && ticks.length < 100; i++) ticks.push(clean(i * step, step));
  return ticks;
}

/** 1, 2 or 5 times a power of ten. @param {number} least */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  const found = [1, 2, 5, 10].find((m) => m * power >= least * (1 - 1e-9)) ?? 10;
  return found * power;
}

/** @param {number} least */
function binaryStep(least) {
  if (least < 1) return roundStep(least);
  const unit = 1024 ** Math.floor(Math.log2(least) / 10);
  const inUnit = least / unit;
  const found = [1, 2, 5, 10, 20, 50, 100, 200, 256, 512, 1024].find((m) => m >= inUnit) ?? 1024;
  return found * unit;
}

/** Rounds away what binary addition leaves. @param {number} value @param {number} step */
function clean(value, step) {
  const digits = Math.min(100, Math.max(0, 2 - Math.floor(Math.log10(step))));
  return digits < 20 && Math.abs(value) < 1e15 ? Number(value.toFixed(digits)) : value;
}
