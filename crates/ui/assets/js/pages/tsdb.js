// TSDB: the head, the blocks on a bar of time, what has the most series; and the admin's tools.

import { ask } from "../api.js";
import { button, fill, h, note, openDialog, visible } from "../dom.js";
import { bytes, grouped } from "../format.js";
import { keyed } from "../keep.js";
import { zone } from "../settings.js";
import { formatTime, humanSeconds, parseTime } from "../time.js";
import { queryAddress } from "../url_state.js";
import { telling } from "./lists.js";
import { working } from "./progress.js";
import { choice } from "./range.js";

/** @param {import("../app.js").Context} context */
export default async function tsdb(context) {
  const { root, signal, params } = context;
  let limit = params.get("limit") ?? "10";
  let match = params.get("match") ?? "";
  let focus = params.get("focus") ?? "";
  const matchField = h("input", { type: "search", class: "mono", value: match, placeholder: "{job=\"api\"}", "aria-label": "Selector", title: "Count only these series", on: { change: () => { match = matchField.value.trim(); context.setParams({ match }); void load(); } } });
  const focusField = h("input", { type: "search", class: "mono", value: focus, placeholder: "label", "aria-label": "Focus label", title: "Series for each value of this label", on: { change: () => { focus = focusField.value.trim(); context.setParams({ focus }); void load(); } } });
  const message = h("div");
  const busy = h("div");
  const body = h("div");
  const admin = document.documentElement.dataset.admin === "true";
  const controls = h("span", { class: "row" });
  fill(root, h("div", { class: "page-head" }, h("h1", null, "TSDB"), controls), message, busy, body);
  fill(controls, choice("Length of the lists", ["10", "20", "50", "100", "500"].map((n) => [n, `Top ${n}`]), limit, (value) => { limit = value; context.setParams({ limit: value === "10" ? null : value }); void load(); }),
    h("label", { class: "check row" }, "Selector", matchField), h("label", { class: "check row" }, "Focus label", focusField),
    admin && button("Delete series…", { class: "danger", on: { click: () => deleteDialog(signal) } }),
    admin && button("Clean tombstones", { on: { click: () => void act("clean_tombstones", "Deleted samples have been removed from disk.") } }),
    admin && button("Snapshot", { on: { click: () => void act("snapshot", "") } }));

  /** Blocks that have tombstones. */
  const withTombstones = async () => (await ask("status/tsdb/blocks", {}, { signal, quiet: true })).data.blocks.filter((/** @type {any} */ block) => block.stats?.numTombstones > 0).length;
  /** @param {string} what @param {string} words */
  const act = async (what, words) => {
    const buttons = [...controls.querySelectorAll("button")];
    for (const one of buttons) one.disabled = true;
    try {
      const clean = what === "clean_tombstones";
      const all = clean ? await withTombstones().catch(() => 0) : 0;
      const { data } = await working(busy, clean ? "Blocks with deleted samples are rewritten" : "The snapshot is being written", ask(`admin/tsdb/${what}`, {}, { signal, post: true }),
        clean ? async () => ({ done: Math.max(0, all - await withTombstones()), all, unit: "blocks" }) : undefined);
      openDialog("Done", note("ok", data?.name ? `The snapshot is in ${data.name}, below snapshots/ of the data directory.` : words));
    } catch (error) {
      openDialog("That failed", note("err", /** @type {Error} */ (error).message));
    } finally {
      for (const one of buttons) one.disabled = false;
    }
  };

  const load = telling(message, signal, async () => {
    const [{ data }, blocks, runtime, grown] = await Promise.all([ask("status/tsdb", { limit, "match[]": match === "" ? undefined : [match], focusLabel: focus }, { signal }), ask("status/tsdb/blocks", {}, { signal }).then((answer) => answer.data.blocks, () => []), ask("status/runtimeinfo", {}, { signal }).then((answer) => answer.data, () => ({})), growth(signal)]);
    const head = data.headStats;
    const has = head.minTime <= head.maxTime;
    const whole = data.totalSeries ?? head.numSeries;
    const fact = (/** @type {string} */ name, /** @type {string} */ value) => h("tr", null, h("th", { scope: "row" }, name), h("td", { class: "num" }, value));
    fill(body, h("div", { class: "columns" },
      h("table", { class: "plain" }, h("tbody", null, fact("Series in the head", grouped(head.numSeries)), fact("Chunks in the head", grouped(head.chunkCount)), fact("Label pairs", grouped(head.numLabelPairs)), grown !== "" && fact("New series in the last hour", grown))),
      h("table", { class: "plain" }, h("tbody", null, fact("Oldest sample in the head", has ? formatTime(head.minTime, zone()) : "none"), fact("Newest sample", has ? formatTime(head.maxTime, zone()) : "none"), fact("Retention", runtime.storageRetention ?? "")))),
      blockBar(blocks, has ? head : null),
      data.totalSeries !== undefined && h("p", { role: "status" }, h("b", null, `${grouped(data.totalSeries)} series`), ` of the head ${match === "" ? "" : "match the selector "}with ${grouped(data.totalLabelValuePairs)} label pairs.`),
      h("div", { class: "columns" },
        focus !== "" && top(`Series for each value of ${focus}`, data.seriesCountByFocusLabelValue, whole, (value) => queryAddress(`count by (__name__) ({${/^[a-zA-Z_]\w*$/.test(focus) ? focus : JSON.stringify(focus)}=${JSON.stringify(value)}})`)),
        top("Metrics with the most series", data.seriesCountByMetricName, whole, (name) => queryAddress(/^[a-zA-Z_:][\w:]*$/.test(name) ? name : `{${JSON.stringify(name)}}`)),
        top("Label pairs with the most series", data.seriesCountByLabelValuePair, whole, pairAddress),
        top("Labels with the most values", data.labelValueCountByLabelName, 0, null),
        top("Labels with the most memory", data.memoryInBytesByLabelName, 0, null, bytes)));
  });
  await load();
  context.onRefresh(load);
}

