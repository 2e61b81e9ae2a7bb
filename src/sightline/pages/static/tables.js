// Tables: a click on a heading sorts by that column, up and then down.

import { every } from "./look_up.js";

/** @param {{ el: HTMLElement }} given  @returns {() => void} */
export function render({ el }) {
  const ending = new AbortController();
  every(el, "table.sortable").forEach((table) => sortable(/** @type {HTMLTableElement} */ (table), ending.signal));
  return () => ending.abort();
}

/** @param {HTMLTableElement} table  @returns {HTMLTableCellElement[]} */
export function headings(table) {
  return [...(table.tHead?.rows[0].cells ?? [])];
}

/** @param {HTMLTableElement} table  @param {AbortSignal} signal */
function sortable(table, signal) {
  const heads = headings(table);
  heads.forEach((head, column) => {
    const button = head.querySelector(".sorter") ?? sorter(head);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      sort(table.tBodies[0], column, rising);
    }, { signal });
  });
}

/** @param {HTMLTableCellElement} head  @returns {HTMLButtonElement} */
function sorter(head) {
  const button = head.ownerDocument.createElement("button");
  button.className = "sorter";
  button.append(...head.childNodes);
  head.append(button);
  return button;
}

/**
 * The first column by its words, the others by their numbers.
 * @param {HTMLTableSectionElement} body  @param {number} column  @param {boolean} rising
 */
function sort(body, column, rising) {
  const key = (/** @type {HTMLTableRowElement} */ row) => row.cells[column].dataset.value ?? row.cells[column].textContent ?? "";
  const compare = (/** @type {HTMLTableRowElement} */ a, /** @type {HTMLTableRowElement} */ b) => (
    column ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b))
  );
  body.append(...[...body.rows].sort((a, b) => (rising ? compare(a, b) : compare(b, a))));
}
