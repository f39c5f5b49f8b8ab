// The tab Explain: what each part of an expression does, in plain words, and for a binary operation, which series match.

import { ask } from "../api.js";
import { fill, h, visible } from "../dom.js";
import { formatDuration, formatTime } from "../time.js";
import { list, parts, print, quote } from "./print.js";

/** @typedef {any} Node a node of `parse_query` */

/** What functions and aggregations do, in the server's words. @type {Map<string, string>} */
const helps = new Map();

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
    const { end } = this.panel.state;
    const [{ matchings, meetings }, { planSection }] = await Promise.all([import("./meeting.js"), import("./plan.js")]);
    const binary = matchings(data);
    if (binary.length > 0) this.element.append(await meetings(binary, end, signal));
    // Without a plan the words still stand.
    await planSection(expr, (end ?? Date.now()) / 1000, signal).then((section) => this.element.append(section), () => {});
    return { summary: "explained" };
  }
}

/** @param {Node} node @returns {HTMLElement} */
function tree(node) {
  const inner = parts(node).filter((part) => part.type !== "stringLiteral" && part.type !== "numberLiteral");
  return h("ol", null, h("li", null, h("code", null, visible(print(node))), h("div", { class: "muted" }, visible(sentence(node))), ...inner.map(tree)));
}
