// What the list pages share: long lists whose rows exist only near the window, a search, a choice of states, groups.

import { pause } from "../api.js";
import { button, fill, h, note } from "../dom.js";
import { heldKeys, keyed } from "../keep.js";

/** Rows that are made together; of each item the first. @typedef {{nodes: Node[] | null, firsts: Element[], spacer: HTMLElement | null}} Chunk */

/** How far outside of the window rows are made, in pixels: at once, and then while the page rests. */
const NEAR = 100;
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
    /** Where in each list the row is that is held. @type {Map<string, number>} */ this.places = new Map();
    this.watcher = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) this.settle(MARGIN); }, { rootMargin: `${MARGIN}px` });
  }

  /** Fills a place that holds lists. @param {Element} place @param {() => import("../dom.js").Child[]} make calls `rows` */
  draw(place, make) {
    const top = scrollY;
    this.held = heldKeys();
    this.places.clear();
    for (const list of this.all) {
      this.heights.set(list.name, list.measured());
      const at = this.held.size > 0 ? list.items.findIndex((item) => this.held?.has(list.key(item))) : -1;
      if (at >= 0) this.places.set(list.name, at);
    }
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

  /** Makes what is in view, and drops what is far from it. @param {number} [margin] */
  settle(margin = NEAR) {
    for (let more = true; more;) {
      more = false;
      for (const list of [...this.all]) more = list.fillView(margin) || more;
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
    const wanted = new Set();
    // If that row has gone, its neighbour takes its place.
    const place = owner.places.get(name);
    if (place !== undefined) wanted.add(Math.floor(Math.min(place, items.length - 1) / slice));
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
    // Kept, so that the next drawing takes the same and nothing moves.
    const height = `${this.heights[c] ||= this.usual * share}px`;
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

  /** Makes the chunks in view. @param {number} margin @returns {boolean} whether there were any */
  fillView(margin) {
    const seen = this.chunks.map((chunk, c) => ({ c, spacer: chunk.spacer })).filter(({ spacer }) => {
      const box = spacer?.getBoundingClientRect();
      return box && box.height > 0 && box.bottom > -margin && box.top < innerHeight + margin;
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

/** @param {string} value @param {(value: string) => void} change @param {string} [label] */
export function searchField(value, change, label = "Filter") {
  const field = h("input", { type: "search", value, size: label.length, placeholder: label, "aria-label": label, on: { input: () => change(field.value) } });
  return field;
}

/**
 * Buttons of which several may be on; none on shows all.
 * @param {string} label
 * @param {[string, string, number][]} options value, word, count
 * @param {Set<string>} on
 * @param {() => void} change
 */
export function stateButtons(label, options, on, change) {
  return h("span", { class: "joined", role: "group", "aria-label": label }, ...options.map(([value, word, count]) => {
    const element = button("", { "aria-pressed": String(on.has(value)), on: { click: () => { if (on.has(value)) on.delete(value); else on.add(value); change(); } } });
    fill(element, word, h("span", { class: "count" }, String(count)));
    return element;
  }));
}

/** Loads and draws; a failure is told above what is shown, which stays. @param {HTMLElement} place @param {AbortSignal} signal @param {() => Promise<unknown>} load */
export const telling = (place, signal, load) => async () => {
  try {
    await load();
    fill(place);
  } catch (error) {
    if (!signal.aborted) fill(place, note("err", /** @type {Error} */ (error).message));
  }
};

/** Heads of columns: title, width, class. In all tables of a page they stand at the same place. @param {[string, string, string?][]} columns */
export const columnHeads = (columns) => h("thead", null, h("tr", null, ...columns.map(([title, width, kind]) => h("th", { scope: "col", class: kind, style: { width } }, title))));

/** Groups on a page of Prometheus' lists. */
const PAGE = 10;

/**
 * Keeps the address' `page` and the place in a list of groups together, as Prometheus' pages count them.
 * @param {import("../app.js").Context} context @param {Lists} lists @param {string} name @param {() => boolean} counts whether the list is in the order that they count
 */
export function paged({ signal, params, setParams }, lists, name, counts) {
  let timer = 0;
  addEventListener("scroll", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      if (signal.aborted || !counts()) return;
      const page = 1 + Math.floor(lists.firstSeen(name) / PAGE);
      setParams({ page: page > 1 ? String(page) : null });
    }, 150);
  }, { signal, passive: true });
  const page = Number(params.get("page"));
  if (page > 1 && counts()) lists.reveal(name, (page - 1) * PAGE);
}

/**
 * A test whether a row holds all words. What it looks at is put into lower case once.
 * @template {{search?: string}} R @param {string} words @param {(row: R) => string} textOf @returns {(row: R) => boolean}
 */
export function filterOf(words, textOf) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return (row) => {
    if (wanted.length === 0) return true;
    const lower = (row.search ??= textOf(row).toLowerCase());
    return wanted.every((word) => lower.includes(word));
  };
}

/** Does the same while nobody waits, so that the first key in the filter finds it done. @template {{search?: string}} R @param {R[]} rows @param {(row: R) => string} textOf @param {AbortSignal} signal */
export async function prepare(rows, textOf, signal) {
  for (const [i, row] of rows.entries()) {
    if (i % 500 === 0) await pause(0, signal);
    if (signal.aborted) return;
    row.search ??= textOf(row).toLowerCase();
  }
}

/** Whether a text holds all words. @param {string} words @param {string} text */
export const holds = (words, text) => filterOf(words, () => text)({});

const collator = new Intl.Collator("en", { numeric: true });

/** @template R @param {R[]} rows @param {(row: R) => string} by @returns {[string, R[]][]} */
export function groupBy(rows, by) {
  /** @type {Map<string, R[]>} */
  const groups = new Map();
  for (const row of rows) {
    const key = by(row);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups].sort((a, b) => collator.compare(a[0], b[0]));
}

/** Label names that occur in rows, the most frequent first. @param {Record<string, string>[]} sets */
export function labelNames(sets) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const labels of sets) for (const name of Object.keys(labels)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([name]) => name);
}

/** A share of a bound as a bar. @param {number} value @param {number} bound @param {string} title */
export function meter(value, bound, title) {
  const share = bound > 0 ? value / bound : 0;
  return h("span", { class: "meter", title, data: share > 0.9 ? { over: "" } : {} }, h("i", { style: { width: `${Math.min(100, share * 100)}%` } }));
}
