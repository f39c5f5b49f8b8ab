// One panel: editor, Run and Stop, tabs, and what they show.

import { ask, explained, isAbort } from "../api.js";
import { announce, button, fill, h, menu, note, openDialog, visible } from "../dom.js";
import { Editor } from "../editor/editor.js";
import { remember, setting } from "../settings.js";
import { TableTab } from "./table_tab.js";

/**
 * A tab: it draws into its element, and sends its request when `run` is called.
 * @typedef {object} TabView
 * @property {HTMLElement} element
 * @property {(expr: string, signal: AbortSignal) => Promise<Ran>} run
 * @property {() => void} [drawControls]
 * @property {(close: () => void) => any[]} [actions]
 * @property {() => void} [clear]
 *
 * @typedef {{summary: string, stats?: [string, string][] | null, warnings?: string[], infos?: string[], date?: number | null}} Ran
 */

const TITLES = /** @type {[import("../url_state.js").Tab, string][]} */ ([["table", "Table"], ["graph", "Graph"], ["raw", "Raw"], ["tree", "Tree"], ["explain", "Explain"]]);

export class PanelView {
  /** @param {import("../url_state.js").Panel} state @param {any} hooks */
  constructor(state, hooks) {
    this.state = { ...state };
    this.hooks = hooks;
    this.own = new AbortController();
    hooks.signal.addEventListener("abort", () => this.own.abort());
    /** @type {AbortController | null} */ this.running = null;
    /** @type {AbortController | null} */ this.latest = null;
    this.editor = new Editor({
      text: state.expr, label: "Expression", signal: this.own.signal,
      onRun: () => void this.run(true), onStop: () => this.stop(), onInput: () => {},
    });
    this.runButton = button("Run", { class: "primary", on: { click: () => (this.running ? this.stop() : void this.run(true)) } });
    this.status = h("span", { class: "muted small", role: "status" });
    this.more = h("span");
    this.messages = h("div");
    this.above = h("div", { class: "above" });
    this.body = h("div", { class: "panel-body", role: "tabpanel" });
    this.tabs = h("div", { class: "tabs", role: "tablist" }, ...TITLES.map(([tab, title]) => button(title, {
      role: "tab", data: { tab }, on: { click: () => this.setTab(tab), keydown: (/** @type {KeyboardEvent} */ e) => this.tabKey(e) },
    })));
    this.element = h("section", { class: "panel", "aria-label": "Query panel" },
      h("div", { class: "panel-top" }, this.editor.element, this.runButton,
        button("Metrics", { title: "Find a metric and insert it", on: { click: () => void this.openMetrics() } }),
        button("History", { on: { click: () => hooks.history(this) } }),
        menu("⋯", { class: "bare", "aria-label": "More", title: "More" }, (close) => this.actions(close))),
      h("div", { class: "panel-bar" }, this.tabs, h("span", { class: "end" }, this.status, this.more)),
      this.messages, this.above, this.body);
    /** @type {Partial<Record<string, TabView>>} */ this.views = {};
    /** @type {Record<string, Promise<TabView>>} */ this.opening = {};
    /** @type {import("./graph_tab.js").GraphTab | null} */ this.graph = null;
    this.drawTabs();
    void this.open();
  }

  /** The view of the tab that is chosen; undefined while its module is being loaded. @returns {TabView | undefined} */
  get view() {
    return this.views[this.state.tab];
  }

  /** Loads the module of the tab that is chosen, once. @returns {Promise<TabView>} */
  async open() {
    const { tab } = this.state;
    const make = {
      table: async () => new TableTab(this), graph: () => this.makeGraph(), raw: async () => new (await import("./raw_tab.js")).RawTab(this), tree: async () => new (await import("./tree_tab.js")).TreeTab(this),
      explain: async () => new (await import("./explain.js")).ExplainTab(this),
    }[tab];
    this.opening[tab] ??= make().then((made) => {
      this.views[tab] = made;
      if (tab === this.state.tab) this.drawTabs();
      return made;
    });
    return this.opening[tab];
  }

  /** The graph's modules are asked for at once, not one after the other as they name each other. */
  async makeGraph() {
    const [{ GraphTab }] = await Promise.all([import("./graph_tab.js"), ...["chart", "legend", "hover", "scale", "answer", "colours"].map((name) => import(`../chart/${name}.js`))]);
    return (this.graph = new GraphTab(this));
  }

