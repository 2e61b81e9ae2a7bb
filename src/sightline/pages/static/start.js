// Starts a page that stands alone: its data lies in it, and it is the whole document.

import { render as renderReport } from "./report.js";

renderReport({
  model: JSON.parse(document.querySelector('script[type="application/json"]')?.textContent ?? ""),
  el: document.documentElement,
});
