// What a reader chose stays when the page is loaded again: views, scale, what is open, and the place. Kept for this tab
// and this file; where storage is refused, in the history entry.

import { SWITCHES, adjust, choose, control, flip, opacityOf, setOpacity } from "./controls.js";
import { every } from "./look_up.js";
import { headings } from "./tables.js";

/**
 * @typedef {{
 *   content: string, chosen: Record<string, string | undefined>, on: Record<string, boolean>, opacity?: string,
 *   views: (string | null)[], hidden: (string | undefined)[], open: boolean[], sorted: [number, boolean][],
 *   adjusting: boolean, sideways: number[], scroll: number,
 * }} Remembered
 */

const SIDEWAYS = ".row, .scroller, .sag-scroll";

/** @param {{ el: HTMLElement }} given  @returns {() => void} */
export function render({ el }) {
  const ending = new AbortController();
  const { signal } = ending;
  const tab = el.ownerDocument;
  window.addEventListener("pagehide", () => remember(el), { signal });
  tab.addEventListener("visibilitychange", () => { if (tab.visibilityState === "hidden") remember(el); }, { signal });
  const state = remembered();
  if (state) recall(el, state);
  return () => ending.abort();
}

/** @returns {string} */
function slot() {
  return `sightline:${location.pathname}`;
}

/**
 * What the page shows: a page that was made again under the same name keeps the scale, but nothing about its pictures.
 * @param {HTMLElement} el  @returns {string}
 */
function content(el) {
  return every(el, "h1, .item h2, .card h3").map((heading) => heading.textContent).join();
}

/** @returns {Partial<Remembered> | null} */
function remembered() {
  try {
    const text = sessionStorage.getItem(slot());
    if (text) return JSON.parse(text);
  } catch { /* storage may be refused, or hold what another version wrote */ }
  return history.state?.[slot()] ?? null;
}

/** @param {HTMLElement} el  @returns {HTMLTableElement[]} */
function tablesOf(el) {
  return every(el, "table.sortable");
}

/** @param {HTMLElement} el  @returns {HTMLInputElement[]} */
function partsOf(el) {
  return every(el, "input[data-part]");
}

/** @param {HTMLElement} el */
function remember(el) {
  /** @type {Remembered} */
  const state = {
    content: content(el),
    chosen: Object.fromEntries(["view", "scale", "sign"].map((name) => [name, el.dataset[name]])),
    on: Object.fromEntries(SWITCHES.map((name) => [name, Boolean(control(el, name)?.checked)])),
    opacity: opacityOf(el),
    views: every(el, ".map-card").map((card) => card.dataset.view ?? null),
    hidden: partsOf(el).filter((box) => !box.checked).map((box) => box.dataset.part),
    open: every(el, "details").map((details) => /** @type {HTMLDetailsElement} */ (details).open),
    sorted: tablesOf(el).map((table) => {
      const column = headings(table).findIndex((head) => (head.ariaSort ?? "none") !== "none");
      return [column, column >= 0 && headings(table)[column].ariaSort === "descending"];
    }),
    adjusting: Boolean(el.querySelector(".bar-of-controls.open")),
    sideways: every(el, SIDEWAYS).map((box) => box.scrollLeft),
    scroll: window.scrollY,
  };
  try {
    sessionStorage.setItem(slot(), JSON.stringify(state));
  } catch {
    history.replaceState({ ...history.state, [slot()]: state }, "");
  }
}

/** @param {HTMLElement} el  @param {Partial<Remembered>} state */
function recall(el, state) {
  if (el.querySelector(".bar-of-controls")) recallControls(el, state);
  if (state.content !== content(el)) return;
  every(el, "details").forEach((each, k) => {
    const details = /** @type {HTMLDetailsElement} */ (each);
    details.open = state.open?.[k] ?? details.open;
  });
  tablesOf(el).forEach((table, k) => {
    const [column, falling] = state.sorted?.[k] ?? [-1, false];
    const button = /** @type {HTMLElement | null | undefined} */ (headings(table)[column]?.querySelector(".sorter"));
    for (let press = button ? 1 + Number(falling) : 0; press > 0; press--) button?.click();
  });
  every(el, ".map-card").forEach((card, k) => {
    const view = state.views?.[k];
    if (view) card.dataset.view = view;
  });
  partsOf(el).filter((box) => state.hidden?.includes(box.dataset.part)).forEach((box) => box.click());
  const [visit] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  if (visit?.type !== "reload" && visit?.type !== "back_forward") return;
  history.scrollRestoration = "manual"; // the browser would go there before the page has its height
  every(el, SIDEWAYS).forEach((box, k) => { box.scrollTo({ left: state.sideways?.[k] ?? 0, behavior: "instant" }); });
  window.scrollTo({ top: state.scroll ?? 0, behavior: "instant" });
}

/** @param {HTMLElement} el  @param {Partial<Remembered>} state */
function recallControls(el, state) {
  for (const [name, value] of Object.entries(state.chosen ?? {})) {
    if (value !== undefined && control(el, name, value)) choose(el, name, value);
  }
  SWITCHES.forEach((name) => flip(el, name, Boolean(state.on?.[name])));
  if (state.opacity !== undefined) setOpacity(el, Number(state.opacity));
  if (state.adjusting) adjust(el);
}
