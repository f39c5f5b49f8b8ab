// The menu of a graph's value axis.

import { h } from "../dom.js";

/** Linear or logarithmic, from zero, or between fixed ends. @param {import("../url_state.js").Panel} state @param {(what: Partial<import("../url_state.js").Panel>) => void} look */
export function axisChoices(state, look) {
  const check = (/** @type {string} */ text, /** @type {boolean} */ checked, /** @type {() => void} */ change) => h("label", { class: "field check" }, text, h("input", { type: "checkbox", checked, on: { change } }));
  const end = (/** @type {"yMin" | "yMax"} */ name, /** @type {string} */ text) => {
    const field = h("input", { value: state[name] ?? "", placeholder: "by the values", "aria-label": text, style: { width: "110px" }, on: { change: () => {
      const value = field.value.trim() === "" ? null : Number(field.value);
      if (value === null || Number.isFinite(value)) look({ [name]: value });
      else field.setAttribute("aria-invalid", "true");
    } } });
    return h("label", { class: "field" }, text, field);
  };
  return [check("Logarithmic", state.log, () => look({ log: !state.log })), check("From zero", state.yMin === 0, () => look({ yMin: state.yMin === 0 ? null : 0 })), end("yMin", "Lowest"), end("yMax", "Highest")];
}
