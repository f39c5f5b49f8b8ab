// The query page: its panels, their order, and the address that holds all of it.

import { copy } from "../copy.js";
import { button, fill, h, note } from "../dom.js";
import { humanSeconds } from "../time.js";
import { newPanel, readPanels, writePanels } from "../url_state.js";
import { PanelView } from "./panel.js";

/** @param {import("../app.js").Context} context */
export default function query(context) {
  const { root, signal } = context;
  /** @type {PanelView[]} */
  let views = [];
  let linked = context.params.get("unlinked") !== "1";
  const list = h("div");
  const skew = h("div");

  const states = () => views.map((view) => view.state);
  const more = () => {
    const now = new URLSearchParams(location.search);
    return { refresh: now.get("refresh") ?? "", tz: now.get("tz") ?? "", embed: now.get("embed") ?? "", unlinked: linked ? "" : "1" };
  };
  const address = () => `${location.pathname}?${writePanels(states(), more())}`;
  /** Writes the state into the address; what a person did becomes a step in the browser's history, so that it can be undone. */
  const write = (/** @type {boolean} */ step) => {
    const next = address();
    if (next === location.pathname + location.search) return;
    if (step) history.pushState(null, "", next);
    else history.replaceState(history.state, "", next);
  };

  const hooks = {
    signal,
    write,
    context: { skew: (/** @type {number} */ seconds) => showSkew(skew, seconds) },
    /** Zooming one graph zooms all, unless they are unlinked. @param {PanelView} from @param {Partial<import("../url_state.js").Panel>} change */
    share: (from, change) => {
      if (!linked) return;
      for (const view of views) if (view !== from) view.follow(change);
    },
    /** @param {PanelView} from @param {number | null} at */
    cross: (from, at) => {
      if (linked) for (const view of views) if (view !== from) view.graph?.chart.hover.follow(at);
    },
    /** @param {PanelView} view */
    remove: (view) => {
      view.end();
      views = views.filter((other) => other !== view);
      view.element.remove();
      if (views.length === 0) add(newPanel());
      write(true);
    },
    /** @param {PanelView} view */
    duplicate: (view) => {
      add({ ...view.state }, view);
      write(true);
    },
    /** @param {PanelView} view @param {number} by */
    move: (view, by) => {
      const at = views.indexOf(view);
      const to = at + by;
      if (to < 0 || to >= views.length) return;
      views.splice(at, 1);
      views.splice(to, 0, view);
      // Moving the neighbour keeps the graph of the moved one alive.
      if (by < 0) list.insertBefore(view.element, views[to + 1].element);
      else list.insertBefore(views[at].element, view.element);
      write(true);
    },
    /** @param {PanelView} view */
    history: async (view) => (await import("./history.js")).openHistory(view),
  };

  /** @param {import("../url_state.js").Panel} state @param {PanelView} [after] */
  function add(state, after) {
    const view = new PanelView(state, /** @type {any} */ (hooks));
    const at = after ? views.indexOf(after) + 1 : views.length;
    views.splice(at, 0, view);
    list.insertBefore(view.element, views[at + 1]?.element ?? null);
    return view;
  }

  const head = h("div", null, h("h1", { class: "unseen" }, "Query"), skew);
  const below = h("div", { class: "row below" },
    button("Add panel", { on: { click: () => { const view = add({ ...newPanel(), rangeMs: views[0]?.state.rangeMs ?? 3_600_000, end: linked ? views[0]?.state.end ?? null : null, tab: views[0]?.state.tab === "graph" ? "graph" : "table" }); write(true); view.editor.area.focus(); } } }),
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: linked, on: { change: (/** @type {any} */ e) => { linked = e.target.checked; write(false); } } }), "Link time ranges and crosshairs"),
    button("Copy link", { on: { click: () => void copy(location.origin + address(), "Link copied") } }));
  fill(root, head, list, below);

  const fromAddress = readPanels(location.search);
  for (const state of fromAddress.length > 0 ? fromAddress : [newPanel()]) {
    const view = add(state);
    if (state.expr.trim() !== "") void view.run(false);
  }
  if (fromAddress.length === 0) views[0].editor.area.focus();
  context.onRefresh(() => Promise.all(views.map((view) => view.refresh())));
  window.addEventListener("ferula-params", () => write(false), { signal });
  signal.addEventListener("abort", () => { for (const view of views) view.end(); });
}

/** Warns if the server's clock and the browser's differ. @param {HTMLElement} place @param {number} seconds */
function showSkew(place, seconds) {
  if (Math.abs(seconds) < 30) fill(place);
  else fill(place, note("warn", `The server's clock and this browser's are ${humanSeconds(Math.abs(seconds))} apart (the ${seconds > 0 ? "browser" : "server"} is ahead): “now” is not the same moment for both.`));
}

/** A command line for the same request. @param {string} path @param {[string, string][]} params */
export function curl(path, params) {
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;
  return `curl -sS ${quoted(new URL(`api/v1/${path}`, document.baseURI).href)} ${params.map(([name, value]) => `--data-urlencode ${quoted(`${name}=${value}`)}`).join(" ")}`;
}
