// The marks in the chart: silences, changes of the leader and HAProxy's reloads, each kind in a row of its own.

import { draw, timeOfDay } from "./dom.js";

const SIGNS = { unreachable: "✕", leader: "★", reload: "↻" };
const ROW = 1.15; // rem
const APART = 3; // rem from the first event of a sign to that of the next: what is nearer shares the sign

export const ROWS = ROW * Object.keys(SIGNS).length; // rem that all rows are high

// Returns the marks of `events`; `x` gives the place of a time, `scale` is px a second, `rem` px.
export function marks(events, x, scale, rem, { start, top, bottom }) {
  return Object.keys(SIGNS).flatMap((kind, row) => {
    const height = top - rem * (0.35 + ROW * (Object.keys(SIGNS).length - 1 - row));
    const all = Object.values(events).filter((event) => event.kind === kind);
    const groups = group(all, (APART * rem) / scale).map((near) => near.filter((event) => event.time >= start));
    return groups.filter((near) => near.length > 0).flatMap((near) => mark(near, x, rem, height, { top, bottom }));
  });
}

// Returns the events in groups; who belongs together does not depend on what has left the chart by now.
function group(events, apart) {
  const groups = [];
  for (const event of events) {
    const near = groups.at(-1);
    if (near !== undefined && event.time - near[0].time < apart) {
      near.push(event);
    } else {
      groups.push([event]);
    }
  }
  return groups;
}

// Returns the mark of one group: a line where it begins, its sign with its number, a bar as long as it took.
function mark(near, x, rem, height, { top, bottom }) {
  const [first, last] = [x(near[0].time), x(near.at(-1).time)];
  const sign = draw("text", { class: "sign", x: first - 0.45 * rem, y: height }, SIGNS[near[0].kind]);
  if (near.length > 1) {
    sign.append(draw("tspan", { class: "times", dx: 1 }, `×${near.length}`));
  }
  sign.append(draw("title", {}, near.map((event) => `${timeOfDay(event.time)} ${event.text}`).join("\n")));
  const bar = { x: first, y: height + 0.15 * rem, width: last - first, height: 0.15 * rem };
  const line = { x1: first, x2: first, y1: top, y2: bottom };
  return [draw("rect", { class: "while", ...bar }), draw("line", { class: "mark", ...line }), sign];
}
