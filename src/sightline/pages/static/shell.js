// The shell of a page: theme, keyboard map, dialogs, the way from picture to picture, what opens together.

import { onKeys } from "./keys.js";
import { around, every, find } from "./look_up.js";

const THEMES = ["auto", "light", "dark"];
const STORED = "sightline-theme";

/** @param {{ el: HTMLElement }} given  @returns {() => void} */
export function render({ el }) {
  const ending = new AbortController();
  const { signal } = ending;
  el.classList.remove("still");
  let theme = "auto";
  try { theme = localStorage.getItem(STORED) ?? "auto"; } catch { /* storage may be refused */ }
  setTheme(el, THEMES.includes(theme) ? theme : "auto");
  const keyboardMap = /** @type {HTMLDialogElement} */ (find(el, "dialog.keyboard-map"));
  find(el, ".theme").addEventListener("click", () => nextTheme(el), { signal });
  find(el, ".help").addEventListener("click", () => keyboardMap.showModal(), { signal });
  every(el, "dialog").forEach((each) => each.addEventListener("click", (event) => {
    if (event.target === each) /** @type {HTMLDialogElement} */ (each).close();
  }, { signal }));
  showPictures(el);
  every(el, ".row details").forEach((each) => each.addEventListener("toggle", () => together(each), { signal }));
  el.addEventListener("click", (event) => { // a link to a card's numbers opens them
    const numbers = around(event, ".trust")?.closest(".card")?.querySelector("details.numbers");
    if (numbers instanceof HTMLDetailsElement) numbers.open = true;
  }, { signal });
  const move = mover(el, signal);
  onKeys(el, { j: () => move(1), k: () => move(-1), t: () => nextTheme(el), "?": () => keyboardMap.showModal() }, signal);
  return () => ending.abort();
}

/** @type {WeakMap<Element, number>} */
const timers = new WeakMap();

/**
 * Says something for a moment, without hiding the page.
 * @param {HTMLElement} el  @param {string} text
 */
export function say(el, text) {
  const toast = find(el, ".toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(timers.get(toast));
  timers.set(toast, window.setTimeout(() => { toast.hidden = true; }, 1400));
}

/** @param {HTMLElement} el  @param {string} theme */
function setTheme(el, theme) {
  if (theme === "auto") delete el.dataset.theme;
  else el.dataset.theme = theme;
  find(el, ".theme").textContent = `Theme: ${theme}`;
  try { localStorage.setItem(STORED, theme); } catch { /* a page without storage keeps nothing */ }
}

/** @param {HTMLElement} el */
function nextTheme(el) {
  setTheme(el, THEMES[(THEMES.indexOf(el.dataset.theme ?? "auto") + 1) % 3]);
}

/**
 * A picture's pixels are in the page once; its maps and the list of contents show the same.
 * @param {HTMLElement} el
 */
function showPictures(el) {
  const links = every(el, ".contents img");
  every(el, ".item").forEach((item, k) => {
    const { src } = /** @type {HTMLImageElement} */ (find(item, ".picture-card .base"));
    [...every(item, ".look .base"), links[k]].forEach((image) => {
      if (image instanceof HTMLImageElement) image.src = src;
    });
  });
}

/**
 * What is opened under one map opens under all maps of its picture: the numbers stay side by side.
 * @param {HTMLElement} each a `details`
 */
function together(each) {
  const { open } = /** @type {HTMLDetailsElement} */ (each);
  const row = /** @type {HTMLElement} */ (each.closest(".row"));
  every(row, `details.${each.className}`).forEach((other) => {
    /** @type {HTMLDetailsElement} */ (other).open = open;
  });
}

/**
 * Goes so many pictures on. It counts from the picture that a key last went to, until the page is moved by other means.
 * @param {HTMLElement} el  @param {AbortSignal} signal  @returns {(step: number) => void}
 */
function mover(el, signal) {
  /** @type {number | null} */
  let goal = null;
  ["wheel", "touchmove", "pointerdown"].forEach((kind) => {
    el.addEventListener(kind, () => { goal = null; }, { passive: true, signal });
  });
  return (step) => {
    const items = every(el, ".item");
    const line = window.innerHeight / 3;
    const current = goal ?? items.filter((item) => item.getBoundingClientRect().top < line).length - 1;
    goal = Math.min(items.length - 1, Math.max(0, current + step));
    items[goal]?.scrollIntoView();
    items[goal]?.focus({ preventScroll: true });
  };
}
