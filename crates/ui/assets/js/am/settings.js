// Settings of this browser, and where they are kept.

import { fill, h } from "../dom.js";
import { choice } from "../pages/range.js";
import { isZone, localZone, setSetting, setting, zone } from "../settings.js";
import { formatTime, zoneLabel } from "../time.js";
import { creatorName, setCreatorName } from "./silence_form.js";

/** @param {import("./app.js").Context & {zoneChanged: () => void}} context */
export default function settings({ root, zoneChanged }) {
  const now = h("span", { class: "muted" });
  const other = h("input", { value: [localZone(), "UTC"].includes(zone()) ? "" : zone(), placeholder: "Europe/Berlin", "aria-label": "Other time zone", on: { change: () => {
    const name = other.value.trim();
    if (name !== "" && !isZone(name)) return other.setAttribute("aria-invalid", "true");
    other.removeAttribute("aria-invalid");
    setSetting("zone", name);
    drawn();
  } } });
  const local = choice("Times", [["utc", "UTC"], ["local", `Local: ${zoneLabel(localZone())}`]], setting("localTime") ? "local" : "utc", (value) => {
    setSetting("localTime", value === "local");
    setSetting("zone", "");
    other.value = "";
    drawn();
  });
  const drawn = () => {
    now.textContent = ` it is ${formatTime(Date.now(), zone())} ${zone()}`;
    zoneChanged();
  };
  const creator = h("input", { value: creatorName(), "aria-label": "Creator of silences", on: { change: () => setCreatorName(creator.value.trim()) } });
  const line = (/** @type {string} */ name, /** @type {any[]} */ ...what) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, ...what));
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Settings"), h("span", { class: "muted" }, "of this browser")),
    h("table", { class: "plain" }, h("tbody", null,
      line("Theme", choice("Theme", [["auto", "as the system"], ["light", "light"], ["dark", "dark"]], setting("theme"), (value) => setSetting("theme", value))),
      line("Times", local, now), line("Other time zone", other),
      line("Creator of silences", creator, h("span", { class: "muted" }, " filled in when a silence is created")))));
  drawn();
}
