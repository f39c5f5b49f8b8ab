// Vector matching on real series: which match, which are dropped, and why.

import { ask } from "../api.js";
import { fill, h, labelText, note, visible } from "../dom.js";
import { parts, print } from "./print.js";
import { choice } from "./range.js";

const GROUPS_MAX = 50;
const SERIES_MAX = 2000;

/** All operations between two vectors, the outermost first. @param {any} node @returns {any[]} */
export function matchings(node) {
  const mine = node.type === "binaryExpr" && node.matching && vector(node.lhs) && vector(node.rhs) ? [node] : [];
  return [...mine, ...parts(node).flatMap(matchings)];
}

/** @param {any} node @returns {boolean} */
function vector(node) {
  if (node.type === "parenExpr" || node.type === "unaryExpr") return vector(node.expr);
  if (node.type === "call") return node.func.returnType === "vector";
  if (node.type === "binaryExpr") return vector(node.lhs) || vector(node.rhs);
  return node.type === "vectorSelector" || node.type === "aggregation";
}

/** A section that shows one of the operations; another can be chosen. @param {any[]} nodes @param {number | null} end @param {AbortSignal} signal */
export async function meetings(nodes, end, signal) {
  const place = h("div");
  const show = async (/** @type {number} */ i) => {
    try {
      fill(place, await meeting(nodes[i], end, signal));
    } catch (error) {
      if (!signal.aborted) fill(place, note("err", /** @type {Error} */ (error).message));
    }
  };
  const chooser = nodes.length > 1 && choice("Operation", nodes.map((node, i) => /** @type {[string, string]} */ ([String(i), visible(`${i + 1}: ${print(node)}`.slice(0, 120))])), "0", (value) => void show(Number(value)));
  await show(0);
  return h("section", { "aria-label": "Vector matching" }, h("div", { class: "section" }, h("h2", null, "Matching on real series"), chooser), place);
}

/** @typedef {{key: Record<string, string>, left: any[], right: any[]}} Group */

/** @param {any} node @param {number | null} end @param {AbortSignal} signal */
async function meeting(node, end, signal) {
  const time = (end ?? Date.now()) / 1000;
  const [left, right] = await Promise.all([node.lhs, node.rhs].map((side) => ask("query", { query: print(side), time, limit: SERIES_MAX }, { signal, post: true })));
  const m = node.matching;
  const key = (/** @type {Record<string, string>} */ labels) => {
    const names = m.on ? m.labels : Object.keys(labels).filter((name) => name !== "__name__" && !m.labels.includes(name));
    return Object.fromEntries(names.filter((/** @type {string} */ name) => labels[name] !== undefined).sort().map((/** @type {string} */ name) => [name, labels[name]]));
  };
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (const [side, answer] of /** @type {["left" | "right", any][]} */ ([["left", left], ["right", right]])) {
    for (const one of answer.data.result) {
      const k = key(one.metric);
      const text = JSON.stringify(k);
      if (!groups.has(text)) groups.set(text, { key: k, left: [], right: [] });
      groups.get(text)?.[side].push(one);
    }
  }
  const all = [...groups.values()];
  const rows = all.map((group) => ({ ...group, fate: fate(node, group) })).sort((a, b) => Number(a.fate.good) - Number(b.fate.good));
  const matched = rows.filter((row) => row.fate.good).length;
  const cut = [left, right].some((side) => side.data.result.length >= SERIES_MAX);
  return h("div", null,
    h("p", { class: "muted" }, `${left.data.result.length} series on the left, ${right.data.result.length} on the right, ${matched} of ${rows.length} groups pass.`, cut && ` Only the first ${SERIES_MAX} of a side are looked at.`),
    rows.length === 0 ? h("div", { class: "empty" }, "Both sides are empty.") : h("div", { class: "scroll-x" }, h("table", null, h("thead", null, h("tr", null, ...["Group", "Left", "Right", "Outcome"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", null, ...rows.slice(0, GROUPS_MAX).map((row) => h("tr", null,
        h("td", null, Object.keys(row.key).length > 0 ? labelText(row.key) : h("span", { class: "muted" }, "no labels")), h("td", null, ...some(row.left)), h("td", null, ...some(row.right)),
        h("td", null, h("span", { class: "state", data: { s: row.fate.good ? "ok" : row.fate.error ? "err" : "dropped" } }, row.fate.text), row.fate.good ? "" : h("div", { class: "muted" }, nearest(row, all)))))))),
    rows.length > GROUPS_MAX ? note("info", `${rows.length - GROUPS_MAX} more groups.`) : "");
}

/** How the group on the other side that is most alike differs. @param {Group} row @param {Group[]} all */
function nearest(row, all) {
  if ((row.left.length > 0) === (row.right.length > 0)) return "";
  const others = all.filter((other) => (row.left.length > 0 ? other.right.length > 0 : other.left.length > 0)).slice(0, 500);
  const side = row.left.length > 0 ? "right" : "left";
  /** @type {string[] | null} */ let best = null;
  for (const other of others) {
    const names = new Set([...Object.keys(row.key), ...Object.keys(other.key)]);
    const differing = [...names].filter((name) => row.key[name] !== other.key[name]).map((name) => {
      const [here, there] = [row.key[name], other.key[name]];
      if (there === undefined) return `${name} is missing on the ${side}`;
      return here === undefined ? `${name}=${JSON.stringify(there)} is only on the ${side}` : `${name} is ${JSON.stringify(there)} on the ${side}, not ${JSON.stringify(here)}`;
    });
    if (best === null || differing.length < best.length) best = differing;
  }
  return best === null ? "" : visible(`nearest: ${best.join("; ")}`.slice(0, 400));
}

/** @param {any[]} all */
function some(all) {
  return [...all.slice(0, 3).map((one) => h("div", null, one.metric.__name__ ? h("b", null, visible(one.metric.__name__)) : "", "{", labelText(one.metric, (name) => name !== "__name__"), "}", h("span", { class: "muted" }, `  ${one.value?.[1] ?? "histogram"}`))), all.length > 3 && h("div", { class: "muted" }, `and ${all.length - 3} more`)];
}

/** @param {any} node @param {{left: any[], right: any[]}} group @returns {{good: boolean, error?: boolean, text: string}} */
function fate(node, { left, right }) {
  const card = node.matching.card;
  if (node.op === "or") return { good: true, text: left.length > 0 ? "left taken" : "right taken" };
  if (node.op === "unless") return right.length > 0 && left.length > 0 ? { good: false, text: "dropped: has a partner" } : left.length > 0 ? { good: true, text: "kept" } : { good: false, text: "dropped: nothing on the left" };
  if (left.length === 0) return { good: false, text: "dropped: nothing on the left" };
  if (right.length === 0) return { good: false, text: "dropped: nothing on the right" };
  if (node.op === "and") return { good: true, text: "kept" };
  if (card === "one-to-one" && (left.length > 1 || right.length > 1)) return { good: false, error: true, text: `error: ${left.length} to ${right.length}; use group_left or group_right` };
  if (card === "many-to-one" && right.length > 1) return { good: false, error: true, text: `error: ${right.length} series on the “one” side` };
  if (card === "one-to-many" && left.length > 1) return { good: false, error: true, text: `error: ${left.length} series on the “one” side` };
  return { good: true, text: "matched" };
}
