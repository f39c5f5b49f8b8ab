// Alerts as they are grouped, with what holds them back, when the next notification goes out, and why.

import { button, chips, fill, fillControls, h, outside, stateWord } from "../dom.js";
import { Lists, telling } from "../pages/lists.js";
import { choice } from "../pages/range.js";
import { zone } from "../settings.js";
import { ago, formatTime } from "../time.js";
import { ask, filterText, many, matcherText, ofLabels, parseMatchers } from "./api.js";

/** @param {import("./app.js").Context} context */
export default async function alerts(context) {
  const { root, signal, params, setParams } = context;
  let filter = params.get("filter") ?? "";
  let receiver = params.get("receiver") ?? "";
  let grouping = params.get("group") ?? "";
  const shown = /** @type {Record<string, boolean>} */ ({});
  for (const state of ["active", "silenced", "inhibited", "muted"]) shown[state] = params.has(state) ? params.get(state)?.toLowerCase() !== "false" : state === "active";
  /** @type {any[]} */ let groups = [];
  /** @type {string[]} */ let receivers = [];
  const lists = new Lists();
  const controls = h("span", { class: "row" });
  const message = h("div");
  const body = h("div");
  const count = h("span", { class: "count", role: "status" });
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Alerts"), controls), message, body);
  const field = h("input", { type: "search", class: "mono", value: filter, style: { width: "360px", "max-width": "100%" }, placeholder: "{severity=\"page\", env!=\"dev\"}", "aria-label": "Matchers", on: { change: () => { filter = field.value.trim(); setParams({ filter }); void load(); }, input: () => field.removeAttribute("aria-invalid") } });

  const drawControls = () => fillControls(controls, field,
    choice("Receiver", [["", "All receivers"], ...receivers.map((name) => /** @type {[string, string]} */ ([name, name]))], receiver, (value) => { receiver = value; setParams({ receiver }); void load(); }),
    ...Object.keys(shown).map((state) => h("label", { class: "check" }, h("input", { type: "checkbox", checked: shown[state], on: { change: (/** @type {any} */ e) => { shown[state] = e.target.checked; setParams({ [state]: String(shown[state]) }); void load(); } } }), state[0].toUpperCase() + state.slice(1))),
    h("input", { value: grouping, placeholder: "by route", "aria-label": "Group by labels", title: "Labels to group by, separated by commas; empty: as the routes do", style: { width: "110px" }, on: { change: (/** @type {any} */ e) => { grouping = e.target.value.trim(); setParams({ group: grouping, customGrouping: grouping ? "true" : null }); draw(); } } }), count);

  /** Groups by chosen labels. */
  const regrouped = () => {
    if (!grouping) return groups;
    const names = grouping.split(",").map((name) => name.trim()).filter(Boolean);
    /** @type {Map<string, any>} */ const out = new Map();
    for (const alert of new Map(groups.flatMap((group) => group.alerts).map((alert) => [alert.fingerprint, alert])).values()) {
      const labels = Object.fromEntries(names.filter((name) => name in alert.labels).map((name) => [name, alert.labels[name]]));
      const key = JSON.stringify(labels);
      if (!out.has(key)) out.set(key, { labels, alerts: [] });
      out.get(key).alerts.push(alert);
    }
    return [...out.values()];
  };

  const draw = () => lists.draw(body, () => {
    const all = regrouped();
    const number = new Set(groups.flatMap((group) => group.alerts.map((/** @type {any} */ alert) => alert.fingerprint))).size;
    count.textContent = `${many(number, "alert")} in ${many(all.length, "group")}`;
    if (all.length === 0) return [h("div", { class: "empty" }, "No alert passes the filter. Silenced, inhibited and muted ones are shown if ticked.")];
    const sections = h("div");
    lists.rows("groups", sections, all, section, keyOf, 4);
    return [sections];
  });

  /** @param {any} group */
  const keyOf = (group) => `${group.receiver?.name ?? ""} ${JSON.stringify(group.labels)}`;

  /** @param {any} group */
  const section = (group) => {
    const tbody = h("tbody");
    const next = group.nextNotifications?.map((/** @type {any} */ one) => one.at).sort()[0] ?? group.nextFlush;
    const element = h("section", null, h("div", { class: "section" }, h("h2", null, Object.keys(group.labels).length > 0 ? chips(group.labels, pick) : "Not grouped"), h("span", { class: "count" }, String(group.alerts.length)),
      group.receiver && h("span", { class: "muted" }, "to ", h("b", null, group.receiver.name)), group.mutedBy?.length > 0 && stateWord("unknown", `muted by ${group.mutedBy.join(", ")}`),
      next && h("span", { class: "muted", title: formatTime(Date.parse(next), zone()) }, `next notification ${ago(Date.parse(next))}`),
      Object.keys(group.labels).length > 0 && h("a", { href: `#/silences/new?filter=${encodeURIComponent(filterText(ofLabels(group.labels)))}` }, "Silence the group")),
    h("div", { class: "scroll-x" }, h("table", { class: "fixed" }, h("thead", null, h("tr", null, ...[["State", "110px"], ["Labels", "auto"], ["Since", "96px"], ["Summary", "24%"], ["", "210px"]].map(([title, width]) => h("th", { scope: "col", style: { width } }, title)))), tbody)));
    lists.rows(`alerts of ${keyOf(group)}`, tbody, group.alerts, line, (alert) => `${keyOf(group)} ${alert.fingerprint}`, 20);
    return element;
  };

  /** @param {any} alert */
  const line = (alert) => {
    const { status } = alert;
    const words = [status.silencedBy.length > 0 && "silenced", status.inhibitedBy.length > 0 && "inhibited", status.mutedBy?.length > 0 && "muted"].filter(Boolean);
    return h("tr", null,
      h("td", { class: "fit" }, words.length > 0 ? stateWord("dropped", words.join(", ")) : stateWord(status.state === "unprocessed" ? "pending" : "firing", status.state)),
      h("td", null, ...chips(alert.labels, pick)),
      h("td", { class: "fit", title: `${formatTime(Date.parse(alert.startsAt), zone())} ${zone()}` }, ago(Date.parse(alert.startsAt))),
      h("td", { class: "wrap" }, alert.annotations.summary ?? alert.annotations.description ?? Object.values(alert.annotations)[0] ?? ""),
      h("td", { class: "fit" }, button("why", { class: "link", title: "Where it goes, and what holds it back", on: { click: async () => (await import("./explain.js")).openExplain(alert, signal) } }), " · ",
        h("a", { href: `#/silences/new?filter=${encodeURIComponent(filterText(ofLabels(alert.labels)))}` }, "silence"), alert.generatorURL && [" · ", outside(alert.generatorURL, "source")],
        ...status.silencedBy.slice(0, 3).map((/** @type {string} */ id) => [" · ", h("a", { href: `#/silences/${encodeURIComponent(id)}` }, "its silence")]).flat()));
  };

  /** @param {string} name @param {string} value */
  const pick = (name, value) => {
    const matchers = parseMatchers(field.value) ?? [];
    const one = { name, value, isRegex: false, isEqual: true };
    if (!matchers.some((other) => matcherText(other) === matcherText(one))) matchers.push(one);
    filter = field.value = filterText(matchers);
    setParams({ filter });
    void load();
  };

  const load = telling(message, signal, async () => {
    const matchers = parseMatchers(filter);
    field.setAttribute("aria-invalid", String(matchers === null));
    if (matchers === null) return;
    const query = { filter: matchers.map(matcherText), receiver: receiver === "" ? undefined : `^(?:${receiver.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")})$`, details: "true", ...Object.fromEntries(Object.entries(shown).map(([state, on]) => [state, String(on)])) };
    const [found, names] = await Promise.all([ask("alerts/groups", query, { signal }), ask("receivers", {}, { signal })]);
    groups = found;
    receivers = names.map((/** @type {any} */ one) => one.name);
    drawControls();
    draw();
  });
  drawControls();
  await load();
  context.onRefresh(load);
}
