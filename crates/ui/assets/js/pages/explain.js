// The tab Explain: what each part of an expression does, in plain words, and for a binary operation which series meet.

import { ask } from "../api.js";
import { fill, h, labelText, note } from "../dom.js";
import { formatDuration, formatTime } from "../time.js";

/** @typedef {any} Node a node of `parse_query` */

/** What functions and aggregations do, as the server says it. @type {Map<string, string>} */
const helps = new Map();

const list = (/** @type {string[]} */ names) => names.join(", ");
const quote = (/** @type {string} */ text) => JSON.stringify(text);
const plainName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** An expression as text again. @param {Node} node @returns {string} */
export function print(node) {
  switch (node.type) {
    case "numberLiteral": return node.duration ? formatDuration(Number(node.val) * 1000) : String(node.val);
    case "stringLiteral": return quote(node.val);
    case "parenExpr": return `(${print(node.expr)})`;
    case "unaryExpr": return node.op + print(node.expr);
    case "durationExpr": return `${node.lhs ? print(node.lhs) : ""}${node.op}${node.rhs ? print(node.rhs) : ""}`;
    case "vectorSelector": return selector(node) + modifiers(node);
    case "matrixSelector": return `${selector(node)}[${node.rangeExpr ? print(node.rangeExpr) : formatDuration(node.range)}]${modifiers(node)}`;
    case "subquery": return `${print(node.expr)}[${node.rangeExpr ? print(node.rangeExpr) : formatDuration(node.range)}:${node.step ? formatDuration(node.step) : ""}]${modifiers(node)}`;
    case "call": return `${node.func.name}(${node.args.map(print).join(", ")})`;
    case "aggregation": {
      const grouping = node.without ? ` without (${list(node.grouping)})` : node.grouping.length > 0 ? ` by (${list(node.grouping)})` : "";
      return `${node.op}${grouping} (${node.param ? `${print(node.param)}, ` : ""}${print(node.expr)})`;
    }
    case "binaryExpr": return `${print(node.lhs)} ${node.op}${node.bool ? " bool" : ""}${matching(node.matching)} ${print(node.rhs)}`;
    default: return "…";
  }
}

/** @param {Node} node */
function selector(node) {
  const matchers = node.matchers.filter((/** @type {any} */ m) => !(m.name === "__name__" && m.type === "=" && m.value === node.name && plainName.test(node.name)));
  const inside = matchers.map((/** @type {any} */ m) => (m.name === "__name__" && m.type === "=" ? quote(m.value) : `${plainName.test(m.name) ? m.name : quote(m.name)}${m.type}${quote(m.value)}`));
  return `${plainName.test(node.name ?? "") ? node.name : ""}${inside.length > 0 || !node.name ? `{${inside.join(",")}}` : ""}`;
}

/** @param {Node} node */
function modifiers(node) {
  const at = node.timestamp !== null && node.timestamp !== undefined ? ` @ ${(node.timestamp / 1000).toFixed(3)}` : node.startOrEnd ? ` @ ${node.startOrEnd}()` : "";
  const offset = node.offsetExpr ? ` offset ${print(node.offsetExpr)}` : node.offset ? ` offset ${node.offset < 0 ? "-" : ""}${formatDuration(Math.abs(node.offset))}` : "";
  return `${node.anchored ? " anchored" : ""}${node.smoothed ? " smoothed" : ""}${at}${offset}`;
}

/** @param {Node} m */
function matching(m) {
  if (!m) return "";
  const on = m.on ? ` on (${list(m.labels)})` : m.labels.length > 0 ? ` ignoring (${list(m.labels)})` : "";
  const group = m.card === "many-to-one" ? ` group_left${included(m)}` : m.card === "one-to-many" ? ` group_right${included(m)}` : "";
  return on + group;
}

/** @param {Node} m */
const included = (m) => (m.include.length > 0 ? ` (${list(m.include)})` : "");

/** Parts of a node. @param {Node} node @returns {Node[]} */
export function parts(node) {
  switch (node.type) {
    case "call": return node.args;
    case "aggregation": return node.param ? [node.param, node.expr] : [node.expr];
    case "binaryExpr": return [node.lhs, node.rhs];
    case "parenExpr": case "unaryExpr": case "subquery": return [node.expr];
    default: return [];
  }
}

const COMPARISONS = /** @type {Record<string, string>} */ ({ "==": "equal to", "!=": "different from", ">": "greater than", "<": "less than", ">=": "at least", "<=": "at most" });
const ARITHMETIC = /** @type {Record<string, string>} */ ({ "+": "adds", "-": "subtracts", "*": "multiplies", "/": "divides", "%": "takes the remainder of dividing", "^": "raises to the power of", atan2: "takes the angle of" });
const SETS = /** @type {Record<string, string>} */ ({ and: "keeps series on the left that have a partner on the right", or: "takes all series on the left, and those on the right without a partner", unless: "keeps series on the left that have no partner on the right" });

