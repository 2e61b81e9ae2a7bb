// Figures: each stage shows picture, overlay or map, as `data-view`, `data-scale` and `data-sign` of the page and
// `data-view` of a card say; whoever changes these has the maps painted again.

import { followNames, followPointer } from "./cross.js";
import { every, find } from "./look_up.js";
import { colourTable, decode, paint, pixelTable, placed } from "./maps.js";

/** @typedef {import("./maps.js").MapModel} MapModel */
/** @typedef {import("./maps.js").Field} Field */
/** @typedef {{ stops: Record<string, string[]>, maps: MapModel[] }} FiguresModel */

/**
 * A map and its card. plain, native: its values, once they are decoded. now: what is painted.
 * @typedef {{
 *   map: MapModel, card: HTMLElement, dirty: boolean, plain?: Field, native?: Field,
 *   now?: Field & import("./maps.js").Placed,
 * }} Figure
 */

/**
 * All figures below an element. run: the number of the latest painting, which takes over from earlier ones.
 * @typedef {{
 *   el: HTMLElement, figures: Figure[], tables: Record<string, Uint8ClampedArray>, ramps: Record<string, string>,
 *   run: number,
 * }} Wall
 */

const VIEWS = ["overlay", "map", "picture"];

/** @param {{ model: FiguresModel, el: HTMLElement }} given  @returns {() => void} */
export function render({ model, el }) {
  const items = every(el, ".item").map((item) => every(item, ".map-card"));
  const stops = Object.entries(model.stops);
  /** @type {Wall} */
  const wall = {
    el,
    figures: model.maps.map((map) => ({ map, card: items[map.row][map.column], dirty: true })),
    tables: Object.fromEntries(stops.map(([name, colours]) => [name, colourTable(colours)])),
    ramps: Object.fromEntries(stops.map(([name, colours]) => [name, `linear-gradient(to right, ${colours.join(", ")})`])),
    run: 0,
  };
  const ending = new AbortController();
  const { signal } = ending;
  el.dataset.view ??= "overlay";
  el.dataset.scale ??= "shared";
  el.dataset.sign ??= "made";
  every(el, ".row").forEach((row) => {
    followPointer(row, wall.figures, signal);
    followNames(/** @type {HTMLElement} */ (row.closest(".item")), signal);
  });
  wall.figures.forEach((figure) => {
    find(figure.card, ".look").addEventListener("click", () => turn(wall, figure), { signal });
    figure.card.querySelector(".enlarge")?.addEventListener("click", () => enlarge(el, figure), { signal });
  });
  const observer = new MutationObserver((changes) => {
    const colours = changes.some((change) => change.target === el && change.attributeName !== "data-view");
    if (colours) repaint(wall);
    else refresh(wall);
  });
  observer.observe(el, { attributeFilter: ["data-view", "data-scale", "data-sign", "data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => repaint(wall), { signal });
  queueMicrotask(() => refresh(wall)); // after what the page remembers
  return () => {
    wall.run += 1;
    observer.disconnect();
    ending.abort();
  };
}

/** @param {Wall} wall  @param {Figure} figure  @returns {string} */
function viewOf(wall, figure) {
  return figure.card.dataset.view ?? wall.el.dataset.view ?? "overlay";
}

/** @param {Wall} wall  @param {Figure} figure  @returns {boolean} */
function wantsSign(wall, figure) {
  const { signed, empty } = figure.map;
  const asked = wall.el.dataset.sign;
  if (!signed || empty) return Boolean(signed);
  return asked === "signed" || (asked !== "plain" && Boolean(signed.same)); // as in files and figures
}

/** @param {Figure} figure  @param {boolean} signed  @returns {Promise<Field>} */
async function valuesOf(figure, signed) {
  figure.plain ??= await decode(figure.map);
  if (!signed || figure.map.signed?.same) return figure.plain;
  figure.native ??= await decode(/** @type {import("./maps.js").Encoded} */ (figure.map.signed));
  return figure.native;
}

/** @param {Wall} wall  @param {Figure} figure */
async function draw(wall, figure) {
  figure.dirty = false;
  const { map, card } = figure;
  const signed = wantsSign(wall, figure);
  const alone = viewOf(wall, figure) === "map";
  const dark = getComputedStyle(wall.el).colorScheme === "dark";
  const name = !signed ? "magnitude" : dark && alone ? "signed-dark" : "signed";
  const values = await valuesOf(figure, signed);
  const scale = wall.el.dataset.scale ?? "shared";
  const column = wall.figures.map((other) => other.map).filter((other) => other.column === map.column);
  const now = placed(map, values, signed, scale, column);
  paint(find(card, "canvas"), values, now.places, pixelTable(wall.tables[name], signed, !alone));
  figure.now = { ...values, ...now };
  card.classList.add("painted");
  every(card, ".ends span").forEach((span, k) => { span.textContent = now.ends[k]; });
  find(card, ".unit").textContent = now.unit;
  const ramp = find(card, ".ramp");
  ramp.style.backgroundImage = wall.ramps[name];
  ramp.classList.toggle("quarters", scale === "shared" && !signed);
}

/** @param {Wall} wall  @param {Figure} figure */
function show(wall, figure) {
  const view = viewOf(wall, figure);
  const stage = find(figure.card, ".stage");
  if (stage.dataset.view !== view) figure.dirty = true;
  stage.dataset.view = view;
  find(figure.card, ".view-name").textContent = figure.card.dataset.view ?? "";
}

/**
 * Paints what changed, nearest to the window first; a later call takes over from an earlier one.
 * @param {Wall} wall
 */
async function refresh(wall) {
  const run = ++wall.run;
  wall.figures.forEach((figure) => show(wall, figure));
  const middle = window.innerHeight / 2;
  const away = wall.figures.map((f) => ({ f, distance: Math.abs(f.card.getBoundingClientRect().top - middle) }));
  for (const { f } of away.sort((a, b) => a.distance - b.distance)) {
    if (run !== wall.run) return;
    if (f.dirty) await draw(wall, f);
  }
}

/** @param {Wall} wall */
function repaint(wall) {
  wall.figures.forEach((figure) => { figure.dirty = true; });
  return refresh(wall);
}

/** @param {Wall} wall  @param {Figure} figure */
function turn(wall, figure) {
  const next = VIEWS[(VIEWS.indexOf(viewOf(wall, figure)) + 1) % 3];
  if (next === wall.el.dataset.view) delete figure.card.dataset.view;
  else figure.card.dataset.view = next;
  refresh(wall);
}

/** @param {HTMLElement} el  @param {Figure} figure */
function enlarge(el, figure) {
  const dialog = /** @type {HTMLDialogElement} */ (find(el, "dialog.large"));
  const row = /** @type {HTMLElement} */ (figure.card.closest(".row"));
  const pair = find(dialog, ".pair");
  pair.replaceChildren(...[find(row, ".picture-card"), figure.card].map((card) => {
    const copy = /** @type {HTMLElement} */ (find(card, ".stage").cloneNode(true));
    copy.classList.add(...card.classList);
    every(copy, "[id]").forEach((element) => element.removeAttribute("id"));
    every(copy, "button").forEach((button) => { button.tabIndex = -1; });
    const from = card.querySelector("canvas");
    if (from) {
      const to = /** @type {HTMLCanvasElement} */ (find(copy, "canvas"));
      [to.width, to.height] = [from.width, from.height];
      to.getContext("2d")?.drawImage(from, 0, 0);
    }
    return copy;
  }));
  pair.style.cssText = row.style.cssText;
  const title = find(/** @type {Element} */ (figure.card.closest(".item")), "h2").textContent;
  find(dialog, "h2").textContent = `${figure.card.getAttribute("aria-label")}. ${title}`;
  dialog.showModal();
}
