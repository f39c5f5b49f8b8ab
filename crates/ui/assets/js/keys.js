// Keys that work everywhere.

/** @typedef {{go: (address: string) => void, pages: {path: string, title: string}[], refresh: () => void}} Hooks */

/** @type {Hooks} */
let hooks = { go: () => {}, pages: [], refresh: () => {} };

/** Letters after `g`. */
const LETTERS = /** @type {Record<string, string>} */ ({ q: "query", m: "metrics-explorer", a: "alerts", r: "rules", t: "targets", d: "service-discovery", b: "tsdb-status", s: "status", f: "flags", c: "config", l: "relabel", e: "queries" });

/** @param {EventTarget | null} target */
const isField = (target) => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** @param {Hooks} given */
export function installKeys(given) {
  hooks = given;
  // Long before any key.
  let after = -Infinity;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target) || document.querySelector("dialog[open]")) return;
    const gone = event.timeStamp - after < 1500;
    after = -Infinity;
    if (gone && LETTERS[event.key] && hooks.pages.some((page) => page.path === LETTERS[event.key])) hooks.go(LETTERS[event.key]);
    else if (event.key === "g") after = event.timeStamp;
    else if (event.key === "?") openKeys();
    else if (event.key === "r") hooks.refresh();
    else if (event.key === "/") {
      const field = /** @type {HTMLElement | null} */ (document.querySelector("main .editor textarea, main input[type=search]"));
      if (!field) return;
      field.focus();
    } else return;
    event.preventDefault();
  });
}

/** The list of keys, loaded when it is asked for. */
export const openKeys = async () => (await import("./palette.js")).openKeys();

/** The field that goes anywhere. */
export const openPalette = async () => (await import("./palette.js")).openPalette(hooks);
