// Alertmanagers: those that alerts are sent to, and those that relabelling dropped.

import { ask } from "../api.js";
import { fill, h, outside, stateWord } from "../dom.js";
import { telling } from "./lists.js";

/** @param {import("../app.js").Context} context */
export default async function alertmanagers(context) {
  const { root, signal } = context;
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Alertmanagers")), message, body);
  const load = telling(message, signal, async () => {
    const { data } = await ask("alertmanagers", {}, { signal });
    const rows = [...data.activeAlertmanagers.map((/** @type {any} */ one) => ({ url: one.url, active: true })), ...data.droppedAlertmanagers.map((/** @type {any} */ one) => ({ url: one.url, active: false }))];
    fill(body, rows.length === 0 ? h("div", { class: "empty" }, "No Alertmanager is known: alerts are shown here and sent nowhere. Name some under alerting.") : h("table", null, h("thead", null, h("tr", null, h("th", { class: "fit", scope: "col" }, "State"), h("th", { scope: "col" }, "Address"))),
      h("tbody", null, ...rows.map((row) => h("tr", null, h("td", { class: "fit" }, stateWord(row.active ? "ok" : "dropped", row.active ? "active" : "dropped")), h("td", { class: "wrap" }, outside(row.url)))))));
  });
  await load();
  context.onRefresh(load);
}
