// Elements from data. Text always becomes a text node; there is no way from a string to markup.

import { replaceChildren } from "./keep.js";

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, any>} Props `class`, `data`, `on` (handlers by event), `style` (by property); the rest are attributes or properties.
 */

/** Properties that must be set as such: the attribute of that name means something else. */
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "open", "indeterminate", "spellcheck"]);

/**
 * Makes an element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Props | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  append(element, children);
  return element;
}

/** @param {HTMLElement} element @param {string} name @param {any} value */
function set(element, name, value) {
  if (name === "on") {
    for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
  } else if (name === "data") {
    for (const [key, text] of Object.entries(value)) if (text !== undefined && text !== null) element.dataset[key] = String(text);
  } else if (name === "style") {
    for (const [key, text] of Object.entries(value)) element.style.setProperty(key, String(text));
  } else if (name === "class") {
    element.className = value || "";
  } else if (PROPERTIES.has(name)) {
    /** @type {any} */ (element)[name] = value;
  } else if (value === true) {
    element.setAttribute(name, "");
  } else if (value !== false && value !== null && value !== undefined) {
    if (name === "href" && !isSafeAddress(String(value))) return;
    element.setAttribute(name, name === "title" || name === "aria-label" ? clipped(String(value), ATTRIBUTE_MAX) : String(value));
  }
}

/** Longer texts are cut wherever they are shown, so that the page stays fast. */
const TEXT_MAX = 10_000;
/** The same for tooltips and screen readers. */
const ATTRIBUTE_MAX = 2000;

/** Whether an address may stand behind a link: relative, or http and https. @param {string} address */
export function isSafeAddress(address) {
  try {
    return ["http:", "https:"].includes(new URL(address, document.baseURI).protocol);
  } catch {
    return false;
  }
}

/** @param {(Child | Child[])[]} children @returns {Node[]} */
const nodes = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== false).map((child) => (child instanceof Node ? child : document.createTextNode(clipped(String(child), TEXT_MAX))));

/** @param {Node} parent @param {(Child | Child[])[]} children */
export function append(parent, children) {
  for (const node of nodes(children)) parent.appendChild(node);
}

/** Replaces the children. Focus, selection and places scrolled to stay. @param {Element} parent @param {...(Child | Child[])} children */
export const fill = (parent, ...children) => replaceChildren(parent, nodes(children));

/** The same for controls: those that would be equal stay as they are, with what was typed into them. @param {Element} parent @param {...(Child | Child[])} children */
export const fillControls = (parent, ...children) => replaceChildren(parent, nodes(children), true);

/** A link to another site, or plain text when the address is neither http nor https. @param {string} address @param {string} [text] */
export function outside(address, text = address) {
  let absolute = false;
  try {
    absolute = ["http:", "https:"].includes(new URL(address).protocol);
  } catch { /* Text that is not an address stays text. */ }
  return absolute ? h("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, h("bdi", null, visible(text))) : h("bdi", null, visible(text));
}

/** Control and direction characters as escapes, so that text cannot hide or turn what stands beside it. @param {string} text */
export function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/gu, (c) => "\\u" + (c.codePointAt(0) ?? 0).toString(16).padStart(4, "0"));
}

/** Long text cut at a limit, with its length. @param {string} text @param {number} [max] */
export function clipped(text, max = 2000) {
  return text.length <= max ? visible(text) : visible(text.slice(0, max)) + `… (${text.length} characters)`;
}

/** A state as a shape and a word. @param {string} state @param {string} [word] */
export const stateWord = (state, word = state) => h("span", { class: "state", data: { s: state } }, word);

/** A message of a kind. @param {"err" | "warn" | "ok" | "info"} kind @param {...Child} children */
export const note = (kind, ...children) => h("div", { class: "note", data: { kind }, role: kind === "err" ? "alert" : "status" }, ...children);

/** @param {string} text @param {Props} props */
export const button = (text, props) => h("button", { type: "button", ...props }, text);

