// The menus of the time zone and of the settings, loaded when one is opened.

import { button, h } from "./dom.js";
import { openKeys, openPalette } from "./keys.js";
import { isZone, localZone, setSetting, setting } from "./settings.js";
import { zoneLabel } from "./time.js";

/** @param {(zone: string) => void} choose */
export function zoneChoices(choose) {
  const field = h("input", { list: "zones", placeholder: "Europe/Berlin", "aria-label": "Other time zone", on: { change: () => (isZone(field.value) ? choose(field.value) : field.setAttribute("aria-invalid", "true")) } });
  const names = /** @type {any} */ (Intl).supportedValuesOf?.("timeZone") ?? [];
  return [
    button("UTC", { on: { click: () => choose("UTC") } }),
    button(`Local: ${zoneLabel(localZone())}`, { on: { click: () => choose(localZone()) } }),
    h("div", { class: "field" }, field, h("datalist", { id: "zones" }, ...names.map((/** @type {string} */ name) => h("option", { value: name })))),
  ];
}

/** @param {() => void} close */
export function settingChoices(close) {
  const check = (/** @type {string} */ name, /** @type {string} */ text) =>
    h("label", { class: "field check" }, text, h("input", { type: "checkbox", checked: setting(name), on: { change: (/** @type {any} */ e) => setSetting(name, e.target.checked) } }));
  return [
    h("label", { class: "field" }, "Theme", h("select", { on: { change: (/** @type {any} */ e) => { setSetting("theme", e.target.value); } } },
      ...["auto", "light", "dark"].map((theme) => h("option", { value: theme, selected: setting("theme") === theme }, theme)))),
    check("complete", "Completion"), check("highlight", "Syntax colours"), check("lint", "Errors while typing"), check("history", "Query history"),
    check("warnings", "Query warnings"), check("infos", "Query infos"), check("annotations", "Annotations of alerts"),
    h("label", { class: "field" }, "Trace link", h("input", { value: setting("traceLink"), placeholder: "https://tempo/trace/{}", title: "Where the trace_id of an exemplar leads; {} stands for it", on: { change: (/** @type {any} */ e) => setSetting("traceLink", e.target.value.trim()) } })),
    button("Keys  ?", { on: { click: () => { close(); void openKeys(); } } }),
    button("Go to…  Ctrl+K", { on: { click: () => { close(); void openPalette(); } } }),
  ];
}