/** One sentence about a node, without its parts. @param {Node} node @returns {string} */
export function sentence(node) {
  switch (node.type) {
    case "numberLiteral": return "a number";
    case "stringLiteral": return "a text";
    case "parenExpr": return "brackets: evaluated first";
    case "unaryExpr": return node.op === "-" ? "turns the sign of each value" : "leaves the values as they are";
    case "vectorSelector": return `the newest sample of ${series(node)}${when(node)}`;
    case "matrixSelector": return `all samples of the last ${node.rangeExpr ? print(node.rangeExpr) : formatDuration(node.range)} of ${series(node)}${when(node)}`;
    case "subquery": return `evaluates the inner expression ${node.step ? `every ${formatDuration(node.step)}` : "at the global evaluation interval"} over the last ${formatDuration(node.range)}${when(node)}`;
    case "call": {
      const help = helps.get(node.func.name);
      return `${node.func.name}: ${help || "a function"}${counterWords(node)}`;
    }
    case "aggregation": {
      const help = helps.get(node.op) ?? "aggregates";
      const groups = node.without ? (node.grouping.length > 0 ? `over all labels but ${list(node.grouping)}, which are dropped` : "over series with equal labels") : node.grouping.length > 0 ? `for each value of ${list(node.grouping)}; other labels are dropped` : "over all series; all labels are dropped";
      return `${node.op} ${help.replace(" of each group", "")} ${groups}`;
    }
    case "binaryExpr": return binaryWords(node);
    default: return "";
  }
}

/** @param {Node} node */
function counterWords(node) {
  const inner = node.args?.[0];
  if (["rate", "increase", "irate"].includes(node.func.name) && inner?.type === "matrixSelector") return " (at least two samples must lie in the range)";
  return "";
}

/** @param {Node} node */
function series(node) {
  const matchers = node.matchers.filter((/** @type {any} */ m) => m.name !== "__name__");
  const words = /** @type {Record<string, string>} */ ({ "=": "is", "!=": "is not", "=~": "matches", "!~": "does not match" });
  const name = node.name ? `the series named ${node.name}` : "all series";
  return matchers.length === 0 ? name : `${name} whose ${matchers.map((/** @type {any} */ m) => `${m.name} ${words[m.type]} ${quote(m.value)}`).join(" and whose ")}`;
}

/** @param {Node} node */
function when(node) {
  const at = node.timestamp !== null && node.timestamp !== undefined ? `, at ${formatTime(node.timestamp, "UTC")} UTC` : node.startOrEnd ? `, at the ${node.startOrEnd} of the query's range` : "";
  const offset = node.offsetExpr ? `, ${print(node.offsetExpr)} earlier` : node.offset ? `, ${formatDuration(Math.abs(node.offset))} ${node.offset > 0 ? "earlier" : "later"}` : "";
  return at + offset;
}

/** @param {Node} node */
function binaryWords(node) {
  const scalars = ["numberLiteral", "stringLiteral"];
  const withNumber = !node.matching || scalars.includes(node.lhs.type) || scalars.includes(node.rhs.type);
  if (node.op in SETS) return `${node.op}: ${SETS[node.op]}${labelsWords(node.matching)}`;
  if (node.op in COMPARISONS) return node.bool ? `1 where the left side is ${COMPARISONS[node.op]} the right, 0 elsewhere${withNumber ? "" : labelsWords(node.matching)}` : `keeps what is ${COMPARISONS[node.op]} the ${withNumber ? "number" : "right side"}; the rest is dropped${withNumber ? "" : labelsWords(node.matching)}`;
  return `${ARITHMETIC[node.op] ?? node.op} ${withNumber ? "each value" : "the values of matching series"}${withNumber ? "" : labelsWords(node.matching)}`;
}

/** @param {Node} m */
function labelsWords(m) {
  if (!m) return "";
  const on = m.on ? (m.labels.length > 0 ? `; partners have the same ${list(m.labels)}` : "; all series are partners of each other") : m.labels.length > 0 ? `; partners have the same labels, ${list(m.labels)} left aside` : "; partners have exactly the same labels";
  const many = m.card === "many-to-one" ? ". Several series on the left may share one on the right" : m.card === "one-to-many" ? ". Several series on the right may share one on the left" : "";
  return on + many + (m.include?.length > 0 ? `, from which ${list(m.include)} is copied` : "");
}

export class ExplainTab {
  /** @param {import("./panel.js").PanelView} panel */
  constructor(panel) {
    this.panel = panel;
    this.element = h("div", { class: "explain" });
  }

  clear() { fill(this.element); }

