// What the list pages share: a search, a choice of states, groups that fold.

import { button, fill, h, note } from "../dom.js";

/** @param {string} value @param {(value: string) => void} change @param {string} [label] */
export function searchField(value, change, label = "Filter") {
  const field = h("input", { type: "search", value, placeholder: label, "aria-label": label, on: { input: () => change(field.value) } });
  return field;
}

/**
 * Buttons of which several may be on; none on shows all.
 * @param {string} label
 * @param {[string, string, number][]} options value, word, count
 * @param {Set<string>} on
 * @param {() => void} change
 */
export function stateButtons(label, options, on, change) {
  return h("span", { class: "joined", role: "group", "aria-label": label }, ...options.map(([value, word, count]) => {
    const element = button("", { "aria-pressed": String(on.has(value)), on: { click: () => { if (on.has(value)) on.delete(value); else on.add(value); change(); } } });
    fill(element, word, h("span", { class: "count" }, String(count)));
    return element;
  }));
}

/** Loads and draws; a failure is told above what is shown, which stays. @param {HTMLElement} place @param {AbortSignal} signal @param {() => Promise<unknown>} load */
export const telling = (place, signal, load) => async () => {
  try {
    await load();
    fill(place);
  } catch (error) {
    if (!signal.aborted) fill(place, note("err", /** @type {Error} */ (error).message));
  }
};

/** Groups on a page of Prometheus' lists. */
const PAGE = 10;

/**
 * Keeps the address' `page` and the place in a list of groups together, as Prometheus' pages count them.
 * @param {import("../app.js").Context} context @param {import("../rows.js").Lists} lists @param {string} name @param {() => boolean} counts whether the list is in the order that they count
 */
export function paged({ signal, params, setParams }, lists, name, counts) {
  let timer = 0;
  addEventListener("scroll", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      if (signal.aborted || !counts()) return;
      const page = 1 + Math.floor(lists.firstSeen(name) / PAGE);
      setParams({ page: page > 1 ? String(page) : null });
    }, 150);
  }, { signal, passive: true });
  const page = Number(params.get("page"));
  if (page > 1 && counts()) lists.reveal(name, (page - 1) * PAGE);
}

/** A test whether a text in lower case holds all words. @param {string} words */
export function filterOf(words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return (/** @type {string} */ lower) => wanted.every((word) => lower.includes(word));
}

/** Whether a text holds all words. @param {string} words @param {string} text */
export const holds = (words, text) => filterOf(words)(text.toLowerCase());

/** @template R @param {R[]} rows @param {(row: R) => string} by @returns {[string, R[]][]} */
export function groupBy(rows, by) {
  /** @type {Map<string, R[]>} */
  const groups = new Map();
  for (const row of rows) {
    const key = by(row);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups].sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
}

/** Label names that occur in rows, the most frequent first. @param {Record<string, string>[]} sets */
export function labelNames(sets) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const labels of sets) for (const name of Object.keys(labels)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([name]) => name);
}

/** A share of a bound as a bar. @param {number} value @param {number} bound @param {string} title */
export function meter(value, bound, title) {
  const share = bound > 0 ? value / bound : 0;
  return h("span", { class: "meter", title, data: share > 0.9 ? { over: "" } : {} }, h("i", { style: { width: `${Math.min(100, share * 100)}%` } }));
}
