// Receivers: where notifications go, and a marked test notification through the real path.

import { button, fill, h, note, openDialog, stateWord, visible } from "../dom.js";
import { Lists, telling } from "../pages/lists.js";
import { ask, parseMatchers } from "./api.js";

/** @param {import("./app.js").Context} context */
export default async function receivers(context) {
  const { root, signal } = context;
  const lists = new Lists();
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Receivers")), message, body);
  const load = telling(message, signal, async () => {
    const all = await ask("receivers", {}, { signal });
    lists.draw(body, () => {
      const tbody = h("tbody");
      const table = h("table", { class: "plain" }, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Receiver"), h("th", { scope: "col" }, ""))), tbody);
      lists.rows("receivers", tbody, all, ({ name }) => h("tr", null, h("td", null, h("a", { href: `#/alerts?receiver=${encodeURIComponent(name)}` }, visible(name))), h("td", { class: "fit" },
        button("test", { class: "link", "aria-label": `Test ${name}`, on: { click: () => testDialog(name, signal) } }), " · ", h("a", { href: `#/notifications?receiver=${encodeURIComponent(name)}` }, "notifications"))), ({ name }) => name);
      return [table];
    });
  });
  await load();
  context.onRefresh(load);
}

/** Renders or sends a test notification, and shows requests and answers. @param {string} name @param {AbortSignal} signal */
function testDialog(name, signal) {
  const labels = h("input", { class: "mono", style: { width: "100%" }, value: "alertname=\"Test\", severity=\"page\"", "aria-label": "Labels of the test alert" });
  const out = h("div", { role: "status" });
  const run = async (/** @type {boolean} */ dryRun) => {
    // Labels, written as matchers: other operators than `=` mean no label.
    const typed = parseMatchers(labels.value);
    const list = typed?.every((one) => one.isEqual && !one.isRegex) ? typed : null;
    labels.setAttribute("aria-invalid", String(list === null));
    if (list === null) return;
    fill(out, h("p", { class: "muted" }, dryRun ? "Rendering…" : "Sending; the receiver may take a while to answer…"));
    try {
      const found = await ask(`receivers/${encodeURIComponent(name)}/test`, {}, { signal, method: "POST", body: { dryRun, labels: Object.fromEntries(list.map((one) => [one.name, one.value])) } });
      fill(out, found.length === 0 && note("info", "This receiver has no integrations: it sends nothing."), ...found.map(result));
    } catch (error) {
      if (!signal.aborted) fill(out, note("err", /** @type {Error} */ (error).message));
    }
  };
  openDialog(`Test ${name}`, h("label", null, "Labels of the test alert", labels),
    h("p", { class: "row" }, button("Show what would be sent", { class: "primary", on: { click: () => void run(true) } }), button("Send it", { class: "danger", on: { click: () => void run(false) } })), out).classList.add("wide");
}

/** @param {any} one */
function result(one) {
  return h("section", null, h("div", { class: "section" }, h("h2", null, visible(one.integration)), stateWord(one.outcome === "failed" ? "err" : "ok", one.outcome)),
    one.error && note("err", one.error), ...one.templateErrors.map((/** @type {any} */ fault) => note("warn", `template of ${fault.field}: ${fault.error}`)),
    ...one.exchanges.map((/** @type {any} */ exchange) => h("div", null, h("code", null, visible(`${exchange.method} ${exchange.url}`)), h("pre", { class: "plan" }, visible(exchange.body)), exchange.answer && h("pre", { class: "plan" }, visible(exchange.answer)))));
}
