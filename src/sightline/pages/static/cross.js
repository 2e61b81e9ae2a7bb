// The cross: it reads all maps of a row at one place, by pointer or arrow keys; and part names that light their outline.

import { around, every, find } from "./look_up.js";
import { numberText } from "./maps.js";

/** @typedef {import("./figures.js").Figure} Figure */

/** @type {Record<string, [number, number]>} */
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @param {HTMLElement} row  @param {Figure[]} figures  @param {AbortSignal} signal */
export function followPointer(row, figures, signal) {
  /** @type {[number, number] | null} */
  let at = null;
  const leave = () => { at = null; uncross(row); };
  row.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const box = around(event, ".stage")?.querySelector(".box");
    if (!box) return leave();
    const edge = box.getBoundingClientRect();
    at = [(event.clientX - edge.left) / edge.width, (event.clientY - edge.top) / edge.height];
    cross(row, figures, at);
  }, { signal });
  row.addEventListener("pointerleave", leave, { signal });
  row.addEventListener("focusout", leave, { signal });
  row.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || !around(event, ".look")) return;
    event.preventDefault();
    const [x, y] = at ?? [0.5, 0.5];
    at = [within(x + step[0] / 40), within(y + step[1] / 40)];
    cross(row, figures, at);
  }, { signal });
}

/** @param {number} place  @returns {number} */
function within(place) {
  return Math.min(1, Math.max(0, place));
}

/** @param {HTMLElement} row  @param {Figure[]} figures  @param {[number, number]} at */
function cross(row, figures, [x, y]) {
  const inside = x >= 0 && x <= 1 && y >= 0 && y <= 1;
  every(row, ".card").forEach((card) => {
    card.classList.toggle("crossed", inside);
    const mark = /** @type {HTMLElement | null} */ (card.querySelector(".cross"));
    if (!mark || !inside) return;
    mark.style.left = `${x * 100}%`;
    mark.style.top = `${y * 100}%`;
    const figure = figures.find((f) => f.card === card);
    if (figure?.now) read(figure, figure.now, [x, y]);
  });
}

/** @param {Figure} figure  @param {NonNullable<Figure["now"]>} now  @param {[number, number]} at */
function read(figure, { rows, cols, values, places }, [x, y]) {
  const place = Math.min(rows - 1, Math.floor(y * rows)) * cols + Math.min(cols - 1, Math.floor(x * cols));
  find(figure.card, ".readout").textContent = numberText(values[place]);
  find(figure.card, ".ramp .tick").style.left = `${places[place] * 100}%`;
}

/** @param {HTMLElement} row */
function uncross(row) {
  every(row, ".crossed").forEach((card) => card.classList.remove("crossed"));
  every(row, ".readout").forEach((plate) => { plate.textContent = ""; });
}

/**
 * Pointing at a part's name lights its outline on the picture and all its maps.
 * @param {HTMLElement} item  @param {AbortSignal} signal
 */
export function followNames(item, signal) {
  const light = (/** @type {Event} */ event) => {
    const name = around(event, ".legend [data-name], .share[data-name]")?.dataset.name;
    const parts = every(item, ".part");
    const known = parts.some((part) => part.dataset.name === name);
    item.classList.toggle("named", known);
    parts.forEach((part) => part.classList.toggle("lit", known && part.dataset.name === name));
  };
  item.addEventListener("pointerover", light, { signal });
  item.addEventListener("focusin", light, { signal });
}