  /** @param {string} expr @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async run(expr, signal) {
    const [{ data }, editor] = await Promise.all([ask("parse_query", { query: expr }, { signal, post: true }), ask("ferula/editor", { query: expr }, { signal, quiet: true })]);
    for (const node of editor.data.nodes) if (node.name) helps.set(node.name, node.help);
    fill(this.element, tree(data));
    const binary = firstMatching(data);
    if (binary) this.element.append(await meeting(binary, this.panel.state.end, signal));
    return { summary: "explained" };
  }
}

/** @param {Node} node @returns {HTMLElement} */
function tree(node) {
  const inner = parts(node).filter((part) => part.type !== "stringLiteral" && part.type !== "numberLiteral");
  return h("ol", null, h("li", null, h("code", null, print(node)), h("div", { class: "muted" }, sentence(node)), ...inner.map(tree)));
}

/** The outermost operation between two vectors. @param {Node} node @returns {Node | null} */
function firstMatching(node) {
  if (node.type === "binaryExpr" && node.matching && vector(node.lhs) && vector(node.rhs)) return node;
  for (const part of parts(node)) {
    const found = firstMatching(part);
    if (found) return found;
  }
  return null;
}

/** @param {Node} node @returns {boolean} */
function vector(node) {
  if (node.type === "parenExpr" || node.type === "unaryExpr") return vector(node.expr);
  if (node.type === "call") return node.func.returnType === "vector";
  if (node.type === "binaryExpr") return vector(node.lhs) || vector(node.rhs);
  return node.type === "vectorSelector" || node.type === "aggregation";
}

const GROUPS_MAX = 50;

/** Which series meet which, on the data of now. @param {Node} node @param {number | null} end @param {AbortSignal} signal */
async function meeting(node, end, signal) {
  const time = (end ?? Date.now()) / 1000;
  const [left, right] = await Promise.all([node.lhs, node.rhs].map((side) => ask("query", { query: print(side), time, limit: 2000 }, { signal, post: true })));
  const m = node.matching;
  const key = (/** @type {Record<string, string>} */ labels) => {
    const names = m.on ? m.labels : Object.keys(labels).filter((name) => name !== "__name__" && !m.labels.includes(name));
    return Object.fromEntries(names.filter((/** @type {string} */ name) => labels[name] !== undefined).sort().map((/** @type {string} */ name) => [name, labels[name]]));
  };
  /** @type {Map<string, {key: Record<string, string>, left: any[], right: any[]}>} */
  const groups = new Map();
  for (const [side, answer] of /** @type {["left" | "right", any][]} */ ([["left", left], ["right", right]])) {
    for (const one of answer.data.result) {
      const k = key(one.metric);
      const text = JSON.stringify(k);
      if (!groups.has(text)) groups.set(text, { key: k, left: [], right: [] });
      groups.get(text)?.[side].push(one);
    }
  }
  const rows = [...groups.values()].map((group) => ({ ...group, fate: fate(node, group) })).sort((a, b) => Number(a.fate.good) - Number(b.fate.good));
  const matched = rows.filter((row) => row.fate.good).length;
  return h("section", null,
    h("div", { class: "section" }, h("h2", null, "Matching on the data of now"), h("span", { class: "muted" }, `${left.data.result.length} series on the left, ${right.data.result.length} on the right, ${matched} of ${rows.length} groups pass`)),
    rows.length === 0 ? h("div", { class: "empty" }, "Both sides are empty.") : h("table", null, h("thead", null, h("tr", null, ...["Group", "Left", "Right", "Outcome"].map((title) => h("th", null, title)))),
      h("tbody", null, ...rows.slice(0, GROUPS_MAX).map((row) => h("tr", null,
        h("td", null, Object.keys(row.key).length > 0 ? labelText(row.key) : h("span", { class: "muted" }, "no labels")), h("td", null, ...some(row.left)), h("td", null, ...some(row.right)),
        h("td", null, h("span", { class: "state", data: { s: row.fate.good ? "ok" : row.fate.error ? "err" : "dropped" } }, row.fate.text)))))),
    rows.length > GROUPS_MAX ? note("info", `${rows.length - GROUPS_MAX} more groups.`) : "");
}

/** @param {any[]} all */
function some(all) {
  return [...all.slice(0, 3).map((one) => h("div", null, one.metric.__name__ ? h("b", null, one.metric.__name__) : "", "{", labelText(one.metric, (name) => name !== "__name__"), "}", h("span", { class: "muted" }, `  ${one.value?.[1] ?? "histogram"}`))), all.length > 3 && h("div", { class: "muted" }, `and ${all.length - 3} more`)];
}

/** @param {Node} node @param {{left: any[], right: any[]}} group @returns {{good: boolean, error?: boolean, text: string}} */
function fate(node, { left, right }) {
  const card = node.matching.card;
  if (node.op === "or") return { good: true, text: left.length > 0 ? "left taken" : "right taken" };
  if (node.op === "unless") return right.length > 0 ? { good: false, text: "dropped: has a partner" } : { good: true, text: "kept" };
  if (left.length === 0) return { good: false, text: "dropped: nothing on the left" };
  if (right.length === 0) return { good: false, text: "dropped: nothing on the right" };
  if (node.op === "and") return { good: true, text: "kept" };
  if (card === "one-to-one" && (left.length > 1 || right.length > 1)) return { good: false, error: true, text: `error: ${left.length} to ${right.length}; use group_left or group_right` };
  if (card === "many-to-one" && right.length > 1) return { good: false, error: true, text: `error: ${right.length} series on the “one” side` };
  if (card === "one-to-many" && left.length > 1) return { good: false, error: true, text: `error: ${left.length} series on the “one” side` };
  return { good: true, text: "matched" };
}
