// What the tooltip of an exemplar says.

import { h, labelText, outside, visible } from "../dom.js";
import { exact } from "../format.js";
import { setting, zone } from "../settings.js";
import { formatTime } from "../time.js";

/** @param {{at: number, value: number, labels: Record<string, string>, series: Record<string, string>}} one */
export const exemplarText = (one) => h("div", { class: "tip-text" }, h("div", { class: "muted" }, `Exemplar, ${formatTime(one.at, zone())}`), h("div", null, h("b", null, exact(one.value))),
  h("table", null, h("tbody", null, ...Object.entries(one.labels).map(([name, value]) => h("tr", null, h("td", { class: "muted" }, visible(name.slice(0, 100))), h("td", { class: "mono" }, traced(name, value)))))),
  h("div", { class: "small" }, labelText(one.series)));

/** A label of an exemplar; a trace leads to where the settings say. @param {string} name @param {string} value */
function traced(name, value) {
  const link = setting("traceLink");
  return /trace_?id$/i.test(name) && link.includes("{}") ? outside(link.replace("{}", encodeURIComponent(value)), value) : outside(value);
}
