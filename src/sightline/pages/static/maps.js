// Maps: from encoded bytes to numbers, from numbers to colours.

/** @typedef {{ rows: number, cols: number, low: number, high: number, data: string }} Encoded */
/** @typedef {{ rows: number, cols: number, values: Float32Array }} Field */
/** @typedef {{ places: number[] | Float32Array, ends: string[], unit: string }} Placed */

/**
 * A map as `pages/report/map_card.py` writes it. row, column: which picture and which method. floor, peak: of its
 * values. signed: the map with its sign, or `same` where the map itself has one.
 * @typedef {Encoded & {
 *   row: number, column: number, empty: boolean, floor: number, peak: number,
 *   signed: null | (Partial<Encoded> & { peak: number, same?: boolean }),
 * }} MapModel
 */

/** @param {string} text  @returns {Promise<Uint8Array>} */
async function inflate(text) {
  const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param {Encoded} encoded  @returns {Promise<Field>} */
export async function decode(encoded) {
  const { rows, cols, low, high } = encoded;
  const steps = await inflate(encoded.data);
  for (let r = 1; r < rows; r++) steps[r * cols] += steps[(r - 1) * cols];
  for (let r = 0; r < rows; r++) for (let c = 1; c < cols; c++) steps[r * cols + c] += steps[r * cols + c - 1];
  const values = Float32Array.from(steps, (step) => low + (step / 255) * (high - low));
  return { rows, cols, values };
}

/** @param {string} stop  @returns {number[]} */
function channels(stop) {
  return [1, 3, 5].map((k) => parseInt(stop.slice(k, k + 2), 16));
}

/**
 * The 256 colours between these stops, three bytes each.
 * @param {string[]} stops  @returns {Uint8ClampedArray}
 */
export function colourTable(stops) {
  const anchors = stops.map(channels);
  const table = new Uint8ClampedArray(256 * 3);
  for (let k = 0; k < 256; k++) {
    const place = (k / 255) * (anchors.length - 1);
    const left = Math.min(Math.floor(place), anchors.length - 2);
    for (let c = 0; c < 3; c++) {
      table[3 * k + c] = anchors[left][c] + (place - left) * (anchors[left + 1][c] - anchors[left][c]);
    }
  }
  return table;
}

/**
 * What part of a map's evidence lies in places that are no stronger, place by place, with the sign kept. It means the
 * same for every method, whatever its unit: 0.75 is the line that holds a quarter of the evidence.
 * @param {Float32Array} values  @param {number} floor  @param {boolean} signed  @returns {Float32Array}
 */
function shares(values, floor, signed) {
  const heights = values.map((value) => (signed ? Math.abs(value) : Math.max(0, value - floor)));
  let top = 0;
  let total = 0;
  for (const height of heights) {
    top = Math.max(top, height);
    total += height;
  }
  if (!(total > 0)) return heights;
  const bins = Uint16Array.from(heights, (height) => Math.round((height / top) * 2047));
  const held = new Float64Array(2048);
  for (let k = 0; k < bins.length; k++) held[bins[k]] += heights[k];
  for (let k = 1; k < held.length; k++) held[k] += held[k - 1];
  return values.map((value, k) => (held[bins[k]] / total) * (signed ? Math.sign(value) : 1));
}

/**
 * Every value as a place on the colour bar, in [0, 1], with the numbers and the unit under the bar.
 * @param {MapModel} map  @param {Field} field  @param {boolean} signed  @param {string} scale
 * @param {MapModel[]} column the maps of the same method  @returns {Placed}
 */
export function placed(map, field, signed, scale, column) {
  if (scale === "shared") {
    const share = shares(field.values, map.floor, signed);
    return {
      places: signed ? share.map((s) => 0.5 + s / 2) : share,
      ends: signed ? ["100\u202f%", "0", "100\u202f%"] : ["0", "50\u202f%", "100\u202f%"],
      unit: signed ? "percentile; blue against, red for" : "percentile of the evidence",
    };
  }
  const own = scale === "own";
  const peak = (/** @type {MapModel} */ m) => (signed ? m.signed?.peak ?? 0 : m.peak);
  const high = own ? peak(map) : Math.max(...column.map(peak));
  const low = signed ? -high : own ? map.floor : Math.min(...column.map((m) => m.floor));
  const span = high - low;
  const place = (/** @type {number} */ value) => (span > 0 ? Math.min(1, Math.max(0, (value - low) / span)) : signed ? 0.5 : 0);
  return {
    places: field.values.map(place),
    ends: [low, (low + high) / 2, high].map(numberText),
    unit: own ? "raw values, own range" : "raw values, range of all pictures",
  };
}

/**
 * The 256 colours of a bar as four-byte pixels; clear ones let the picture through where the map is weak.
 * @param {Uint8ClampedArray} table  @param {boolean} signed  @param {boolean} clear  @returns {Uint32Array}
 */
export function pixelTable(table, signed, clear) {
  const bytes = new Uint8ClampedArray(256 * 4);
  for (let k = 0; k < 256; k++) {
    const strength = signed ? Math.abs(2 * (k / 255) - 1) : k / 255;
    bytes.set(table.subarray(3 * k, 3 * k + 3), 4 * k);
    bytes[4 * k + 3] = clear ? 255 * strength ** 0.75 : 255;
  }
  return new Uint32Array(bytes.buffer);
}

/**
 * @param {HTMLCanvasElement} canvas  @param {Field} field  @param {Placed["places"]} places
 * @param {Uint32Array} colours
 */
export function paint(canvas, field, places, colours) {
  canvas.width = field.cols;
  canvas.height = field.rows;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(field.cols, field.rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let k = 0; k < pixels.length; k++) pixels[k] = colours[Math.round(places[k] * 255)];
  context.putImageData(image, 0, 0);
}

/** @param {number} value  @returns {string} */
export function numberText(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text;
  if (size >= 1e5 || size < 1e-3) {
    const [mantissa, power] = value.toExponential(1).split("e");
    const raised = [...String(Number(power))].map((d) => (d === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(d)])).join("");
    text = `${mantissa}\u202f×\u202f10${raised}`;
  } else {
    text = value.toFixed(Math.max(0, 1 - Math.floor(Math.log10(size))));
  }
  return text.replace("-", "−");
}
