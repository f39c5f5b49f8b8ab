// The tab Tree: each part of the expression with its number of series, labels, time and error; from one request.

import { absolute, ApiError, explained, failure } from "../api.js";
import { fill, h, note, visible } from "../dom.js";
import { humanSeconds } from "../time.js";

/** @typedef {{id: number, parent: number | null, text: string, type: string, series?: number, samples?: number, seconds?: number, error?: string, labels?: {name: string, values: number, examples: string[]}[]}} TreeNode */

export class TreeTab {
  /** @param {import("./panel.js").PanelView} panel */
  constructor(panel) {
    this.panel = panel;
    this.element = h("div", { class: "tree" });
  }

  clear() { fill(this.element); }

  /** @param {string} expr @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async run(expr, signal) {
    const time = (this.panel.state.end ?? Date.now()) / 1000;
    const nodes = await fetchTree(expr, time, signal);
    const draw = (/** @type {TreeNode} */ node) => {
      const inner = nodes.filter((other) => other.parent === node.id);
      return h("li", null, row(node), inner.length > 0 && h("ul", null, ...inner.map(draw)));
    };
    fill(this.element, h("ul", null, ...nodes.filter((node) => node.parent === null).map(draw)));
    return { summary: `${nodes.length} parts` };
  }
}

/** @param {string} expr @param {number} time @param {AbortSignal} signal @returns {Promise<TreeNode[]>} */
async function fetchTree(expr, time, signal) {
  let response;
  try {
    response = await fetch(absolute("api/v1/ferula/tree"), { method: "POST", body: new URLSearchParams({ query: expr, time: String(time) }), signal });
  } catch (error) {
    throw explained(error);
  }
  const text = await response.text();
  if (!response.ok) {
    let json = null;
    try { json = JSON.parse(text); } catch { /* Explained by the status. */ }
    throw failure(response, json, text);
  }
  try {
    return text.trim().split("\n").map((line) => JSON.parse(line));
  } catch {
    throw new ApiError("The answer breaks off in the middle; try again.", "broken");
  }
}

/** @param {TreeNode} node */
function row(node) {
  const facts = [];
  if (node.error) facts.push(h("span", { class: "state", data: { s: "err" } }, "error"));
  else if (node.series !== undefined) facts.push(h("b", null, `${node.series} series`));
  if (node.seconds !== undefined) facts.push(` ${humanSeconds(node.seconds)}`);
  for (const label of node.labels ?? []) facts.push(h("span", { title: label.examples.map(visible).join("\n") }, `  ${visible(label.name)}: ${label.values === 1 ? visible(label.examples[0] ?? "") : `${label.values} values`}`));
  return h("div", null, h("div", { class: "node" }, h("code", null, visible(node.text)), h("span", { class: "facts" }, ...facts)), node.error && note("err", node.error));
}
