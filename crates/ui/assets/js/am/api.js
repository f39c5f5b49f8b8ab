// Calls of Alertmanager's API, version 2, and matchers as text.

import { encode, explained, failure } from "../api.js";
import { atRest } from "../keep.js";

/** @typedef {{name: string, value: string, isRegex: boolean, isEqual?: boolean}} Matcher */

/**
 * Asks a path below `api/v2/`.
 * @param {string} path @param {import("../api.js").Params} [params] @param {{signal?: AbortSignal, method?: string, body?: any}} [options]
 * @returns {Promise<any>}
 */
export async function ask(path, params = {}, options = {}) {
  const query = encode(params).toString();
  try {
    const response = await fetch(`api/v2/${path}${query ? `?${query}` : ""}`, {
      method: options.method ?? "GET", signal: options.signal, credentials: "same-origin", body: options.body === undefined ? undefined : JSON.stringify(options.body),
      headers: options.body === undefined ? { Accept: "application/json" } : { Accept: "application/json", "Content-Type": "application/json" },
    });
    const text = await response.text();
    let json = null;
    try { json = text === "" ? null : JSON.parse(text); } catch { /* Explained below. */ }
    await atRest();
    options.signal?.throwIfAborted();
    if (response.ok && (json !== null || text === "")) return json;
    // Errors are a text in quotes, or a code and a message.
    if (!response.ok && json !== null) throw new Error(typeof json === "string" ? json : String(json.message ?? text));
    throw failure(response, null, text);
  } catch (error) {
    throw explained(error);
  }
}

/** A number of things, in words. @param {number} n @param {string} thing */
export const many = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/** `job="api"` @param {Matcher} matcher */
export const matcherText = ({ name, value, isRegex, isEqual }) => `${/^[a-zA-Z_][\w]*$/.test(name) ? name : JSON.stringify(name)}${isRegex ? (isEqual === false ? "!~" : "=~") : isEqual === false ? "!=" : "="}${JSON.stringify(value)}`;

/** `{job="api", env!="dev"}` @param {Matcher[]} matchers */
export const filterText = (matchers) => `{${matchers.map(matcherText).join(", ")}}`;

/** @param {Record<string, string>} labels @returns {Matcher[]} */
export const ofLabels = (labels) => Object.entries(labels).map(([name, value]) => ({ name, value, isRegex: false, isEqual: true }));

/**
 * Matchers of a text, with or without braces; null where it is none. Values may lack their quotation marks.
 * @param {string} text @returns {Matcher[] | null}
 */
export function parseMatchers(text) {
  let rest = text.trim();
  if (rest.startsWith("{")) {
    if (!rest.endsWith("}")) return null;
    rest = rest.slice(1, -1);
  }
  const matchers = [];
  for (rest = rest.trim(); rest !== ""; rest = rest.trim()) {
    const found = /^("(?:[^"\\]|\\.)*"|[^\s,={}!~"]+)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^,"{}]*?)\s*(?:,|$)/s.exec(rest);
    if (!found) return null;
    const [all, name, op, value] = found;
    const plain = (/** @type {string} */ quoted) => {
      if (!quoted.startsWith('"')) return quoted;
      try { return JSON.parse(quoted.replace(/\n/g, "\\n")); } catch { return quoted.slice(1, -1); }
    };
    matchers.push({ name: plain(name), value: plain(value), isRegex: op.endsWith("~"), isEqual: op.startsWith("=") });
    rest = rest.slice(all.length);
  }
  return matchers;
}
