// The form to create or change a silence, with a preview of what it would cover.

import { button, chips, fill, h, note } from "../dom.js";
import { zone } from "../settings.js";
import { formatDuration, formatTime, parseDuration, parseTime } from "../time.js";
import { ask, filterText, many, parseMatchers } from "./api.js";

/** As in Alertmanager's own pages: a bare text. */
const CREATOR_KEY = "defaultCreator";

/** The name under which somebody creates silences. */
export function creatorName() {
  try {
    return localStorage.getItem(CREATOR_KEY) ?? "";
  } catch {
    return "";
  }
}

/** @param {string} name */
export function setCreatorName(name) {
  try {
    localStorage.setItem(CREATOR_KEY, name);
  } catch { /* The form is filled in by hand then. */ }
}

/** @param {import("./app.js").Context} context @param {string | null} id of the silence to change */
export async function silenceForm(context, id) {
  const { root, signal, params } = context;
  const place = h("div");
  fill(root, h("div", { class: "page-head" }, h("h1", null, id ? "Edit silence" : "New silence")), place);
  /** @type {any} */ let old = null;
  if (id) {
    try {
      old = await ask(`silence/${encodeURIComponent(id)}`, {}, { signal });
    } catch (error) {
      return fill(place, note("err", /** @type {Error} */ (error).message));
    }
  }
  const now = Math.floor(Date.now() / 1000) * 1000;
  const times = { from: old ? Date.parse(old.startsAt) : now, to: old ? Date.parse(old.endsAt) : now + 7_200_000 };
  const from = h("input", { class: "wide", "aria-label": "Start", on: { change: () => read("from", from) } });
  const to = h("input", { class: "wide", "aria-label": "End", on: { change: () => read("to", to) } });
  const span = h("input", { "aria-label": "Duration", style: { width: "90px" }, on: { change: () => {
    const ms = parseDuration(span.value);
    span.setAttribute("aria-invalid", String(!ms));
    if (ms) { times.to = times.from + ms; draw(); }
  } } });
  const matchers = h("textarea", { rows: 4, class: "mono", spellcheck: false, style: { width: "100%" }, "aria-label": "Matchers", placeholder: "alertname=\"Down\", instance=~\"web.*\"", on: { input: () => matchers.removeAttribute("aria-invalid") } });
  matchers.value = old ? filterText(old.matchers).slice(1, -1) : (params.get("filter") ?? "").trim().replace(/^\{|\}$/g, "");
  const creator = h("input", { value: old?.createdBy ?? creatorName(), "aria-label": "Creator" });
  const comment = h("textarea", { rows: 2, style: { width: "100%" }, "aria-label": "Comment" });
  comment.value = old?.comment ?? params.get("comment") ?? "";
  const out = h("div", { role: "status" });
  const draw = () => {
    from.value = formatTime(times.from, zone());
    to.value = formatTime(times.to, zone());
    span.value = formatDuration(Math.max(0, times.to - times.from));
  };
  const read = (/** @type {"from" | "to"} */ which, /** @type {HTMLInputElement} */ field) => {
    const at = parseTime(field.value, zone());
    field.setAttribute("aria-invalid", String(at === null));
    if (at !== null) { times[which] = at; draw(); }
  };
  draw();
  const parsed = () => {
    const list = parseMatchers(matchers.value);
    const good = list !== null && list.length > 0;
    matchers.setAttribute("aria-invalid", String(!good));
    if (!good) fill(out, note("err", "These are not matchers. Write them as alertname=\"Down\", instance=~\"web.*\", with commas between."));
    return good ? list : null;
  };
  const preview = async (byHand = true) => {
    const list = parsed();
    if (!list) return;
    try {
      const found = await ask("silences/preview", {}, { signal, method: "POST", body: { matchers: list } });
      fill(out, note(found.now.length > 0 ? "info" : "warn", `${many(found.now.length, "alert")} would be silenced now${found.past?.length ? `, ${found.past.length} in the past days` : ""}${found.notifications ? `; ${found.notifications} notifications would not have been sent` : ""}.`),
        ...found.now.slice(0, 100).map((/** @type {any} */ alert) => h("div", null, ...chips(alert.labels))));
    } catch (error) {
      if (!signal.aborted && byHand) fill(out, note("err", /** @type {Error} */ (error).message));
    }
  };
  const save = async () => {
    const list = parsed();
    if (!list) return;
    if (creator.value.trim() === "" || comment.value.trim() === "") return fill(out, note("err", "A silence needs a creator and a comment, so that others know whom to ask."));
    setCreatorName(creator.value.trim());
    try {
      const { silenceID } = await ask("silences", {}, { signal, method: "POST", body: { id: id ?? undefined, matchers: list, startsAt: new Date(times.from).toISOString(), endsAt: new Date(times.to).toISOString(), createdBy: creator.value.trim(), comment: comment.value.trim() } });
      location.hash = `#/silences/${encodeURIComponent(silenceID)}`;
    } catch (error) {
      if (!signal.aborted) fill(out, note("err", /** @type {Error} */ (error).message));
    }
  };
  fill(place, h("form", { class: "silence", on: { submit: (/** @type {Event} */ e) => { e.preventDefault(); void save(); } } },
    h("div", { class: "row" }, h("label", null, "Start ", from), h("label", null, "Duration ", span), h("label", null, "End ", to), h("span", { class: "muted" }, zone()),
      ...["30m", "2h", "8h", "1d", "1w"].map((text) => button(text, { title: `For ${text}`, on: { click: () => { times.to = times.from + (parseDuration(text) ?? 0); draw(); } } }))),
    h("label", null, "Matchers", matchers), h("p", { class: "row" }, h("label", null, "Creator ", creator)), h("label", null, "Comment", comment),
    h("p", { class: "row" }, h("button", { type: "submit", class: "primary" }, id ? "Save" : "Create"), button("Preview", { on: { click: () => void preview() } }), h("a", { href: "#/silences" }, "Cancel")), out));
  (matchers.value === "" ? matchers : comment).focus();
  if (matchers.value !== "") void preview(false);
}
