// What a reader chose stays when the page is loaded again: views, scale, what is open, and the place. Kept for this tab
// and this file; where storage is refused, in the history entry.

const place = `sightline:${location.pathname}`;
const switches = ["contours", "outlines", "crop"];
const every = (selector) => [...document.querySelectorAll(selector)];

// What the page shows: a page that was made again under the same name keeps the scale, but nothing about its pictures.
const content = () => every("h1, .item h2, .card h3").map((heading) => heading.textContent).join();

function remembered() {
  try {
    const text = sessionStorage.getItem(place);
    if (text) return JSON.parse(text);
  } catch { /* storage may be refused, or hold what another version wrote */ }
  return history.state?.[place] ?? null;
}

function remember() {
  const state = {
    content: content(),
    chosen: Object.fromEntries(["view", "scale", "sign"].map((name) => [name, root.dataset[name]])),
    on: Object.fromEntries(switches.map((id) => [id, Boolean(document.getElementById(id)?.checked)])),
    opacity: document.getElementById("opacity")?.value,
    views: figures.map((figure) => figure.view),
    hidden: every("input[data-part]").filter((box) => !box.checked).map((box) => box.dataset.part),
    open: every("details").map((details) => details.open),
    sorted: every("table.sortable").map((table) => {
      const column = [...table.tHead.rows[0].cells].findIndex((head) => head.ariaSort && head.ariaSort !== "none");
      return [column, column >= 0 && table.tHead.rows[0].cells[column].ariaSort === "descending"];
    }),
    adjusting: Boolean(document.getElementById("controls")?.classList.contains("open")),
    sideways: every(".row, .scroller, .sag-scroll").map((box) => box.scrollLeft),
    scroll: window.scrollY,
  };
  try {
    sessionStorage.setItem(place, JSON.stringify(state));
  } catch {
    history.replaceState({ ...history.state, [place]: state }, "");
  }
}

function recall(state) {
  if (!state) return;
  if (document.getElementById("controls")) recallControls(state);
  if (state.content !== content()) return;
  every("details").forEach((details, k) => { details.open = state.open?.[k] ?? details.open; });
  every("table.sortable").forEach((table, k) => {
    const [column, falling] = state.sorted?.[k] ?? [-1, false];
    const button = table.tHead.rows[0].cells[column]?.querySelector(".sorter");
    for (let press = button ? 1 + falling : 0; press > 0; press--) button.click();
  });
  figures.forEach((figure, k) => { figure.view = state.views?.[k] ?? null; });
  const hidden = new Set(state.hidden ?? []);
  every("input[data-part]").filter((box) => hidden.has(box.dataset.part)).forEach((box) => box.click());
  const [visit] = performance.getEntriesByType("navigation");
  if (visit?.type !== "reload" && visit?.type !== "back_forward") return;
  history.scrollRestoration = "manual"; // the browser would go there before the page has its height
  every(".row, .scroller, .sag-scroll").forEach((box, k) => { box.scrollTo({ left: state.sideways?.[k] ?? 0, behavior: "instant" }); });
  window.scrollTo({ top: state.scroll ?? 0, behavior: "instant" });
}

function recallControls(state) {
  for (const [name, value] of Object.entries(state.chosen ?? {})) {
    if (document.querySelector(`input[name="${name}"][value="${CSS.escape(value)}"]`)) choose(name, value);
  }
  switches.forEach((id) => flip(id, Boolean(state.on?.[id])));
  if (state.opacity !== undefined) setOpacity(Number(state.opacity));
  if (state.adjusting) document.getElementById("more").click();
}

function keepState() {
  window.addEventListener("pagehide", remember);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") remember(); });
}
