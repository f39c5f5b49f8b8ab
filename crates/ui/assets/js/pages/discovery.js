// Service discovery: labels before and after relabelling; for what was dropped, the rule that dropped it.

import { ask } from "../api.js";
import { button, chips, fill, fillControls, h, openDialog, stateWord, toast, visible } from "../dom.js";
import { Lists, filterOf, groupBy, prepare, searchField, stateButtons, telling } from "./lists.js";
import { choice } from "./range.js";

/** @param {import("../app.js").Context} context */
export default async function discovery(context) {
  const { root, signal, params } = context;
  const states = new Set(params.getAll("state"));
  let search = params.get("search") ?? "";
  let pool = params.get("pool") ?? "";
  /** @type {any[]} */ let rows = [];
  /** @type {Record<string, number>} */ let dropped = {};
  /** What was answered to "Which rule?". @type {Map<string, Node[]>} */ const reasons = new Map();
  const lists = new Lists();
  const controls = h("span", { class: "row" });
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Service discovery"), controls), message, body);
  const field = searchField(search, (value) => { search = value; context.setParams({ search }); draw(); }, "Filter by label");

  const drawControls = () => {
    const pools = [...new Set(rows.map((row) => row.scrapePool))].sort();
    const count = (/** @type {string} */ state) => rows.filter((row) => row.state === state && (pool === "" || row.scrapePool === pool)).length;
    fillControls(controls, choice("Scrape pool", [["", `All ${pools.length} pools`], ...pools.map((name) => /** @type {[string, string]} */ ([name, visible(name)]))], pool, (value) => { pool = value; context.setParams({ pool }); drawControls(); draw(); }),
      stateButtons("State", [["active", "Active", count("active")], ["dropped", "Dropped", count("dropped")]], states, () => { context.setParams({ state: [...states] }); drawControls(); draw(); }), field);
  };

  const draw = () => lists.draw(body, () => {
    const fits = filterOf(search, textOf);
    const shown = rows.filter((row) => (pool === "" || row.scrapePool === pool) && (states.size === 0 || states.has(row.state)) && fits(row));
    if (shown.length === 0) return [h("div", { class: "empty" }, rows.length === 0 ? "Nothing has been discovered yet." : "Nothing passes the filter.")];
    const sections = h("div");
    lists.rows("pools", sections, groupBy(shown, (row) => row.scrapePool), ([name, members]) => {
      const tbody = h("tbody");
      const active = members.filter((row) => row.state === "active").length;
      const total = dropped[name] ?? 0;
      const element = h("section", null, h("div", { class: "section" }, h("h2", null, visible(name.slice(0, 200))), h("span", { class: "muted" }, `${active} active, ${total} dropped`)),
        h("div", { class: "scroll-x" }, h("table", { class: "fixed" }, h("thead", null, h("tr", null, h("th", { scope: "col" }, "State"), h("th", { scope: "col", style: { width: "55%" } }, "Discovered labels"), h("th", { scope: "col" }, "Target labels"), h("th", { scope: "col", style: { width: "56px" } }, ""))), tbody)));
      lists.rows(`targets of ${name}`, tbody, members, line, keyOf);
      return element;
    }, ([name]) => name, 10);
    return [sections];
  });

  /** @param {any} row */
  const keyOf = (row) => `${row.scrapePool} ${row.state} ${JSON.stringify(row.discoveredLabels)}`;

  /** @param {any} row */
  const line = (row) => {
    const outcome = h("td", null, ...(row.labels ? chips(row.labels) : reasons.get(keyOf(row)) ?? [h("span", { class: "muted" }, "dropped by relabelling "), button("Which rule?", { class: "link", on: { click: () => void why(row) } })]));
    return h("tr", null, h("td", { class: "fit" }, stateWord(row.state === "active" ? "up" : "dropped", row.state)), h("td", null, ...chips(row.discoveredLabels)), outcome, h("td", { class: "fit" }, button("steps", { class: "link", on: { click: () => void steps(row) } })));
  };

  /** Steps of relabelling; null, and a word about it, when they cannot be had. @param {any} row @returns {Promise<any[] | null>} */
  const stepsOf = async (row) => {
    try {
      return (await ask("targets/relabel_steps", { scrapePool: row.scrapePool, labels: JSON.stringify(row.discoveredLabels) }, { signal })).data.steps;
    } catch (error) {
      toast(/** @type {Error} */ (error).message.slice(0, 300));
      return null;
    }
  };

  /** @param {any} row */
  const why = async (row) => {
    const all = await stepsOf(row);
    if (!all) return;
    const at = all.find((step) => !step.keep);
    reasons.set(keyOf(row), at ? [h("span", { class: "muted" }, "dropped by "), h("code", null, ruleText(at.rule))] : [h("span", { class: "muted" }, "no rule drops it now")]);
    draw();
  };

  /** @param {any} row */
  const steps = async (row) => {
    const all = await stepsOf(row);
    if (!all) return;
    let before = row.discoveredLabels;
    let gone = false;
    const list = all.map((step, i) => {
      const item = h("tr", null, h("td", { class: "num fit" }, String(i + 1)), h("td", null, h("code", null, ruleText(step.rule))), h("td", null, gone ? h("span", { class: "muted" }, "not reached") : step.keep ? changes(before, step.output) : stateWord("err", "drops the target")));
      if (!step.keep) gone = true;
      before = step.output;
      return item;
    });
    openDialog(`Relabelling in ${row.scrapePool}`, h("div", null, ...chips(row.discoveredLabels)),
      all.length === 0 ? h("div", { class: "empty" }, "This pool has no relabel_configs.") : h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, ""), h("th", { scope: "col" }, "Rule"), h("th", { scope: "col" }, "What it changes"))), h("tbody", null, ...list)));
  };

  const load = telling(message, signal, async () => {
    const { data } = await ask("targets", { state: "any" }, { signal });
    dropped = data.droppedTargetCounts ?? {};
    rows = [...data.activeTargets.map((/** @type {any} */ row) => ({ ...row, state: "active" })), ...data.droppedTargets.map((/** @type {any} */ row) => ({ ...row, state: "dropped", labels: null }))];
    drawControls();
    draw();
    void prepare(rows, textOf, signal);
  });
  await load();
  context.onRefresh(load);
}

