// Pointer and keys in a graph: crosshair, tooltip, zoom by dragging.

import { copy } from "../copy.js";
import { announce, button, h, labelText } from "../dom.js";
import { exact, inUnit } from "../format.js";
import { zone } from "../settings.js";
import { formatTime } from "../time.js";
import { place } from "./scale.js";

export class Hover {
  /** @param {import("./chart.js").Chart} chart */
  constructor(chart) {
    this.chart = chart;
    this.tip = h("div", { class: "tooltip", hidden: true });
    chart.element.append(this.tip);
    this.busy = false;
    this.pinned = false;
    /** @type {{step: number, y: number, series: number} | null} */ this.wanted = null;
    /** @type {any} */ this.shown = null;
    /** @type {{x: number, pointer: number} | null} */ this.drag = null;
    const { area } = chart;
    area.addEventListener("pointermove", (e) => this.move(e));
    area.addEventListener("pointerleave", () => { if (!this.pinned && !this.drag) this.leave(); });
    area.addEventListener("pointerdown", (e) => this.down(e));
    area.addEventListener("pointerup", (e) => this.up(e));
    area.addEventListener("pointercancel", () => { this.drag = null; this.leave(); });
    area.addEventListener("dblclick", () => chart.options.onBack());
    chart.element.addEventListener("keydown", (e) => this.key(e));
    chart.element.addEventListener("blur", () => { if (!this.pinned) this.leave(); });
  }

  /** @param {PointerEvent} event */
  point(event) {
    const box = this.chart.area.getBoundingClientRect();
    return { x: Math.max(0, Math.min(box.width, event.clientX - box.left)), y: event.clientY - box.top, width: box.width, height: box.height };
  }

  /** @param {number} x @param {number} width */
  timeAt(x, width) {
    return this.chart.from + (x / width) * (this.chart.to - this.chart.from);
  }