/**
 * Label pairs as text that can be selected and copied.
 * @param {Record<string, string>} labels
 * @param {(name: string) => boolean} [keep]
 */
export function labelText(labels, keep = () => true) {
  const out = h("span", { class: "labels" });
  let first = true;
  for (const [name, value] of Object.entries(labels)) {
    if (!keep(name)) continue;
    if (!first) out.append(", ");
    first = false;
    out.append(h("span", { class: "label" }, h("span", { class: "n" }, clipped(name, 100)), "=", h("bdi", { class: "v" }, `"${clipped(value, 300)}"`)));
  }
  return out;
}

/** Labels as chips; a click hands the pair to `pick`. @param {Record<string, string>} labels @param {(name: string, value: string) => void} [pick] */
export function chips(labels, pick) {
  return Object.entries(labels).map(([name, value]) => {
    const inside = [h("span", { class: "n" }, clipped(name, 100)), "=", h("bdi", null, `"${clipped(value, 300)}"`)];
    return pick
      ? h("button", { type: "button", class: "chip", title: "Filter by this label", on: { click: () => pick(name, value) } }, ...inside)
      : h("span", { class: "chip" }, ...inside);
  });
}

let announcer = /** @type {HTMLElement | null} */ (null);

/** Says something to screen readers. @param {string} text */
export function announce(text) {
  announcer ??= document.body.appendChild(h("div", { class: "unseen", role: "status", "aria-live": "polite" }));
  announcer.textContent = text;
}

let toastTimer = 0;

/** A line at the lower edge that disappears by itself. @param {string} text */
export function toast(text) {
  document.querySelector(".toast")?.remove();
  clearTimeout(toastTimer);
  const element = document.body.appendChild(h("div", { class: "toast", role: "status" }, text));
  toastTimer = window.setTimeout(() => element.remove(), 4000);
}

/**
 * Opens a dialog. Escape and its button close it.
 * @param {string} title
 * @param {...Child} children
 */
export function openDialog(title, ...children) {
  const close = () => dialog.close();
  const dialog = h("dialog", { "aria-label": title, on: { close: () => dialog.remove(), click: (/** @type {Event} */ e) => e.target === dialog && close() } },
    h("div", { class: "dialog-head" }, h("h2", null, title), button("✕", { class: "bare", "aria-label": "Close", on: { click: close } })),
    h("div", { class: "dialog-body" }, ...children));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Moves a menu that would stick out of the window. @param {HTMLElement} popup */
function keepInside(popup) {
  const { left, right } = popup.getBoundingClientRect();
  const by = left < 4 ? 4 - left : right > innerWidth - 4 ? innerWidth - 4 - right : 0;
  if (by !== 0) popup.style.transform = `translateX(${by}px)`;
}

/**
 * A button with a menu below it.
 * @param {string} text
 * @param {Props} props
 * @param {(close: () => void) => Child[] | Promise<Child[]>} content made when it opens
 */
export function menu(text, props, content) {
  const box = h("div", { class: "menu" });
  const close = () => {
    box.querySelector(".popup")?.remove();
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outsideOf, true);
  };
  const outsideOf = (/** @type {Event} */ e) => { if (!box.contains(/** @type {Node} */ (e.target))) close(); };
  const opener = button(text, {
    "aria-haspopup": "true", "aria-expanded": "false", ...props,
    on: {
      click: async () => {
        if (box.querySelector(".popup")) return close();
        opener.setAttribute("aria-expanded", "true");
        const popup = h("div", { class: `popup ${props.popup ?? ""}` });
        box.append(popup);
        append(popup, await content(close));
        keepInside(popup);
        document.addEventListener("pointerdown", outsideOf, true);
        /** @type {HTMLElement | null} */ (popup.querySelector("button, a, input, select"))?.focus();
      },
    },
  });
  box.addEventListener("focusout", (e) => { if (e.relatedTarget instanceof Node && !box.contains(e.relatedTarget)) close(); });
  box.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && box.querySelector(".popup")) { e.stopPropagation(); close(); opener.focus(); }
  });
  box.append(opener);
  return box;
}
