// The page: controls, keys, theme, tables, print.

const byId = (id) => document.getElementById(id);
const themes = ["auto", "light", "dark"];

function say(text) {
  const toast = byId("told");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.hidden = true; }, 1400);
}

function setTheme(theme) {
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  repaint();
  try { localStorage.setItem("sightline-theme", theme); } catch { /* a page without storage keeps nothing */ }
}

function nextTheme() {
  setTheme(themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % 3]);
}

function choose(name, value) {
  root.dataset[name] = value;
  const input = document.querySelector(`input[name="${name}"][value="${value}"]`);
  if (input) input.checked = true;
  if (name === "view") {
    figures.forEach((figure) => { figure.view = null; });
    refresh();
  } else {
    repaint();
  }
}

function flip(id, on) {
  const box = byId(id);
  if (!box) return;
  box.checked = on ?? !box.checked;
  if (id === "crop") root.dataset.frame = box.checked ? "model" : "picture";
  else root.toggleAttribute(`data-${id}`, box.checked);
}

function setOpacity(percent) {
  const bounded = Math.min(100, Math.max(0, percent));
  const slider = byId("opacity");
  slider.value = bounded;
  slider.parentElement.querySelector("output").textContent = `${bounded} %`;
  root.style.setProperty("--opacity", bounded / 100);
}

function cycle(name) {
  const inputs = [...document.querySelectorAll(`input[name="${name}"]`)];
  if (!inputs.length) return;
  const next = inputs[(inputs.findIndex((input) => input.checked) + 1) % inputs.length];
  choose(name, next.value);
  say(`${next.closest("fieldset").querySelector("legend").textContent}: ${next.nextElementSibling.textContent}`);
}

let goal = null; // the picture that a key last went to, until the page is moved by other means
["wheel", "touchmove", "pointerdown"].forEach((kind) => document.addEventListener(kind, () => { goal = null; }, { passive: true }));

function move(step) {
  const items = [...document.querySelectorAll(".item")];
  const line = window.innerHeight / 3;
  const current = goal ?? items.filter((item) => item.getBoundingClientRect().top < line).length - 1;
  goal = Math.min(items.length - 1, Math.max(0, current + step));
  items[goal]?.scrollIntoView();
  items[goal]?.focus({ preventScroll: true });
}

const keys = {
  j: () => move(1), k: () => move(-1),
  1: () => choose("view", "picture"), 2: () => choose("view", "overlay"), 3: () => choose("view", "map"),
  "[": () => setOpacity(Number(byId("opacity").value) - 10), "]": () => setOpacity(Number(byId("opacity").value) + 10),
  s: () => cycle("scale"), e: () => cycle("sign"), c: () => flip("contours"), p: () => flip("outlines"), f: () => flip("crop"),
  t: nextTheme, "?": () => byId("keys").showModal(),
};
const needControls = new Set("123[]secpf");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const action = keys[event.key.toLowerCase()];
  if (!action || (needControls.has(event.key.toLowerCase()) && !byId("controls"))) return;
  event.preventDefault();
  action();
});

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.className = "sorter";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => (column ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b)));
      body.append(...[...body.rows].sort((a, b) => (rising ? compare(a, b) : compare(b, a))));
    });
  });
}

// What is opened under one map opens under all maps of its picture: the numbers stay side by side.
function together(details) {
  details.closest(".row").querySelectorAll(`details.${details.className}`).forEach((other) => { other.open = details.open; });
}

function start() {
  root.classList.remove("still");
  let theme = "auto";
  try { theme = localStorage.getItem("sightline-theme") ?? "auto"; } catch { /* storage may be refused */ }
  setTheme(themes.includes(theme) ? theme : "auto");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  byId("theme").addEventListener("click", nextTheme);
  document.addEventListener("click", (event) => { // a link to details opens them
    const link = event.target.closest?.('a[href^="#"]');
    const goal = link && byId(decodeURIComponent(link.hash.slice(1)));
    if (goal instanceof HTMLDetailsElement) goal.open = true;
  });
  byId("help").addEventListener("click", () => byId("keys").showModal());
  document.querySelectorAll("img[data-of]").forEach((image) => { image.src = byId(`${image.dataset.of}-base`).src; });
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("dialog").forEach((dialog) => dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  }));
  keepState();
  if (!byId("controls")) return recall(remembered());
  if (!("DecompressionStream" in window)) say("This browser is too old to recolour the maps; any from 2023 on can.");
  document.querySelectorAll("#controls input[type=radio]").forEach((input) => input.addEventListener("change", () => choose(input.name, input.value)));
  document.querySelectorAll("#controls input[type=checkbox]").forEach((box) => box.addEventListener("change", () => flip(box.id, box.checked)));
  byId("opacity").addEventListener("input", (event) => setOpacity(Number(event.target.value)));
  byId("more").addEventListener("click", (event) => {
    const open = byId("controls").classList.toggle("open");
    event.currentTarget.setAttribute("aria-expanded", String(open));
    event.currentTarget.textContent = open ? "Done" : "Adjust";
  });
  document.querySelectorAll("input[data-part]").forEach((box) => box.addEventListener("change", () => {
    document.querySelectorAll(`[data-part-of="${box.dataset.part}"]`).forEach((group) => { group.style.display = box.checked ? "" : "none"; });
  }));
  document.querySelectorAll(".row").forEach((row) => { followPointer(row); followNames(row.closest(".item")); });
  document.querySelectorAll(".row details").forEach((details) => details.addEventListener("toggle", () => together(details)));
  figures.forEach((figure) => {
    figure.card.querySelector(".look").addEventListener("click", () => turn(figure));
    figure.card.querySelector(".enlarge").addEventListener("click", () => enlarge(figure));
  });
  recall(remembered());
  refresh();
}

start();