  /** @param {PointerEvent} event */
  move(event) {
    const at = this.point(event);
    if (this.drag) return this.drawSelection(this.drag.x, at.x);
    const { head } = this.chart;
    if (this.pinned || !head) return;
    if (this.overExemplar(at.x + this.chart.rect.left, at.y + this.chart.rect.top)) return;
    this.ask({ step: Math.round((this.timeAt(at.x, at.width) - head.start) / head.step), y: 1 - at.y / at.height, series: -1 });
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (event.button !== 0) return;
    if (this.pinned) { this.unpin(); return; }
    this.drag = { x: this.point(event).x, pointer: event.pointerId };
    this.chart.area.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  up(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    const at = this.point(event);
    if (Math.abs(at.x - drag.x) > 6) {
      this.leave();
      const [a, b] = [this.timeAt(drag.x, at.width), this.timeAt(at.x, at.width)];
      this.chart.options.onZoom(Math.min(a, b), Math.max(a, b));
      return;
    }
    if (event.ctrlKey || event.metaKey) { if (this.shown?.series >= 0) this.chart.options.onPick(this.shown.series, true); } else this.pin();
  }

  pin() {
    if (this.tip.hidden || this.pinned) return;
    this.pinned = true;
    const series = this.shown?.series;
    this.tip.dataset.pinned = "";
    this.tip.append(h("div", { class: "row" }, button("Copy", { on: { click: () => void copy(this.tip.querySelector(".tip-text")?.textContent ?? "") } }),
      series >= 0 && button("Only this series", { on: { click: () => { this.unpin(); this.chart.options.onPick(series, false); } } }),
      button("Close", { on: { click: () => this.unpin() } })));
  }

  unpin() {
    this.pinned = false;
    delete this.tip.dataset.pinned;
    this.leave();
  }

  leave() {
    if (this.pinned) return;
    this.wanted = null;
    this.tip.hidden = true;
    this.clear();
    this.chart.options.onCross(null);
  }

  /** Removes the crosshair and the highlighted line. */
  clear() {
    const { over, plot } = this.chart;
    over.getContext("2d")?.clearRect(0, 0, over.width, over.height);
    plot.style.opacity = "1";
    this.shown = null;
  }

  /** Asks the worker; while it is busy only the newest place is kept. @param {{step: number, y: number, series: number}} wanted */
  ask(wanted) {
    this.wanted = wanted;
    if (this.busy) return;
    this.busy = true;
    const asked = wanted;
    this.chart.call({ type: "hover", ...wanted }).then((found) => {
      this.busy = false;
      const { wanted } = this;
      if (wanted === null) return;
      this.show(found);
      if (wanted !== asked) this.ask(wanted);
    }, () => { this.busy = false; });
  }

  /** @param {any} found */
  show(found) {
    const { chart } = this;
    const { head, rect } = chart;
    if (!head || this.pinned) return;
    this.shown = found;
    const at = head.start + found.step * head.step;
    chart.options.onCross(at);
    this.drawCross(at, found);
    const x = rect.left + ((at - chart.from) / (chart.to - chart.from)) * rect.width;
    const unit = chart.look.unit;
    const time = h("div", { class: "muted" }, formatTime(at, zone()), " ", zone());
    const text = chart.display === "heatmap" ? [h("div", null, `${inUnit(found.low, chart.look.boundUnit)} … ${inUnit(found.high, chart.look.boundUnit)}: `, h("b", null, exact(round(found.value))))]
      : found.series < 0 ? ["No sample here."]
        : [h("div", null, h("b", null, found.there ? inUnit(found.value, unit, 6) : "no sample"), found.there && h("span", { class: "muted" }, `  ${exact(found.value)}`)), h("div", null, this.swatch(found.series), labelText(chart.labels(found.series)))];
    // Nobody holds anything in it: it need not be kept while it is drawn.
    this.tip.replaceChildren(h("div", { class: "tip-text" }, time, ...text));
    this.put(x, chart.display === "heatmap" || found.series < 0 || !found.there ? rect.top + 12 : this.pixelY(found));
  }

  /** @param {number} series */
  swatch(series) {
    const slot = this.chart.head?.slots[series] ?? 0;
    return h("span", { class: "swatch", data: { dash: Math.floor(slot / 8) }, style: { color: `var(--s${slot % 8})` } });
  }

  /** @param {any} found */
  pixelY(found) {
    const { rect, scale } = this.chart;
    return rect.top + rect.height * (1 - Math.max(0, Math.min(1, place(scale, found.row ? found.row[found.step] : found.value))));
  }

  /** Places the tooltip beside a point, on the side with more room, and as high as keeps it inside. Nothing is measured for that. @param {number} x @param {number} y */
  put(x, y) {
    const { tip, chart: { size: { width, height } } } = this;
    const right = x > width / 2;
    tip.hidden = false;
    Object.assign(tip.style, { left: right ? "auto" : `${x + 14}px`, right: right ? `${width - x + 14}px` : "auto", top: `${y}px`, transform: `translateY(${(-100 * y) / height}%)` });
  }

  /** @param {number} at @param {any} found null when another graph has the pointer */
  drawCross(at, found) {
    const { chart } = this;
    const { over, rect, size } = chart;
    const context = over.getContext("2d");
    if (!context) return;
    context.setTransform(size.dpr, 0, 0, size.dpr, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    const x = Math.round(rect.left + ((at - chart.from) / (chart.to - chart.from)) * rect.width) + 0.5;
    if (x < rect.left || x > rect.left + rect.width + 1) return;
    context.strokeStyle = chart.ink("--muted");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, rect.top);
    context.lineTo(x, rect.top + rect.height);
    context.stroke();
    const row = found?.row;
    chart.plot.style.opacity = row && (chart.head?.n ?? 0) > 1 ? "0.45" : "1";
    if (!row || !chart.head) return;
    context.save();
    context.beginPath();
    context.rect(rect.left, rect.top, rect.width, rect.height);
    context.clip();
    context.strokeStyle = context.fillStyle = chart.ink(`--s${chart.head.slots[found.series] % 8}`);
    context.lineWidth = 2;
    context.beginPath();
    const { start, step } = chart.head;
    let open = false;
    for (let i = 0; i < row.length; i++) {
      const v = row[i];
      if (v !== v) { open = false; continue; }
      const px = rect.left + ((start + i * step - chart.from) / (chart.to - chart.from)) * rect.width;
      const py = rect.top + rect.height * (1 - Math.max(-1, Math.min(2, place(chart.scale, v))));
      if (open) context.lineTo(px, py);
      else context.moveTo(px, py);
      open = true;
    }
    context.stroke();
    if (row[found.step] === row[found.step]) {
      context.beginPath();
      context.arc(x, this.pixelY(found), 4, 0, 7);
      context.fill();
    }
    context.restore();
  }

  /** The crosshair of another graph. @param {number | null} at */
  follow(at) {
    if (this.pinned || !this.tip.hidden) return;
    if (at === null) this.clear();
    else this.drawCross(at, null);
  }

  /** @param {number} a @param {number} b */
  drawSelection(a, b) {
    const { over, rect, size } = this.chart;
    this.tip.hidden = true;
    const context = over.getContext("2d");
    if (!context) return;
    context.setTransform(size.dpr, 0, 0, size.dpr, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    context.globalAlpha = 0.25;
    context.fillStyle = this.chart.ink("--accent");
    context.fillRect(rect.left + Math.min(a, b), rect.top, Math.abs(b - a), rect.height);
    context.globalAlpha = 1;
  }

  /** Shows the exemplar under the pointer. @param {number} x @param {number} y */
  overExemplar(x, y) {
    const { chart } = this;
    const found = chart.exemplars.find((one) => {
      const at = chart.exemplarAt(one);
      return Math.abs(at.x - x) < 6 && Math.abs(at.y - y) < 6;
    });
    if (!found) return false;
    this.wanted = null;
    if (this.shown?.exemplar === found) return true;
    this.shown = { series: -1, exemplar: found };
    void import("./exemplar.js").then(({ exemplarText }) => {
      if (this.shown?.exemplar !== found || this.pinned) return;
      this.tip.replaceChildren(exemplarText(found));
      this.put(x, y);
    });
    return true;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { chart } = this;
    const { head } = chart;
    if (!head || event.ctrlKey || event.metaKey || event.altKey || event.target !== chart.element) return;
    const step = this.shown?.step ?? Math.floor(head.count / 2);
    const series = this.shown?.series ?? 0;
    const go = (/** @type {number} */ i, /** @type {number} */ s) => {
      this.ask({ step: Math.max(0, Math.min(head.count - 1, i)), y: 0.5, series: Math.max(0, Math.min(head.n - 1, s)) });
      setTimeout(() => { if (!this.tip.hidden) announce(this.tip.textContent ?? ""); }, 150);
    };
    const many = Math.max(1, Math.round(head.count / 20));
    const span = chart.to - chart.from;
    const middle = this.shown ? head.start + step * head.step : chart.from + span / 2;
    switch (event.key) {
      case "ArrowLeft": go(step - (event.shiftKey ? many : 1), series); break;
      case "ArrowRight": go(step + (event.shiftKey ? many : 1), series); break;
      case "ArrowUp": go(step, series - 1); break;
      case "ArrowDown": go(step, series + 1); break;
      case "+": case "=": chart.options.onZoom(middle - span / 4, middle + span / 4); break;
      case "-": chart.options.onZoom(middle - span, middle + span); break;
      case "Backspace": chart.options.onBack(); break;
      case "t": chart.options.onNumbers(); break;
      case "Enter": this.pin(); break;
      case "Escape": this.unpin(); break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Counts, without the digits that the addition of fractions leaves. @param {number} value */
const round = (value) => Number(value.toPrecision(12));
