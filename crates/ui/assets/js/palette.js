// The list of keys, and the palette that goes to a page, a metric or a recent query.

import { ask } from "./api.js";
import { announce, fill, h, openDialog } from "./dom.js";
import { history, starred } from "./settings.js";
import { queryAddress } from "./url_state.js";

const KEYS = [
  ["/", "to the query editor"],
  ["Enter", "run the query; Shift+Enter breaks the line"],
  ["Tab", "take the completion; ↓ and ↑ choose one"],
  ["Esc", "close the completion, then stop the query"],
  ["Ctrl+↑  Ctrl+↓", "older and newer queries"],
  ["Ctrl+Shift+F", "format the query"],
  ["Ctrl+K", "go to a page, a metric or a recent query"],
  ["g then q m a r t d l e b s f c", "Query, Metrics, Alerts, Rules, Targets, Discovery, Relabelling, Queries, TSDB, Status, Flags, Configuration"],
  ["r", "refresh"],
  ["← → ↑ ↓", "in a graph: move the crosshair, next series"],
  ["+ − Backspace", "in a graph: zoom, go back"],
  ["?", "this list"],
];

export function openKeys() {
  openDialog("Keys", h("table", { class: "plain" }, h("tbody", null, ...KEYS.map(([keys, text]) =>
    h("tr", null, h("td", { class: "fit" }, ...keys.split("  ").map((key) => [h("kbd", null, key), " "]).flat()), h("td", null, text))))));
}

/** @typedef {{text: string, detail: string, run: () => void}} Choice */

/** A field that finds pages, metrics and queries. @param {import("./keys.js").Hooks} hooks */
export function openPalette(hooks) {
  if (document.querySelector("dialog[open]")) return;
  const list = h("div", { class: "palette-list", role: "listbox", id: "palette", "aria-label": "Choices" });
  const field = h("input", { type: "search", style: { width: "100%" }, placeholder: "Page, metric or recent query", "aria-label": "Go to", role: "combobox", "aria-expanded": "true", "aria-controls": "palette", "aria-autocomplete": "list" });
  const dialog = openDialog("Go to", field, list);
  /** @type {Choice[]} */
  let choices = [];
  let at = 0;
  let asked = 0;
  const pick = (/** @type {Choice} */ choice) => { dialog.close(); choice.run(); };
  const mark = () => {
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
    field.setAttribute("aria-activedescendant", `choice-${at}`);
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  const draw = () => {
    at = 0;
    fill(list, ...choices.map((choice, i) => h("div", { class: "option", role: "option", id: `choice-${i}`, on: { click: () => pick(choice) } }, h("span", { class: "text" }, choice.text), h("span", { class: "detail" }, choice.detail))));
    if (choices.length === 0) fill(list, h("div", { class: "empty" }, "Nothing found."));
    mark();
  };
  const search = async () => {
    const words = field.value.trim().toLowerCase();
    const number = ++asked;
    const toQuery = (/** @type {string} */ expr) => () => hooks.go(queryAddress(expr, { tab: "graph" }));
    const fits = (/** @type {string} */ text) => words.split(/\s+/).every((word) => text.toLowerCase().includes(word));
    choices = [
      ...hooks.pages.filter((page) => fits(page.title) || fits(page.path)).map((page) => ({ text: page.title, detail: "page", run: () => hooks.go(page.path) })),
      ...[...new Set([...starred(), ...history()])].filter(fits).slice(0, 20).map((query) => ({ text: query, detail: starred().includes(query) ? "starred" : "recent", run: toQuery(query) })),
    ];
    draw();
    if (words.length < 2) return;
    const found = await metricNames(words, 30).catch(() => []);
    if (number !== asked) return;
    choices = [...choices, ...found.map((name) => ({ text: name, detail: "metric", run: toQuery(name) }))];
    draw();
  };
  field.addEventListener("input", () => void search());
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") at = Math.min(choices.length - 1, at + 1);
    else if (event.key === "ArrowUp") at = Math.max(0, at - 1);
    else if (event.key === "Enter" && choices[at]) return pick(choices[at]);
    else return;
    event.preventDefault();
    mark();
    announce(choices[at]?.text ?? "");
  });
  void search();
  field.focus();
}

/** Metric names that contain all words. @param {string} words @param {number} limit @param {AbortSignal} [signal] @returns {Promise<string[]>} */
export async function metricNames(words, limit, signal) {
  const pattern = words.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*");
  const match = pattern === "" ? undefined : [`{__name__=~${JSON.stringify(`(?i).*${pattern}.*`)}}`];
  const { data } = await ask("label/__name__/values", { "match[]": match, limit }, { signal, quiet: true });
  return data ?? [];
}
