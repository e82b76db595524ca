// The monitor's stream: a snapshot, then merge patches (RFC 7386). Comes back by itself when it is lost.

const RETRY = 1000; // ms until the next attempt
const MISSED = 3; // signs of life that may be missing before the monitor counts as lost

// Sets a key of any name, `__proto__` too: instances may be called anything.
function put(tree, key, value) {
  Object.defineProperty(tree, key, { value, configurable: true, enumerable: true, writable: true });
}

function isTree(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Returns `tree` with `patch` applied to it, in place.
export function merge(tree, patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      delete tree[key];
    } else if (isTree(value)) {
      const before = Object.hasOwn(tree, key) ? tree[key] : null;
      put(tree, key, merge(isTree(before) ? before : {}, value));
    } else {
      put(tree, key, value);
    }
  }
  return tree;
}

// Calls `onTree(tree, history)` at each change, with a history after each (re)connection and null
// otherwise, and `onLost()` when the monitor cannot be heard.
export function listen(onTree, onLost) {
  let source = null;
  let silence = 0;
  let tree = {};

  function lose() {
    source.close();
    source = null;
    clearTimeout(silence);
    onLost();
    setTimeout(connect, RETRY);
  }

  function heard(history) {
    clearTimeout(silence);
    silence = setTimeout(lose, MISSED * 1000 * Math.max(1, tree.interval));
    onTree(tree, history);
  }

  async function start(current, message) {
    tree = JSON.parse(message.data);
    const history = await fetch("/api/history").then((response) => response.json()).catch(() => null);
    if (current !== source) {
      return;
    }
    if (history === null) {
      lose();
    } else {
      heard(history);
    }
  }

  function connect() {
    const current = new EventSource("/events");
    source = current;
    silence = setTimeout(lose, MISSED * 1000);
    current.addEventListener("error", lose);
    current.addEventListener("snapshot", (message) => start(current, message));
    current.addEventListener("patch", (message) => {
      merge(tree, JSON.parse(message.data));
      heard(null);
    });
  }

  connect();
}
