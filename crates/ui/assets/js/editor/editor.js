// The query editor: a textarea, so that caret, undo and input methods are the browser's, over coloured text of the same shape.

import { ask, isAbort } from "../api.js";
import { announce, fill, h } from "../dom.js";
import { history, onSetting, setting } from "../settings.js";
import { tokens } from "./tokens.js";

/** @typedef {{text: string, insert: string, kind: string, detail: string}} Item */

/** Signs of the kinds of candidates; a metric has the first letter of its type. @type {Record<string, string>} */
const KINDS = { function: "ƒ", aggregation: "Σ", label: "l", value: "v", duration: "d", keyword: "k" };

let count = 0;

/** How long after a key the server is asked: keys of a word that are typed at once make one request. */
const REST_MS = 15;

/** Text longer than this is not coloured at each key. */
const COLOURED_MAX = 50_000;

export class Editor {
  /** @param {{text: string, label: string, signal: AbortSignal, onRun: () => void, onStop: () => boolean, onInput: (text: string) => void}} options */
  constructor(options) {
    this.options = options;
    const id = `editor-${++count}`;
    this.under = h("pre", { "aria-hidden": "true" });
    this.list = h("div", { class: "popup completions", role: "listbox", id: `${id}-list`, "aria-label": "Completions", hidden: true });
    this.problem = h("div", { class: "problem", id: `${id}-problem`, hidden: true });
    this.area = h("textarea", {
      rows: 1, spellcheck: false, autocomplete: "off", autocapitalize: "off", autocorrect: "off", wrap: "soft", placeholder: "Expression: Enter runs it, Shift+Enter breaks the line",
      "aria-label": options.label, "aria-autocomplete": "list", "aria-controls": `${id}-list`, "aria-describedby": `${id}-problem`, "aria-expanded": "false", role: "combobox",
      on: { input: () => this.changed(), keydown: (/** @type {KeyboardEvent} */ e) => this.key(e), blur: () => this.close(), click: () => this.close(), scroll: () => { this.under.scrollTop = this.area.scrollTop; } },
    });
    this.area.value = options.text;
    this.element = h("div", { class: "editor" }, h("div", { class: "code" }, this.under, this.area), this.list, this.problem);
    /** @type {Item[]} */ this.items = [];
    this.chosen = -1;
    /** Candidates that arrive now are not shown: the list was closed, or the query was run. */
    this.unwanted = false;
    this.range = { from: 0, to: 0 };
    this.asked = new AbortController();
    this.timer = 0;
    this.checkTimer = 0;
    this.back = -1;
    this.draft = options.text;
    /** @type {{from: number, to: number, message: string} | null} */ this.fault = null;
    options.signal.addEventListener("abort", () => { this.asked.abort(); clearTimeout(this.timer); clearTimeout(this.checkTimer); });
    options.signal.addEventListener("abort", onSetting(() => { this.fault = null; this.paint(); void this.consult(false); }));
    this.paint();
    void this.consult(false);
  }

  get text() { return this.area.value; }

  /** Inserts a text in a way that the browser can undo. @param {string} text */
  replaceAll(text) {
    this.area.focus();
    this.area.setSelectionRange(0, this.area.value.length);
    this.insert(text);
  }

