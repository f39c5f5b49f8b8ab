// What a person holds while a list is drawn again: the focus, the selection, opened details, places scrolled to. The rows
// that hold them are found again by their keys, everything else by its place.

/** @type {WeakMap<Node, string>} */
const keys = new WeakMap();

/** Gives a row the key by which it is found again. @template {Node} N @param {N} node @param {string} key @returns {N} */
export function keyed(node, key) {
  keys.set(node, key);
  return node;
}

/** @typedef {{key: string | undefined, tag: string, at: number, label: string}} Step from a node to one of its children */

/** What a control is called. @param {Node} node */
const labelOf = (node) => (node instanceof Element && /^(?:A|BUTTON|INPUT|SELECT|TEXTAREA|TH|SUMMARY|SECTION)$/.test(node.tagName) ? node.getAttribute("aria-label") ?? (node.tagName === "SECTION" ? "" : node.textContent) ?? "" : "");

/** The way from `root` down to a node. @param {Node} root @param {Node} node @returns {Step[]} */
function wayTo(root, node) {
  /** @type {Step[]} */
  const way = [];
  for (let at = node; at !== root && at.parentNode; at = at.parentNode) way.unshift({ key: keys.get(at), tag: at.nodeName, at: [...at.parentNode.childNodes].indexOf(/** @type {ChildNode} */ (at)), label: labelOf(at) });
  return way;
}

/** Every row below a node. @param {Node} root */
const rowsIn = (root) => [...(/** @type {Element} */ (root).querySelectorAll?.("tr, section, li") ?? [])].filter((row) => keys.has(row));

/** The node at the end of a way; if its row is gone, what stands in the row's place. @param {Node} root @param {Step[]} way @returns {Node} */
function follow(root, way) {
  let node = root;
  for (const { key, tag, at, label } of way) {
    const all = [...node.childNodes];
    const same = all.filter((one) => one.nodeName === tag);
    /** @type {Node | undefined} */ let next;
    if (key !== undefined) next = same.find((one) => keys.get(one) === key) ?? rowsIn(root).find((one) => keys.get(one) === key);
    next ??= (label ? same.find((one) => labelOf(one) === label) : undefined) ?? (all[at]?.nodeName === tag ? all[at] : same[Math.min(at, same.length - 1)]);
    if (!next) break;
    node = next;
  }
  return node;
}

const FOCUSABLE = "button, a[href], input, select, textarea, summary, [tabindex]";

/** Puts the focus on a node, or on what is nearest to it. @param {Node | null} node */
function focusNear(node) {
  for (let at = node; at instanceof Element; at = at.parentElement) {
    for (const one of [at, at.querySelector(FOCUSABLE)]) {
      /** @type {HTMLElement | null} */ (one)?.focus({ preventScroll: true });
      if (one && document.activeElement === one) return;
    }
  }
}

/** Keys of the rows that hold the focus or an end of the selection; without the part that tells rows of one item apart. */
export function heldKeys() {
  const held = new Set();
  const selection = getSelection();
  for (const node of [document.activeElement, ...(selection && !selection.isCollapsed ? [selection.anchorNode, selection.focusNode] : [])]) {
    for (let at = /** @type {Node | null} */ (node); at; at = at.parentNode) if (keys.has(at)) held.add(keys.get(at)?.split("\u0001")[0]);
  }
  return held;
}

