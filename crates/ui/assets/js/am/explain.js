// Why an alert is sent where it is: its path through the routes, what holds it back, and past and next notifications.

import { chips, fill, h, note, openDialog, stateWord } from "../dom.js";
import { zone } from "../settings.js";
import { ago, formatTime } from "../time.js";
import { ask, many } from "./api.js";

const moment = (/** @type {string} */ text) => (text ? h("span", { title: `${formatTime(Date.parse(text), zone())} ${zone()}` }, ago(Date.parse(text))) : "");

/** @param {any} alert @param {AbortSignal} signal */
export async function openExplain(alert, signal) {
  const place = h("div", null, h("div", { class: "muted" }, "Asking…"));
  const dialog = openDialog(`Why: ${alert.labels.alertname ?? "alert"}`, h("div", null, ...chips(alert.labels)), place);
  dialog.classList.add("wide");
  try {
    const found = await ask(`alerts/${encodeURIComponent(alert.fingerprint)}/explain`, {}, { signal });
    /** @type {string[]} */ const inhibited = found.inhibitedBy ?? found.alert?.status?.inhibitedBy ?? [];
    fill(place,
      (found.silences ?? []).map((/** @type {any} */ one) => note("warn", "Silenced by ", h("a", { href: `#/silences/${encodeURIComponent(one.id)}`, on: { click: () => dialog.close() } }, one.comment || one.id), ` of ${one.createdBy}, ends `, moment(one.endsAt))),
      inhibited.length > 0 && note("warn", `Inhibited by ${inhibited.join(", ")}`),
      ...(found.routes ?? []).map(routeSection),
      found.tree && h("section", null, h("div", { class: "section" }, h("h2", null, "Way through the routes")), routeTree(found.tree)));
  } catch (error) {
    if (!signal.aborted) fill(place, note("err", /** @type {Error} */ (error).message));
  }
}

/** @param {any} route */
function routeSection(route) {
  return h("section", null, h("div", { class: "section" }, h("h2", null, `To ${route.receiver}`), route.mutedBy?.length > 0 && stateWord("unknown", `muted by ${[route.mutedBy].flat().join(", ")}`), route.mutedUntil && h("span", { class: "muted" }, "until ", moment(route.mutedUntil)),
    route.group && h("span", { class: "muted" }, `${many(typeof route.group.alerts === "number" ? route.group.alerts : route.group.alerts?.length ?? 0, "alert")} in its group; next look `, moment(route.group.nextFlush))),
  h("div", { class: "scroll-x" }, h("table", null, h("thead", null, h("tr", null, ...["Integration", "Last sent", "Next", "Why"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", null, ...(route.integrations ?? []).map((/** @type {any} */ one) => h("tr", null,
    h("td", null, one.name), h("td", { class: "fit" }, one.last ? moment(one.last.at) : "never"), h("td", { class: "fit" }, one.next ? moment(one.next.at) : "none"), h("td", { class: "wrap" }, one.next?.reason ?? one.nextReason ?? "")))))));
}

/** A tree of routes with what became of each. @param {any} node @returns {HTMLElement} */
export function routeTree(node) {
  const verdict = node.verdict === "matched" ? stateWord("ok", "matched") : node.verdict === "failed" ? stateWord("dropped", node.failedMatcher ? `${node.failedMatcher} failed${node.value !== undefined ? `: the value is ${JSON.stringify(node.value)}` : ""}` : "failed") : node.verdict ? stateWord("unknown", node.verdict) : "";
  return h("ul", { class: "routes" }, h("li", null, h("code", null, node.route), " → ", h("b", null, node.receiver), " ", verdict, ...(node.children ?? []).map(routeTree)));
}