  /** @param {string} text */
  insert(text) {
    // The only way that keeps the browser's undo; where it does not exist, the text is replaced.
    if (!document.execCommand("insertText", false, text)) {
      this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, "end");
      this.changed();
    }
  }

  changed() {
    this.unwanted = false;
    this.fault = null;
    this.problem.hidden = true;
    this.area.removeAttribute("aria-invalid");
    this.paint();
    this.options.onInput(this.text);
    clearTimeout(this.timer);
    clearTimeout(this.checkTimer);
    this.asked.abort();
    this.timer = window.setTimeout(() => void this.consult(false), REST_MS);
  }

  /** Colours the text. The trailing space gives a last empty line its height. */
  paint() {
    const text = this.text;
    const spans = [];
    if (!setting("highlight") || text.length > COLOURED_MAX) {
      spans.push(document.createTextNode(text));
    } else {
      const fault = this.fault;
      for (const token of tokens(text)) {
        const piece = text.slice(token.from, token.to);
        const marked = fault !== null && token.from < fault.to && token.to > fault.from;
        if ((token.kind === "space" || token.kind === "name") && !marked) spans.push(document.createTextNode(piece));
        else {
          const span = document.createElement("span");
          span.className = `t-${token.kind}${marked ? " fault" : ""}`;
          span.textContent = piece;
          spans.push(span);
        }
      }
      if (fault && fault.from >= text.length) spans.push(h("span", { class: "fault" }, " "));
    }
    spans.push(document.createTextNode("\u200b"));
    this.under.replaceChildren(...spans);
  }

  /**
   * Asks the server for errors and for candidates at the cursor; the last request wins.
   * @param {boolean} forced asked for with a key, so that an empty word is completed too
   */
  async consult(forced) {
    const { text } = this;
    if (forced) this.unwanted = false;
    clearTimeout(this.timer);
    clearTimeout(this.checkTimer);
    this.asked.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    const cursor = this.area.selectionStart;
    const complete = forced || (setting("complete") && document.activeElement === this.area && cursor === this.area.selectionEnd);
    if ((text.trim() === "" && !forced) || !(complete || setting("lint"))) {
      this.close();
      return;
    }
    try {
      const { data } = await ask("ferula/editor", { query: text, cursor: complete ? cursor : undefined, forced: forced ? "true" : undefined }, { signal, quiet: true });
      if (signal.aborted || text !== this.text) return;
      // An error at each keystroke, before the bracket is closed, would annoy.
      const wrong = data.diagnostics.find((/** @type {any} */ one) => one.severity === "error");
      if (wrong && setting("lint")) this.checkTimer = window.setTimeout(() => this.showMistake(wrong.from, wrong.message), 320);
      if (complete && !this.unwanted && this.area.selectionStart === cursor) this.offer(data.complete, cursor);
    } catch (error) {
      // The page works without completion.
      if (!isAbort(error)) this.close();
    }
  }

  /** @param {{from: number, to: number, items: any[]} | null} found @param {number} cursor */
  offer(found, cursor) {
    const word = found ? this.text.slice(found.from, cursor) : /[\w:]*$/.exec(this.text.slice(0, cursor))?.[0] ?? "";
    /** @type {Item[]} */
    const items = (found?.items ?? []).map((item) => ({ text: item.text, insert: item.insert, kind: KINDS[item.kind] ?? item.detail[0] ?? "m", detail: item.kind === "metric" ? (item.detail && item.help ? `${item.detail} · ${item.help}` : item.detail + item.help) : `${item.detail} ${item.help}` }));
    if (word.length >= 3) for (const query of history().filter((query) => query.includes(word) && query !== this.text.trim()).slice(0, 3)) items.push({ text: query, insert: query, kind: "↺", detail: "recent" });
    if (items.length === 0 || (items.length === 1 && items[0].text === word)) this.close();
    else this.open({ from: found?.from ?? cursor, to: found?.to ?? cursor, items });
  }

  /** Underlines what an error of the parser points at. @param {string} message */
  showFault(message) {
    const found = /(?:parameter "query": )?(\d+):(\d+): (?:parse error: )?([^]*)$/.exec(message);
    if (found) this.showMistake(offsetOf(this.text, Number(found[1]), Number(found[2])), `${found[1]}:${found[2]}: ${found[3]}`);
    else this.showMistake(null, message.replace(/^invalid parameter "query": /, "").replace(/^unknown position: parse error: /, ""));
  }

  /** @param {number | null} from where it begins @param {string} message */
  showMistake(from, message) {
    if (from !== null) {
      const token = tokens(this.text).find((one) => one.from <= from && from < one.to);
      this.fault = { from, to: token?.to ?? from + 1, message };
      this.paint();
    }
    this.problem.hidden = false;
    this.problem.textContent = message.replace(/^(\d+:\d+): /, "$1 ");
    this.area.setAttribute("aria-invalid", "true");
  }

  /** @param {{from: number, to: number, items: Item[]}} found */
  open(found) {
    this.items = found.items;
    this.range = found;
    this.chosen = -1;
    const id = this.list.id;
    fill(this.list, ...found.items.map((item, i) => h("div", {
      class: "option", role: "option", id: `${id}-${i}`, title: item.detail,
      on: { pointerdown: (/** @type {Event} */ e) => { e.preventDefault(); this.accept(i); } },
    }, h("span", { class: "kind" }, item.kind), h("span", { class: "text" }, item.text), h("span", { class: "detail" }, item.detail))));
    this.list.hidden = false;
    this.list.scrollTop = 0;
    this.area.setAttribute("aria-expanded", "true");
    this.place();
  }

  /** Puts the list below the word that it completes. */
  place() {
    const range = document.createRange();
    const walker = document.createTreeWalker(this.under, NodeFilter.SHOW_TEXT);
    let left = this.range.from;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const length = node.textContent?.length ?? 0;
      if (left <= length) {
        range.setStart(node, left);
        range.setEnd(node, left);
        break;
      }
      left -= length;
    }
    const at = range.getBoundingClientRect();
    const box = this.element.getBoundingClientRect();
    this.list.style.left = `${Math.max(0, Math.min(at.left - box.left - 28, box.width - 300))}px`;
    this.list.style.top = `${(at.bottom || box.top + 26) - box.top + 4}px`;
  }

  close() {
    this.unwanted = true;
    if (this.list.hidden) return false;
    this.list.hidden = true;
    this.items = [];
    this.chosen = -1;
    this.area.setAttribute("aria-expanded", "false");
    this.area.removeAttribute("aria-activedescendant");
    return true;
  }

  /** @param {number} i */
  accept(i) {
    const item = this.items[i];
    if (!item) return;
    const whole = item.kind === "↺";
    this.area.setSelectionRange(whole ? 0 : this.range.from, whole ? this.text.length : this.range.to);
    this.close();
    this.insert(item.insert);
    this.close();
  }

  /** @param {number} by */
  choose(by) {
    this.chosen = Math.max(-1, Math.min(this.items.length - 1, this.chosen + by));
    [...this.list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === this.chosen)));
    const option = this.list.children[this.chosen];
    if (option) {
      option.scrollIntoView({ block: "nearest" });
      this.area.setAttribute("aria-activedescendant", option.id);
      announce(`${this.items[this.chosen].text} ${this.items[this.chosen].detail}`);
    } else this.area.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    // Keys that an input method is using are not ours.
    if (event.isComposing || event.keyCode === 229) return;
    const open = !this.list.hidden;
    const ctrl = event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && !event.shiftKey) {
      if (open && this.chosen >= 0 && !ctrl) this.accept(this.chosen);
      else { this.close(); this.options.onRun(); }
    } else if (event.key === "Tab" && open && !event.shiftKey) this.accept(Math.max(0, this.chosen));
    else if (event.key === "Escape") {
      if (!this.close() && !this.options.onStop()) return;
    } else if (ctrl && event.key === " ") void this.consult(true);
    else if (ctrl && event.shiftKey && event.key.toLowerCase() === "f") void this.format();
    else if (event.key === "ArrowDown" && open && !ctrl) this.choose(1);
    else if (event.key === "ArrowUp" && open && !ctrl) this.choose(-1);
    else if ((event.key === "PageDown" || event.key === "PageUp") && open) this.choose(event.key === "PageDown" ? 8 : -8);
    else if (event.key === "ArrowUp" && (ctrl || this.text === "")) this.older(1);
    else if (event.key === "ArrowDown" && ctrl) this.older(-1);
    else {
      if (event.key === "ArrowLeft" || event.key === "ArrowRight" || event.key === "Home" || event.key === "End") this.close();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** Steps through the history of queries. @param {number} by */
  older(by) {
    const queries = history();
    if (this.back === -1) this.draft = this.text;
    const next = Math.max(-1, Math.min(queries.length - 1, this.back + by));
    if (next === this.back) return;
    this.replaceAll(next === -1 ? this.draft : queries[next]);
    this.back = next;
    this.close();
  }

  async format() {
    try {
      const { data } = await ask("format_query", { query: this.text }, { signal: this.options.signal });
      if (data !== this.text) this.replaceAll(data);
      this.close();
    } catch (error) {
      if (!isAbort(error)) this.showFault(/** @type {Error} */ (error).message);
    }
  }
}

/** The parser counts columns in bytes of UTF-8, from 1. @param {string} text @param {number} line @param {number} column */
function offsetOf(text, line, column) {
  let from = 0;
  for (let l = 1; l < line; l++) from = text.indexOf("\n", from) + 1;
  let left = column - 1;
  while (left > 0 && from < text.length) {
    const point = text.codePointAt(from) ?? 0;
    left -= point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    from += point < 0x10000 ? 1 : 2;
  }
  return Math.min(from, text.length);
}
