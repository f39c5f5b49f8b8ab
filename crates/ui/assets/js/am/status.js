// Status: version, time of the start, the cluster, the configuration and its warnings.

import { fill, h, note } from "../dom.js";
import { zone } from "../settings.js";
import { ago, formatTime } from "../time.js";
import { telling } from "../pages/lists.js";
import { yamlView } from "../pages/yaml.js";
import { ask } from "./api.js";

/** @param {import("./app.js").Context} context */
export default async function status(context) {
  const { root, signal } = context;
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Status")), message, body);
  const load = telling(message, signal, async () => {
    const [found, warnings] = await Promise.all([ask("status", {}, { signal }), ask("warnings", {}, { signal }).catch(() => [])]);
    const fact = (/** @type {string} */ name, /** @type {any} */ value) => h("tr", null, h("th", { scope: "row" }, name), h("td", { class: "wrap" }, value));
    const { cluster, versionInfo } = found;
    fill(body, ...warnings.map((/** @type {any} */ one) => note("warn", `${one.file ?? ""}${one.line ? `:${one.line}` : ""} ${one.field ?? ""}: ${one.text}`)),
      h("div", { class: "columns" }, h("table", { class: "plain" }, h("tbody", null, fact("Up since", `${formatTime(Date.parse(found.uptime), zone())} (${ago(Date.parse(found.uptime))})`), fact("Cluster", cluster.status), cluster.name && fact("Name", h("code", null, cluster.name)), ...(cluster.peers ?? []).map((/** @type {any} */ peer) => fact("Peer", `${peer.name} ${peer.address}`)))),
        h("table", { class: "plain" }, h("tbody", null, ...Object.entries(versionInfo).map(([name, value]) => fact(name, String(value)))))),
      h("div", { class: "section" }, h("h2", null, "Configuration")), yamlView(found.config.original, ""));
  });
  await load();
  context.onRefresh(load);
}
