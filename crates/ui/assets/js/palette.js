// The list of keys, and the palette that goes to a page, a metric or a recent query.

import { ask } from "./api.js";
import { announce, fill, h, openDialog, visible } from "./dom.js";
import { history, setSetting, setting, starred } from "./settings.js";
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
  ["t", "in a graph: its numbers as a table"],
  ["Enter", "in a graph: pin the tooltip; Esc lets it go"],
  ["?", "this list"],
];

export function openKeys() {
  openDialog("Keys", h("table", { class: "plain" }, h("tbody", null, ...KEYS.map(([keys, text]) =>
    h("tr", null, h("td", { class: "fit" }, ...keys.split("  ").map((key) => [h("kbd", null, key), " "]).flat()), h("td", null, text))))));
}

/** Settings that the palette changes: words, name, value; without a value it is switched. @type {[string, string, any?][]} */
const SETTINGS = [["Theme: light", "theme", "light"], ["Theme: dark", "theme", "dark"], ["Theme: automatic", "theme", "auto"], ["Completion on or off", "complete"], ["Syntax colours on or off", "highlight"], ["Errors while typing on or off", "lint"], ["Query history on or off", "history"]];

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
    fill(list, ...choices.map((choice, i) => h("div", { class: "option", role: "option", id: `choice-${i}`, on: { click: () => pick(choice) } }, h("span", { class: "text" }, visible(choice.text.slice(0, 300))), h("span", { class: "detail" }, choice.detail))));
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
      ...SETTINGS.filter(([text]) => words !== "" && fits(text)).map(([text, name, value]) => ({ text, detail: "setting", run: () => setSetting(name, value ?? !setting(name)) })),
      ...[...new Set([...starred(), ...history()])].filter(fits).slice(0, 20).map((query) => ({ text: query, detail: starred().includes(query) ? "starred" : "recent", run: toQuery(query) })),
    ];
    draw();
    if (words.length < 2) return;
    const found = await ask("ferula/metrics", { search: words.slice(0, 900), limit: 30 }, { quiet: true }).then((answer) => answer.data.metrics, () => []);
    if (number !== asked) return;
    const selector = (/** @type {string} */ name) => (/^[a-zA-Z_:][\w:]*$/.test(name) ? name : `{${JSON.stringify(name)}}`);
    choices = [...choices, ...found.map((/** @type {any} */ one) => ({ text: one.name, detail: one.type ?? "metric", run: toQuery(selector(one.name)) }))];
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
