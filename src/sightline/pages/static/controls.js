// Controls: the bar that says how the maps are shown, its keys, and which parts are outlined.

import { onKeys } from "./keys.js";
import { every, find } from "./look_up.js";
import { say } from "./shell.js";

export const SWITCHES = ["contours", "outlines", "crop"];

/** @param {{ el: HTMLElement }} given  @returns {() => void} */
export function render({ el }) {
  const ending = new AbortController();
  const { signal } = ending;
  const bar = el.querySelector(".bar-of-controls");
  if (!bar) return () => {};
  if (!("DecompressionStream" in window)) say(el, "This browser is too old to recolour the maps; any from 2023 on can.");
  every(bar, "input").forEach((each) => {
    const input = /** @type {HTMLInputElement} */ (each);
    if (input.type === "radio") input.addEventListener("change", () => choose(el, input.name, input.value), { signal });
    if (input.type === "checkbox") input.addEventListener("change", () => flip(el, input.name, input.checked), { signal });
    if (input.type === "range") input.addEventListener("input", () => setOpacity(el, Number(input.value)), { signal });
  });
  find(bar, ".more").addEventListener("click", () => adjust(el), { signal });
  every(el, ".item").forEach((item) => followLegend(item, signal));
  onKeys(el, {
    1: () => choose(el, "view", "picture"),
    2: () => choose(el, "view", "overlay"),
    3: () => choose(el, "view", "map"),
    "[": () => setOpacity(el, Number(opacityOf(el)) - 10),
    "]": () => setOpacity(el, Number(opacityOf(el)) + 10),
    s: () => cycle(el, "scale"),
    e: () => cycle(el, "sign"),
    c: () => flip(el, "contours"),
    p: () => flip(el, "outlines"),
    f: () => flip(el, "crop"),
  }, signal);
  return () => ending.abort();
}

/**
 * The control of a name, of that value where several share it; none where the page lacks it.
 * @param {HTMLElement} el  @param {string} name  @param {string} [value]  @returns {HTMLInputElement | null}
 */
export function control(el, name, value) {
  const one = value === undefined ? "" : `[value="${CSS.escape(value)}"]`;
  return el.querySelector(`.bar-of-controls input[name="${name}"]${one}`);
}

/** @param {HTMLElement} el  @param {string} name  @param {string} value */
export function choose(el, name, value) {
  const input = control(el, name, value);
  if (input) input.checked = true;
  if (name === "view") every(el, ".map-card").forEach((card) => { delete card.dataset.view; });
  el.dataset[name] = value;
}

/** @param {HTMLElement} el  @param {string} name  @param {boolean} [on] */
export function flip(el, name, on) {
  const box = control(el, name);
  if (!box) return;
  box.checked = on ?? !box.checked;
  if (name === "crop") el.dataset.frame = box.checked ? "model" : "picture";
  else el.toggleAttribute(`data-${name}`, box.checked);
}

/** @param {HTMLElement} el  @returns {string | undefined} */
export function opacityOf(el) {
  return control(el, "opacity")?.value;
}

/** @param {HTMLElement} el  @param {number} percent */
export function setOpacity(el, percent) {
  const slider = control(el, "opacity");
  if (!slider) return;
  const bounded = Math.min(100, Math.max(0, percent));
  slider.value = String(bounded);
  find(el, ".slider output").textContent = `${bounded} %`;
  el.style.setProperty("--opacity", String(bounded / 100));
}

/**
 * Opens or closes the rest of the bar, on a telephone.
 * @param {HTMLElement} el
 */
export function adjust(el) {
  const more = find(el, ".bar-of-controls .more");
  const open = find(el, ".bar-of-controls").classList.toggle("open");
  more.setAttribute("aria-expanded", String(open));
  more.textContent = open ? "Done" : "Adjust";
}

/** @param {HTMLElement} el  @param {string} name */
function cycle(el, name) {
  const inputs = /** @type {HTMLInputElement[]} */ (every(el, `.bar-of-controls input[name="${name}"]`));
  if (!inputs.length) return;
  const next = inputs[(inputs.findIndex((input) => input.checked) + 1) % inputs.length];
  choose(el, name, next.value);
  const group = find(/** @type {Element} */ (next.closest("fieldset")), "legend");
  say(el, `${group.textContent}: ${next.nextElementSibling?.textContent}`);
}

/** @param {HTMLElement} item  @param {AbortSignal} signal */
function followLegend(item, signal) {
  every(item, "input[data-part]").forEach((each) => each.addEventListener("change", () => {
    const box = /** @type {HTMLInputElement} */ (each);
    every(item, "[data-part-of]").filter((group) => group.dataset.partOf === box.dataset.part).forEach((group) => {
      group.style.display = box.checked ? "" : "none";
    });
  }, { signal }));
}
