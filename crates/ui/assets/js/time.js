// Durations as Prometheus writes them, moments in a time zone, and places for ticks on a time axis.

const UNITS = /** @type {[string, number][]} */ ([["y", 31_536_000_000], ["w", 604_800_000], ["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000], ["ms", 1]]);
const DURATION = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;

/** `1h30m` in milliseconds; null when it is not a duration. @param {string} text @returns {number | null} */
export function parseDuration(text) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  if (trimmed === "0") return 0;
  const found = DURATION.exec(trimmed);
  if (!found) return null;
  return UNITS.reduce((sum, [, ms], i) => sum + Number(found[i + 1] ?? 0) * ms, 0);
}

/** Milliseconds as `1h30m`; years and weeks only if the duration is a multiple of them, as in Prometheus. @param {number} ms */
export function formatDuration(ms) {
  let left = Math.round(ms);
  if (left === 0) return "0s";
  let out = "";
  for (const [unit, size] of UNITS) {
    const exactOnly = unit === "y" || unit === "w";
    if (exactOnly && left % size !== 0) continue;
    const count = Math.floor(left / size);
    if (count > 0) {
      out += `${count}${unit}`;
      left -= count * size;
    }
  }
  return out;
}

/** A span of time for reading: `84 ms`, `2.31 s`, `3m 20s`, `5d 2h`. @param {number} seconds */
export function humanSeconds(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const abs = Math.abs(seconds);
  const sign = seconds < 0 ? "-" : "";
  if (abs === 0) return "0 s";
  if (abs < 0.001) return `${sign}${short(abs * 1e6)} µs`;
  if (abs < 1) return `${sign}${short(abs * 1000)} ms`;
  if (abs < 60) return `${sign}${short(abs)} s`;
  const s = Math.round(abs);
  const [d, hour, m, sec] = [Math.floor(s / 86_400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60, s % 60];
  const parts = d > 0 ? [`${d}d`, hour ? `${hour}h` : ""] : hour > 0 ? [`${hour}h`, m ? `${m}m` : ""] : [`${m}m`, sec ? `${sec}s` : ""];
  return sign + parts.filter(Boolean).join(" ");
}

const short = (/** @type {number} */ x) => (x >= 100 ? Math.round(x).toString() : Number(x.toPrecision(3)).toString());

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} zone */
function partsFormat(zone) {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" });
    formats.set(zone, format);
  }
  return format;
}

const HOUR = 3_600_000;
const QUARTER = 900_000;
/** Offsets by quarter of an hour, since zones change their offset only at such moments. @type {Map<string, Map<number, number>>} */
const offsets = new Map();

/** How far the zone's clocks are ahead of UTC, in milliseconds. @param {number} ms @param {string} zone */
export function zoneOffset(ms, zone) {
  if (zone === "UTC" || !Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return 0;
  let known = offsets.get(zone);
  if (!known) offsets.set(zone, (known = new Map()));
  const slot = Math.floor(ms / QUARTER);
  let offset = known.get(slot);
  if (offset === undefined) {
    const at = slot * QUARTER;
    /** @type {Record<string, number>} */
    const p = {};
    for (const part of partsFormat(zone).formatToParts(at)) if (part.type !== "literal") p[part.type] = Number(part.value);
    offset = Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) - at;
    if (known.size > 5000) known.clear();
    known.set(slot, offset);
  }
  return offset;
}

const two = (/** @type {number} */ n) => String(n).padStart(2, "0");

/** Fields of a moment on the zone's clock. @param {number} ms @param {string} zone */
export function fields(ms, zone) {
  const d = new Date(ms + zoneOffset(ms, zone));
  return { year: d.getUTCFullYear(), month: d.getUTCMonth() + 1, day: d.getUTCDate(), hour: d.getUTCHours(), minute: d.getUTCMinutes(), second: d.getUTCSeconds(), ms: d.getUTCMilliseconds(), weekday: d.getUTCDay() };
}

/** `2026-11-29 22:40:05`, with milliseconds when there are any. @param {number} ms @param {string} zone */
export function formatTime(ms, zone) {
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return String(ms);
  const f = fields(ms, zone);
  const milli = f.ms ? "." + String(f.ms).padStart(3, "0") : "";
  return `${f.year}-${two(f.month)}-${two(f.day)} ${two(f.hour)}:${two(f.minute)}:${two(f.second)}${milli}`;
}

/** The moment at which the zone's clock shows these fields; in the hour that occurs twice, the first one. @param {number} wall fields as if UTC @param {string} zone */
export function fromWall(wall, zone) {
  const early = wall - zoneOffset(wall - 14 * HOUR, zone);
  if (early + zoneOffset(early, zone) === wall) return early;
  const guess = wall - zoneOffset(wall, zone);
  return wall - zoneOffset(guess, zone);
}

/** Reads `2026-11-29 22:40[:05]`, `2026-11-29`, RFC 3339 or seconds; null when it is none of them. @param {string} text @param {string} zone @returns {number | null} */
export function parseTime(text, zone) {
  const trimmed = text.trim();
  if (/^\d{9,11}(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * 1000);
  if (/^\d{12,14}$/.test(trimmed)) return Number(trimmed);
  const found = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,9})?)?)?(Z|[+-]\d{2}:\d{2})?$/i.exec(trimmed);
  if (!found) return null;
  const [, y, mo, d, hh = "0", mi = "0", s = "0", fraction = "0", at] = found;
  if (Number(mo) < 1 || Number(mo) > 12 || Number(d) < 1 || Number(d) > 31 || Number(hh) > 23 || Number(mi) > 59 || Number(s) > 59) return null;
  const wall = Date.UTC(Number(y), Number(mo) - 1, Number(d), Number(hh), Number(mi), Number(s)) + Math.round(Number(fraction) * 1000);
  if (!at) return fromWall(wall, zone);
  if (/^z$/i.test(at)) return wall;
  const [ah, am] = at.slice(1).split(":").map(Number);
  return wall - (at[0] === "-" ? -1 : 1) * (ah * 60 + am) * 60_000;
}

