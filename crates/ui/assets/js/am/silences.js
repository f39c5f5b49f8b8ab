// Silences: the list by state, a single one, and the form to create and change them.

import { announce, button, clipped, fill, fillControls, h, stateWord, toast } from "../dom.js";
import { Lists, filterOf, searchField, telling } from "../pages/lists.js";
import { compare } from "../rows.js";
import { zone } from "../settings.js";
import { ago, formatTime, humanSeconds } from "../time.js";
import { ask, filterText, many, matcherText, parseMatchers } from "./api.js";

/** @param {import("./app.js").Context} context */
export default async function silences(context) {
  const [first, second] = context.path;
  if (first === "new") return (await import("./silence_form.js")).silenceForm(context, null);
  if (first && second === "edit") return (await import("./silence_form.js")).silenceForm(context, first);
  if (first) return one(context, first);
  return list(context);
}

const moment = (/** @type {string} */ text) => h("span", { title: `${formatTime(Date.parse(text), zone())} ${zone()}` }, ago(Date.parse(text)));

/** Ends a silence. @param {any} silence @param {AbortSignal} signal @param {() => unknown} then */
async function expire(silence, signal, then) {
  try {
    await ask(`silence/${encodeURIComponent(silence.id)}`, {}, { signal, method: "DELETE" });
    toast("The silence has ended.");
    await then();
  } catch (error) {
    toast(/** @type {Error} */ (error).message);
  }
}

/** @param {any} silence @param {AbortSignal} signal @param {() => unknown} then */
function actions(silence, signal, then) {
  const again = `#/silences/new?filter=${encodeURIComponent(filterText(silence.matchers))}&comment=${encodeURIComponent(silence.comment)}`;
  return silence.status.state === "expired" ? h("a", { href: again }, "recreate")
    : [h("a", { href: `#/silences/${encodeURIComponent(silence.id)}/edit` }, "edit"), " · ", button("expire", { class: "link", "aria-label": `Expire the silence ${silence.comment.slice(0, 80)}`, on: { click: () => void expire(silence, signal, then) } })];
}

/** Columns: key, title, class, what they are sorted by. @type {[string, string, string, ((silence: any) => string | number) | null][]} */
const COLUMNS = [["matchers", "Matchers", "", (silence) => filterText(silence.matchers)], ["comment", "Comment", "", (silence) => silence.comment], ["creator", "Creator", "fit", (silence) => silence.createdBy],
  ["starts", "Began", "fit", (silence) => Date.parse(silence.startsAt)], ["updated", "Changed", "fit", (silence) => Date.parse(silence.updatedAt)], ["ends", "Ends", "fit", (silence) => Date.parse(silence.endsAt)], ["", "", "fit", null]];

