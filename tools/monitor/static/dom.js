// Small helpers around the document. Text is only ever set as text: names may hold anything.

export const byId = (id) => document.getElementById(id);

// Returns a new element with a class and text.
export function element(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

// Returns a new element of a drawing with attributes and text.
export function draw(tag, attributes, text = "") {
  const node = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  node.textContent = text;
  return node;
}

// Sets text, unless it is there already: what does not change is neither drawn nor read aloud again.
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

// Returns the local time of day of `seconds` since the epoch.
export const timeOfDay = (seconds) => clock.format(new Date(seconds * 1000));

// Returns a duration in words for an audience.
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 180 ? `${whole}\u00a0s` : `${Math.floor(whole / 60)}\u00a0min`;
}

export const natural = new Intl.Collator("en", { numeric: true });

const STEPS = [1, 2, 3, 4, 6, 8, 10];

// Returns the next round number that is not below `value`: 1, 2, 3, 4, 6, 8, 10, 20, 30 ...
export function nice(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return STEPS.map((step) => step * power).find((step) => step >= value);
}
