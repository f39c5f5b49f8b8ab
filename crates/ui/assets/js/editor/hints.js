// Hints about queries that are right for the parser and probably not meant, each with the text that was.

import { tokens } from "./tokens.js";

/** @typedef {{text: string, title: string, fixed: string}} Hint */

const FOR_COUNTERS = new Set(["rate", "irate", "increase"]);
/** Around a counter these make sense too. */
const HARMLESS = new Set(["absent", "absent_over_time", "changes", "resets", "count_over_time", "present_over_time", "last_over_time", "timestamp", "count", "group", "info", "ts_of_last_over_time", "ts_of_first_over_time"]);
/** What the functions for counters are called for gauges. */
const FOR_GAUGES = /** @type {Record<string, string>} */ ({ rate: "deriv", irate: "idelta", increase: "delta" });

/**
 * @param {string} text
 * @param {(metric: string) => string | undefined} typeOf type of a metric, as far as it is known
 * @returns {Hint[]} at most three
 */
export function hints(text, typeOf) {
  const all = tokens(text).filter((token) => token.kind !== "space" && token.kind !== "comment");
  const of = (/** @type {number} */ i) => (all[i] ? text.slice(all[i].from, all[i].to) : "");
  /** @type {Hint[]} */
  const found = [];
  /** Calls around the token, outermost first. @type {number[]} */
  const calls = [];
  /** @type {(number | null)[]} */
  const brackets = [];
  for (let i = 0; i < all.length; i++) {
    const word = of(i);
    if (word === "(") {
      const call = callBefore(all, of, i);
      brackets.push(call);
      if (call !== null) calls.push(call);
    } else if (word === ")") {
      if (brackets.pop() !== null) calls.pop();
    } else if (all[i].kind === "name") {
      const type = typeOf(word);
      const end = selectorEnd(all, of, i);
      const around = calls.map(of);
      const direct = around[around.length - 1];
      if (type === "counter" && of(end + 1) !== "[" && !around.some((name) => FOR_COUNTERS.has(name) || HARMLESS.has(name))) {
        const selector = text.slice(all[i].from, all[end].to);
        const fixed = `rate(${selector}[5m])`;
        found.push({ text: `${word} is a counter: it only grows, and its growth says more.`, title: `Use ${fixed}`, fixed: text.slice(0, all[i].from) + fixed + text.slice(all[end].to) });
      } else if (type === "gauge" && direct !== undefined && direct in FOR_GAUGES && of(end + 1) === "[") {
        const call = all[calls[calls.length - 1]];
        found.push({ text: `${word} is a gauge: ${direct} takes each fall for a counter's reset.`, title: `Use ${FOR_GAUGES[direct]}`, fixed: text.slice(0, call.from) + FOR_GAUGES[direct] + text.slice(call.to) });
      }
    } else if (all[i].kind === "keyword" && word.toLowerCase() === "by" && calls.map(of).includes("histogram_quantile") && of(i + 1) === "(") {
      const labels = [];
      for (let k = i + 2; k < all.length && of(k) !== ")"; k++) labels.push(of(k));
      const inner = all.slice(i).find((token) => token.kind === "name");
      if (!labels.includes("le") && inner && text.slice(inner.from, inner.to).endsWith("_bucket")) {
        found.push({ text: "histogram_quantile needs the label le, which this grouping drops.", title: "Keep le", fixed: `${text.slice(0, all[i + 1].to)}le${labels.length > 0 ? ", " : ""}${text.slice(all[i + 1].to)}` });
      }
    }
  }
  return found.slice(0, 3);
}

/** The function or aggregation that a bracket opens; null for other brackets. @param {import("./tokens.js").Token[]} all @param {(i: number) => string} of @param {number} bracket */
function callBefore(all, of, bracket) {
  let i = bracket - 1;
  // `sum by (le) (`: the grouping stands between.
  if (of(i) === ")") {
    while (i >= 0 && of(i) !== "(") i--;
    if (!/^(by|without)$/i.test(of(i - 1))) return null;
    i -= 2;
  }
  const kind = all[i]?.kind;
  return kind === "function" || (kind === "keyword" && !/^(by|without|on|ignoring|group_left|group_right|and|or|unless|bool|offset|atan2)$/i.test(of(i))) ? i : null;
}

/** Index of a selector's last token. @param {import("./tokens.js").Token[]} all @param {(i: number) => string} of @param {number} name */
function selectorEnd(all, of, name) {
  if (of(name + 1) !== "{") return name;
  let i = name + 1;
  while (i < all.length - 1 && of(i) !== "}") i++;
  return i;
}
