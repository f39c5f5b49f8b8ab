// Alertmanager's pages: the frame, and the choice of page by the part of the address after `#`. The addresses are those of
// Alertmanager's own pages, so that links in chats and mails keep working.

import { button, fill, h, menu, note } from "../dom.js";
import { applyTheme, localZone, onSetting, setSetting, setting, zone } from "../settings.js";
import { zoneLabel } from "../time.js";

/**
 * What a page receives.
 * @typedef {object} Context
 * @property {HTMLElement} root
 * @property {AbortSignal} signal aborted when the page is left
 * @property {string[]} path pieces of the address behind the page's name
 * @property {URLSearchParams} params
 * @property {(params: Record<string, string | null>) => void} setParams writes parameters into the address
 * @property {(refresh: () => unknown) => void} onRefresh called by the refresh button and every half a minute
 */

/** @type {[string, string, () => Promise<{default: (context: Context) => unknown}>][]} */
const PAGES = [
  ["alerts", "Alerts", () => import("./alerts.js")],
  ["silences", "Silences", () => import("./silences.js")],
  ["notifications", "Notifications", () => import("./notifications.js")],
  ["routes", "Routes", () => import("./routes.js")],
  ["receivers", "Receivers", () => import("./receivers.js")],
  ["status", "Status", () => import("./status.js")],
  ["settings", "Settings", () => import("./settings.js")],
];

const main = h("main", { tabindex: "-1", id: "main" });
const nav = h("nav", { class: "nav", "aria-label": "Pages" }, ...PAGES.map(([path, title, load]) => h("a", { href: `#/${path}`, on: { pointerenter: () => void load() } }, title)));
const zonePlace = h("span");
let leave = new AbortController();
/** @type {(() => unknown)[]} */ let refreshers = [];

/** The parts of the address after `#`. */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { pieces: path.split("/").filter(Boolean).map((piece) => { try { return decodeURIComponent(piece); } catch { return piece; } }), params: new URLSearchParams(query) };
}

/** @param {Record<string, string | null>} params */
function setParams(params) {
  const { pieces, params: now } = address();
  for (const [name, value] of Object.entries(params)) if (value === null || value === "") now.delete(name); else now.set(name, value);
  const query = now.toString();
  history.replaceState(history.state, "", `#/${pieces.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`);
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const mine = leave;
  refreshers = [];
  const { pieces, params } = address();
  const page = PAGES.find(([path]) => path === pieces[0]) ?? PAGES[0];
  for (const link of nav.children) {
    if (link.getAttribute("href") === `#/${page[0]}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page[1]} · Alertmanager`;
  drawZone();
  try {
    const module = await page[2]();
    if (mine.signal.aborted) return;
    fill(main);
    await module.default({ root: main, signal: mine.signal, path: pieces.slice(1), params, setParams, onRefresh: (refresh) => void refreshers.push(refresh), .../** @type {any} */ ({ zoneChanged: drawZone }) });
  } catch (error) {
    if (mine.signal.aborted) return;
    console.error(error);
    fill(main, note("err", `This page could not be shown: ${error instanceof Error ? error.message : error}. The server may have been updated; reload the page.`));
  }
}

const refresh = () => Promise.allSettled(refreshers.map((one) => one())).then(() => { document.documentElement.dataset.refreshed = String(performance.now()); });

function drawZone() {
  fill(zonePlace, button(zone() === "UTC" ? "UTC" : "Local", { class: "bare", title: `Times are shown in ${zoneLabel(zone())}; a click changes that`, "aria-label": `Time zone: ${zone()}`, on: { click: () => {
    setSetting("zone", "");
    setSetting("localTime", zone() === "UTC" && localZone() !== "UTC");
    void show();
  } } }));
}

function start() {
  applyTheme();
  onSetting((name) => { if (name === "theme") applyTheme(); });
  const theme = () => menu("⚙", { class: "bare", title: "Theme", "aria-label": "Theme" }, (close) => ["auto", "light", "dark"].map((name) => button(`Theme: ${name}`, { "aria-pressed": String(setting("theme") === name), on: { click: () => { setSetting("theme", name); close(); } } })));
  document.body.replaceChildren(h("div", { class: "loading" }), h("header", { class: "bar" }, h("a", { class: "brand", href: "#/alerts" }, "Alertmanager"), nav,
    h("div", { class: "bar-end" }, h("a", { class: "button", href: "#/silences/new" }, "New silence"), button("⟳", { class: "bare", title: "Refresh now", "aria-label": "Refresh now", on: { click: () => void refresh() } }), zonePlace, theme())), main);
  window.addEventListener("hashchange", () => void show());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) || document.querySelector("dialog[open]")) return;
    if (event.key === "r") void refresh();
    else if (event.key === "/") /** @type {HTMLElement | null} */ (main.querySelector("input[type=search]"))?.focus();
    else if (event.key === "n") location.hash = "#/silences/new";
    else return;
    event.preventDefault();
  });
  setInterval(() => { if (!document.hidden && !document.querySelector("dialog[open], main form")) void refresh(); }, 30_000);
  void show();
}

start();
