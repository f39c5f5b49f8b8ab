// The frame around all pages: which page, the bar at the top, readiness, notifications, refresh.

import { ask, onBusy, pause } from "./api.js";
import { button, fill, h, menu, note, toast } from "./dom.js";
import { installKeys } from "./keys.js";
import { applyTheme, localZone, onSetting, setSetting, zone } from "./settings.js";
import { ago, parseDuration, zoneLabel } from "./time.js";

/**
 * What a page receives.
 * @typedef {object} Context
 * @property {HTMLElement} root
 * @property {AbortSignal} signal aborted when the page is left
 * @property {(refresh: () => unknown) => void} onRefresh called by the refresh button and its timer
 * @property {(params: Record<string, string | string[] | null>) => void} setParams writes parameters into the address
 * @property {URLSearchParams} params
 */

const config = document.documentElement.dataset;
const agent = config.agent === "true";
/** Without a configured title, a short one is shown. */
const name = !config.title || config.title === "Prometheus Time Series Collection and Processing Server" ? "Ferula" : config.title;

/** @type {[string, string, () => Promise<{default: (context: Context) => unknown}>][]} */
const PAGES = [
  ["query", "Query", () => import("./pages/query.js")],
  ["metrics-explorer", "Metrics", () => import("./pages/metrics.js")],
  ["alerts", "Alerts", () => import("./pages/alerts.js")],
  ["rules", "Rules", () => import("./pages/rules.js")],
  ["agent", "Agent", () => import("./pages/agent.js")],
  ["targets", "Targets", () => import("./pages/targets.js")],
  ["service-discovery", "Discovery", () => import("./pages/discovery.js")],
  ["relabel", "Relabelling", () => import("./pages/relabel.js")],
  ["queries", "Queries", () => import("./pages/queries.js")],
  ["tsdb-status", "TSDB", () => import("./pages/tsdb.js")],
  ["status", "Status", () => import("./pages/status.js")],
  ["flags", "Flags", () => import("./pages/flags.js")],
  ["config", "Configuration", () => import("./pages/config.js")],
  ["alertmanager-discovery", "Alertmanagers", () => import("./pages/alertmanagers.js")],
];
/** Pages that make sense in agent mode, without a store and rules, and the one that exists only there. */
const IN_AGENT = new Set(["agent", "targets", "service-discovery", "status", "flags", "config"]);
const shownPages = PAGES.filter(([path]) => (agent ? IN_AGENT.has(path) : path !== "agent"));

const REFRESHES = ["5s", "10s", "15s", "30s", "1m", "5m", "15m"];

let leave = new AbortController();
/** @type {(() => unknown)[]} */
let refreshers = [];
let refreshing = false;

const main = h("main", { tabindex: "-1", id: "main" });
const nav = h("nav", { class: "nav", "aria-label": "Pages" });
const notices = h("span");
const refreshSelect = h("select", { "aria-label": "Refresh every", title: "Refresh every", on: { change: () => setRefresh(refreshSelect.value) } },
  h("option", { value: "" }, "Refresh: off"), ...REFRESHES.map((text) => h("option", { value: text }, text)));
const zoneButton = h("span");
const loading = h("div", { class: "loading" });

/** The page of the address: its last segment. */
const pageName = () => location.pathname.split("/").pop() ?? "";

/** Goes to a page of ours without loading the document again. @param {string} address relative, as in a link */
export function go(address) {
  history.pushState(null, "", address);
  show();
}

