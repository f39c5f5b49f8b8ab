// Queries: those that run now, with a way to stop them; and recent ones, by time, number and memory.

import { ask, askBare } from "../api.js";
import { button, fill, h, note, toast, visible } from "../dom.js";
import { keyed } from "../keep.js";
import { bytes, grouped } from "../format.js";
import { zone } from "../settings.js";
import { formatDuration, formatTime, humanSeconds } from "../time.js";
import { queryAddress } from "../url_state.js";
import { holds, searchField } from "./lists.js";
import { choice } from "./range.js";

/** @typedef {{duration: string, id: string, remote_addr: string, query: string, start: number, end: number, step: number, origin: string}} Running */
/** @typedef {{query: string, timeRangeSeconds: number, count: number, avgDurationSeconds?: number, sumDurationSeconds?: number, avgMemoryBytes?: number}} Top */

/** List of the answer, its title, its figure. @type {[string, string, string, (entry: Top) => string][]} */
const LISTS = [
  ["topBySumDuration", "Most time in all", "Time", (entry) => humanSeconds(entry.sumDurationSeconds ?? 0)],
  ["topByAvgDuration", "Longest on average", "Mean", (entry) => humanSeconds(entry.avgDurationSeconds ?? 0)],
  ["topByCount", "Most often", "", () => ""],
  ["topByAvgMemoryUsage", "Most memory on average", "Memory", (entry) => bytes(entry.avgMemoryBytes ?? 0)],
];

/** @param {import("../app.js").Context} context */
export default async function queries(context) {
  const { root, signal, params } = context;
  let search = params.get("search") ?? "";
  let lifetime = params.get("last") ?? "10m";
  /** @type {Running[]} */ let running = [];
  /** @type {Record<string, Top[]>} */ let top = {};
  const now = h("div");
  const past = h("div");
  const head = h("h2", null, "Running now");
  const message = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Queries"), searchField(search, (value) => { search = value; context.setParams({ search }); drawRunning(); drawTop(); }, "Filter by text or client")), message,
    h("section", { "aria-label": "Running now" }, h("div", { class: "section" }, head, h("span", { class: "muted" }, "rules included; the list is read every two seconds")), now),
    h("section", { "aria-label": "Of the last while" }, h("div", { class: "section" }, h("h2", null, "Of the last"), choice("How long ago", ["1m", "10m", "1h", "6h", "1d"].map((text) => [text, text]), lifetime, (value) => { lifetime = value; context.setParams({ last: value === "10m" ? null : value }); void loadTop(); }),
      h("span", { class: "muted" }, "those that took a millisecond and more")), past));

  /** @param {Running} query */
  const stop = async (query) => {
    try {
      await ask("ferula/queries/stop", { id: query.id }, { signal, post: true });
      toast("The query is being stopped.");
    } catch (error) {
      if (!signal.aborted) toast(/** @type {Error} */ (error).message);
    }
    await loadRunning();
  };

  const drawRunning = () => {
    const shown = running.filter((query) => holds(search, `${query.query} ${query.remote_addr} ${query.origin}`));
    head.textContent = running.length === 0 ? "Running now" : `Running now: ${running.length}`;
    if (shown.length === 0) return fill(now, h("div", { class: "empty" }, running.length === 0 ? "Nothing runs." : "No running query passes the filter."));
    fill(now, h("div", { class: "scroll-x" }, h("table", null, headRow([["For", "num fit"], ["Query", ""], ["Range", "fit"], ["Who", "fit"], ["", "fit"]]), h("tbody", null, ...shown.map((query) => keyed(h("tr", null,
      h("td", { class: "num fit" }, humanSeconds(parseFloat(query.duration))),
      h("td", null, expression(query.query, (query.end - query.start) / 1000)),
      h("td", { class: "fit" }, query.step > 0 ? `${formatDuration(query.end - query.start)}, step ${formatDuration(query.step)}` : formatTime(query.end, zone())),
      h("td", null, h("div", null, visible(query.remote_addr)), h("div", { class: "muted" }, visible(query.origin))),
      h("td", { class: "fit" }, button("Stop", { class: "danger", "aria-label": `Stop ${query.query.slice(0, 100)}`, on: { click: () => void stop(query) } }))), query.id))))));
  };

  const drawTop = () => {
    fill(past, h("div", { class: "columns" }, ...LISTS.map(([key, title, figure, show]) => {
      const shown = (top[key] ?? []).filter((entry) => holds(search, entry.query));
      return h("section", { "aria-label": title }, h("h2", { class: "list-head" }, title), shown.length === 0 ? h("div", { class: "empty" }, "None.") : h("table", null, headRow([...(figure ? /** @type {[string, string][]} */ ([[figure, "num fit"]]) : []), ["Runs", "num fit"], ["Query", ""], ["Range", "fit"]]), h("tbody", null, ...shown.map((entry) => keyed(h("tr", null,
        figure !== "" && h("td", { class: "num fit" }, show(entry)), h("td", { class: "num fit" }, grouped(entry.count)), h("td", null, expression(entry.query, entry.timeRangeSeconds)),
        h("td", { class: "fit" }, entry.timeRangeSeconds > 0 ? formatDuration(entry.timeRangeSeconds * 1000) : "instant")), `${key} ${entry.timeRangeSeconds} ${entry.query}`)))));
    })));
  };

  const loadRunning = async () => {
    try {
      running = (await askBare("status/active_queries", {}, signal)).data;
      fill(message);
      drawRunning();
    } catch (error) {
      if (!signal.aborted) fill(message, note("err", /** @type {Error} */ (error).message));
    }
  };
  const loadTop = async () => {
    try {
      top = await askBare("status/top_queries", { topN: 20, maxLifetime: lifetime }, signal);
      drawTop();
    } catch (error) {
      if (!signal.aborted) fill(past, note("err", /** @type {Error} */ (error).message));
    }
  };
  await Promise.all([loadRunning(), loadTop()]);
  const timer = setInterval(() => { if (!document.hidden) void loadRunning(); }, 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
  context.onRefresh(() => Promise.all([loadRunning(), loadTop()]));
}

/** @param {[string, string][]} titles */
const headRow = (titles) => h("thead", null, h("tr", null, ...titles.map(([title, kind]) => h("th", { scope: "col", class: kind }, title))));

/** @param {string} query @param {number} seconds */
const expression = (query, seconds) => h("a", { class: "expr", href: queryAddress(query, seconds > 0 ? { tab: "graph", rangeMs: seconds * 1000 } : {}) }, visible(query.slice(0, 2000)));
