// Look-ups below an element, with the kind of element that is expected there.

/**
 * The element that a page always has.
 * @template {Element} [T=HTMLElement]
 * @param {Element} el  @param {string} selector  @returns {T}
 */
export function find(el, selector) {
  const found = el.querySelector(selector);
  if (!found) throw new Error(`nothing in the page is ${selector}`);
  return /** @type {T} */ (found);
}

/**
 * All such elements, in the order of the page.
 * @template {Element} [T=HTMLElement]
 * @param {Element} el  @param {string} selector  @returns {T[]}
 */
export function every(el, selector) {
  return /** @type {T[]} */ ([...el.querySelectorAll(selector)]);
}

/**
 * The nearest element around the one that an event is about.
 * @template {Element} [T=HTMLElement]
 * @param {Event} event  @param {string} selector  @returns {T | null}
 */
export function around(event, selector) {
  return event.target instanceof Element ? /** @type {T | null} */ (event.target.closest(selector)) : null;
}
