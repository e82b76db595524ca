// The page: what the stream says, shown.

import { add, charted, load, showChart } from "./chart.js";
import { keepColours } from "./colours.js";
import { byId, element, natural, setText, timeOfDay } from "./dom.js";
import { listen } from "./feed.js";
import { showTable } from "./table.js";

const SIGNS = {
  appeared: "+",
  left: "−",
  unreachable: "✕",
  lost: "✕",
  answers: "✓",
  check: "!",
  leader: "★",
  member: "•",
  peer: "•",
  reload: "↻",
};
const SHOWN = 30; // events
const TITLE = document.title;

let pending = null; // what the next frame draws
let isFresh = true; // nothing was drawn yet, or nothing since the monitor was lost: nothing counts as new
let heardAt = null; // s since the epoch
let newestEvent = 0;
const eventTexts = new Map(); // by number: the monitor may add names to an event
let drawnHosts = "";

function show(tree, history) {
  if (history !== null) {
    load(history);
    newestEvent = 0;
    eventTexts.clear();
    byId("events").replaceChildren();
  }
  add(tree);
  heardAt = Date.now() / 1000;
  if (pending === null) {
    requestAnimationFrame(draw);
  }
  pending = tree;
}

function draw() {
  const tree = pending;
  pending = null;
  document.body.classList.remove("lost");
  byId("live").dataset.state = "live";
  setText(byId("live"), "● live");
  showBanners(troubles(tree));
  showSummary(tree);
  keepColours(Object.keys(tree.instances), charted());
  showTable(tree, isFresh);
  showChart(tree);
  showHosts(tree);
  if (!isFresh) {
    byId("log").ariaLive = "polite"; // from now on: what had happened before is not read aloud
  }
  showEvents(tree.events);
  isFresh = false;
}

function lose() {
  isFresh = true;
  byId("log").ariaLive = "off";
  const since = heardAt === null ? "" : ` since ${timeOfDay(heardAt)}: what you see is as old as that`;
  document.body.classList.add("lost");
  document.title = `✕ ${TITLE}`;
  byId("live").dataset.state = "lost";
  setText(byId("live"), "✕ disconnected");
  showBanners([["alarm", `✕ The monitor cannot be heard${since}. Reconnecting …`]]);
}

function showBanners(banners) {
  const box = byId("banners");
  const texts = banners.map(([, text]) => text).join("\n");
  if (box.dataset.texts !== texts) {
    box.dataset.texts = texts;
    box.replaceChildren(...banners.map(([tone, text]) => element("p", `banner ${tone}`, text)));
  }
}

// Returns tone and text of everything that is wrong besides single instances.
function troubles({ consul, problems }) {
  if (consul.status === "unreachable") {
    const text = `✕ Consul is lost since ${timeOfDay(consul.since)}: the services below are the last known ones.`;
    return [["alarm", text]];
  }
  const leaderless = consul.status === "no leader";
  const text = `! Consul has no leader since ${timeOfDay(consul.since)}: it cannot take changes until one is elected.`;
  const others = Object.entries(problems).map(([source, { since, error }]) => [
    "caution",
    `! ${source} since ${timeOfDay(since)}: ${error}`,
  ]);
  return leaderless ? [["alarm", text], ...others] : others;
}

function showSummary({ total, consul, haproxy }) {
  const isWhole = total.answering === total.instances;
  const leader = consul.status === "ok" ? consul.leader : consul.status === "no leader" ? "nobody" : "?";
  setFigure("total", String(total.connections));
  setFigure("instances", isWhole ? String(total.instances) : `${total.answering}/${total.instances}`, !isWhole);
  setText(byId("instances-unit"), isWhole ? "instances" : "instances answer");
  setFigure("leader", leader, consul.status === "no leader" || consul.status === "unreachable");
  document.body.classList.toggle("no-haproxy", haproxy.status === "none");
  setFigure("reloads", String(haproxy.reloads), haproxy.status === "unreachable");
  document.title = `${total.connections} connections · ${TITLE}`;
}

function setFigure(id, text, isBad = false) {
  setText(byId(id), text);
  byId(id).dataset.tone = isBad ? "bad" : "";
}

function showHosts({ hosts, consul }) {
  const isKnown = consul.status !== "unreachable";
  const text = JSON.stringify([hosts, isKnown]);
  if (text !== drawnHosts) {
    drawnHosts = text;
    byId("hosts").replaceChildren(...Object.entries(hosts).map(([name, host]) => hostCard(name, host, isKnown)));
  }
}

function hostCard(name, host, isKnown) {
  const isDown = ["failed", "left"].includes(host.member) || [host.agent, host.haproxy].includes("unreachable");
  const card = element("li", `${host.leader && isKnown ? "leads" : ""} ${isDown ? "down" : ""}`);
  const title = element("p", "host");
  title.append(element("span", "", name));
  if (host.leader && isKnown) {
    title.append(element("span", "crown", "★ leader"));
  }
  const role = name === host.role ? "" : `${host.role}, `;
  card.append(title, element("p", "unit", `${role}${host.address}`));
  for (const [tone, words] of hostFacts(host, isKnown)) {
    card.append(element("p", tone, words));
  }
  return card;
}

// Returns tone and words of what is known of a host; without Consul that is what it said last.
function hostFacts(host, isKnown) {
  const facts = [];
  if (host.member !== undefined) {
    const words = host.peer === undefined ? host.member : `${host.member}, ${host.peer}`;
    const judged = host.member === "alive" ? ["good", `✓ ${words}`] : ["bad", `✕ ${words}`];
    facts.push(isKnown ? judged : ["unit", `? was ${words}`]);
  }
  if (host.agent === "unreachable") {
    facts.push(["bad", "✕ API unreachable"]);
  }
  if (host.haproxy !== undefined && host.haproxy !== "waiting") {
    facts.push(host.haproxy === "ok" ? ["good", "✓ HAProxy"] : ["bad", "✕ HAProxy is unreachable"]);
  }
  if (host.instances !== undefined) {
    facts.push(["", `${host.instances} instance${host.instances === 1 ? "" : "s"}`]);
  }
  return facts;
}

function showEvents(events) {
  const list = byId("events");
  const numbers = Object.keys(events).map(Number).sort(natural.compare);
  for (const number of numbers.filter((known) => known > newestEvent)) {
    const { time, kind } = events[number];
    const line = element("li");
    const text = element("span");
    line.append(element("time", "", timeOfDay(time)), element("span", "sign", SIGNS[kind]), text);
    list.prepend(line);
    eventTexts.set(number, text);
    newestEvent = number;
  }
  for (const [number, text] of eventTexts) {
    if (number > newestEvent - SHOWN && number in events) {
      setText(text, events[number].text);
    } else {
      text.parentNode.remove();
      eventTexts.delete(number);
    }
  }
}

listen(show, lose);
