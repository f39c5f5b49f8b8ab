// Relabelling: the page of a target as it is now, line by line through each metric rule to the stored series; and rules
// for targets tried on labels. Edits here are only tried, not saved.

import { ask } from "../api.js";
import { copy } from "../copy.js";
import { button, fill, fillControls, h, labelText, note, visible } from "../dom.js";
import { bytes, grouped } from "../format.js";
import { humanSeconds } from "../time.js";
import { ruleText } from "./discovery.js";
import { Lists, searchField, stateButtons } from "./lists.js";
import { working } from "./progress.js";
import { choice } from "./range.js";

/** @typedef {{text: string, value: string, labels: Record<string, string>, changedBy: number[], droppedBy?: number, stored?: Record<string, string>, error?: string}} Line */

/** @param {import("../app.js").Context} context */
export default async function relabel(context) {
  const { root, signal, params } = context;
  let pool = params.get("pool") ?? "";
  let url = params.get("target") ?? "";
  let search = params.get("search") ?? "";
  /** @type {Set<string>} */ const fates = new Set();
  /** @type {{scrapePool: string, scrapeUrl: string}[]} */ let targets = [];
  /** @type {any} */ let answer = null;
  let edited = false;
  const lists = new Lists();
  const controls = h("span", { class: "row" });
  const rules = h("textarea", { class: "mono rules", rows: 3, spellcheck: false, "aria-label": "metric_relabel_configs", placeholder: "No rules: write some to try them, as in metric_relabel_configs", on: { input: () => { edited = true; fit(); } } });
  const state = h("span", { class: "muted", role: "status" });
  const busy = h("div");
  const out = h("div");
  const words = searchField(search, (value) => { search = value; context.setParams({ search }); clearTimeout(timer); timer = window.setTimeout(() => void load(), 250); }, "Lines that contain");
  let timer = 0;
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Relabelling"), controls),
    h("section", { "aria-label": "Samples of a target" }, h("div", { class: "section" }, h("h2", null, "Samples of a target"), h("span", { class: "muted" }, "The page is scraped again each time. Nothing is stored, and rules edited here are only tried.")),
      h("label", { class: "small muted" }, "metric_relabel_configs", rules),
      h("div", { class: "row" }, button("Try these rules", { class: "primary", on: { click: () => void load() } }), button("As configured", { on: { click: () => { edited = false; void load(); } } }), button("Copy rules", { on: { click: () => void copy(rules.value) } }), words, state), busy, out),
    labelsSection(signal));

  /** As high as its rules, within bounds. */
  const fit = () => { rules.rows = Math.max(3, Math.min(20, rules.value.split("\n").length)); };
  const drawControls = () => {
    const pools = [...new Set(targets.map((target) => target.scrapePool))].sort();
    fillControls(controls,
      choice("Scrape pool", pools.map((name) => [name, visible(name)]), pool, (value) => { pool = value; url = ""; chosen(); }),
      choice("Target", targets.filter((target) => target.scrapePool === pool).map((target) => [target.scrapeUrl, visible(target.scrapeUrl)]), url, (value) => { url = value; chosen(); }),
      button("Scrape again", { on: { click: () => void load() } }));
  };
  const chosen = () => {
    if (!targets.some((target) => target.scrapePool === pool)) pool = targets[0]?.scrapePool ?? "";
    if (!targets.some((target) => target.scrapePool === pool && target.scrapeUrl === url)) url = targets.find((target) => target.scrapePool === pool)?.scrapeUrl ?? "";
    edited = false;
    context.setParams({ pool, target: url });
    drawControls();
    void load();
  };

  const load = async () => {
    if (url === "") return fill(out, h("div", { class: "empty" }, "There is no target yet: scrape_configs is empty, or discovery has found nothing."));
    state.textContent = "";
    try {
      answer = (await working(busy, `${visible(url.slice(0, 300))} is being scraped`, ask("ferula/scrape_preview", { scrapePool: pool, scrapeUrl: url, search, limit: 2000, ...(edited ? { rules: rules.value === "" ? "[]" : rules.value } : {}) }, { signal, post: true }))).data;
      if (!edited) rules.value = answer.rules;
      fit();
      draw();
    } catch (error) {
      if (signal.aborted) return;
      state.textContent = "";
      fill(out, note("err", /** @type {Error} */ (error).message));
    }
  };

  const draw = () => lists.draw(out, () => {
    const lines = /** @type {Line[]} */ (answer.lines);
    state.textContent = `${grouped(answer.samples)} samples, ${grouped(answer.kept)} stored · ${bytes(answer.bytes)} in ${humanSeconds(answer.seconds)}`;
    const fate = (/** @type {Line} */ line) => (line.error ? "refused" : line.droppedBy !== undefined ? "dropped" : line.changedBy.length > 0 ? "changed" : "same");
    const count = (/** @type {string} */ what) => lines.filter((line) => fate(line) === what).length;
    const shown = lines.filter((line) => fates.size === 0 || fates.has(fate(line)));
    const tbody = h("tbody");
    const children = [answer.fault && note("err", `The page is refused as a whole: ${answer.fault}`),
      h("div", { class: "row fates" }, stateButtons("What becomes of them", [["changed", "Changed", count("changed")], ["dropped", "Dropped", count("dropped")], ["same", "As they are", count("same")], ["refused", "Refused", count("refused")]], fates, draw),
        answer.matching > lines.length && h("span", { class: "muted" }, `the first ${grouped(lines.length)} of ${grouped(answer.matching)} lines`)),
      shown.length === 0 ? h("div", { class: "empty" }, lines.length === 0 ? "No line of the page contains this." : "No line passes the filter.") : h("div", { class: "scroll-x" }, h("table", { class: "lines" }, h("thead", null, h("tr", null, ...["On the page", "Rules", "Stored as"].map((title) => h("th", { scope: "col" }, title)))), tbody))];
    lists.rows("lines", tbody, shown, line, (row) => row.text, 60);
    return children;
  });

  /** @param {Line} row */
  const line = (row) => h("tr", null,
    h("td", { class: "mono wrap" }, visible(row.text), h("span", { class: "muted" }, ` ${row.value}`)),
    h("td", { class: "fit" }, row.changedBy.length > 0 ? h("div", null, `rule ${row.changedBy.map((i) => i + 1).join(", ")}`) : "", row.droppedBy !== undefined ? h("span", { class: "state", data: { s: "dropped" } }, `dropped by rule ${row.droppedBy + 1}`) : "", row.error ? h("span", { class: "state", data: { s: "err" } }, "refused") : ""),
    h("td", { class: "mono wrap" }, row.error ? visible(row.error) : row.stored ? [h("b", null, visible(row.stored.__name__ ?? "")), "{", labelText(row.stored, (name) => name !== "__name__"), "}"] : h("span", { class: "muted" }, "nothing")));

  try {
    targets = (await ask("targets", { state: "active" }, { signal })).data.activeTargets;
    chosen();
  } catch (error) {
    if (!signal.aborted) fill(out, note("err", /** @type {Error} */ (error).message));
  }
  context.onRefresh(load);
}

