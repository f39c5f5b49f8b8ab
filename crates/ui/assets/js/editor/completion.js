// Completion: candidates for the place of the cursor, asked from the server with the matchers already written.

import { ask, metadata } from "../api.js";
import { history } from "../settings.js";
import { AGGREGATION_HELP, FUNCTIONS } from "./functions.js";
import { contextAt } from "./tokens.js";

/** @typedef {{text: string, insert: string, kind: string, detail: string}} Item */
/** @typedef {{from: number, to: number, items: Item[]}} Completion */

const ITEMS_MAX = 50;
const DURATIONS = ["1m", "5m", "10m", "15m", "30m", "1h", "6h", "1d", "7d"];
const AFTER_OPERAND = ["and", "or", "unless", "offset"];

/**
 * How well a word fits a candidate; null when it does not. Prefixes first, then word beginnings, then inside, then letters in order.
 * @param {string} word
 * @param {string} candidate
 * @returns {number | null}
 */
export function score(word, candidate) {
  if (word === "") return 0;
  const [w, c] = [word.toLowerCase(), candidate.toLowerCase()];
  if (c === w) return 1000;
  if (c.startsWith(w)) return 800 - c.length / 100;
  const found = c.indexOf(w);
  if (found > 0) return (/[_:.]/.test(c[found - 1]) ? 600 : 400) - found / 10 - c.length / 100;
  let at = 0;
  for (const letter of w) {
    at = c.indexOf(letter, at) + 1;
    if (at === 0) return null;
  }
  return 100 - c.length / 100;
}

/** @param {string} word @param {Item[]} items */
function ranked(word, items) {
  const scored = [];
  for (const item of items) {
    const points = score(word, item.text);
    if (points !== null) scored.push({ item, points });
  }
  scored.sort((a, b) => b.points - a.points || a.item.text.length - b.item.text.length || (a.item.text < b.item.text ? -1 : 1));
  return scored.slice(0, ITEMS_MAX).map((entry) => entry.item);
}

const escapeRegex = (/** @type {string} */ text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const plainName = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const plainMetric = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** A selector of what is already written. @param {string | undefined} metric @param {string[]} matchers */
function selector(metric, matchers) {
  const all = [...(metric ? [`__name__=${JSON.stringify(metric)}`] : []), ...matchers];
  return all.length > 0 ? `{${all.join(",")}}` : undefined;
}

/**
 * Candidates for a place in a text.
 * @param {string} text
 * @param {number} cursor
 * @param {AbortSignal} signal
 * @param {boolean} forced asked for with a key, so that an empty word is answered too
 * @returns {Promise<Completion | null>}
 */
export async function complete(text, cursor, signal, forced) {
  const place = contextAt(text, cursor);
  const { from, to, word } = place;
  if (place.kind === "none") return afterOperand(text, cursor, forced);
  if (place.kind === "duration") {
    if (!forced && word === "") return { from, to, items: DURATIONS.map((d) => ({ text: d, insert: d, kind: "d", detail: "" })) };
    const number = /^\d+/.exec(word)?.[0];
    const list = number ? ["s", "m", "h", "d", "w"].map((unit) => number + unit) : DURATIONS;
    return { from, to, items: list.filter((d) => d !== word).map((d) => ({ text: d, insert: d, kind: "d", detail: "" })) };
  }
  if (place.kind === "label" || place.kind === "grouping") {
    const match = place.kind === "label" ? selector(place.metric, place.matchers ?? []) : groupingSelector(text);
    const { data } = await ask("labels", { "match[]": match, limit: 2000 }, { signal, quiet: true });
    const names = /** @type {string[]} */ (data ?? []).filter((name) => name !== "__name__" || forced);
    const end = place.kind === "label" && !/^\s*(=|!)/.test(text.slice(to)) ? "=" : "";
    return { from, to, items: ranked(word, names.map((name) => ({ text: name, insert: (plainName.test(name) ? name : JSON.stringify(name)) + end, kind: "l", detail: "label" }))) };
  }
  if (place.kind === "value") {
    const label = place.label ?? "";
    const narrowed = word === "" ? [] : [`${plainName.test(label) ? label : JSON.stringify(label)}=~${JSON.stringify(`(?i).*${escapeRegex(word)}.*`)}`];
    const match = selector(place.metric, [...(place.matchers ?? []), ...narrowed]);
    const { data } = await ask(`label/${encodeURIComponent(label)}/values`, { "match[]": match, limit: 500 }, { signal, quiet: true });
    const quote = place.quote ?? "";
    const escaped = (/** @type {string} */ value) => JSON.stringify(value).slice(1, -1);
    return { from, to, items: ranked(word, /** @type {string[]} */ (data ?? []).map((value) => ({ text: value, insert: escaped(value) + quote, kind: "v", detail: label }))) };
  }
  if (word === "" && !forced) return null;
  return { from, to, items: await metricsAndFunctions(text, word, to, signal) };
}

/** @param {string} text @param {string} word @param {number} to @param {AbortSignal} signal */
async function metricsAndFunctions(text, word, to, signal) {
  const open = /^\s*\(/.test(text.slice(to)) ? "" : "(";
  /** @type {Item[]} */
  const items = [
    ...Object.entries(FUNCTIONS).map(([name, [args, help]]) => ({ text: name, insert: name + open, kind: "ƒ", detail: `(${args}) ${help}` })),
    ...Object.entries(AGGREGATION_HELP).map(([name, help]) => ({ text: name, insert: name + open, kind: "Σ", detail: help })),
  ];
  const match = word === "" ? undefined : [`{__name__=~${JSON.stringify(`(?i).*${escapeRegex(word)}.*`)}}`];
  const [answer, about] = await Promise.all([ask("label/__name__/values", { "match[]": match, limit: 400 }, { signal, quiet: true }), metadata()]);
  for (const name of /** @type {string[]} */ (answer.data ?? [])) {
    const entry = about[name]?.[0] ?? about[name.replace(/_(bucket|sum|count|total)$/, "")]?.[0];
    items.push({ text: name, insert: plainMetric.test(name) ? name : `{${JSON.stringify(name)}}`, kind: entry?.type?.[0] ?? "m", detail: entry ? `${entry.type} · ${entry.help}` : "" });
  }
  if (word.length >= 3) for (const query of history().filter((query) => query.includes(word) && query !== text.trim()).slice(0, 3)) items.push({ text: query, insert: query, kind: "↺", detail: "recent" });
  return ranked(word, items);
}

/** Matchers of the selector that a grouping speaks of, when there is only one. @param {string} text */
function groupingSelector(text) {
  const names = [...text.matchAll(/([a-zA-Z_:][\w:]*)\s*(\{[^{}]*\})/g)];
  return names.length === 1 ? names[0][1] + names[0][2] : undefined;
}

/** @param {string} text @param {number} cursor @param {boolean} forced @returns {Completion | null} */
function afterOperand(text, cursor, forced) {
  const found = /(?:[)\]}\w"]\s+)([a-z]*)$/i.exec(text.slice(0, cursor));
  if (!found || (!forced && found[1] === "")) return null;
  const word = found[1].toLowerCase();
  const items = AFTER_OPERAND.filter((name) => name.startsWith(word) && name !== word).map((name) => ({ text: name, insert: `${name} `, kind: "k", detail: "" }));
  return items.length > 0 ? { from: cursor - word.length, to: cursor, items } : null;
}
