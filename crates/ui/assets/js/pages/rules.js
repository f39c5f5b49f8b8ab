// Rules: by group, slowest first, duration against interval, errors.

import { ask } from "../api.js";
import { button, fill, fillControls, h, labelText, note, stateWord, visible } from "../dom.js";
import { grouped } from "../format.js";
import { zone } from "../settings.js";
import { ago, formatTime, humanSeconds } from "../time.js";
import { queryAddress } from "../url_state.js";
import { copy } from "../copy.js";
import { columnHeads, Lists, filterOf, meter, paged, prepare, searchField, stateButtons, telling } from "./lists.js";
import { choice } from "./range.js";

/** @param {import("../app.js").Context} context */
export default async function rules(context) {
  const { root, signal, params } = context;
  const health = new Set(params.getAll("health"));
  let search = params.get("search") ?? "";
  let order = params.get("order") ?? "";
  /** @type {any[]} */ let groups = [];
  /** Samples of the last evaluation, by file and group. @type {Map<string, number>} */ let samples = new Map();
  const lists = new Lists();
  const controls = h("span", { class: "row" });
  const message = h("div");
  const body = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Rules"), controls), message, body);
  const field = searchField(search, (value) => { search = value; context.setParams({ search }); draw(); }, "Filter by name, expression or label");

  const drawControls = () => {
    const all = groups.flatMap((group) => group.rules);
    const count = (/** @type {string} */ state) => all.filter((rule) => rule.health === state).length;
    fillControls(controls, stateButtons("Health", [["ok", "Ok", count("ok")], ["err", "Failing", count("err")], ["unknown", "Unknown", count("unknown")]], health, () => { context.setParams({ health: [...health] }); drawControls(); draw(); }), field,
      choice("Order", [["", "Files in order"], ["slow", "Slowest first"]], order, (value) => { order = value; context.setParams({ order }); draw(); }));
  };

  const draw = () => lists.draw(body, () => {
    const fits = filterOf(search, textOf);
    const shown = groups.map((group) => ({ ...group, rules: group.rules.filter((/** @type {any} */ rule) => (health.size === 0 || health.has(rule.health)) && fits(rule)) })).filter((group) => group.rules.length > 0);
    if (shown.length === 0) return [h("div", { class: "empty" }, groups.length === 0 ? "No rules are configured: name files under rule_files." : "No rule passes the filter.")];
    if (order === "slow") {
      shown.sort((a, b) => b.evaluationTime / b.interval - a.evaluationTime / a.interval);
      for (const group of shown) group.rules.sort((/** @type {any} */ a, /** @type {any} */ b) => b.evaluationTime - a.evaluationTime);
    }
    const sections = h("div");
    lists.rows("groups", sections, shown, section, (group) => `${group.file} ${group.name}`, 4);
    return [sections];
  });

  /** @param {any} group */
  const section = (group) => {
    const failing = group.rules.filter((/** @type {any} */ rule) => rule.health === "err").length;
    const tbody = h("tbody");
    const element = h("section", null,
      h("div", { class: "section" }, h("h2", null, visible(group.name.slice(0, 200))), h("span", { class: "muted" }, visible(group.file.slice(0, 300))), failing > 0 && stateWord("err", `${failing} failing`),
        h("span", { class: "muted" }, `every ${humanSeconds(group.interval)}, took ${humanSeconds(group.evaluationTime)}`, meter(group.evaluationTime, group.interval, "Time of one evaluation against the interval")),
        samples.has(`${group.file};${group.name}`) && h("span", { class: "muted" }, `${grouped(samples.get(`${group.file};${group.name}`) ?? 0)} samples`),
        h("span", { class: "muted", title: evaluated(group.lastEvaluation) ? formatTime(evaluated(group.lastEvaluation), zone()) : "" }, evaluated(group.lastEvaluation) ? ago(evaluated(group.lastEvaluation)) : "not evaluated yet")),
      h("div", { class: "scroll-x" }, h("table", { class: "fixed" }, columnHeads(COLUMNS), tbody)));
    lists.rows(`rules of ${group.file} ${group.name}`, tbody, group.rules, (rule) => line(rule, group), (rule) => `${group.file} ${group.name} ${rule.name} ${rule.query} ${JSON.stringify(rule.labels)}`);
    return element;
  };

  /** @param {any} rule @param {any} group */
  const line = (rule, group) => h("tr", null,
    h("td", null, stateWord(rule.health === "err" ? "err" : rule.health, { ok: "ok", err: "failing", unknown: "unknown" }[/** @type {"ok"} */ (rule.health)])),
    h("td", { class: "wrap" }, h("b", null, visible(rule.name.slice(0, 200))), rule.type === "alerting" ? h("span", { class: "muted" }, ` alert${rule.duration ? `, for ${humanSeconds(rule.duration)}` : ""}`) : "", Object.keys(rule.labels ?? {}).length > 0 && h("div", null, labelText(rule.labels))),
    h("td", null, h("pre", null, rule.query), rule.lastError && note("err", rule.lastError)),
    h("td", { class: "num" }, humanSeconds(rule.evaluationTime)),
    h("td", { class: "fit muted" }, evaluated(rule.lastEvaluation) ? ago(evaluated(rule.lastEvaluation)) : "never"),
    h("td", { class: "fit" }, h("a", { href: queryAddress(rule.query, { tab: "graph" }) }, "graph"), " · ", button("copy", { class: "link", on: { click: () => void copy(rule.query) } }),
      rule.type === "alerting" && [" · ", button("backtest", { class: "link", title: "When it would have fired", on: { click: async () => (await import("./backtest.js")).openBacktest(rule, group, signal) } })]));

  const load = telling(message, signal, async () => {
    const [answer, counts] = await Promise.all([ask("rules", {}, { signal }), ask("status/self_metrics", { metric_name_pattern: "prometheus_rule_group_last_evaluation_samples" }, { signal, quiet: true }).then((found) => found.data[0]?.metric ?? [], () => [])]);
    groups = answer.data.groups;
    for (const group of groups) for (const rule of group.rules) rule.of = `${group.name} ${group.file}`;
    samples = new Map(counts.map((/** @type {any} */ one) => [one.label.find((/** @type {any} */ label) => label.name === "rule_group")?.value, one.gauge.value]));
    drawControls();
    draw();
    void prepare(groups.flatMap((group) => group.rules), textOf, signal);
  });
  await load();
  paged(context, lists, "groups", () => order === "");
  context.onRefresh(load);
}

/** @type {[string, string, string?][]} */
const COLUMNS = [["Health", "92px"], ["Rule", "24%"], ["Expression", "auto"], ["Took", "88px", "num"], ["Last", "104px"], ["", "164px"]];

/** What the filter looks at. @param {any} rule */
const textOf = (rule) => `${rule.name} ${rule.query} ${JSON.stringify(rule.labels)} ${rule.of}`;

/** A time of the server; 0 for its zero. @param {string} text */
const evaluated = (text) => (text.startsWith("0001-") ? 0 : Date.parse(text));
