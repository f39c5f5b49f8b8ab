// Expressions as text again, from the nodes of `parse_query`.

import { formatDuration } from "../time.js";

/** @typedef {any} Node a node of `parse_query` */

export const list = (/** @type {string[]} */ names) => names.join(", ");
export const quote = (/** @type {string} */ text) => JSON.stringify(text);
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
