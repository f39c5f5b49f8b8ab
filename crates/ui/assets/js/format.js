// Numbers for reading, and the units that metric names carry.

const SI = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];
const IEC = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL = ["", "m", "µ", "n", "p", "f", "a"];

/** @typedef {"" | "bytes" | "seconds" | "ratio" | "percent" | "celsius" | "bytes/s" | "/s"} Unit */

/** Reads a number as the server writes it, with Go's words for infinite ones and NaN. @param {string} text */
export function parseValue(text) {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

/** All digits, as Prometheus writes them. @param {number} value */
export function exact(value) {
  if (Number.isNaN(value)) return "NaN";
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  if (Object.is(value, -0)) return "-0";
  return String(value);
}

/** A few significant digits, plain as long as it stays short. @param {number} value @param {number} [digits] */
export function plain(value, digits = 4) {
  if (!Number.isFinite(value)) return exact(value);
  const abs = Math.abs(value);
  if (abs === 0) return "0";
  if (abs >= 1e15 || abs < 1e-4) return value.toExponential(Math.max(0, digits - 1)).replace(/\.?0+e/, "e");
  if (abs >= 10 ** digits) return grouped(Math.round(value));
  return String(Number(value.toPrecision(digits)));
}

/** An integer with thin spaces between thousands. @param {number} value */
export function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** @param {number} value @param {string[]} prefixes @param {number} base @param {number} digits */
function scaled(value, prefixes, base, digits) {
  let x = Math.abs(value);
  let i = 0;
  while (x >= base && i < prefixes.length - 1) {
    x /= base;
    i += 1;
  }
  const text = x >= 1000 ? String(Math.round(x)) : String(Number(x.toPrecision(digits)));
  return [(value < 0 ? "-" : "") + text, prefixes[i]];
}

/** With a prefix: `1.2k`, `340µ`. @param {number} value @param {number} [digits] */
export function si(value, digits = 4) {
  if (!Number.isFinite(value)) return exact(value);
  const abs = Math.abs(value);
  if (abs === 0) return "0";
  if (abs >= 1e27 || abs < 1e-18) return value.toExponential(2);
  if (abs >= 0.01) {
    const [text, prefix] = scaled(value, SI, 1000, digits);
    return text + prefix;
  }
  let i = 0;
  let x = abs;
  while (x < 1 && i < SMALL.length - 1) {
    x *= 1000;
    i += 1;
  }
  return (value < 0 ? "-" : "") + String(Number(x.toPrecision(digits))) + SMALL[i];
}

/** @param {number} value @param {number} [digits] */
export function bytes(value, digits = 4) {
  if (!Number.isFinite(value)) return exact(value);
  const [text, prefix] = scaled(value, IEC, 1024, digits);
  return `${text} ${prefix}B`;
}

/** @param {number} value @param {number} [digits] */
export function seconds(value, digits = 4) {
  if (!Number.isFinite(value)) return exact(value);
  const abs = Math.abs(value);
  if (abs === 0) return "0 s";
  if (abs < 1) {
    let i = 0;
    let x = abs;
    while (x < 1 && i < 3) {
      x *= 1000;
      i += 1;
    }
    return `${value < 0 ? "-" : ""}${Number(x.toPrecision(digits))} ${["s", "ms", "µs", "ns"][i]}`;
  }
  if (abs < 120) return `${Number(value.toPrecision(digits))} s`;
  for (const [unit, size] of /** @type {[string, number][]} */ ([["y", 31_557_600], ["d", 86_400], ["h", 3600], ["min", 60]])) {
    if (abs >= 2 * size) return `${Number((value / size).toPrecision(digits))} ${unit}`;
  }
  return `${value} s`;
}

/** A value in a unit. @param {number} value @param {Unit} unit @param {number} [digits] */
export function inUnit(value, unit, digits = 4) {
  if (!Number.isFinite(value)) return exact(value);
  switch (unit) {
    case "bytes": return bytes(value, digits);
    case "bytes/s": return `${bytes(value, digits)}/s`;
    case "seconds": return seconds(value, digits);
    case "ratio": return `${plain(value * 100, digits)}%`;
    case "percent": return `${plain(value, digits)}%`;
    case "celsius": return `${plain(value, digits)} °C`;
    case "/s": return `${si(value, digits)}/s`;
    default: return si(value, digits);
  }
}

/** Functions whose answer is a value per second. */
const PER_SECOND = /^\s*(?:(?:sum|avg|max|min|topk|bottomk|quantile)\b[^({]*(?:\([^()]*\)\s*)?\(\s*(?:\d+\s*,\s*)?)*(?:rate|irate|deriv)\s*\(/;

/**
 * The unit of an expression's values, as far as a metric name reveals it; "" if unknown.
 * @param {string} expr
 * @param {string} [declared] unit from the metadata
 * @returns {Unit}
 */
export function unitOf(expr, declared = "") {
  // Any arithmetic may change the unit.
  const bare = expr.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^}]*\}|\[[^\]]*\]/g, "");
  if (/[*/%^]|\b(count|absent|absent_over_time|changes|resets|count_over_time|present_over_time|timestamp|time|day_of|hour|minute|month|year|group|stdvar|ln|log2|log10|exp|sgn|count_values|scalar|label_replace)\b\s*(?:by|without)?\s*\(/.test(bare)) return "";
  if (/(?:^|\s)(?:==|!=|<=|>=|<|>)\s*bool\b/.test(bare)) return "";
  const names = [...bare.matchAll(/[a-zA-Z_:][\w:.]*/g)].map((found) => found[0]).filter((name) => /_(bytes|seconds|ratio|percent|celsius)(_total|_sum|_bucket)?$/.test(name) || (declared !== "" && name.includes("_")));
  if (new Set(names).size !== 1) return "";
  const found = /_(bytes|seconds|ratio|percent|celsius)(_total|_sum|_bucket)?$/.exec(names[0]);
  const base = /** @type {Unit} */ (found?.[1] ?? (["bytes", "seconds", "ratio", "celsius"].includes(declared) ? declared : ""));
  if (/\bhistogram_(quantile|avg|stddev)\b/.test(bare)) return base === "bytes" || base === "seconds" || base === "ratio" ? base : "";
  const counted = found?.[2] === "_bucket";
  if (PER_SECOND.test(bare)) {
    if (counted) return "/s";
    // Seconds per second are a share of time.
    return base === "bytes" ? "bytes/s" : base === "seconds" ? "" : base === "" ? "" : "/s";
  }
  return counted ? "" : base;
}
