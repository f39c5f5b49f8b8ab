// Fields for a range of time, its end, and the moment of a table.

import { button, clipped, h } from "../dom.js";
import { zone } from "../settings.js";
import { formatDuration, formatTime, parseDuration, parseTime } from "../time.js";

const RANGES = ["1m", "5m", "10m", "30m", "1h", "2h", "6h", "12h", "1d", "2d", "1w", "2w", "4w", "8w", "1y"].map((text) => /** @type {number} */ (parseDuration(text)));

/** How long the range is. @param {number} rangeMs @param {(rangeMs: number) => void} change */
export function rangeField(rangeMs, change) {
  const field = h("input", { value: formatDuration(rangeMs), data: { at: rangeMs }, "aria-label": "Range", title: "Range, as 1h30m", on: {
    change: () => {
      const ms = parseDuration(field.value);
      if (ms) change(ms);
      else field.setAttribute("aria-invalid", "true");
    },
    input: () => field.removeAttribute("aria-invalid"),
  } });
  const by = (/** @type {number} */ direction) => change((direction > 0 ? RANGES.find((ms) => ms > rangeMs) : RANGES.findLast((ms) => ms < rangeMs)) ?? rangeMs);
  return h("span", { class: "joined" }, button("−", { "aria-label": "Shorter range", on: { click: () => by(-1) } }), field, button("+", { "aria-label": "Longer range", on: { click: () => by(1) } }));
}

/** A moment, or now when the field is empty. @param {number | null} at @param {number} stepMs how far the arrows go @param {string} label @param {(at: number | null) => void} change */
export function momentField(at, stepMs, label, change) {
  const field = h("input", { class: "wide", value: at === null ? "" : formatTime(at, zone()), placeholder: "now", data: { at: `${at} ${stepMs}` }, "aria-label": `${label} (${zone()})`, title: `${label} in ${zone()}, as 2026-11-29 18:30; empty is now`, on: {
    change: () => {
      if (field.value.trim() === "" || field.value.trim() === "now") return change(null);
      const ms = parseTime(field.value, zone());
      if (ms === null) field.setAttribute("aria-invalid", "true");
      else change(ms);
    },
    input: () => field.removeAttribute("aria-invalid"),
  } });
  const by = (/** @type {number} */ direction) => change(Math.round(((at ?? Date.now()) + direction * stepMs) / 1000) * 1000);
  return h("span", { class: "joined" }, button("‹", { "aria-label": "Earlier", on: { click: () => by(-1) } }), field, button("›", { "aria-label": "Later", on: { click: () => by(1) } }),
    at !== null && button("now", { title: "Back to now", on: { click: () => change(null) } }));
}

/** @template {string} T @param {string} label @param {[T, string][]} options @param {T} value @param {(value: T) => void} change */
export function choice(label, options, value, change) {
  const select = h("select", { "aria-label": label, title: label, on: { change: () => change(/** @type {T} */ (select.value)) } }, ...options.map(([one, text]) => h("option", { value: one, selected: one === value }, clipped(text, 80))));
  return select;
}
