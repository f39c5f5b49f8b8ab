// Tables and lists whose rows exist only while they are in view. Drawn again, they keep what a person holds.

import { fill, h } from "./dom.js";
import { heldKeys, keyed } from "./keep.js";

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

/** Rows that are made together; of each item the first. @typedef {{nodes: Node[] | null, firsts: Element[], spacer: HTMLElement | null}} Chunk */

/** How far outside of the window rows are there already, in pixels. */
const MARGIN = 800;
/** The bar at the top, under which rows disappear. */
const BAR = 56;
/** Chunks that may be there at once. */
const CHUNKS_MAX = 24;

/**
 * The long lists of a page, of rows of different heights: what is far out of view is a spacer. When they are drawn again,
 * heights are known from before, so that nothing moves, and rows with the focus or the selection are always there.
 */
export class Lists {
  constructor() {
    /** @type {List[]} */ this.all = [];
    /** @type {Map<string, number[]>} */ this.heights = new Map();
    this.watcher = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) this.settle(); }, { rootMargin: `${MARGIN}px` });
  }

  /** Fills a place that holds lists. @param {Element} place @param {() => import("./dom.js").Child[]} make calls `rows` */
  draw(place, make) {
    const top = scrollY;
    this.held = heldKeys();
    for (const list of this.all) this.heights.set(list.name, list.measured());
    this.end();
    fill(place, make());
    this.settle();
    if (scrollY !== top) scrollTo(scrollX, top);
  }

  end() {
    this.all = [];
    this.watcher.disconnect();
  }

  /**
   * Rows below `parent`, made as far as they are seen.
   * @template R
   * @param {string} name of the list among those of the page
   * @param {HTMLElement} parent @param {R[]} items @param {(item: R, index: number) => Node | Node[]} make
   * @param {(item: R) => string} key @param {number} [slice] how many are made together
   */
  rows(name, parent, items, make, key, slice = 40) {
    this.all.push(new List(this, name, parent, items, make, key, Math.max(slice, Math.ceil(items.length / 500))));
  }

  /** Scrolls to an item. @param {string} name of the list @param {number} index */
  reveal(name, index) {
    const list = this.all.find((one) => one.name === name);
    const chunk = list?.chunks[Math.floor(index / list.slice)];
    if (!list || !chunk) return;
    chunk.spacer?.replaceWith(...list.made(Math.floor(index / list.slice)));
    chunk.firsts[index % list.slice]?.scrollIntoView();
    this.settle();
  }

  /** The first item of a list that is not above the window. @param {string} name of the list */
  firstSeen(name) {
    const list = this.all.find((one) => one.name === name);
    for (const [c, { firsts, spacer }] of list?.chunks.entries() ?? []) {
      const at = (spacer ? [spacer] : firsts).findIndex((one) => one.getBoundingClientRect().bottom > BAR);
      if (at >= 0) return c * /** @type {List} */ (list).slice + at;
    }
    return 0;
  }

  /** Makes what is in view, and drops what is far from it. */
  settle() {
    for (let more = true; more;) {
      more = false;
      for (const list of [...this.all]) more = list.fillView() || more;
    }
    this.all = this.all.filter((list) => list.parent.isConnected);
    // When there are many, those far from the window go.
    if (this.all.reduce((sum, list) => sum + list.chunks.filter((chunk) => chunk.nodes).length, 0) > CHUNKS_MAX) for (const list of this.all) list.drop();
  }
}

