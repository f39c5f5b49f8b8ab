// Finds out why an answer is empty.

import { ask } from "../api.js";
import { tokens } from "../editor/tokens.js";

/** Finds which part makes a query's answer empty. @param {string} expr @param {number | null} end @param {number} rangeMs @param {AbortSignal} signal */
export async function whyEmpty(expr, end, rangeMs, signal) {
  const selectors = [...expr.matchAll(/([a-zA-Z_:][\w:]*)?\s*\{[^{}]*\}|[a-zA-Z_:][\w:]*/g)];
  const stop = (end ?? Date.now()) / 1000;
  const range = { start: stop - Math.max(rangeMs / 1000, 300), end: stop };
  for (const token of tokens(expr).filter((one) => one.kind === "name")) {
    const name = expr.slice(token.from, token.to);
    try {
      const match = (/** @type {string} */ text) => ask("series", { "match[]": [text], ...range, limit: 1 }, { signal, quiet: true });
      if ((await match(name)).data.length === 0) {
        const ever = await ask("series", { "match[]": [name], limit: 1 }, { signal, quiet: true });
        return ever.data.length === 0 ? `No data: there is no metric ${name}.` : `No data: ${name} has no samples in this range; it has at other times.`;
      }
      const whole = selectors.find((found) => (found.index ?? -1) <= token.from && (found.index ?? 0) + found[0].length >= token.to)?.[0];
      if (whole && whole !== name && (await match(whole)).data.length === 0) return `No data: ${name} exists, but no series matches ${whole.slice(name.length).trim()}.`;
    } catch { /* A guess only; the general words follow. */ }
  }
  return "The query is fine and its answer is empty.";
}
