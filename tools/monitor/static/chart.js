// The chart: connections of the last minutes, one band an instance, one upon the other.

import { byId, colour, duration, natural, nice, timeOfDay } from "./dom.js";

const NS = "http://www.w3.org/2000/svg";
const KEPT = 300; // samples, as many as the monitor keeps
const SPANS = [60, 120, 300]; // samples that the chart is wide: it grows with what there is to show
const BANDS = 12; // instances that have a band of their own; the others share one
const REST = "others";
const MARKS = { reload: "↻", leader: "★" };
const MARGIN = { top: 22, right: 100, bottom: 20, left: 48 };
const LABEL = 15; // px between two labels

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

// Draws the chart.
export function showChart(tree) {
  const svg = byId("chart");
  const box = { width: svg.clientWidth, height: svg.clientHeight };
  const span = SPANS.find((samples) => ticks.length <= samples) ?? SPANS.at(-1);
  const bands = stack();
  const top = nice(Math.max(1, ...(bands.at(-1)?.upper ?? [])));
  const right = box.width - MARGIN.right;
  const x = (index) => right - ((ticks.length - 1 - index) / span) * (right - MARGIN.left);
  const y = (value) => box.height - MARGIN.bottom - (value / top) * (box.height - MARGIN.bottom - MARGIN.top);
  svg.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  svg.replaceChildren(
    ...bands.map((band) => draw(band, x, y)),
    ...grid(x, y, top, right, span, tree.interval, box),
    ...marks(tree.events, x, box),
    ...labels(bands, y, right),
  );
}

// Returns the bands from the bottom up, each with its lower and upper edge.
function stack() {
  const names = [...series.keys()].sort(natural.compare);
  const own = names.length > BANDS ? names.slice(0, BANDS) : names;
  const rest = names.slice(own.length);
  const layers = own.map((name) => ({ name, values: series.get(name), fill: colour(name) }));
  if (rest.length > 0) {
    const values = ticks.map((_, index) => rest.reduce((sum, name) => sum + (series.get(name)[index] ?? 0), 0));
    layers.push({ name: `${rest.length} ${REST}`, values, fill: "var(--series-rest)" });
  }
  let lower = ticks.map(() => 0);
  return layers.map((layer) => {
    const band = { ...layer, lower, upper: layer.values.map((value, index) => lower[index] + (value ?? 0)) };
    lower = band.upper;
    return band;
  });
}

function make(tag, attributes, text = "") {
  const node = document.createElementNS(NS, tag);
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  node.textContent = text;
  return node;
}

function draw(band, x, y) {
  const there = band.upper.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
  const back = band.lower.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).reverse();
  const area = make("polygon", { class: "band", points: [...there, ...back].join(" ") });
  area.style.setProperty("--series", band.fill);
  return area;
}

function grid(x, y, top, right, span, interval, box) {
  const lines = [0, top / 2, top].filter(Number.isInteger).flatMap((value) => [
    make("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }),
    make("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, compact.format(value)),
  ]);
  const ages = [span, span / 2, 0].map((samples) => {
    const place = { x: x(ticks.length - 1 - samples), y: box.height - 4, "text-anchor": "middle" };
    return make("text", place, samples === 0 ? "now" : `−${duration(samples * interval)}`);
  });
  return [...lines, ...ages];
}

function marks(events, x, box) {
  const shown = Object.values(events).filter((event) => event.kind in MARKS && event.time >= times[0]);
  return shown.flatMap((event) => {
    const after = times.findIndex((time) => time >= event.time);
    const place = x(after < 0 ? times.length - 1 : after);
    const line = make("line", { class: "mark", x1: place, x2: place, y1: MARGIN.top, y2: box.height - MARGIN.bottom });
    const sign = make("text", { class: "sign", x: place, y: MARGIN.top - 6 }, MARKS[event.kind]);
    sign.append(make("title", {}, `${timeOfDay(event.time)} ${event.text}`));
    return [line, sign];
  });
}

// Returns the names beside their bands, as far apart as they need to be to be read.
function labels(bands, y, right) {
  const last = ticks.length - 1;
  const height = (band) => y(band.lower[last]) - y(band.upper[last]);
  const least = bands.length > BANDS ? LABEL : 1;
  const present = bands.filter((band) => height(band) >= least);
  let free = Infinity;
  return present.flatMap((band) => {
    const middle = y((band.lower[last] + band.upper[last]) / 2) + 4;
    const place = Math.min(middle, free - LABEL);
    free = place;
    return place < MARGIN.top ? [] : [make("text", { class: "label", x: right + 8, y: place }, band.name)];
  });
}