class List {
  /** @param {Lists} owner @param {string} name @param {HTMLElement} parent @param {any[]} items @param {(item: any, index: number) => Node | Node[]} make @param {(item: any) => string} key @param {number} slice */
  constructor(owner, name, parent, items, make, key, slice) {
    [this.owner, this.name, this.parent, this.items, this.make, this.key, this.slice] = [owner, name, parent, items, make, key, slice];
    const count = Math.ceil(items.length / slice);
    const before = owner.heights.get(name) ?? [];
    const known = before.filter((height) => height > 0);
    this.usual = known.length > 0 ? known.reduce((sum, height) => sum + height, 0) / known.length : slice * 24;
    this.heights = Array.from({ length: count }, (_, c) => before[c] ?? 0);
    /** @type {Chunk[]} */ this.chunks = Array.from({ length: count }, () => ({ nodes: null, firsts: [], spacer: null }));
    const { held } = owner;
    const wanted = new Set([0]);
    if (held?.size) items.forEach((item, i) => { if (held.has(key(item))) wanted.add(Math.floor(i / slice)); });
    this.chunks.forEach((chunk, c) => parent.append(...(wanted.has(c) ? this.made(c) : [this.space(c)])));
    if (parent.tagName === "TBODY") parent.closest("table")?.setAttribute("aria-rowcount", String(items.length + 1));
  }

  /** The rows of a chunk. @param {number} c */
  made(c) {
    /** @type {Element[]} */ const firsts = [];
    const nodes = this.items.slice(c * this.slice, (c + 1) * this.slice).flatMap((item, i) => {
      const index = c * this.slice + i;
      const all = [this.make(item, index)].flat();
      firsts.push(/** @type {Element} */ (all[0]));
      if (this.parent.tagName === "TBODY") /** @type {Element} */ (all[0]).setAttribute("aria-rowindex", String(index + 2));
      return all.map((node, k) => keyed(node, k === 0 ? this.key(item) : `${this.key(item)}\u0001${k}`));
    });
    Object.assign(this.chunks[c], { nodes, firsts, spacer: null });
    return nodes;
  }

  /** What stands for a chunk that is not there. @param {number} c */
  space(c) {
    const share = Math.min(1, this.items.length / this.slice - c);
    const height = `${this.heights[c] || this.usual * share}px`;
    const spacer = this.parent.tagName === "TBODY" ? h("tr", { class: "pad", "aria-hidden": "true" }, h("td", { style: { height } })) : h("div", { "aria-hidden": "true", style: { height } });
    Object.assign(this.chunks[c], { nodes: null, firsts: [], spacer });
    this.owner.watcher.observe(spacer);
    return spacer;
  }

  /** The height of a chunk that is there. @param {Chunk} chunk */
  heightOf({ nodes }) {
    const first = /** @type {Element | undefined} */ (nodes?.[0]);
    return nodes && first?.isConnected ? /** @type {Element} */ (nodes[nodes.length - 1]).getBoundingClientRect().bottom - first.getBoundingClientRect().top : 0;
  }

  measured() {
    return this.chunks.map((chunk, c) => this.heightOf(chunk) || this.heights[c]);
  }

  /** Makes the chunks in view. @returns {boolean} whether there were any */
  fillView() {
    const seen = this.chunks.map((chunk, c) => ({ c, spacer: chunk.spacer })).filter(({ spacer }) => {
      const box = spacer?.getBoundingClientRect();
      return box && box.height > 0 && box.bottom > -MARGIN && box.top < innerHeight + MARGIN;
    });
    for (const { c, spacer } of seen) {
      if (spacer) this.owner.watcher.unobserve(spacer);
      spacer?.replaceWith(...this.made(c));
    }
    return seen.length > 0;
  }

  /** Puts spacers in place of chunks that are far from the window. */
  drop() {
    const held = heldKeys();
    this.chunks.forEach((chunk, c) => {
      const { nodes } = chunk;
      const [first, last] = [nodes?.[0], nodes?.[nodes.length - 1]].map((node) => /** @type {Element | undefined} */ (node)?.getBoundingClientRect());
      if (!nodes || !first || !last || (last.bottom > -4 * innerHeight && first.top < 5 * innerHeight)) return;
      if (this.items.slice(c * this.slice, (c + 1) * this.slice).some((item) => held.has(this.key(item)))) return;
      this.heights[c] = this.heightOf(chunk);
      for (const list of this.owner.all) if (nodes.some((node) => node !== list.parent && node.contains(list.parent))) this.owner.heights.set(list.name, list.measured());
      nodes[0].parentNode?.insertBefore(this.space(c), nodes[0]);
      for (const node of nodes) /** @type {ChildNode} */ (node).remove();
    });
  }
}
