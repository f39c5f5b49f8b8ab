// What a page shows until the server is ready: that it is starting, its progress, or that it is stopping.

import { ask, pause } from "./api.js";
import { fill, h, note } from "./dom.js";

/** Waits until the server is ready. @param {HTMLElement} main @param {string} name of the site @param {() => void} show puts `main` into the document */
export async function waitUntilReady(main, name, show) {
  for (let first = true; ; first = false) {
    try {
      const response = await fetch("-/ready", { cache: "no-store" });
      if (response.ok || response.status === 404) return;
      draw(main, name, response.headers.get("X-Prometheus-Stopping") === "true" ? { text: "The server is stopping." } : await progress());
    } catch {
      draw(main, name, { text: "The server cannot be reached. This page tries again every second." });
    }
    if (first) show();
    await pause(1000, new AbortController().signal);
  }
}

/** The server's progress in reading its log. @returns {Promise<{text: string, share?: number}>} */
async function progress() {
  try {
    const { data } = await ask("status/walreplay", {}, { quiet: true });
    const all = data.max - data.min + 1;
    const share = Math.min(1, (data.current - data.min) / all);
    if (data.max > 0) return { text: `The server is starting: it reads its log, segment ${data.current} of ${data.max} (${Math.round(100 * share)} %).`, share };
  } catch { /* It may not answer yet. */ }
  return { text: "The server is starting." };
}

/** @param {HTMLElement} main @param {string} name @param {{text: string, share?: number}} state */
function draw(main, name, { text, share }) {
  fill(main, h("h1", null, name), note("warn", text), share !== undefined && h("progress", { max: "1", value: share, "aria-label": "Log read" }), h("p", { class: "muted" }, "The page opens by itself when the server is ready."));
}