  drawTabs() {
    for (const tab of this.tabs.children) {
      const on = /** @type {HTMLElement} */ (tab).dataset.tab === this.state.tab;
      tab.setAttribute("aria-selected", String(on));
      /** @type {HTMLElement} */ (tab).tabIndex = on ? 0 : -1;
    }
    fill(this.body, this.view?.element);
    this.view?.drawControls?.();
  }

  /** @param {import("../url_state.js").Tab} tab */
  setTab(tab) {
    if (tab === this.state.tab) return;
    this.stop();
    this.state.tab = tab;
    this.drawTabs();
    void this.open();
    this.hooks.write(true);
    if (this.state.expr.trim() !== "") void this.run(false);
  }

  /** @param {KeyboardEvent} event */
  tabKey(event) {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0) return;
    const shown = TITLES.filter(([tab]) => !(/** @type {HTMLElement} */ (this.tabs.querySelector(`[data-tab="${tab}"]`)).hidden));
    const at = shown.findIndex(([tab]) => tab === this.state.tab);
    const [next] = shown[(at + by + shown.length) % shown.length];
    event.preventDefault();
    this.setTab(next);
    /** @type {HTMLElement | null} */ (this.tabs.querySelector(`[data-tab="${next}"]`))?.focus();
  }

  /** Changes the state and asks again. @param {Partial<import("../url_state.js").Panel>} change @param {{share?: boolean, step?: boolean}} [how] */
  change(change, how = {}) {
    Object.assign(this.state, change);
    // The address holds what the linked panels have, too.
    if (how.share) this.hooks.share(this, change);
    this.hooks.write(how.step ?? true);
    this.view?.drawControls?.();
    if (this.state.expr.trim() !== "") void this.run(false);
  }

  /** A change of another panel that applies to this one too. @param {Partial<import("../url_state.js").Panel>} change */
  follow(change) {
    Object.assign(this.state, change);
    this.view?.drawControls?.();
    if (this.state.expr.trim() !== "") void this.run(false);
  }

  /** Ends the request, and with it the query on the server. @returns {boolean} whether there was one */
  stop() {
    if (!this.running) return false;
    this.running.abort();
    return true;
  }

  /** @param {boolean} byHand the text of the editor is used, and added to the history */
  async run(byHand) {
    const expr = byHand ? this.editor.text : this.state.expr;
    this.stop();
    if (byHand) {
      this.state.expr = expr;
      this.hooks.write(true);
    }
    if (expr.trim() === "") {
      fill(this.messages);
      this.status.textContent = "";
      this.view?.clear?.();
      return;
    }
    const controller = new AbortController();
    const ended = () => controller.abort();
    this.own.signal.addEventListener("abort", ended, { once: true });
    this.running = this.latest = controller;
    this.setBusy(true);
    fill(this.more);
    const began = performance.now();
    // Nobody should wonder whether anything happens.
    const clock = setInterval(() => { this.status.textContent = `Running for ${Math.round((performance.now() - began) / 1000)} s. Esc stops it.`; }, 1000);
    try {
      const view = await this.open();
      if (controller.signal.aborted) return;
      void this.showTree(expr, controller.signal);
      const ran = await view.run(expr, controller.signal);
      if (controller.signal.aborted) return;
      const took = performance.now() - began;
      clearInterval(clock);
      const text = `${ran.summary} · ${took < 1000 ? `${Math.round(took)} ms` : `${(took / 1000).toFixed(2)} s`}`;
      this.status.textContent = text;
      const { stats } = ran;
      fill(this.more, stats && [" ", button("Statistics", { class: "link small", on: { click: () => openDialog("Statistics of the query", h("table", { class: "plain" }, h("tbody", null, ...stats.map(([name, value]) => h("tr", null, h("th", { scope: "row" }, name), h("td", { class: "num" }, value)))))) } })]);
      announce(text);
      fill(this.messages,
        ...(setting("warnings") ? (ran.warnings ?? []).map((warning) => note("warn", warning)) : []),
        ...(setting("infos") ? (ran.infos ?? []).map((info) => note("info", info)) : []));
      if (setting("infos")) void this.showHints(expr, controller);
      if (ran.date) this.hooks.context.skew((Date.now() - ran.date) / 1000);
      if (byHand) remember(expr);
      this.editor.problem.hidden = true;
    } catch (error) {
      if (controller.signal.aborted && this.running !== controller) return;
      this.failed(isAbort(error) || controller.signal.aborted ? null : explained(error), expr);
    } finally {
      clearInterval(clock);
      this.own.signal.removeEventListener("abort", ended);
      if (this.running === controller) {
        this.running = null;
        this.setBusy(false);
      }
    }
  }

  /** The tree above the answer, as Prometheus' pages have it. @param {string} expr @param {AbortSignal} signal */
  async showTree(expr, signal) {
    fill(this.above);
    if (!this.state.showTree || this.state.tab === "tree") return;
    const tree = new (await import("./tree_tab.js")).TreeTab(this);
    fill(this.above, tree.element);
    await tree.run(expr, signal).catch(() => fill(this.above));
  }

  /** Suggests what was probably meant; a click applies it. @param {string} expr @param {AbortController} run that the hints belong to */
  async showHints(expr, run) {
    const found = await ask("ferula/editor", { query: expr }, { signal: this.own.signal, quiet: true }).then((answer) => answer.data.diagnostics, () => []);
    if (expr !== this.state.expr || this.latest !== run) return;
    for (const hint of found.filter((/** @type {any} */ one) => one.severity === "hint")) {
      this.messages.append(note("info", visible(hint.message), ...hint.fixes.flatMap((/** @type {any} */ fix) => [" ", button(visible(fix.title.slice(0, 200)), { class: "link", on: { click: () => {
        this.editor.replaceAll(expr.slice(0, fix.from) + fix.insert + expr.slice(fix.to));
        this.editor.close();
        void this.run(true);
      } } })])));
    }
  }

  /** @param {Error | null} error null if it was stopped @param {string} expr */
  failed(error, expr) {
    if (error === null) {
      this.status.textContent = "Stopped.";
      announce("Stopped");
      return;
    }
    this.status.textContent = "";
    const kind = /** @type {any} */ (error).kind;
    const parse = kind === "bad_data" && /parameter "query"/.test(error.message);
    if (parse && this.editor.text === expr) this.editor.showFault(error.message);
    const prefix = /** @type {Record<string, string>} */ ({ execution: "The query failed: ", timeout: "The query took too long: ", canceled: "The query was stopped: " })[kind] ?? "";
    fill(this.messages, note("err", prefix + error.message));
  }

  /** @param {boolean} busy */
  setBusy(busy) {
    this.runButton.textContent = busy ? "Stop" : "Run";
    this.runButton.title = busy ? "End this query (Esc)" : "Run (Enter)";
    if (busy) this.body.dataset.stale = "";
    else delete this.body.dataset.stale;
  }

  /** The timer's or the button's refresh: a fixed end stays as it is. */
  async refresh() {
    if (this.state.expr.trim() === "" || this.running || this.state.tab === "explain") return;
    await this.run(false);
  }

  /** @param {() => void} close */
  actions(close) {
    const item = (/** @type {string} */ text, /** @type {() => void} */ act) => button(text, { on: { click: () => { close(); act(); } } });
    return [
      item("Format expression", () => void this.editor.format()),
      ...(this.view?.actions?.(close) ?? []),
      item(this.state.showTree ? "Hide tree" : "Show tree", () => this.change({ showTree: !this.state.showTree })),
      item("Duplicate panel", () => this.hooks.duplicate(this)),
      item("Move up", () => this.hooks.move(this, -1)),
      item("Move down", () => this.hooks.move(this, 1)),
      item("Remove panel", () => this.hooks.remove(this)),
    ];
  }

  /** The metrics explorer; a click inserts a selector at the cursor. */
  async openMetrics() {
    const place = h("div");
    const { selectionStart, selectionEnd } = this.editor.area;
    const own = new AbortController();
    const dialog = openDialog("Metrics", place);
    dialog.classList.add("wide");
    dialog.addEventListener("close", () => own.abort());
    const insert = (/** @type {string} */ selector) => {
      dialog.close();
      this.editor.area.focus();
      this.editor.area.setSelectionRange(selectionStart, selectionEnd);
      this.editor.insert(selector);
      this.editor.close();
    };
    await (await import("./metrics.js")).default(/** @type {any} */ ({ root: place, signal: own.signal, params: new URLSearchParams(), insert }));
  }

  end() {
    this.stop();
    this.own.abort();
  }
}