/** Draws what is below `root` again. @param {Element} root @param {() => void} draw */
export function keep(root, draw) {
  if (!root.firstChild || !root.isConnected) return draw();
  const active = /** @type {HTMLInputElement | null} */ (document.activeElement);
  const focus = active && active !== root && root.contains(active) ? wayTo(root, active) : null;
  const selection = getSelection();
  const ends = selection && !selection.isCollapsed && root.contains(selection.anchorNode) && root.contains(selection.focusNode) ? [[selection.anchorNode, selection.anchorOffset], [selection.focusNode, selection.focusOffset]].map(([node, offset]) => ({ way: wayTo(root, /** @type {Node} */ (node)), offset: Number(offset) })) : null;
  const places = [...root.querySelectorAll(".scroll-x, .virtual, details[open]")].filter((one) => one.scrollTop || one.scrollLeft || "open" in one).map((one) => ({ way: wayTo(root, one), top: one.scrollTop, left: one.scrollLeft }));
  draw();
  for (const { way, top, left } of places) {
    const one = /** @type {any} */ (follow(root, way));
    if (one instanceof HTMLDetailsElement) one.open = true;
    else if (one !== root) [one.scrollTop, one.scrollLeft] = [top, left];
  }
  if (ends && selection) {
    const [a, b] = ends.map(({ way, offset }) => {
      const node = follow(root, way);
      return { node, offset, exact: node.nodeName === way[way.length - 1]?.tag };
    });
    const within = (/** @type {Node} */ node) => (node instanceof Text ? node.length : node.childNodes.length);
    if (a.exact && b.exact) selection.setBaseAndExtent(a.node, Math.min(a.offset, within(a.node)), b.node, Math.min(b.offset, within(b.node)));
  }
  if (!focus || !active || document.activeElement === active) return;
  const next = /** @type {HTMLInputElement} */ (active.isConnected ? active : follow(root, focus));
  focusNear(next);
  if (next === active || next !== document.activeElement || next.tagName !== active.tagName || !/^(?:text|search|textarea)$/.test(next.type)) return;
  const { selectionStart, selectionEnd } = active;
  if (typed.has(active)) {
    next.value = active.value;
    typed.add(next);
  }
  next.setSelectionRange(selectionStart, selectionEnd);
}

/** Fields with text that was not taken yet. @type {WeakSet<EventTarget>} */
const typed = new WeakSet();
document.addEventListener("input", ({ target }) => { if (target) typed.add(target); }, true);
document.addEventListener("change", ({ target }) => { if (target) typed.delete(target); }, true);

/**
 * Puts children in place of others. Nodes that stay are not moved; an equal control stays as it is, with its value.
 * @param {Element} parent @param {Node[]} wanted @param {boolean} [alike] whether equal controls stay
 */
export function replaceChildren(parent, wanted, alike = false) {
  keep(parent, () => {
    const staying = new Set(wanted);
    const old = [...parent.childNodes].filter((one) => !staying.has(one));
    const nodes = wanted.map((one) => {
      if (!alike || one.parentNode === parent) return one;
      const at = old.findIndex((other) => isAlike(other, one));
      return at < 0 ? one : old.splice(at, 1)[0];
    });
    for (const one of old) one.remove();
    let next = parent.firstChild;
    for (const one of nodes) {
      if (one === next) next = next.nextSibling;
      else parent.insertBefore(one, next);
    }
  });
}

/** Whether an old control can stand for a new one. @param {any} old @param {any} fresh */
function isAlike(old, fresh) {
  const [mine, its] = [old, fresh].map((node) => node.querySelector?.(":scope > button"));
  // A menu that is open is in use.
  if (mine && its && old instanceof Element && old.matches(".menu:has(> .popup)") && fresh.matches(".menu")) {
    mine.textContent = its.textContent;
    return true;
  }
  if (!old.isEqualNode(fresh)) return false;
  const fields = (/** @type {any} */ node) => [node, ...node.querySelectorAll?.("input, select") ?? []];
  const news = fields(fresh);
  return fields(old).every((/** @type {any} */ field, i) => {
    if (field === document.activeElement) return true;
    if (field.tagName !== "SELECT") return field.value === news[i].value && field.checked === news[i].checked;
    field.value = news[i].value;
    return true;
  });
}

let pressed = 0;
let timer = 0;
/** @type {(() => void)[]} */
let waiting = [];

/** Waits while a button of the mouse or a key that presses is down: a list that changes then would take the click away. */
export const atRest = () => (pressed === 0 || Date.now() - pressed > 5000 ? undefined : new Promise((resolve) => waiting.push(() => resolve(undefined))));

/** Something is pressed; that it was let go may never be said. */
const press = () => {
  pressed = Date.now();
  clearTimeout(timer);
  timer = setTimeout(release, 5000);
};

const release = () => {
  pressed = 0;
  clearTimeout(timer);
  const all = waiting;
  waiting = [];
  // After the click that follows.
  if (all.length > 0) setTimeout(() => { for (const one of all) one(); }, 0);
};

const early = { capture: true, passive: true };
document.addEventListener("pointerdown", press, early);
for (const name of ["pointerup", "pointercancel", "dragend", "keyup"]) document.addEventListener(name, release, early);
document.addEventListener("pointermove", (event) => { if (pressed && event.buttons === 0) release(); }, early);
document.addEventListener("keydown", (event) => { if (event.key === " " && event.target instanceof Element && event.target.matches("button, summary, input[type=checkbox]")) press(); }, early);
addEventListener("blur", release);
