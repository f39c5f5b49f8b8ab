// Work of the server that may take long: what is being done, for how long, and how far it is where that can be told.

import { fill, h } from "../dom.js";
import { humanSeconds } from "../time.js";

/**
 * Shows in a place that something is going on, until a promise ends.
 * @template T
 * @param {HTMLElement} place @param {string} words
 * @param {Promise<T>} work
 * @param {() => Promise<{done: number, all: number, unit: string} | null>} [look] how far it is, asked each second
 * @returns {Promise<T>}
 */
export async function working(place, words, work, look) {
  const began = performance.now();
  const text = h("span");
  const bar = h("progress", { max: "1", hidden: true, "aria-label": words });
  fill(place, h("div", { class: "note", data: { kind: "info" }, role: "status" }, text, " ", bar));
  let over = false;
  const draw = async () => {
    const far = await look?.().catch(() => null);
    if (over) return;
    const seconds = Math.round((performance.now() - began) / 1000);
    text.textContent = `${words}${far ? `: ${far.done} of ${far.all} ${far.unit}` : "…"}${seconds > 0 ? ` ${humanSeconds(seconds)}` : ""}`;
    bar.hidden = !far;
    if (far) bar.value = far.all > 0 ? far.done / far.all : 1;
  };
  void draw();
  const timer = setInterval(() => void draw(), 1000);
  try {
    return await work;
  } finally {
    over = true;
    clearInterval(timer);
    fill(place);
  }
}
