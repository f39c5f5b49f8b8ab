// Calls of the server: relative addresses, errors in words that say what to do, an end when the page goes.

import { atRest } from "./keep.js";

/** An answer that is not a result. */
export class ApiError extends Error {
  /** @param {string} message @param {string} kind @param {number} status */
  constructor(message, kind, status = 0) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

/** @typedef {{data: any, warnings: string[], infos: string[], date: number | null, bytes: number}} Answer */

/** @type {Set<(busy: number) => void>} */
const busyListeners = new Set();
let busy = 0;

/** @param {(busy: number) => void} listener */
export const onBusy = (listener) => void busyListeners.add(listener);

/** @param {number} by */
function count(by) {
  busy += by;
  for (const listener of busyListeners) listener(busy);
}

/** @typedef {Record<string, string | number | string[] | undefined | null>} Params */

/** @param {Params} params */
export function encode(params) {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (Array.isArray(value)) for (const one of value) out.append(name, one);
    else if (value !== undefined && value !== null && value !== "") out.append(name, String(value));
  }
  return out;
}

/** The whole address of an endpoint, for workers and copied commands. @param {string} path */
export const absolute = (path) => new URL(path, document.baseURI).href;

/** Endpoints that take forms. */
const FORMS = /^(?:query|series$|labels$|format_query|parse_query|ferula\/)/;

/**
 * Asks an endpoint of `/api/v1`.
 * @param {string} path below `api/v1/`
 * @param {Params} [params]
 * @param {{signal?: AbortSignal, post?: boolean, quiet?: boolean}} [options]
 * @returns {Promise<Answer>}
 */
export async function ask(path, params = {}, options = {}) {
  const body = encode(params);
  const query = body.toString();
  // Long requests go as forms where forms are taken: proxies cut long addresses.
  const post = options.post ?? (query.length > 2000 && FORMS.test(path));
  const address = `api/v1/${path}${!post && query ? `?${query}` : ""}`;
  if (!options.quiet) count(1);
  try {
    const response = await fetch(address, { method: post ? "POST" : "GET", body: post ? body : undefined, signal: options.signal, redirect: "follow", credentials: "same-origin", headers: { Accept: "application/json" } });
    const answer = await read(response);
    await atRest();
    options.signal?.throwIfAborted();
    return answer;
  } catch (error) {
    throw explained(error);
  } finally {
    if (!options.quiet) count(-1);
  }
}

/**
 * Asks an endpoint whose answer is not in the envelope.
 * @param {string} path @param {Params} params @param {AbortSignal} signal @returns {Promise<any>}
 */
export async function askBare(path, params, signal) {
  try {
    const response = await fetch(`api/v1/${path}?${encode(params)}`, { signal, credentials: "same-origin", headers: { Accept: "application/json" } });
    const text = await response.text();
    await atRest();
    if (response.ok) return JSON.parse(text);
    throw failure(response, parsedOrNull(text), text);
  } catch (error) {
    throw explained(error);
  }
}

/**
 * Asks an endpoint that answers a line of JSON after the other.
 * @param {string} path @param {Params} params @param {AbortSignal} signal @param {(line: any) => void} take
 */
export async function askLines(path, params, signal, take) {
  count(1);
  try {
    const response = await fetch(`api/v1/${path}`, { method: "POST", body: encode(params), signal, credentials: "same-origin" });
    if (!response.ok || !response.body) {
      const text = await response.text();
      throw failure(response, parsedOrNull(text), text);
    }
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let pending = "";
    for (;;) {
      const { done, value } = await reader.read();
      pending += decoder.decode(value, { stream: !done });
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) take(JSON.parse(line));
      if (done) return;
    }
  } catch (error) {
    throw explained(error);
  } finally {
    count(-1);
  }
}

/** @param {string} text */
function parsedOrNull(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {unknown} error @returns {Error} */
export function explained(error) {
  if (error instanceof ApiError) return error;
  if (error instanceof DOMException && error.name === "AbortError") return error;
  if (error instanceof TypeError) return new ApiError("The server cannot be reached. It may be restarting, the network may be down, or a login may have expired: reload the page.", "network");
  return error instanceof Error ? error : new Error(String(error));
}

/** @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

/** @param {Response} response @returns {Promise<Answer>} */
async function read(response) {
  const date = response.headers.get("Date");
  const text = response.status === 204 ? "" : await response.text();
  const common = { date: date ? Date.parse(date) : null, bytes: text.length };
  if (response.status === 204) return { data: null, warnings: [], infos: [], ...common };
  const json = parsedOrNull(text);
  if (json && json.status === "success") return { data: json.data, warnings: json.warnings ?? [], infos: json.infos ?? [], ...common };
  throw failure(response, json, text);
}

/** @param {Response} response @param {any} json @param {string} text */
export function failure(response, json, text) {
  if (json && json.status === "error") return new ApiError(String(json.error), String(json.errorType), response.status);
  const status = response.status;
  if (status === 401 || status === 403) return new ApiError(`The server refused the request (${status}). The login may have expired: reload the page.`, "login", status);
  if (status === 503) return new ApiError(response.headers.get("X-Prometheus-Stopping") === "true" ? "The server is stopping." : "The server is starting and not ready yet.", "starting", status);
  if (status === 404) return new ApiError(`This server has no ${new URL(response.url).pathname} (404).`, "missing", status);
  if (response.redirected && !response.url.startsWith(new URL(".", document.baseURI).href)) return new ApiError("The request was sent on to another place, probably a login page. Reload the page.", "login", status);
  if (response.ok) return new ApiError("The answer is not JSON or breaks off in the middle. A proxy may stand between; try again.", "broken", status);
  return new ApiError(`The server answered ${status} ${response.statusText}: ${text.slice(0, 300)}`, "http", status);
}

/** Waits, unless ended. @param {number} ms @param {AbortSignal} signal */
export const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(undefined); }, { once: true });
});

/** @type {Promise<Record<string, Record<string, boolean>>> | null} */
let known = null;

/** What the server can do; asked once. */
export function features() {
  known ??= ask("features", {}, { quiet: true }).then((answer) => answer.data, () => { known = null; return {}; });
  return known;
}

/** @type {Promise<Record<string, {type: string, help: string, unit: string}[]>> | null} */
let metadataAnswer = null;
let metadataAt = 0;

/** Metadata of all metrics; asked again after five minutes. */
export function metadata() {
  if (!metadataAnswer || Date.now() - metadataAt > 300_000) {
    metadataAt = Date.now();
    metadataAnswer = ask("metadata", { limit_per_metric: 1 }, { quiet: true }).then((answer) => answer.data, () => { metadataAnswer = null; return {}; });
  }
  return metadataAnswer;
}
