// The queries that ran: searched, starred, used again.

import { button, fill, h, openDialog, visible } from "../dom.js";
import { forgetHistory, history as ran, setting, starred, toggleStar } from "../settings.js";

const SHOWN_MAX = 500;

/** @param {import("./panel.js").PanelView} view */
export function openHistory(view) {
  const list = h("div", { class: "history-list" });
  const field = h("input", { type: "search", style: { width: "100%" }, placeholder: "Search queries", "aria-label": "Search queries" });
  const dialog = openDialog("Query history", field, list,
    h("div", { class: "row" }, button("Forget all but starred", { on: { click: () => { forgetHistory(); draw(); } } }), !setting("history") && h("span", { class: "muted" }, "History is switched off in the settings.")));
  const draw = () => {
    const stars = starred();
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const queries = [...stars, ...ran().filter((query) => !stars.includes(query))].filter((query) => words.every((word) => query.toLowerCase().includes(word)));
    fill(list, ...queries.slice(0, SHOWN_MAX).map((query) => h("div", { class: "option" },
      button(stars.includes(query) ? "★" : "☆", { class: "bare", "aria-label": stars.includes(query) ? "Remove star" : "Star", "aria-pressed": String(stars.includes(query)), on: { click: () => { toggleStar(query); draw(); } } }),
      h("span", { class: "text" }, visible(query)),
      button("Use", { on: { click: () => { dialog.close(); view.editor.replaceAll(query); void view.run(true); } } }))));
    if (queries.length === 0) fill(list, h("div", { class: "empty" }, "No queries yet."));
  };
  field.addEventListener("input", draw);
  draw();
  field.focus();
}
