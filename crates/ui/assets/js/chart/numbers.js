// A graph's numbers as a table: a row for each step, a column for each series that is shown.

import { button, fill, h, visible } from "../dom.js";
import { exact, inUnit } from "../format.js";
import { VirtualTable } from "../rows.js";
import { zone } from "../settings.js";
import { formatTime } from "../time.js";
import { split } from "./legend.js";

/** The tables that are shown. @type {WeakMap<HTMLElement, VirtualTable<number>>} */
const tables = new WeakMap();
/** More columns cannot be read. */
const COLUMNS_MAX = 20;

/** Puts the table into a place, or takes it away. @param {import("./chart.js").Chart} chart @param {HTMLElement} place */
export async function toggleNumbers(chart, place) {
  if (!place.firstChild) return (await showNumbers(chart, place))?.element.focus();
  fill(place);
  chart.element.focus();
}

/** Puts the table of the chart's answer into a place. @param {import("./chart.js").Chart} chart @param {HTMLElement} place */
export async function showNumbers(chart, place) {
  const { head } = chart;
  if (!head) return fill(place);
  const shown = [...head.slots.keys()].filter((s) => !chart.hidden?.[s]);
  const series = shown.slice(0, COLUMNS_MAX);
  const { rows } = await chart.call({ type: "rows", series });
  const { differing } = split(head);
  const title = (/** @type {number} */ s) => {
    const labels = chart.labels(s);
    const names = head.n === 1 ? Object.keys(labels) : differing.filter((name) => name in labels);
    return names.map((name) => `${name === "__name__" ? "" : `${name}=`}${labels[name].slice(0, 60)}`).join(", ") || "{}";
  };
  const { unit } = chart.look;
  /** @type {import("../rows.js").Column<number>[]} */
  const columns = [
    { key: "at", title: `Time (${zone()})`, class: "mono fit", by: (/** @type {number} */ i) => i, cell: (/** @type {number} */ i) => formatTime(head.start + i * head.step, zone()) },
    ...series.map((s, k) => ({ key: `s${k}`, title: visible(title(s)).slice(0, 48), class: "num", by: (/** @type {number} */ i) => rows[k][i], cell: (/** @type {number} */ i) => {
      const v = rows[k][i];
      return v === v ? h("span", { title: exact(v) }, inUnit(v, unit, 6)) : "";
    } })),
  ];
  const table = place.contains(tables.get(place)?.element ?? null) ? /** @type {VirtualTable<number>} */ (tables.get(place)) : new VirtualTable({ label: "Numbers of the graph", key: (i) => (chart.head?.start ?? 0) + i * (chart.head?.step ?? 0), height: "40vh", sort: { key: "at", down: true }, columns });
  tables.set(place, table);
  table.setColumns(columns);
  fill(place, h("div", { class: "section" }, h("h2", null, "Numbers"), h("span", { class: "muted" }, shown.length > series.length ? `the first ${series.length} of ${shown.length} series; hide others in the legend, or save all as CSV` : `${head.count} steps`),
    button("Close", { class: "link", on: { click: () => { fill(place); chart.element.focus(); } } })), table.element);
  table.setRows(Array.from({ length: head.count }, (_, i) => i));
  return table;
}
