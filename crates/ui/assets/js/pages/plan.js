// How the engine runs a query: its plan, and what each part of the expression took.

import { ask, askLines } from "../api.js";
import { h, visible } from "../dom.js";
import { bytes, grouped } from "../format.js";
import { humanSeconds } from "../time.js";

/** @param {string} expr @param {number} time in seconds @param {AbortSignal} signal */
export async function planSection(expr, time, signal) {
  const tbody = h("tbody");
  const [{ data }] = await Promise.all([
    ask("ferula/explain", { query: expr, time }, { signal, post: true }),
    askLines("ferula/tree", { query: expr, time }, signal, (/** @type {any} */ part) => {
      if (part.type.endsWith("Literal")) return;
      const figure = (/** @type {any} */ value, /** @type {(value: any) => string} */ show) => h("td", { class: "num fit" }, value === undefined ? "–" : show(value));
      tbody.append(h("tr", null, h("td", { class: "expr" }, visible(expr.slice(part.from, part.to).replace(/\s+/g, " ").slice(0, 200)), part.error !== undefined && h("div", { class: "state", data: { s: "err" } }, visible(part.error))),
        figure(part.series, grouped), figure(part.samples, grouped), figure(part.bytes, bytes), figure(part.ms, (ms) => humanSeconds(ms / 1000))));
    }),
  ]);
  return h("section", { "aria-label": "Plan" },
    h("div", { class: "section" }, h("h2", null, "The engine's plan"), h("span", { class: "muted" }, "what runs, from the answer down to the series")),
    h("pre", { class: "plan" }, data.plan.map((/** @type {any} */ line) => `${"  ".repeat(line.depth)}${visible(line.text)}`).join("\n")),
    h("div", { class: "scroll-x" }, h("table", null, h("thead", null, h("tr", null, ...[["Part, run alone", ""], ["Rows", "num fit"], ["Samples", "num fit"], ["Memory", "num fit"], ["Time", "num fit"]].map(([title, kind]) => h("th", { scope: "col", class: kind }, title)))), tbody)));
}
