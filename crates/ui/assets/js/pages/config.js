// The configuration in force, with a search and a link to each line.

import { ask } from "../api.js";
import { copy } from "../copy.js";
import { button, fill, h } from "../dom.js";
import { searchField, telling } from "./lists.js";
import { yamlView } from "./yaml.js";

/** @param {import("../app.js").Context} context */
export default async function config(context) {
  const { root, signal, params } = context;
  let search = params.get("search") ?? "";
  let yaml = "";
  const message = h("div");
  const body = h("div");
  const count = h("span", { class: "count", role: "status" });
  const field = searchField(search, (value) => { search = value; context.setParams({ search }); draw(); }, "Find; Enter goes to the next");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Configuration"), field, count, button("Copy", { on: { click: () => void copy(yaml) } })), message, body);
  let at = 0;
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    next(event.shiftKey ? -1 : 1);
  });
  /** @param {number} by */
  const next = (by) => {
    const marks = body.querySelectorAll("mark");
    if (marks.length === 0) return;
    at = (at + by + marks.length) % marks.length;
    marks[at].scrollIntoView({ block: "center" });
    count.textContent = `${at + 1} of ${marks.length}`;
  };
  const draw = () => {
    fill(body, yamlView(yaml, "l", search));
    const found = body.querySelectorAll("mark").length;
    at = -1;
    count.textContent = search.trim() === "" ? "" : `${found} found`;
  };
  const load = telling(message, signal, async () => {
    yaml = (await ask("status/config", {}, { signal })).data.yaml;
    draw();
  });
  await load();
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" });
  context.onRefresh(load);
}