const EXAMPLE = [
  "- source_labels: [__address__]",
  '  regex: "(.*):.*"',
  "  target_label: host",
  "  replacement: $1",
].join("\n");

/** Rules tried on a label set. @param {AbortSignal} signal */
function labelsSection(signal) {
  const labels = h("textarea", { class: "mono rules", rows: 4, spellcheck: false, "aria-label": "Labels", value: `__address__="10.0.0.5:9100"\njob="node"` });
  const rules = h("textarea", { class: "mono rules", rows: 4, spellcheck: false, "aria-label": "Rules to try", value: EXAMPLE });
  const out = h("div");
  const run = async () => {
    try {
      const { data } = await ask("ferula/relabel", { labels: JSON.stringify(readLabels(labels.value)), rules: rules.value }, { signal, post: true });
      fill(out, data.steps.length === 0 ? h("div", { class: "empty" }, "No rules.") : h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col", class: "fit" }, ""), h("th", { scope: "col" }, "Rule"), h("th", { scope: "col" }, "Labels after it"))),
        h("tbody", null, ...data.steps.map((/** @type {any} */ step, /** @type {number} */ i) => h("tr", null, h("td", { class: "num fit" }, String(i + 1)), h("td", { class: "mono" }, visible(ruleText(step.rule))), h("td", { class: "mono wrap" }, step.keep ? ["{", labelText(step.output), "}"] : h("span", { class: "state", data: { s: "dropped" } }, "dropped")))))));
    } catch (error) {
      if (!signal.aborted) fill(out, note("err", /** @type {Error} */ (error).message));
    }
  };
  return h("section", { "aria-label": "Rules on labels" }, h("div", { class: "section" }, h("h2", null, "Rules on labels"), h("span", { class: "muted" }, "any label set, also one that no target has")),
    h("div", { class: "columns" }, h("label", { class: "small muted" }, "Labels, one a line", labels), h("label", { class: "small muted" }, "Rules", rules)), h("div", { class: "row" }, button("Try", { on: { click: () => void run() } })), out);
}

/** `name="value"` on each line. @param {string} text */
export function readLabels(text) {
  /** @type {Record<string, string>} */
  const out = {};
  text.split("\n").map((line) => line.trim().replace(/^[{,]+|[},]+$/g, "")).filter(Boolean).forEach((line, i) => {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`Line ${i + 1} is no label: write name="value".`);
    const value = line.slice(at + 1).trim();
    try {
      out[line.slice(0, at).trim()] = /^"/.test(value) ? JSON.parse(value) : value;
    } catch {
      throw new Error(`Line ${i + 1}: the value is not closed.`);
    }
  });
  return out;
}