/** How many series were created in the last hour, by the server's own metric. @param {AbortSignal} signal */
async function growth(signal) {
  try {
    const { data } = await ask("query", { query: "sum(increase(prometheus_tsdb_head_series_created_total[1h]))" }, { signal, quiet: true });
    return data.result.length > 0 ? grouped(Math.round(Number(data.result[0].value[1]))) : "";
  } catch {
    return "";
  }
}

/** @param {string} pair */
function pairAddress(pair) {
  const at = pair.indexOf("=");
  const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
  return queryAddress(`count by (__name__) ({${/^[a-zA-Z_]\w*$/.test(name) ? name : JSON.stringify(name)}=${JSON.stringify(value)}})`);
}

/** @param {string} title @param {{name: string, value: number}[]} entries @param {number} whole @param {((name: string) => string) | null} address @param {(value: number) => string} [format] */
function top(title, entries, whole, address, format = grouped) {
  return h("section", null, h("div", { class: "section" }, h("h2", null, title)), (entries ?? []).length === 0 ? h("div", { class: "empty" }, "Nothing in the head.") : h("table", null, h("tbody", null, ...entries.map((entry) => keyed(h("tr", null,
    h("td", { class: "mono wrap" }, address ? h("a", { href: address(entry.name) }, h("bdi", null, visible(entry.name))) : h("bdi", null, visible(entry.name))), h("td", { class: "num fit" }, format(entry.value)),
    whole > 0 && h("td", { class: "num fit muted" }, `${((100 * entry.value) / whole).toFixed(1)} %`)), entry.name)))));
}

