// A report: its shell, tables, figures and controls, and what its reader chose before.

import { render as renderControls } from "./controls.js";
import { render as renderFigures } from "./figures.js";
import { render as renderMemory } from "./memory.js";
import { render as renderShell } from "./shell.js";
import { render as renderTables } from "./tables.js";

/**
 * Brings the markup of a report below `el` to life; the clean-up leaves it as it is, without listeners.
 * @param {{ model: import("./figures.js").FiguresModel, el: HTMLElement }} given  @returns {() => void}
 */
export function render({ model, el }) {
  const endings = [
    renderShell({ el }),
    renderTables({ el }),
    renderFigures({ model, el }),
    renderControls({ el }),
    renderMemory({ el }),
  ];
  return () => endings.forEach((end) => end());
}
