// The legend: a table with the labels that differ, and last, min, max and mean of each series.

import { button, fill, h, labelText, visible } from "../dom.js";
import { inUnit } from "../format.js";
import { VirtualTable } from "../rows.js";

export class Legend {
  /** @param {import("./chart.js").Chart} chart */
  constructor(chart) {
    this.chart = chart;
    this.common = h("div", { class: "common" });
    this.holder = h("div");
    this.element = h("div", { class: "legend" }, this.common, this.holder);
    /** @type {VirtualTable<number> | null} */ this.table = null;
    this.sort = { key: "last", down: true };
    this.key = "";
  }

  /** Shows the legend of the chart's answer. */
  show() {
    const { head } = this.chart;
    if (!head || head.n === 0 || this.chart.display === "heatmap") {
      this.table = null;
      fill(this.holder);
      fill(this.common);
    }
    if (!head || head.n === 0) return;
    if (this.chart.display === "heatmap") {
      fill(this.common, `${head.histograms ? "Native histograms" : "Classic histogram"}: ${head.n} series added up, counts per bucket and step, the strongest colour stands for ${inUnit(head.heatMax, "")}.`);
      return;
    }
    const { same, differing } = split(head);
    const sameNames = Object.keys(same);
    fill(this.common, head.total > head.n && h("div", { class: "muted" }, `The first ${head.n} of ${head.total} series by ${RANKS[this.rank ?? "max"]}; the grey area spans the others.`),
      sameNames.length > 0 && head.n > 1 && h("div", null, h("span", { class: "muted" }, "All: "), labelText(same)));
    const { unit } = this.chart.look;
    const { stats, slots } = head;
    const number = (/** @type {"last" | "min" | "max" | "mean"} */ key, /** @type {string} */ title) => ({
      key, title, class: "num fit", by: (/** @type {number} */ s) => stats[key][s], cell: (/** @type {number} */ s) => (Number.isNaN(stats[key][s]) ? "–" : inUnit(stats[key][s], unit, 5)),
    });
    const names = head.n === 1 ? [...head.names].sort() : differing;
    const columns = names.length <= 6
      ? names.map((name) => ({ key: `l:${name}`, title: visible(name), by: (/** @type {number} */ s) => this.chart.label(s, name), cell: (/** @type {number} */ s) => h("bdi", null, visible(this.chart.label(s, name).slice(0, 300))) }))
      : [{ key: "labels", title: "Labels", class: "rest", by: (/** @type {number} */ s) => JSON.stringify(this.chart.labels(s)), cell: (/** @type {number} */ s) => labelText(this.chart.labels(s), (name) => !(name in same)) }];
    if (names.length === 0) columns.push({ key: "none", title: "Series", by: () => "", cell: () => h("span", { class: "muted" }, "{}") });
    const [first, ...others] = columns;
    const withSwatch = { ...first, cell: (/** @type {number} */ s) => [this.chart.hover.swatch(s), first.cell(s)] };
    const shown = [/** @type {any} */ (withSwatch), ...others, number("last", "Last"), number("min", "Min"), number("max", "Max"), number("mean", "Mean")];
    const table = this.table ?? new VirtualTable({
      label: "Legend", sort: this.sort, onSort: (sort) => { if (sort) this.sort = sort; }, columns: shown, key: (s) => String(this.chart.head?.hashes[s]),
      onRow: (tr, s) => {
        if (this.chart.hidden?.[s]) tr.dataset.off = "";
        tr.tabIndex = 0;
        tr.setAttribute("aria-pressed", String(!this.chart.hidden?.[s]));
        tr.title = "Click: only this series. Ctrl+click: hide or show it.";
        tr.addEventListener("click", (e) => { if (String(getSelection()) === "") this.pick(s, e.ctrlKey || e.metaKey); });
        tr.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); this.pick(s, e.ctrlKey || e.metaKey); } });
        tr.addEventListener("pointerenter", () => { if (!this.chart.hover.pinned) this.chart.call({ type: "hover", step: (this.chart.head?.count ?? 1) - 1, y: 0, series: s }).then((found) => this.front(found), () => {}); });
        tr.addEventListener("pointerleave", () => { if (!this.chart.hover.pinned) this.chart.hover.clear(); });
      },
    });
    this.table = table;
    table.setColumns(shown);
    // It must be in the document first: rows are only created for what is in view.
    fill(this.holder, table.element);
    table.setRows([...slots.keys()]);
  }

  /** Highlights a line. @param {any} found */
  front(found) {
    const { head } = this.chart;
    if (head && found.row) this.chart.hover.drawCross(head.start + found.step * head.step, found);
  }

  /** Shows one series alone or all again; with `add`, hides or shows one. @param {number} s @param {boolean} add */
  pick(s, add) {
    const { head } = this.chart;
    if (!head) return;
    const old = this.chart.hidden ?? new Uint8Array(head.n);
    let next = /** @type {Uint8Array | null} */ (new Uint8Array(head.n));
    if (add) {
      next.set(old);
      next[s] ^= 1;
    } else {
      const alone = !old[s] && old.reduce((sum, off) => sum + off, 0) === head.n - 1;
      if (!alone) next.fill(1).fill(0, s, s + 1);
    }
    if (next.every((off) => off === 0)) next = null;
    void this.chart.setHidden(next);
    this.table?.redraw();
    this.drawReset();
  }

  drawReset() {
    this.element.querySelector(".reset")?.remove();
    if (this.chart.hidden) this.common.append(button("Show all series", { class: "link reset", on: { click: () => { void this.chart.setHidden(null); this.table?.redraw(); this.drawReset(); } } }));
  }
}

/** @type {Record<string, string>} */
const RANKS = { max: "largest value", last: "last value", mean: "mean", change: "change" };

/** Labels that all series share, and the names of the others. @param {import("./chart.js").Head} head */
export function split(head) {
  const width = head.names.length;
  /** @type {Record<string, string>} */
  const same = {};
  const differing = [];
  for (const [i, name] of head.names.map((name, i) => /** @type {[number, string]} */ ([i, name])).sort((a, b) => (a[1] < b[1] ? -1 : 1))) {
    const first = head.labels[i];
    let all = first >= 0;
    for (let s = 1; all && s < head.n; s++) all = head.labels[s * width + i] === first;
    if (all) same[name] = head.texts[first];
    else differing.push(name);
  }
  return { same, differing };
}