/** `+02:00` beside a zone's name. @param {string} zone @param {number} [at] */
export function zoneLabel(zone, at = Date.now()) {
  if (zone === "UTC") return "UTC";
  const minutes = Math.round(zoneOffset(at, zone) / 60_000);
  const abs = Math.abs(minutes);
  return `${zone} (UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(abs / 60))}:${two(abs % 60)})`;
}

/** `12s ago`, `in 3m`. @param {number} ms @param {number} [now] */
export function ago(ms, now = Date.now()) {
  const seconds = (now - ms) / 1000;
  return seconds >= 0 ? `${humanSeconds(round(seconds))} ago` : `in ${humanSeconds(round(-seconds))}`;
}
const round = (/** @type {number} */ s) => (s < 10 ? Math.round(s * 10) / 10 : Math.round(s));

/** Distances between ticks: below a day in milliseconds; above, days; then months. */
const STEPS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR];
const STEPS_DAYS = [1, 2, 7, 14];
const STEPS_MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];
const DAY = 24 * HOUR;

/**
 * Ticks at round times of the zone's clock, also across a change to summer time.
 * @param {number} from
 * @param {number} to
 * @param {string} zone
 * @param {number} countMax
 * @returns {{at: number, text: string, bold: boolean}[]}
 */
export function timeTicks(from, to, zone, countMax) {
  const span = to - from;
  if (!(span > 0) || !Number.isFinite(span)) return [];
  const least = span / Math.max(1, countMax);
  const moments = [];
  const wallFrom = from + zoneOffset(from, zone);
  const wallTo = to + zoneOffset(to, zone);
  const step = STEPS_MS.find((s) => s >= least);
  const days = STEPS_DAYS.find((d) => d * DAY >= least);
  const below = step !== undefined;
  if (step !== undefined && step <= 2 * HOUR) {
    // Short steps are walked in real time, so that the hour that occurs twice has its ticks twice.
    const base = Math.max(step, QUARTER);
    for (let slot = Math.floor(from / base) * base; slot <= to; slot += base) {
      const offset = zoneOffset(slot, zone);
      for (let t = Math.ceil((slot + offset) / step) * step - offset; t < slot + base; t += step) if (t >= from && t <= to) moments.push(t);
    }
  } else if (step !== undefined || days !== undefined) {
    const wallStep = step ?? /** @type {number} */ (days) * DAY;
    // Weeks begin on Monday: 1970-01-05 was one.
    const shift = wallStep >= 7 * DAY ? 4 * DAY : 0;
    for (let wall = Math.floor((wallFrom - shift) / wallStep) * wallStep + shift; wall <= wallTo + wallStep; wall += wallStep) moments.push(fromWall(wall, zone));
  } else {
    const months = STEPS_MONTHS.find((m) => m * 30 * DAY >= least) ?? 12 * Math.ceil(least / (365 * DAY));
    const first = new Date(wallFrom);
    for (let m = Math.floor((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months; ; m += months) {
      const at = fromWall(Date.UTC(Math.floor(m / 12), ((m % 12) + 12) % 12, 1), zone);
      if (at > to || moments.length > 1000) break;
      moments.push(at);
    }
  }
  const inside = [...new Set(moments)].filter((at) => at >= from && at <= to).sort((a, b) => a - b);
  return inside.map((at) => tickText(at, zone, below ? /** @type {number} */ (step) : Infinity, span));
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** @param {number} at @param {string} zone @param {number} step @param {number} span */
function tickText(at, zone, step, span) {
  const f = fields(at, zone);
  const midnight = f.hour === 0 && f.minute === 0 && f.second === 0 && f.ms === 0;
  if (midnight) {
    if (f.day === 1 && f.month === 1 && span > 300 * DAY) return { at, text: String(f.year), bold: true };
    if (span > 300 * DAY) return { at, text: `${MONTHS[f.month - 1]} ${f.year}`, bold: false };
    return { at, text: `${MONTHS[f.month - 1]} ${f.day}`, bold: true };
  }
  if (step === Infinity) return { at, text: `${MONTHS[f.month - 1]} ${f.day}`, bold: false };
  let text = `${two(f.hour)}:${two(f.minute)}`;
  if (step < 60_000) text += `:${two(f.second)}`;
  if (step < 1000) text += `.${String(f.ms).padStart(3, "0")}`;
  return { at, text, bold: false };
}