/** What the filter looks at. @param {any} row */
const textOf = (row) => `${JSON.stringify(row.discoveredLabels)} ${JSON.stringify(row.labels ?? {})} ${row.scrapePool}`;

/** A rule in one line. @param {any} rule */
export function ruleText(rule) {
  const { action = "replace", source_labels: source = [], regex, target_label: target, replacement, separator, modulus } = rule;
  const parts = [action];
  if (source.length > 0) parts.push(`[${source.join(separator === ";" || separator === undefined ? ", " : ` ${JSON.stringify(separator)} `)}]`);
  if (regex !== undefined && regex !== "(.*)") parts.push(`=~ ${JSON.stringify(regex)}`);
  if (modulus) parts.push(`mod ${modulus}`);
  if (target) parts.push(`→ ${target}`);
  if (replacement !== undefined && replacement !== "$1" && ["replace", "labelmap"].includes(action)) parts.push(`= ${JSON.stringify(replacement)}`);
  return parts.join(" ");
}

/** @param {Record<string, string>} before @param {Record<string, string>} after */
function changes(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => before[name] !== after[name]).sort();
  if (names.length === 0) return h("span", { class: "muted" }, "nothing");
  return h("div", null, ...names.map((name) => h("div", { class: "mono" }, after[name] === undefined ? `− ${visible(name)}` : `${before[name] === undefined ? "+" : "±"} ${visible(name)}="${visible(after[name])}"`)));
}
