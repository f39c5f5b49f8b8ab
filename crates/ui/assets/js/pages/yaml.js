// YAML with line numbers that can be linked to, keys and comments set apart.

import { h, visible } from "../dom.js";

/** @param {string} text @param {string} anchor prefix of line addresses; "" for none @param {string} [words] marked where they occur */
export function yamlView(text, anchor, words = "") {
  const lines = text.replace(/\n$/, "").split("\n");
  const at = anchor && location.hash.startsWith(`#${anchor}`) ? Number(location.hash.slice(anchor.length + 1)) : 0;
  return h("div", { class: "yaml", role: "region", "aria-label": "YAML" }, ...lines.map((line, i) => h("div", { id: anchor ? `${anchor}${i + 1}` : null, data: at === i + 1 ? { at: "" } : {} },
    anchor ? h("a", { href: `${location.pathname.split("/").pop()}${location.search}#${anchor}${i + 1}`, "aria-label": `Line ${i + 1}` }, String(i + 1)) : "", h("span", { class: "grow" }, ...coloured(line, words)))));
}

/** @param {string} line @param {string} words */
function coloured(line, words) {
  if (/^\s*#/.test(line)) return [h("span", { class: "c" }, ...marked(line, words))];
  const found = /^(\s*(?:- )*)([\w./-]+)(:(?:\s|$))/.exec(line);
  if (!found) return marked(line, words);
  return [found[1], h("span", { class: "k" }, ...marked(found[2], words)), found[3], ...marked(line.slice(found[0].length), words)];
}

/** The text with the words in it marked. @param {string} text @param {string} words @returns {(Node | string)[]} */
export function marked(text, words) {
  const wanted = words.trim().toLowerCase();
  if (wanted === "") return [visible(text)];
  const out = [];
  let from = 0;
  const lower = text.toLowerCase();
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    out.push(visible(text.slice(from, at)), h("mark", null, visible(text.slice(at, at + wanted.length))));
    from = at + wanted.length;
  }
  out.push(visible(text.slice(from)));
  return out;
}
