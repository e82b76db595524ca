// The table of services: one row an instance, changed in place.

import { colour } from "./colours.js";
import { byId, duration, element, natural, nice, setText, timeOfDay } from "./dom.js";

const MANY = 8;
const CROWD = 24;
const LONG = 12; // letters of a name: a longer one is smaller, and wraps
const rows = new Map();

// Shows the instances of `tree`; `isFirst` says that nothing among them is new.
export function showTable(tree, isFirst) {
  const body = byId("rows");
  const names = Object.keys(tree.instances).sort(natural.compare);
  const most = Math.max(1, ...names.map((name) => tree.instances[name].connections ?? 0));
  body.dataset.size = names.length > CROWD ? "crowd" : names.length > MANY ? "many" : "few";
  byId("empty").hidden = names.length > 0;
  for (const name of rows.keys()) {
    if (!Object.hasOwn(tree.instances, name)) {
      rows.get(name).row.remove();
      rows.delete(name);
    }
  }
  names.forEach((name, position) => {
    if (!rows.has(name)) {
      rows.set(name, makeRow(name, isFirst));
    }
    const parts = rows.get(name);
    if (body.children[position] !== parts.row) {
      body.insertBefore(parts.row, body.children[position] ?? null);
    }
    fillRow(parts, tree.instances[name], nice(most), tree.time);
  });
}

function makeRow(name, isFirst) {
  const row = element("tr", isFirst ? "" : "new");
  row.style.setProperty("--series", colour(name));
  const head = element("th");
  head.scope = "row";
  const swatch = element("span", "swatch");
  const where = element("span", "where");
  head.append(swatch, element("span", name.length > LONG ? "name long" : "name", name), where);
  const gauge = element("div", "gauge");
  const track = element("div", "track");
  const bar = element("div", "bar");
  track.append(bar);
  const count = element("span", "count");
  gauge.append(count, track);
  const detail = element("span", "detail bad");
  const connections = element("td");
  connections.append(gauge, detail);
  const state = element("td", "state");
  const haproxy = element("td", "number haproxy");
  row.append(head, connections, state, haproxy);
  return { row, where, bar, count, detail, state, haproxy };
}

function fillRow(parts, instance, scale, now) {
  const isAnswering = instance.status === "ok";
  const [tone, words] = describe(instance);
  parts.row.dataset.status = instance.status;
  setText(parts.where, instance.address);
  setText(parts.count, isAnswering ? String(instance.connections) : instance.status === "waiting" ? "…" : "?");
  parts.bar.style.width = `${(100 * (instance.connections ?? 0)) / scale}%`;
  parts.state.className = `state ${tone}`;
  setText(parts.state, words);
  setText(parts.detail, instance.status === "unreachable" ? silence(instance, now) : "");
  setText(parts.haproxy, balancer(instance.haproxy));
}

// Returns tone and words for the state of an instance; the sign before the words does not depend on colour.
function describe(instance) {
  const failing = Object.entries(instance.checks).filter(([, check]) => check !== "passing");
  if (instance.status === "unreachable") {
    return ["bad", "✕ unreachable"];
  }
  if (failing.length > 0) {
    return ["warn", `! ${failing.map(([kind, check]) => `${kind} check ${check}`).join(", ")}`];
  }
  if (instance.status === "ok") {
    return ["good", "✓ ok"];
  }
  return instance.status === "waiting" ? ["", "… asked"] : ["warn", "! tells no connections"];
}

// Returns since when, why, and with what last count an instance does not answer.
function silence(instance, now) {
  const held = "connections" in instance ? `; held ${instance.connections}` : "";
  return `since ${timeOfDay(instance.since)} (${duration(now - instance.since)}): ${instance.error}${held}`;
}

function balancer(server) {
  if (server === undefined) {
    return "–";
  }
  const isUsed = server.status.startsWith("UP") || server.status === "no check";
  return isUsed ? String(server.sessions) : `${server.sessions} ${server.status}`;
}