/** @param {any[]} blocks @param {{minTime: number, maxTime: number} | null} head */
function blockBar(blocks, head) {
  const spans = [...blocks.map((block) => ({ from: block.minTime, to: block.maxTime, block })), ...(head ? [{ from: head.minTime, to: head.maxTime, block: null }] : [])];
  if (spans.length === 0) return "";
  const from = Math.min(...spans.map((span) => span.from));
  const to = Math.max(...spans.map((span) => span.to));
  const all = Math.max(1, to - from);
  const samples = blocks.reduce((sum, block) => sum + (block.stats?.numSamples ?? 0), 0);
  const rows = [...blocks].sort((a, b) => b.minTime - a.minTime);
  return h("section", null, h("div", { class: "section" }, h("h2", null, `${blocks.length} ${blocks.length === 1 ? "block" : "blocks"}`), h("span", { class: "muted" }, `${grouped(samples)} samples, from ${formatTime(from, zone())} to ${formatTime(to, zone())} ${zone()}`)),
    h("div", { class: "timebar", role: "img", "aria-label": `${blocks.length} blocks over ${humanSeconds(all / 1000)}` }, ...spans.map((span) => h("i", {
      data: span.block ? {} : { head: "" }, title: span.block ? `${span.block.ulid}: ${humanSeconds((span.to - span.from) / 1000)}` : "head", style: { left: `${(100 * (span.from - from)) / all}%`, width: `${(100 * (span.to - span.from)) / all}%` } }))),
    h("details", null, h("summary", null, "Blocks as a table"), h("div", { class: "scroll-x" }, h("table", null, h("thead", null, h("tr", null, ...["Block", "From", "To", "Span", "Level", "Series", "Chunks", "Samples", "Tombstones"].map((title, i) => h("th", { scope: "col", class: i > 3 ? "num" : "" }, title)))),
      h("tbody", null, ...rows.slice(0, 2000).map((block) => keyed(h("tr", null, h("td", { class: "mono fit" }, block.ulid), h("td", { class: "fit" }, formatTime(block.minTime, zone())), h("td", { class: "fit" }, formatTime(block.maxTime, zone())), h("td", { class: "fit" }, humanSeconds((block.maxTime - block.minTime) / 1000)),
        h("td", { class: "num" }, String(block.compaction?.level ?? "")), ...["numSeries", "numChunks", "numSamples", "numTombstones"].map((name) => h("td", { class: "num" }, grouped(block.stats?.[name] ?? 0)))), block.ulid)))))));
}

/** Deleting: the selector, what would go, the selector again. @param {AbortSignal} signal */
function deleteDialog(signal) {
  const match = h("input", { style: { width: "100%" }, class: "mono", placeholder: "up{job=\"gone\"}", "aria-label": "Selector" });
  const from = h("input", { placeholder: "begin of time", "aria-label": "From" });
  const to = h("input", { placeholder: "end of time", "aria-label": "To" });
  const again = h("input", { style: { width: "100%" }, class: "mono", "aria-label": "The selector again" });
  const out = h("div");
  const go = button("Delete", { class: "danger", disabled: true, on: { click: () => void remove() } });
  const range = () => {
    const at = (/** @type {HTMLInputElement} */ field) => {
      if (field.value.trim() === "") return undefined;
      const ms = parseTime(field.value, zone());
      if (ms === null) throw new Error(`${field.value} is not a time; write 2026-11-29 18:30.`);
      return ms / 1000;
    };
    return { start: at(from), end: at(to) };
  };
  const check = () => { go.disabled = !checked || again.value !== match.value; };
  let checked = false;
  const changed = () => { checked = false; check(); };
  for (const field of [match, from, to]) field.addEventListener("input", changed);
  again.addEventListener("input", check);
  const preview = async () => {
    try {
      const { data } = await working(out, "Series are being counted", ask("series", { "match[]": [match.value], ...range(), limit: 1000 }, { signal }));
      checked = data.length > 0;
      fill(out, note(data.length > 0 ? "warn" : "info", data.length === 0 ? "No series matches." : `${data.length === 1000 ? "At least 1000" : data.length} series would lose their samples in this range. This cannot be undone.`),
        ...data.slice(0, 5).map((/** @type {Record<string, string>} */ labels) => h("div", { class: "mono wrap" }, visible(JSON.stringify(labels)))));
      check();
    } catch (error) {
      fill(out, note("err", /** @type {Error} */ (error).message));
    }
  };
  const remove = async () => {
    go.disabled = true;
    try {
      await working(out, "Samples are being deleted", ask("admin/tsdb/delete_series", { "match[]": [match.value], ...range() }, { signal, post: true }));
      fill(out, note("ok", "Deleted. The space on disk is freed by the next compaction, or by Clean tombstones."));
    } catch (error) {
      fill(out, note("err", /** @type {Error} */ (error).message));
    }
  };
  openDialog("Delete series", h("p", { class: "muted" }, `Times are in ${zone()}.`), h("label", null, "Selector", match), h("div", { class: "row" }, from, "to", to, button("Show what would go", { on: { click: () => void preview() } })), out, h("label", null, "Type the selector again to confirm", again), h("p", { class: "row" }, go));
}
