// What was sent, to whom, why, and with which result.

import { fill, fillControls, h, labelText, stateWord } from "../dom.js";
import { Lists, telling } from "../pages/lists.js";
import { choice } from "../pages/range.js";
import { zone } from "../settings.js";
import { formatTime, humanSeconds } from "../time.js";
import { ask, many } from "./api.js";

/** Outcomes as the server names them, and how they are marked. */
const STATES = /** @type {Record<string, string>} */ ({ sent: "ok", failed: "err", "nothing to send": "unknown", inhibited: "unknown", silenced: "unknown", muted: "unknown" });

/** @param {import("./app.js").Context} context */
export default async function notifications(context) {
  const { root, signal, params, setParams } = context;
  let receiver = params.get("receiver") ?? "";
  let outcome = params.get("outcome") ?? "";
  const lists = new Lists();
  const controls = h("span", { class: "row" });
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Notifications"), controls), message, body);
  const load = telling(message, signal, async () => {
    const [found, receivers] = await Promise.all([ask("notifications", { receiver, outcome, limit: 2000 }, { signal }), ask("receivers", {}, { signal })]);
    fillControls(controls, choice("Receiver", [["", "All receivers"], ...receivers.map((/** @type {any} */ one) => /** @type {[string, string]} */ ([one.name, one.name]))], receiver, (value) => { receiver = value; setParams({ receiver }); void load(); }),
      choice("Outcome", [["", "All outcomes"], ...Object.keys(STATES).map((name) => /** @type {[string, string]} */ ([name, name]))], outcome, (value) => { outcome = value; setParams({ outcome }); void load(); }), h("span", { class: "count", role: "status" }, many(found.length, "notification")));
    lists.draw(body, () => {
      if (found.length === 0) return [h("div", { class: "empty" }, "Nothing was sent yet, or nothing passes the filter.")];
      const tbody = h("tbody");
      const table = h("div", { class: "scroll-x" }, h("table", null, h("thead", null, h("tr", null, ...[["When", "fit"], ["Outcome", "fit"], ["Receiver", "fit"], ["Group", ""], ["Alerts", "num fit"], ["Why", ""], ["Attempts", ""]].map(([title, kind]) => h("th", { scope: "col", class: kind }, title)))), tbody));
      lists.rows("notifications", tbody, found, line, (one) => `${one.at} ${one.receiver} ${one.integration ?? ""} ${one.groupKey ?? ""}`, 60);
      return [table];
    });
  });
  await load();
  context.onRefresh(load);
}

/** @param {any} one */
function line(one) {
  const alerts = Array.isArray(one.alerts) ? one.alerts.length : one.alerts;
  return h("tr", null, h("td", { class: "fit" }, formatTime(Date.parse(one.at), zone())), h("td", { class: "fit" }, stateWord(STATES[one.outcome] ?? "unknown", one.outcome)), h("td", { class: "fit" }, `${one.receiver}${one.integration ? ` · ${one.integration}` : ""}`),
    h("td", null, one.labels ? labelText(one.labels) : one.groupKey), h("td", { class: "num fit" }, String(alerts ?? "")), h("td", { class: "wrap" }, one.reason ?? ""),
    h("td", { class: "wrap" }, one.error && h("div", { class: "state-text" }, one.error), ...(one.templateErrors ?? []).map((/** @type {any} */ error) => h("div", { class: "state-text" }, `template of ${error.field}: ${error.error}`)),
      (one.attempts ?? []).length > 0 && h("div", { class: "muted" }, one.attempts.map((/** @type {any} */ attempt) => `${attempt.result} after ${humanSeconds((attempt.tookMs ?? 0) / 1000)}`).join(", "))));
}
