// The tree of routes, and where labels would go.

import { fill, h, note, stateWord } from "../dom.js";
import { ask, parseMatchers } from "./api.js";
import { routeTree } from "./explain.js";

/** @param {import("./app.js").Context} context */
export default async function routes(context) {
  const { root, signal, params, setParams } = context;
  const tree = h("div");
  const answer = h("div", { role: "status" });
  const field = h("input", { type: "search", class: "mono", style: { width: "420px", "max-width": "100%" }, value: params.get("labels") ?? "", placeholder: "alertname=\"Down\", severity=\"page\"", "aria-label": "Labels of an alert", on: { change: () => { setParams({ labels: field.value.trim() }); void test(); }, input: () => field.removeAttribute("aria-invalid") } });
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Routes"), h("span", { class: "muted" }, "Where does an alert with these labels go?"), field), answer, tree);

  const test = async () => {
    fill(answer);
    if (field.value.trim() === "") return load();
    const labels = parseMatchers(field.value);
    field.setAttribute("aria-invalid", String(labels === null || labels.some((one) => one.isRegex || one.isEqual === false)));
    if (labels === null) return;
    try {
      const found = await ask("routes/match", { label: labels.map((one) => `${one.name}=${one.value}`) }, { signal });
      fill(answer, note("info", "It goes to ", ...found.receivers.flatMap((/** @type {string} */ name, /** @type {number} */ i) => [i > 0 ? ", " : "", h("b", null, name)]), ...found.routes.filter((/** @type {any} */ one) => one.mutedBy?.length > 0).map((/** @type {any} */ one) => h("span", null, " ", stateWord("unknown", `${one.receiver} is muted by ${[one.mutedBy].flat().join(", ")}`)))));
      fill(tree, routeTree(found.tree));
    } catch (error) {
      if (!signal.aborted) fill(answer, note("err", /** @type {Error} */ (error).message));
    }
  };
  const load = async () => {
    try {
      fill(tree, described(await ask("routes", {}, { signal })));
    } catch (error) {
      if (!signal.aborted) fill(tree, note("err", /** @type {Error} */ (error).message));
    }
  };
  await (field.value.trim() === "" ? load() : test());
  context.onRefresh(() => (field.value.trim() === "" ? load() : test()));
}

/** @param {any} node @returns {HTMLElement} */
function described(node) {
  const times = [["group by", (node.groupBy ?? []).join(", ")], ["wait", node.groupWait], ["interval", node.groupInterval], ["repeat", node.repeatInterval], ["muted by", (node.muteTimeIntervals ?? []).join(", ")], ["active in", (node.activeTimeIntervals ?? []).join(", ")]].filter(([, value]) => value);
  return h("ul", { class: "routes" }, h("li", null, h("code", null, (node.matchers ?? []).length > 0 ? `{${node.matchers.map((/** @type {any} */ one) => (typeof one === "string" ? one : `${one.name}${one.isRegex ? "=~" : "="}${one.value}`)).join(", ")}}` : node.route), " → ", h("b", null, node.receiver), node.continue ? h("span", { class: "muted" }, " and continues") : "",
    h("div", { class: "muted small" }, times.map(([name, value]) => `${name} ${value}`).join(" · ")), ...(node.children ?? []).map(described)));
}
