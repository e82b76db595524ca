// The chart: connections of the last minutes, one band an instance, one upon the other.

import { colour } from "./colours.js";
import { byId, draw, duration, natural, nice } from "./dom.js";
import { marks, ROWS } from "./marks.js";

const KEPT = 300; // samples, as many as the monitor keeps
const SPANS = [60, 120, 300]; // samples that the chart is wide: it grows with what there is to show
const BANDS = 12; // instances that have a band of their own; the others share one
const REST = "others";
const MARGIN = { top: ROWS + 0.3, right: 1, bottom: 1.4, left: 3 }; // rem, and on the right the labels
const LABEL = 1; // rem between two labels
const LETTERS = 12; // of a label, at most
const LETTER = 0.56; // rem that one is wide

const compact = new Intl.NumberFormat("en", { notation: "compact" });

let ticks = [];
let times = [];
let series = new Map();

// Replaces what is known of the past by the monitor's history.
export function load(history) {
  ticks = history.ticks;
  times = history.times;
  series = new Map(Object.entries(history.series));
}

// Adds the present of `tree`, if it is a new sample.
export function add(tree) {
  if (ticks.length > 0 && tree.tick <= ticks.at(-1)) {
    return;
  }
  ticks.push(tree.tick);
  times.push(tree.time);
  for (const [name, { status }] of Object.entries(tree.instances)) {
    if (!series.has(name) && status === "ok") {
      series.set(name, new Array(ticks.length - 1).fill(null));
    }
  }
  for (const [name, values] of series) {
    const instance = Object.hasOwn(tree.instances, name) ? tree.instances[name] : null;
    values.push(instance?.status === "ok" ? instance.connections : null);
  }
  forget();
}

function forget() {
  const excess = ticks.length - KEPT;
  if (excess <= 0) {
    return;
  }
  ticks.splice(0, excess);
  times.splice(0, excess);
  for (const [name, values] of series) {
    values.splice(0, excess);
    if (values.every((value) => value === null)) {
      series.delete(name);
    }
  }
}

// Returns the names in the chart, of those that have left, too.
export const charted = () => new Set(series.keys());

// Draws the chart.
export function showChart(tree) {
  const svg = byId("chart");
  const box = { width: svg.clientWidth, height: svg.clientHeight };
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const span = SPANS.find((samples) => ticks.length <= samples) ?? SPANS.at(-1);
  const bands = stack(tree.instances);
  const most = nice(Math.max(1, ...(bands.at(-1)?.upper ?? [])));
  const letters = Math.max(LETTERS / 2, ...bands.map((band) => band.label.length));
  const [left, right] = [MARGIN.left * rem, box.width - (MARGIN.right + LETTER * letters) * rem];
  const [top, bottom] = [MARGIN.top * rem, box.height - MARGIN.bottom * rem];
  const x = (index) => right - ((ticks.length - 1 - index) / span) * (right - left);
  const y = (value) => bottom - (value / most) * (bottom - top);
  const scale = (right - left) / (span * tree.interval);
  svg.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  svg.replaceChildren(
    ...bands.map((band) => area(band, x, y)),
    ...grid(x, y, most, { left, right, bottom }, span, tree.interval, rem),
    ...marks(tree.events, (time) => x(sampleAt(time)), scale, rem, { start: times[0], top, bottom }),
    ...labels(bands, y, { right, top }, rem),
  );
}

// Returns the index of the last sample that did not know of what happened at a time: there the bands change.
const sampleAt = (time) => Math.max(0, times.findLastIndex((sampled) => sampled < time));

// Returns the bands from the bottom up, each with its lower and upper edge. Who is there comes first to have a
// band of its own; those that have left share one before.
function stack(instances) {
  const isGone = (name) => Number(!Object.hasOwn(instances, name));
  const names = [...series.keys()].sort((a, b) => isGone(a) - isGone(b) || natural.compare(a, b));
  const own = names.slice(0, BANDS).sort(natural.compare);
  const rest = names.slice(BANDS);
  const layers = own.map((name) => ({ name, values: series.get(name), fill: colour(name) }));
  if (rest.length > 0) {
    const values = ticks.map((_, index) => rest.reduce((sum, name) => sum + (series.get(name)[index] ?? 0), 0));
    layers.push({ name: `${rest.length} ${REST}`, values, fill: "var(--series-rest)" });
  }
  let lower = ticks.map(() => 0);
  return layers.map((layer) => {
    const label = layer.name.length > LETTERS ? `${layer.name.slice(0, LETTERS - 1)}…` : layer.name;
    const band = { ...layer, label, lower, upper: layer.values.map((value, index) => lower[index] + (value ?? 0)) };
    lower = band.upper;
    return band;
  });
}

// Returns a band's shape: steps, as nobody knows what was between two samples.
function area(band, x, y) {
  const edge = (values) => values.flatMap((value, index) => [[x(Math.max(0, index - 1)), y(value)], [x(index), y(value)]]);
  const [there, back] = [edge(band.upper), edge(band.lower).reverse()];
  const shape = draw("polygon", { class: "band", points: [...there, ...back].map((point) => point.map((place) => place.toFixed(1))).join(" ") });
  shape.style.setProperty("--series", band.fill);
  return shape;
}

function grid(x, y, most, { left, right, bottom }, span, interval, rem) {
  const lines = [0, most / 2, most].filter(Number.isInteger).flatMap((value) => [
    draw("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
    draw("text", { x: left - 0.4 * rem, y: y(value) + 0.25 * rem, "text-anchor": "end" }, compact.format(value)),
  ]);
  const ages = [span, span / 2, 0].map((samples) => {
    const place = { x: x(ticks.length - 1 - samples), y: bottom + 1.1 * rem, "text-anchor": "middle" };
    return draw("text", place, samples === 0 ? "now" : `−${duration(samples * interval)}`);
  });
  return [...lines, ...ages];
}

// Returns the names beside their bands, as far apart as they need to be to be read.
function labels(bands, y, { right, top }, rem) {
  const last = ticks.length - 1;
  const height = (band) => y(band.lower[last]) - y(band.upper[last]);
  const present = bands.filter((band) => height(band) >= 1);
  const least = present.length > BANDS ? 0.7 * LABEL * rem : 1;
  let free = Infinity;
  return present.filter((band) => height(band) >= least).flatMap((band) => {
    const middle = y((band.lower[last] + band.upper[last]) / 2) + 0.25 * rem;
    const place = Math.min(middle, free - LABEL * rem);
    free = place;
    return place < top ? [] : [draw("text", { class: "label", x: right + 0.5 * rem, y: place }, band.label)];
  });
}
