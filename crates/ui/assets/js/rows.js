// Tables whose rows exist only while they are in view. Drawn again, they keep what a person holds.

import { fill, h } from "./dom.js";
import { keyed } from "./keep.js";

/**
 * @template R
 * @typedef {object} Column
 * @property {string} key
 * @property {string} title
 * @property {string} [class]
 * @property {(row: R) => any} cell the content of the cell: a node or text
 * @property {(row: R) => string | number} [by] what it is sorted by; without it the column is not sortable
 */

/** Compares numbers as numbers, text as people sort it. @param {any} a @param {any} b */
export function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a === b ? 0 : Number.isNaN(a) ? 1 : Number.isNaN(b) ? -1 : a - b;
  return collator.compare(String(a), String(b));
}
const collator = new Intl.Collator("en", { numeric: true });

/**
 * A sortable table in a box that scrolls; only the rows in view are in the document.
 * @template R
 */
export class VirtualTable {
  /** @param {{columns: Column<R>[], label: string, key?: (row: R) => string | number, rowHeight?: number, height?: string, onRow?: (tr: HTMLTableRowElement, row: R, index: number) => void, sort?: {key: string, down: boolean}, onSort?: (sort: {key: string, down: boolean} | null) => void, onView?: (rows: R[]) => void}} options */
  constructor(options) {
    this.options = options;
    this.rowHeight = options.rowHeight ?? 24;
    this.sort = options.sort ?? null;
    /** @type {R[]} */ this.rows = [];
    /** @type {R[]} */ this.shown = [];
    /** Keys of the rows that are there, and where they begin. @type {string[]} */ this.last = [];
    this.lastFrom = 0;
    /** Where to scroll to with the next rows. @type {number | undefined} */ this.goal = undefined;
    this.head = h("thead");
    this.body = h("tbody");
    this.table = h("table", { "aria-label": options.label }, this.head, this.body);
    this.element = h("div", { class: "virtual", tabindex: "0", role: "region", "aria-label": options.label, on: { scroll: () => this.draw() } }, this.table);
    if (options.height) this.element.style.maxHeight = options.height;
    this.setColumns(options.columns);
  }

  /** @param {Column<R>[]} columns */
  setColumns(columns) {
    this.columns = columns;
    fill(this.head, h("tr", null, ...columns.map((column) => {
      const sorted = this.sort?.key === column.key;
      return h("th", { class: column.class, scope: "col", "aria-sort": column.by ? (sorted ? (this.sort?.down ? "descending" : "ascending") : "none") : null },
        column.by ? h("button", { type: "button", on: { click: () => this.sortBy(column.key) } }, column.title) : column.title);
    })));
  }

  /** @param {string} key */
  sortBy(key) {
    const down = this.sort?.key === key ? !this.sort.down : this.rows.length > 0 && typeof this.columns?.find((c) => c.key === key)?.by?.(this.rows[0]) === "number";
    this.sort = { key, down };
    this.options.onSort?.(this.sort);
    this.setColumns(this.columns ?? []);
    this.setRows(this.rows);
  }

  /** @param {R[]} rows */
  setRows(rows) {
    this.rows = rows;
    const by = this.sort && this.columns?.find((c) => c.key === this.sort?.key)?.by;
    if (by) {
      const keyed = rows.map((row, index) => ({ row, index, key: by(row) }));
      const sign = this.sort?.down ? -1 : 1;
      keyed.sort((a, b) => sign * compare(a.key, b.key) || a.index - b.index);
      this.shown = keyed.map((entry) => entry.row);
    } else {
      this.shown = rows;
    }
    this.table.setAttribute("aria-rowcount", String(rows.length + 1));
    // The row with the focus stays where it is, the others move around it.
    const held = this.held();
    const at = held ? this.shown.findIndex((row, i) => this.key(row, i) === held.key) : -1;
    if (held && at >= 0 && at !== held.index) this.goal = Math.max(0, this.element.scrollTop + (at - held.index) * this.rowHeight);
    this.redraw();
  }

  /** @param {R} row @param {number} index */
  key(row, index) {
    return String(this.options.key ? this.options.key(row) : index);
  }

  /** The row in which the focus is. */
  held() {
    const tr = document.activeElement?.closest("tr");
    const index = Number(tr?.getAttribute("aria-rowindex")) - 2;
    const key = tr?.parentNode === this.body ? this.last[index - this.lastFrom] : undefined;
    return key === undefined ? null : { index, key };
  }

  /** Draws the rows in view; nothing happens while the same are in view. */
  draw() {
    const height = this.element.clientHeight || 600;
    const spare = 8;
    const first = Math.max(0, Math.floor((this.goal ?? this.element.scrollTop) / this.rowHeight) - spare);
    const from = first - (first % spare);
    const to = Math.min(this.shown.length, from + Math.ceil(height / this.rowHeight) + 3 * spare);
    if (from === this.from && to === this.to) return;
    const rows = this.shown.slice(from, to);
    const all = rows.map((row, i) => this.key(row, from + i));
    // Scrolled away with the focus in it: the keys that scroll still work.
    const held = this.held();
    if (held && !all.includes(held.key)) this.element.focus({ preventScroll: true });
    [this.from, this.to, this.lastFrom, this.last] = [from, to, from, all];
    fill(this.body, this.pad(from), ...rows.map((row, i) => keyed(this.row(row, from + i), all[i])), this.pad(this.shown.length - to));
    if (this.goal !== undefined) this.element.scrollTop = this.goal;
    this.goal = undefined;
    this.options.onView?.(rows);
  }

  /** Draws the rows in view again, after their state has changed. */
  redraw() {
    this.from = -1;
    this.draw();
  }

  /** @param {R} row @param {number} index */
  row(row, index) {
    const tr = h("tr", { "aria-rowindex": index + 2 }, ...(this.columns ?? []).map((column) => h("td", { class: column.class }, column.cell(row))));
    tr.style.height = `${this.rowHeight}px`;
    this.options.onRow?.(tr, row, index);
    return tr;
  }

  /** @param {number} count */
  pad(count) {
    if (count <= 0) return null;
    const cell = h("td", { colspan: this.columns?.length ?? 1 });
    cell.style.height = `${count * this.rowHeight}px`;
    return h("tr", { class: "pad", "aria-hidden": "true" }, cell);
  }
}
