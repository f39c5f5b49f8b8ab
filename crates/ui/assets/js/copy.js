// Copying and saving. Works on plain http, where there is no clipboard API.

import { toast } from "./dom.js";

/** Copies text and says whether it worked. @param {string} text @param {string} [what] */
export async function copy(text, what = "Copied") {
  let done = false;
  try {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      done = true;
    }
  } catch { /* Refused: the older way may still work. */ }
  done ||= copyBySelection(text);
  toast(done ? what : "The browser refused to copy. Select the text and press Ctrl+C.");
  return done;
}

/** @param {string} text */
function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.setAttribute("readonly", "");
  field.className = "unseen";
  const parent = document.querySelector("dialog[open]") ?? document.body;
  const focused = document.activeElement;
  parent.append(field);
  field.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch { /* Reported by the caller. */ }
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}

/** Saves text as a file. @param {string} name @param {string} type @param {string[]} parts */
export function save(name, type, parts) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** One field of a CSV line. Text that a spreadsheet would run as a formula gets a quote in front. @param {string} text */
export function csvField(text) {
  const safe = /^[=@\t\r]|^[+-](?![\d.]|Inf|$)/.test(text) ? "'" + text : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
