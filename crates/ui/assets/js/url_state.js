// The query page's state in its address: Prometheus' parameters in Prometheus' form, ours under other names.

import { formatDuration, parseDuration } from "./time.js";

/**
 * @typedef {{type: "auto", density: "low" | "medium" | "high"} | {type: "fixed" | "custom", stepMs: number}} Resolution
 * @typedef {"graph" | "table" | "raw" | "tree" | "explain"} Tab
 * @typedef {"auto" | "lines" | "stacked" | "steps" | "points" | "heatmap"} Display
 *
 * @typedef {object} Panel
 * @property {string} expr
 * @property {Tab} tab
 * @property {boolean} showTree
 * @property {number | null} end end of the range and moment of the table, in milliseconds; null is now
 * @property {number} rangeMs
 * @property {Resolution} resolution
 * @property {Display} display
 * @property {number | null} yMin
 * @property {boolean} exemplars
 * @property {number | null} yMax upper end of the value axis; null is by the values
 * @property {boolean} log
 * @property {number} compareMs how much earlier the lines drawn behind are; 0 for none
 * @property {string} rank
 */

export const TABS = /** @type {Tab[]} */ (["graph", "table", "raw", "tree", "explain"]);
const DISPLAYS = /** @type {Display[]} */ (["lines", "stacked", "steps", "points", "heatmap"]);
const PANELS_MAX = 1000;

/** @returns {Panel} */
export function newPanel(expr = "") {
  return { expr, tab: "table", showTree: false, end: null, rangeMs: 3_600_000, resolution: { type: "auto", density: "medium" }, display: "auto", yMin: null, yMax: null, exemplars: false, log: false, compareMs: 0, rank: "max" };
}

/** `YYYY-MM-DD HH:mm:ss` in UTC. @param {number} ms */
const writeTime = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");

/** @param {string} text @returns {number | null} */
function readTime(text) {
  const found = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d+)?)?)?Z?$/.exec(text.trim());
  if (!found) return null;
  const [y, mo, d, h = "0", mi = "0", s = "0"] = found.slice(1);
  const at = Date.UTC(Number(y), Number(mo) - 1, Number(d), Number(h), Number(mi), Number(s));
  return Number.isFinite(at) ? at : null;
}

/** Reads the panels; stops at the first number without an expression. Parameters that cannot be read keep their defaults. @param {string} search @returns {Panel[]} */
export function readPanels(search) {
  const params = new URLSearchParams(search);
  const panels = [];
  for (let i = 0; i < PANELS_MAX && params.has(`g${i}.expr`); i++) {
    const get = (/** @type {string} */ name) => params.get(`g${i}.${name}`);
    panels.push(readPanel(get));
  }
  return panels;
}

/** @param {(name: string) => string | null} get */
function readPanel(get) {
  const panel = newPanel(get("expr") ?? "");
  const tab = get("tab");
  if (tab === "0") panel.tab = "graph";
  else if (tab === "1") panel.tab = "table";
  else if (TABS.includes(/** @type {Tab} */ (tab))) panel.tab = /** @type {Tab} */ (tab);
  // Our own tabs are written in addition to a tab that Prometheus knows.
  const view = get("view");
  if (TABS.includes(/** @type {Tab} */ (view))) panel.tab = /** @type {Tab} */ (view);
  panel.showTree = get("show_tree") === "1";
  const display = get("display_mode");
  if (DISPLAYS.includes(/** @type {Display} */ (display))) panel.display = /** @type {Display} */ (display);
  const stacked = get("stacked");
  if (stacked !== null) panel.display = stacked === "1" ? "stacked" : "lines";
  const shape = get("shape");
  if (panel.display === "lines" && (shape === "steps" || shape === "points")) panel.display = shape;
  const yMin = get("y_axis_min");
  if (yMin !== null && yMin !== "" && Number.isFinite(Number(yMin))) panel.yMin = Number(yMin);
  const yMax = get("y_axis_max");
  if (yMax !== null && yMax !== "" && Number.isFinite(Number(yMax))) panel.yMax = Number(yMax);
  panel.exemplars = get("show_exemplars") === "1";
  panel.rangeMs = parseDuration(get("range_input") ?? "") || panel.rangeMs;
  panel.resolution = readResolution(get) ?? panel.resolution;
  for (const name of ["end_input", "moment_input"]) panel.end = readTime(get(name) ?? "") ?? panel.end;
  panel.log = get("log") === "1";
  panel.compareMs = parseDuration(get("compare") ?? "") ?? 0;
  const rank = get("rank");
  if (rank && ["max", "last", "mean", "change"].includes(rank)) panel.rank = rank;
  return panel;
}

/** @param {(name: string) => string | null} get @returns {Resolution | null} */
function readResolution(get) {
  const type = get("res_type");
  const density = get("res_density");
  if (type === "auto" && (density === "low" || density === "medium" || density === "high")) return { type, density };
  const step = Number(get("res_step"));
  if ((type === "fixed" || type === "custom") && step > 0 && Number.isFinite(step)) return { type, stepMs: step * 1000 };
  const old = parseInt(get("step_input") ?? "", 10);
  return old > 0 ? { type: "custom", stepMs: old * 1000 } : null;
}

/** Writes the panels in a form that Prometheus' pages read as the same. @param {Panel[]} panels @param {Record<string, string>} [more] parameters of the page @returns {string} */
export function writePanels(panels, more = {}) {
  const params = new URLSearchParams();
  panels.forEach((panel, i) => {
    const add = (/** @type {string} */ name, /** @type {string | number} */ value) => params.append(`g${i}.${name}`, String(value));
    add("expr", panel.expr);
    add("show_tree", panel.showTree ? 1 : 0);
    const known = panel.tab === "graph" || panel.tab === "table" || panel.tab === "explain";
    add("tab", known ? panel.tab : "table");
    if (!known) add("view", panel.tab);
    if (panel.end !== null) {
      add("end_input", writeTime(panel.end));
      add("moment_input", writeTime(panel.end));
    }
    add("range_input", formatDuration(panel.rangeMs));
    add("res_type", panel.resolution.type);
    if (panel.resolution.type === "auto") add("res_density", panel.resolution.density);
    else add("res_step", panel.resolution.stepMs / 1000);
    const ours = panel.display === "steps" || panel.display === "points";
    if (panel.display !== "auto") add("display_mode", ours ? "lines" : panel.display);
    if (ours) add("shape", panel.display);
    if (panel.yMin !== null) add("y_axis_min", panel.yMin);
    if (panel.yMax !== null) add("y_axis_max", panel.yMax);
    add("show_exemplars", panel.exemplars ? 1 : 0);
    if (panel.log) add("log", 1);
    if (panel.compareMs) add("compare", formatDuration(panel.compareMs));
    if (panel.rank !== "max") add("rank", panel.rank);
  });
  for (const [name, value] of Object.entries(more)) if (value) params.append(name, value);
  return params.toString();
}

/** The step in milliseconds that a resolution gives for a range. @param {Resolution} resolution @param {number} rangeMs */
export function stepOf(resolution, rangeMs) {
  if (resolution.type !== "auto") return Math.max(1, resolution.stepMs);
  const points = { low: 100, medium: 250, high: 750 }[resolution.density];
  return Math.max(Math.floor(rangeMs / 1000 / points), 1) * 1000;
}

/** A page with one expression in its first panel. @param {string} expr @param {Partial<Panel>} [more] */
export const queryAddress = (expr, more = {}) => `query?${writePanels([{ ...newPanel(expr), ...more }])}`;
