// Backtest: when an alerting rule would have been pending and firing over the past, as it is or edited. Nothing is saved.

import { ask } from "../api.js";
import { button, fill, fillControls, h, labelText, note, openDialog, stateWord } from "../dom.js";
import { Editor } from "../editor/editor.js";
import { grouped } from "../format.js";
import { zone } from "../settings.js";
import { formatDuration, formatTime, humanSeconds, parseDuration } from "../time.js";
import { working } from "./progress.js";
import { momentField, rangeField } from "./range.js";
import { Lists } from "./lists.js";

/** @typedef {{labels: Record<string, string>, events: {at: number, change: string, value: string}[]}} Episode */

/** @param {any} rule as `rules` answers it @param {any} group @param {AbortSignal} signal */
export function openBacktest(rule, group, signal) {
  let rangeMs = 86_400_000;
  /** @type {number | null} */ let end = null;
  const own = new AbortController();
  let running = new AbortController();
  signal.addEventListener("abort", () => own.abort());
  const editor = new Editor({ text: rule.query, label: "Expression of the rule", signal: own.signal, onRun: () => void run(), onStop: () => { running.abort(); return true; }, onInput: () => {} });
  const hold = h("input", { value: formatDuration(rule.duration * 1000), style: { width: "80px" }, "aria-label": "for" });
  const keep = h("input", { value: formatDuration((rule.keepFiringFor ?? 0) * 1000), style: { width: "80px" }, "aria-label": "keep_firing_for" });
  const when = h("span", { class: "row" });
  const out = h("div");
  const busy = h("div");
  const lists = new Lists();
  const go = button("Run", { class: "primary", on: { click: () => void run() } });
  const drawWhen = () => fillControls(when, rangeField(rangeMs, (value) => { rangeMs = value; drawWhen(); }), momentField(end, rangeMs / 2, "End of the range", (value) => { end = value; drawWhen(); }));
  drawWhen();

  const run = async () => {
    const [holdMs, keepMs] = [hold, keep].map((field) => {
      const ms = field.value.trim() === "" ? 0 : parseDuration(field.value);
      field.setAttribute("aria-invalid", String(ms === null));
      return ms;
    });
    if (holdMs === null || keepMs === null) return;
    running.abort();
    running = new AbortController();
    const mine = running;
    own.signal.addEventListener("abort", () => mine.abort());
    const to = Math.floor((end ?? Date.now()) / 1000);
    go.textContent = "Running…";
    try {
      const { data } = await working(busy, "The rule is replayed; Esc ends it", ask("ferula/backtest", {
        name: rule.name, expr: editor.text, for: formatDuration(holdMs), keep_firing_for: formatDuration(keepMs), labels: JSON.stringify(rule.labels ?? {}),
        interval: formatDuration(Math.round(group.interval * 1000)), group: group.name, file: group.file, start: to - Math.round(rangeMs / 1000), end: to,
      }, { signal: mine.signal, post: true }));
      show(data, to - rangeMs / 1000, to);
    } catch (error) {
      if (!mine.signal.aborted) fill(out, note("err", /** @type {Error} */ (error).message));
    }
    if (running === mine) go.textContent = "Run";
  };

  /** @param {any} data @param {number} from @param {number} to */
  const show = (data, from, to) => {
    const tbody = h("tbody");
    lists.draw(out, () => {
      const table = h("div", { class: "scroll-x" }, h("table", null, h("thead", null, h("tr", null, ...["Began", "Pending, firing", "Fired for", "Value", "Labels"].map((title) => h("th", { scope: "col" }, title)))), tbody));
      lists.rows("episodes", tbody, /** @type {Episode[]} */ (data.episodes), (episode) => line(episode, from, to), (episode) => `${JSON.stringify(episode.labels)} ${episode.events[0].at}`, 100);
      return [data.failures && note("warn", `${grouped(data.failures.count)} evaluations failed, the first at ${formatTime(data.failures.firstAt * 1000, zone())}: ${data.failures.firstError}`),
        h("p", { role: "status" }, h("b", null, `Fired ${grouped(data.firedCount)} ${data.firedCount === 1 ? "time" : "times"}`), `, ${humanSeconds(data.firingSeconds)} in all; ${grouped(data.episodesCount)} ${data.episodesCount === 1 ? "alert" : "alerts"} began in ${grouped(data.evaluations)} evaluations.`),
        data.episodes.length === 0 ? h("div", { class: "empty" }, "Nothing would have been pending or firing.") : table,
        data.episodes.length < data.episodesCount && note("info", `The first ${grouped(data.episodes.length)} are shown.`)];
    });
  };

  const dialog = openDialog(`Backtest of ${rule.name}`, h("p", { class: "muted" }, "Replays the rule over stored history, at the moments at which its group runs. What is edited here is not saved."), editor.element,
    h("div", { class: "row backtest" }, h("label", null, "for ", hold), h("label", null, "keep firing for ", keep), when, go, button("As configured", { on: { click: () => { editor.replaceAll(rule.query); editor.close(); hold.value = formatDuration(rule.duration * 1000); } } })), busy, out);
  dialog.classList.add("wide");
  dialog.addEventListener("close", () => own.abort());
  void run();
}

/** @param {Episode} episode @param {number} from @param {number} to */
function line(episode, from, to) {
  const span = to - from;
  const at = (/** @type {string} */ change) => episode.events.find((event) => event.change === change)?.at;
  const last = episode.events[episode.events.length - 1];
  const over = ["resolved", "inactive", "dropped"].includes(last.change) ? last.at : to;
  const firing = at("firing");
  const bar = (/** @type {string} */ state, /** @type {number} */ a, /** @type {number} */ b) => h("i", { data: { s: state }, title: `${state} ${humanSeconds(b - a)}`, style: { left: `${(100 * (a - from)) / span}%`, width: `max(1px, ${(100 * (b - a)) / span}%)` } });
  const begin = episode.events[0].at;
  return h("tr", null,
    h("td", { class: "fit" }, formatTime(begin * 1000, zone())),
    h("td", { class: "fit" }, h("span", { class: "strip long", role: "img", "aria-label": episode.events.map((event) => `${event.change} ${formatTime(event.at * 1000, zone())}`).join(", ") }, bar("pending", begin, firing ?? over), firing === undefined ? "" : bar("firing", firing, over))),
    h("td", { class: "num fit" }, firing === undefined ? stateWord("inactive", "never fired") : humanSeconds(over - firing)),
    h("td", { class: "num fit" }, last.value),
    h("td", { class: "wrap" }, labelText(episode.labels, (name) => name !== "alertname")));
}
