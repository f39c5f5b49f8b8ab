// Flags: name and value, searched; those that differ from their default stand out, and can be shown alone.

import { ask } from "../api.js";
import { copy } from "../copy.js";
import { button, fill, h, visible } from "../dom.js";
import { holds, searchField, telling } from "./lists.js";
import { marked } from "./yaml.js";

/** @param {import("../app.js").Context} context */
export default async function flags(context) {
  const { root, signal, params } = context;
  let search = params.get("search") ?? "";
  /** @type {[string, string][]} */ let all = [];
  /** @type {Set<string>} */ let changed = new Set();
  let only = params.get("changed") === "1";
  const tbody = h("tbody");
  const onlyBox = h("label", { class: "check" }, h("input", { type: "checkbox", checked: only, on: { change: (/** @type {any} */ e) => { only = e.target.checked; context.setParams({ changed: only ? "1" : null }); draw(); } } }), "Changed only");
  const field = searchField(search, (value) => { search = value; context.setParams({ search }); draw(); }, "Filter flags");
  const count = h("span", { class: "count" });
  const message = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Flags"), field, onlyBox, count, button("Copy as command line", { on: { click: () => void copy(all.filter(([, value]) => value !== "").map(([name, value]) => `--${name}=${value}`).join(" \\\n  ")) } })), message,
    h("table", null, h("thead", null, h("tr", null, h("th", { class: "fit", scope: "col" }, "Flag"), h("th", { scope: "col" }, "Value"))), tbody));
  const draw = () => {
    const shown = all.filter(([name, value]) => (!only || changed.has(name)) && holds(search, `${name} ${value}`));
    count.textContent = shown.length === all.length ? `${all.length}` : `${shown.length} of ${all.length}`;
    fill(tbody, ...shown.map(([name, value]) => h("tr", { data: changed.has(name) ? { changed: "" } : {} }, h("td", { class: "mono fit" }, "--", ...marked(name, search)), h("td", { class: "mono wrap" }, value === "" ? h("span", { class: "muted" }, "(empty)") : marked(visible(value), search)))));
  };
  const load = telling(message, signal, async () => {
    const [{ data }, names] = await Promise.all([ask("status/flags", {}, { signal }), ask("ferula/changed_flags", {}, { signal, quiet: true }).then((answer) => answer.data, () => [])]);
    changed = new Set(names);
    all = /** @type {[string, string][]} */ (Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1)));
    draw();
  });
  await load();
  context.onRefresh(load);
}
