// Figures: each stage shows picture, overlay or map; a cross reads all maps of a row at one place.

const data = JSON.parse(document.getElementById("data").textContent);
const tables = Object.fromEntries(Object.entries(data.stops).map(([name, stops]) => [name, colourTable(stops)]));
const ramps = Object.fromEntries(
  Object.entries(data.stops).map(([name, stops]) => [name, `linear-gradient(to right, ${stops.join(", ")})`]),
);
const root = document.documentElement;
const figures = data.maps.map((map) => ({ map, card: document.getElementById(map.id), dirty: true, view: null }));
function wantsSign(figure) {
  const { signed, empty } = figure.map;
  const asked = root.dataset.sign;
  if (!signed || empty) return Boolean(signed);
  return asked === "signed" || (asked !== "plain" && Boolean(signed.same)); // as in files and figures
}

async function field(figure, signed) {
  figure.plain ??= unpack(figure.map);
  if (!signed || figure.map.signed.same) return figure.plain;
  figure.native ??= unpack(figure.map.signed);
  return figure.native;
}

async function draw(figure) {
  figure.dirty = false;
  const { map, card } = figure;
  const signed = wantsSign(figure);
  const alone = (figure.view ?? root.dataset.view) === "map";
  const dark = getComputedStyle(root).colorScheme === "dark";
  const name = !signed ? "magnitude" : dark && alone ? "signed-dark" : "signed";
  const values = await field(figure, signed);
  const scale = root.dataset.scale;
  const now = placed(map, values, signed, scale, data.maps.filter((m) => m.column === map.column));
  paint(card.querySelector("canvas"), values, now.places, pixelTable(tables[name], signed, !alone));
  figure.now = { ...values, ...now };
  card.classList.add("painted");
  card.querySelectorAll(".ends span").forEach((span, k) => { span.textContent = now.ends[k]; });
  card.querySelector(".unit").textContent = now.unit;
  const ramp = card.querySelector(".ramp");
  ramp.style.backgroundImage = ramps[name];
  ramp.classList.toggle("quarters", scale === "shared" && !signed);
}

function show(figure) {
  const view = figure.view ?? root.dataset.view;
  const stage = figure.card.querySelector(".stage");
  if (stage.dataset.view !== view) figure.dirty = true;
  stage.dataset.view = view;
  figure.card.querySelector(".view-name").textContent = figure.view ? view : "";
}

let latest = 0;

// Paints what changed, nearest to the window first; a later call takes over from an earlier one.
async function refresh() {
  const run = ++latest;
  figures.forEach(show);
  const middle = window.innerHeight / 2;
  const away = new Map(figures.map((f) => [f, Math.abs(f.card.getBoundingClientRect().top - middle)]));
  for (const figure of [...figures].sort((a, b) => away.get(a) - away.get(b))) {
    if (run !== latest) return;
    if (figure.dirty) await draw(figure);
  }
}

function repaint() {
  figures.forEach((figure) => { figure.dirty = true; });
  return refresh();
}

function turn(figure) {
  const order = ["overlay", "map", "picture"];
  const view = figure.view ?? root.dataset.view;
  figure.view = order[(order.indexOf(view) + 1) % 3];
  if (figure.view === root.dataset.view) figure.view = null;
  refresh();
}

function cross(row, x, y) {
  row.querySelectorAll(".card").forEach((card) => {
    const inside = x >= 0 && x <= 1 && y >= 0 && y <= 1;
    card.classList.toggle("crossed", inside);
    const mark = card.querySelector(".cross");
    if (!mark || !inside) return;
    mark.style.left = `${x * 100}%`;
    mark.style.top = `${y * 100}%`;
    const figure = figures.find((f) => f.card === card);
    if (figure?.now) read(figure, x, y);
  });
}

function read(figure, x, y) {
  const { rows, cols, values, places } = figure.now;
  const at = Math.min(rows - 1, Math.floor(y * rows)) * cols + Math.min(cols - 1, Math.floor(x * cols));
  figure.card.querySelector(".readout").textContent = numberText(values[at]);
  figure.card.querySelector(".ramp .tick").style.left = `${places[at] * 100}%`;
}

function uncross(row) {
  row.querySelectorAll(".crossed").forEach((card) => card.classList.remove("crossed"));
  row.querySelectorAll(".readout").forEach((plate) => { plate.textContent = ""; });
  row.at = null;
}

function followPointer(row) {
  row.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const box = event.target.closest(".stage")?.querySelector(".box");
    if (!box) return uncross(row);
    const edge = box.getBoundingClientRect();
    row.at = [(event.clientX - edge.left) / edge.width, (event.clientY - edge.top) / edge.height];
    cross(row, ...row.at);
  });
  row.addEventListener("pointerleave", () => uncross(row));
  row.addEventListener("focusout", () => uncross(row));
  row.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || !event.target.closest(".look")) return;
    event.preventDefault();
    row.at = (row.at ?? [0.5, 0.5]).map((place, k) => Math.min(1, Math.max(0, place + step[k] / 40)));
    cross(row, ...row.at);
  });
}

// Pointing at a part's name lights its outline on the picture and all its maps.
function followNames(item) {
  const light = (event) => {
    const name = event.target.closest(".legend [data-name], .share[data-name]")?.dataset.name;
    const parts = [...item.querySelectorAll(".part")];
    const known = parts.some((part) => part.dataset.name === name);
    item.classList.toggle("named", known);
    parts.forEach((part) => part.classList.toggle("lit", known && part.dataset.name === name));
  };
  item.addEventListener("pointerover", light);
  item.addEventListener("focusin", light);
}

function enlarge(figure) {
  const dialog = document.getElementById("large");
  const row = figure.card.closest(".row");
  const pair = dialog.querySelector(".pair");
  pair.replaceChildren(...[row.querySelector(".picture-card"), figure.card].map((card) => {
    const copy = card.querySelector(".stage").cloneNode(true);
    copy.classList.add(...card.classList);
    copy.querySelectorAll("[id]").forEach((element) => element.removeAttribute("id"));
    copy.querySelectorAll("button").forEach((button) => { button.tabIndex = -1; });
    const from = card.querySelector("canvas");
    if (from) {
      const to = copy.querySelector("canvas");
      [to.width, to.height] = [from.width, from.height];
      to.getContext("2d").drawImage(from, 0, 0);
    }
    return copy;
  }));
  pair.style.cssText = row.style.cssText;
  const title = figure.card.closest(".item").querySelector("h2").textContent;
  dialog.querySelector("h2").textContent = `${figure.card.getAttribute("aria-label")}. ${title}`;
  dialog.showModal();
}
