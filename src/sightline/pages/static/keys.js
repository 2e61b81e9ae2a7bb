// Keys: a letter below an element is an action, unless a dialog is open or another key is held.

/**
 * @param {HTMLElement} el  @param {Record<string, () => void>} actions  @param {AbortSignal} signal
 */
export function onKeys(el, actions, signal) {
  el.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || el.querySelector("dialog[open]")) return;
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }, { signal });
}