/** @param {Record<string, string | string[] | null>} params */
function setParams(params) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(params)) {
    url.searchParams.delete(name);
    for (const one of [value ?? ""].flat()) if (one) url.searchParams.append(name, one);
  }
  history.replaceState(history.state, "", url);
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const mine = leave;
  refreshers = [];
  const wanted = pageName();
  const page = PAGES.find(([path]) => path === wanted) ?? PAGES.find(([path]) => path === (agent ? "agent" : "query"));
  if (!page) return;
  for (const link of nav.querySelectorAll("a")) {
    if (link.getAttribute("href") === page[0]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page[1]} · ${name}`;
  refreshSelect.value = new URLSearchParams(location.search).get("refresh") ?? "";
  drawZone();
  schedule();
  try {
    const module = await page[2]();
    if (mine.signal.aborted) return;
    fill(main);
    document.body.classList.toggle("embed", new URLSearchParams(location.search).get("embed") === "1");
    await module.default({ root: main, signal: mine.signal, onRefresh: (refresh) => void refreshers.push(refresh), setParams, params: new URLSearchParams(location.search) });
  } catch (error) {
    if (mine.signal.aborted) return;
    console.error(error);
    fill(main, note("err", `This page could not be shown: ${error instanceof Error ? error.message : error}. The server may have been updated; reload the page.`));
  }
}

/** Runs what the page registered; never two at once. */
export async function refreshNow() {
  if (refreshing) return;
  refreshing = true;
  try {
    await Promise.allSettled(refreshers.map((refresh) => refresh()));
  } finally {
    refreshing = false;
    document.documentElement.dataset.refreshed = String(performance.now());
  }
}

let timer = 0;

function schedule() {
  clearTimeout(timer);
  const every = parseDuration(refreshSelect.value) ?? 0;
  if (every < 1000) return;
  timer = window.setTimeout(async () => {
    if (!document.hidden) await refreshNow();
    schedule();
  }, every);
}

/** @param {string} text */
function setRefresh(text) {
  setParams({ refresh: text });
  window.dispatchEvent(new CustomEvent("ferula-params"));
  schedule();
}

function drawZone() {
  fill(zoneButton, menu(zone() === "UTC" ? "UTC" : zone().split("/").pop()?.replaceAll("_", " ") ?? zone(), { class: "bare", title: `Times are shown in ${zoneLabel(zone())}`, "aria-label": `Time zone: ${zone()}` }, async (close) => (await import("./settings_menu.js")).zoneChoices((name) => {
    setSetting("zone", name === "UTC" || name === localZone() ? "" : name);
    setSetting("localTime", name === localZone() && name !== "UTC");
    setParams({ tz: null });
    close();
    void show();
  })));
}

/** Settings of the browser, in a menu. */
const settingsMenu = () => menu("⚙", { class: "bare", title: "Settings", "aria-label": "Settings" }, async (close) => (await import("./settings_menu.js")).settingChoices(close));

function frame() {
  for (const [path, title, load] of shownPages) {
    nav.append(h("a", { href: path, on: { pointerenter: () => void load() } }, title));
  }
  if (config.consoles) nav.append(h("a", { href: config.consoles, data: { outside: "" } }, "Consoles"));
  const bar = h("header", { class: "bar" },
    h("a", { class: "brand", href: agent ? "agent" : "query", title: name }, name),
    nav,
    h("div", { class: "bar-end" }, notices, refreshSelect,
      button("⟳", { class: "bare", title: "Refresh now", "aria-label": "Refresh now", on: { click: () => void refreshNow() } }), zoneButton, settingsMenu()));
  document.body.replaceChildren(loading, bar, main);
  onBusy((busy) => { if (busy > 0) loading.dataset.on = ""; else delete loading.dataset.on; });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || link.target || "outside" in link.dataset) return;
    const href = link.getAttribute("href") ?? "";
    if (!PAGES.some(([path]) => href === path || href.startsWith(`${path}?`) || href.startsWith(`${path}#`))) return;
    event.preventDefault();
    go(href);
  });
}

/** @type {{text: string, date: string, active: boolean}[]} */
let active = [];

/** Notifications as they happen: a failed reload of the configuration is one of them. */
function followNotifications() {
  // A hidden page gives up its place in the stream, and one of the few connections that a browser opens to a host.
  const open = () => {
    if (document.hidden) return;
    const source = new EventSource("api/v1/notifications/live");
    /** @type {typeof active} */ const heard = [];
    source.onmessage = (event) => {
      const one = JSON.parse(event.data);
      const at = heard.findIndex((other) => other.text === one.text);
      if (at >= 0) heard.splice(at, 1);
      if (one.active) heard.push(one);
      active = heard;
      drawNotices();
    };
    // All places are taken, or the server has no such stream: poll instead.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) void watchNotifications(); };
    document.addEventListener("visibilitychange", () => { if (document.hidden) { source.close(); document.addEventListener("visibilitychange", open, { once: true }); } }, { once: true });
  };
  open();
}

/** Polls for notifications. */
async function watchNotifications() {
  for (;;) {
    try {
      const { data } = await ask("notifications", {}, { quiet: true });
      active = (data ?? []).filter((/** @type {any} */ one) => one.active);
      drawNotices();
    } catch { /* Shown by the pages themselves. */ }
    await pause(15_000, new AbortController().signal);
    while (document.hidden) await pause(2000, new AbortController().signal);
  }
}

function drawNotices() {
  const text = active.map((one) => one.text).join("\n");
  if (notices.dataset.texts === text) return;
  notices.dataset.texts = text;
  fill(notices, active.length > 0 && menu(`▲ ${active.length}`, { title: "Notifications", "aria-label": active.length === 1 ? "1 notification" : `${active.length} notifications`, popup: "notes" }, () =>
    active.map((one) => note("warn", one.text, " ", h("span", { class: "muted small" }, ago(Date.parse(one.date)))))));
}

async function start() {
  applyTheme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new CustomEvent("ferula-theme")));
  onSetting((name) => {
    if (name !== "theme") return;
    applyTheme();
    window.dispatchEvent(new CustomEvent("ferula-theme"));
  });
  if (config.ready !== "true") await (await import("./starting.js")).waitUntilReady(main, name, () => document.body.replaceChildren(loading, main));
  frame();
  installKeys({ go, pages: shownPages.map(([path, title]) => ({ path, title })), refresh: () => void refreshNow() });
  window.addEventListener("popstate", () => void show());
  window.addEventListener("unhandledrejection", (event) => { if (!(event.reason instanceof DOMException && event.reason.name === "AbortError")) toast(String(event.reason?.message ?? event.reason)); });
  void show();
  followNotifications();
}

void start();
