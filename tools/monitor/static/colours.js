// The colours of instances: the same in table and chart, and different for those that are there together.

const SERIES = 8;
const PRESENT = 1000; // how much more an instance that is there counts than one that has left
const colours = new Map();
let present = new Set();

// Tells who is there now, and who only in the chart: the colours of all others are free again.
export function keepColours(now, past) {
  present = new Set(now);
  for (const name of colours.keys()) {
    if (!present.has(name) && !past.has(name)) {
      colours.delete(name);
    }
  }
}

// Returns the CSS colour of an instance: for a new one that which is used least.
export function colour(name) {
  if (!colours.has(name)) {
    const uses = new Array(SERIES).fill(0);
    colours.forEach((series, other) => (uses[series] += present.has(other) ? PRESENT : 1));
    colours.set(name, uses.indexOf(Math.min(...uses)));
  }
  return `var(--series-${colours.get(name)})`;
}
