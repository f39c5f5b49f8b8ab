// Flags: name and value, searched; what differs from the default is marked when the server tells defaults.

import { ask } from "../api.js";
import { copy } from "../copy.js";
import { button, fill, h, note, visible } from "../dom.js";
import { holds, searchField } from "./lists.js";
import { marked } from "./yaml.js";

/** @param {import("../app.js").Context} context */
export default async function flags(context) {
  const { root, signal, params } = context;
  let search = params.get("search") ?? "";
  /** @type {[string, string][]} */ let all = [];
  const tbody = h("tbody");
  const field = searchField(search, (value) => { search = value; context.setParams({ search }); draw(); }, "Filter flags");
  const count = h("span", { class: "count" });
  const message = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Flags"), field, count, button("Copy as command line", { on: { click: () => void copy(all.filter(([, value]) => value !== "").map(([name, value]) => `--${name}=${value}`).join(" \\\n  ")) } })), message,
    h("table", null, h("thead", null, h("tr", null, h("th", { class: "fit" }, "Flag"), h("th", null, "Value"))), tbody));
  const draw = () => {
    const shown = all.filter(([name, value]) => holds(search, `${name} ${value}`));
    count.textContent = shown.length === all.length ? `${all.length}` : `${shown.length} of ${all.length}`;
    fill(tbody, ...shown.map(([name, value]) => h("tr", null, h("td", { class: "mono fit" }, "--", ...marked(name, search)), h("td", { class: "mono wrap" }, value === "" ? h("span", { class: "muted" }, "(empty)") : marked(visible(value), search)))));
  };
  const load = async () => {
    try {
      const { data } = await ask("status/flags", {}, { signal });
      all = /** @type {[string, string][]} */ (Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1)));
      fill(message);
      draw();
    } catch (error) {
      if (!signal.aborted) fill(message, note("err", /** @type {Error} */ (error).message));
    }
  };
  await load();
  context.onRefresh(load);
}
