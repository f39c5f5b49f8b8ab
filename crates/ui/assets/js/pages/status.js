// Status: the process, the build, what is enabled.

import { ask } from "../api.js";
import { fill, h, stateWord, visible } from "../dom.js";
import { zone } from "../settings.js";
import { formatTime, humanSeconds } from "../time.js";
import { holds, searchField, telling } from "./lists.js";

/** @param {import("../app.js").Context} context */
export default async function status(context) {
  const { root, signal } = context;
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Status")), message, body);
  let search = "";
  const load = telling(message, signal, async () => {
    const [runtime, build, features] = await Promise.all([ask("status/runtimeinfo", {}, { signal }), ask("status/buildinfo", {}, { signal }), ask("features", {}, { signal }).catch(() => ({ data: {} }))]);
    const r = runtime.data;
    const moment = (/** @type {string} */ text) => (text && !text.startsWith("0001-") ? formatTime(Math.round(Date.parse(text) / 1000) * 1000, zone()) : "never");
    const server = Date.parse(r.serverTime);
    const facts = [
      ["Up since", `${moment(r.startTime)} (${humanSeconds((server - Date.parse(r.startTime)) / 1000)})`], ["Server time", moment(r.serverTime)], ["Host", r.hostname], ["Working directory", r.CWD],
      ["Configuration", h("span", null, stateWord(r.reloadConfigSuccess ? "ok" : "err", r.reloadConfigSuccess ? "loaded" : "last reload failed"), ` ${moment(r.lastConfigTime)}`)],
      ["Retention", r.storageRetention], ["Log corruptions", String(r.corruptionCount)], ["Tasks", String(r.goroutineCount)], ["Processors used", String(r.GOMAXPROCS)],
      ["Memory limit", r.GOMEMLIMIT > 9e18 ? "none" : String(r.GOMEMLIMIT)],
    ];
    const known = { version: "Prometheus level", revision: "Revision", branch: "Branch", buildUser: "Built by", buildDate: "Built on", goVersion: "Compiler" };
    const buildRows = Object.entries(build.data).map(([name, value]) => [/** @type {Record<string, string>} */ (known)[name] ?? name, String(value)]);
    const table = (/** @type {string} */ title, /** @type {any[][]} */ rows) => h("section", null, h("div", { class: "section" }, h("h2", null, title)), h("table", { class: "plain" }, h("tbody", null, ...rows.map(([name, value]) => h("tr", null, h("th", { scope: "row" }, name), h("td", { class: "wrap" }, value instanceof Node ? value : visible(String(value ?? ""))))))));
    const list = h("div");
    const drawFeatures = () => fill(list, h("div", { class: "columns" }, ...Object.entries(features.data).map(([category, entries]) => {
      const shown = Object.entries(/** @type {Record<string, boolean>} */ (entries)).filter(([name, on]) => holds(search, `${category} ${name} ${on ? "on" : "off"}`));
      return shown.length === 0 ? "" : h("section", null, h("div", { class: "section" }, h("h2", null, category.replaceAll("_", " ")), h("span", { class: "count" }, `${shown.filter(([, on]) => on).length} of ${shown.length} on`)),
        h("div", null, ...shown.map(([name, on]) => h("span", { class: "chip" }, on ? "" : h("span", { class: "muted" }, "off "), on ? name : h("s", { class: "muted" }, name)))));
    })));
    drawFeatures();
    fill(body, h("div", { class: "columns" }, table("Process", facts), table("Build", buildRows)), h("div", { class: "page-head" }, h("h2", null, "Features"), searchField(search, (value) => { search = value; drawFeatures(); }, "Filter features")), list);
  });
  await load();
  context.onRefresh(load);
}
