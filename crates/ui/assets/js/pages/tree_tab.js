// The tab Tree: what each part of an expression yields, from one request that answers line by line.

import { askLines } from "../api.js";
import { button, chips, fill, h, note, visible } from "../dom.js";
import { grouped } from "../format.js";
import { humanSeconds } from "../time.js";

/**
 * @typedef {object} Part
 * @property {number} id
 * @property {number | null} parent
 * @property {number} from
 * @property {number} to
 * @property {string} type
 * @property {string} valueType
 * @property {number} [series]
 * @property {string} [scalar]
 * @property {{name: string, values: number, examples: string[]}[]} [labels]
 * @property {number} [samples]
 * @property {number} [ms]
 * @property {string} [error]
 * @property {number} [nodes]
 */

export class TreeTab {
  /** @param {import("./panel.js").PanelView} panel */
  constructor(panel) {
    this.panel = panel;
    this.element = h("div", { class: "tree" });
    this.expr = "";
  }

  clear() {
    this.expr = "";
    fill(this.element);
  }

  /** @param {string} expr @param {AbortSignal} signal @returns {Promise<import("./panel.js").Ran>} */
  async run(expr, signal) {
    /** @type {HTMLElement[]} */
    const lists = [];
    const root = h("ul", { role: "tree", "aria-label": "Parts of the expression" });
    const notes = h("div");
    // The first time each part is shown as it arrives, afterwards all at once, so that nothing moves.
    const again = this.expr === expr;
    this.expr = expr;
    if (!again) fill(this.element, root, notes);
    let count = 0;
    let series = 0;
    await askLines("ferula/tree", { query: expr, time: (this.panel.state.end ?? Date.now()) / 1000 }, signal, (/** @type {Part} */ part) => {
      const inner = h("ul", { role: "group" });
      lists[part.id] = inner;
      (part.parent === null ? root : lists[part.parent]).append(h("li", { role: "treeitem" }, this.line(expr, part), inner));
      if (part.id === 0) series = part.series ?? 0;
      if (part.nodes) notes.append(note("info", `The expression has ${part.nodes} parts; the first ones are shown.`));
      count += 1;
    });
    if (again) fill(this.element, root, notes);
    return { summary: `${count} parts · ${grouped(series)} series` };
  }

  /** @param {string} expr @param {Part} part */
  line(expr, part) {
    const text = expr.slice(part.from, part.to);
    const literal = part.type.endsWith("Literal");
    const empty = part.series === 0 || part.error !== undefined;
    const labels = (part.labels ?? []).filter((label) => label.name !== "__name__");
    return h("div", { class: "part", data: empty ? { empty: "" } : {} },
      h("code", null, visible(text.replace(/\s+/g, " ").slice(0, 300))),
      part.error !== undefined ? h("span", { class: "state", data: { s: "err" } }, visible(part.error)) : "",
      part.series !== undefined ? h("b", null, `${grouped(part.series)} series`) : "",
      part.scalar !== undefined && !literal ? h("b", null, part.scalar) : "",
      part.samples !== undefined ? h("span", { class: "muted" }, `${grouped(part.samples)} samples, ${humanSeconds((part.ms ?? 0) / 1000)}`) : "",
      !literal && text !== expr ? button("run", { class: "link small", title: "Run this part alone", on: { click: () => { this.panel.editor.replaceAll(text); this.panel.editor.close(); void this.panel.run(true); } } }) : "",
      labels.length > 0 ? h("div", { class: "part-labels" }, ...labels.map((label) => label.values === 1
        ? h("span", null, ...chips({ [label.name]: label.examples[0] }))
        : h("span", { class: "chip", title: label.examples.map((example) => visible(example.slice(0, 100))).join("\n") }, h("span", { class: "n" }, visible(label.name)), ` ${grouped(label.values)} values`))) : "");
  }
}