/** @param {import("./app.js").Context} context */
async function list(context) {
  const { root, signal, params, setParams } = context;
  let state = params.get("state") ?? "active";
  let filter = params.get("filter") ?? "";
  let order = params.get("order") ?? "ends";
  let search = "";
  /** @type {any[]} */ let all = [];
  const lists = new Lists();
  const controls = h("span", { class: "row" });
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Silences"), controls), message, body);
  const matchers = h("input", { type: "search", class: "mono", value: filter, placeholder: "{job=\"api\"}", "aria-label": "Matchers", on: { change: () => { filter = matchers.value.trim(); setParams({ filter }); void load(); } } });
  const field = searchField(search, (value) => { search = value; draw(); }, "Filter by comment, creator or matcher");
  const drawControls = () => fillControls(controls, h("span", { class: "joined", role: "group", "aria-label": "State" }, ...["active", "pending", "expired"].map((name) => button(`${name[0].toUpperCase()}${name.slice(1)} ${all.filter((silence) => silence.status.state === name).length}`, { "aria-pressed": String(state === name), on: { click: () => { state = name; setParams({ state: name === "active" ? null : name }); drawControls(); draw(); } } }))),
    matchers, field);
  /** Another column, or the other way round. @param {string} key */
  const sortBy = (key) => {
    order = order === key ? `-${key}` : key;
    setParams({ order: order === "ends" ? null : order });
    draw();
  };
  const draw = () => lists.draw(body, () => {
    const by = (COLUMNS.find(([name]) => name !== "" && name === order.replace(/^-/, "")) ?? COLUMNS[5])[3] ?? (() => 0);
    const sign = order.startsWith("-") ? -1 : 1;
    const fits = filterOf(search, (/** @type {any} */ silence) => `${silence.comment} ${silence.createdBy} ${filterText(silence.matchers)} ${silence.id}`);
    const shown = all.filter((silence) => silence.status.state === state && fits(silence)).sort((a, b) => sign * compare(by(a), by(b)) || (a.id < b.id ? -1 : 1));
    const tbody = h("tbody");
    if (shown.length === 0) return [h("div", { class: "empty" }, `No ${state} silence passes the filter.`)];
    const table = h("div", { class: "scroll-x" }, h("table", null, h("thead", null, h("tr", null, ...COLUMNS.map(([key, title, kind, sorts]) => h("th", { scope: "col", class: kind, "aria-sort": sorts && (order === key ? "ascending" : order === `-${key}` ? "descending" : "none") }, sorts ? button(title, { on: { click: () => sortBy(key) } }) : title)))), tbody));
    lists.rows("silences", tbody, shown, (silence) => h("tr", null,
      h("td", null, h("a", { href: `#/silences/${encodeURIComponent(silence.id)}` }, silence.matchers.map((/** @type {any} */ one) => h("span", { class: "chip" }, clipped(matcherText(one), 200))))),
      h("td", { class: "wrap" }, clipped(silence.comment, 500)), h("td", null, silence.createdBy), h("td", { class: "fit" }, moment(silence.startsAt)), h("td", { class: "fit" }, moment(silence.updatedAt)), h("td", { class: "fit" }, moment(silence.endsAt)), h("td", { class: "fit" }, actions(silence, signal, load))), (silence) => silence.id, 60);
    return [table];
  });
  const load = telling(message, signal, async () => {
    const parsed = parseMatchers(filter);
    matchers.setAttribute("aria-invalid", String(parsed === null));
    all = await ask("silences", { filter: (parsed ?? []).map(matcherText) }, { signal });
    drawControls();
    draw();
  });
  drawControls();
  await load();
  context.onRefresh(load);
}

/** @param {import("./app.js").Context} context @param {string} id */
async function one(context, id) {
  const { root, signal } = context;
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Silence")), message, body);
  const load = telling(message, signal, async () => {
    const silence = await ask(`silence/${encodeURIComponent(id)}`, {}, { signal });
    const history = await ask(`silence/${encodeURIComponent(id)}/history`, {}, { signal }).catch(() => []);
    const alerts = silence.status.state === "expired" ? [] : await ask("alerts", { filter: silence.matchers.map(matcherText), silenced: "true", inhibited: "true", active: "true" }, { signal });
    const fact = (/** @type {string} */ name, /** @type {any} */ value) => h("tr", null, h("th", { scope: "row" }, name), h("td", { class: "wrap" }, value));
    fill(body, h("p", { class: "row" }, stateWord({ active: "ok", pending: "pending", expired: "unknown" }[/** @type {"active"} */ (silence.status.state)] ?? "unknown", silence.status.state), h("span", null, actions(silence, signal, load))),
      h("table", { class: "plain" }, h("tbody", null, fact("Matchers", silence.matchers.map((/** @type {any} */ one) => h("span", { class: "chip" }, matcherText(one)))), fact("Comment", silence.comment), fact("Creator", silence.createdBy),
        fact("From", formatTime(Date.parse(silence.startsAt), zone())), fact("To", [formatTime(Date.parse(silence.endsAt), zone()), ` (${humanSeconds((Date.parse(silence.endsAt) - Date.parse(silence.startsAt)) / 1000)})`]), fact("Last change", moment(silence.updatedAt)), fact("ID", h("code", null, silence.id)))),
      h("div", { class: "section" }, h("h2", null, `${many(alerts.length, "alert")} ${alerts.length === 1 ? "matches" : "match"} now`)), ...alerts.slice(0, 200).map((/** @type {any} */ alert) => h("div", null, ...Object.entries(alert.labels).map(([name, value]) => h("span", { class: "chip" }, clipped(`${name}=${JSON.stringify(value)}`, 200))))),
      history.length > 0 && h("section", null, h("div", { class: "section" }, h("h2", null, "History")), h("table", null, h("tbody", null, ...history.map((/** @type {any} */ entry) => h("tr", null, h("td", { class: "fit" }, moment(entry.at)), h("td", { class: "fit" }, entry.action), h("td", null, entry.by ?? "")))))));
    announce(`Silence, ${silence.status.state}`);
  });
  await load();
  context.onRefresh(load);
}
