"""From the state to the browsers: a snapshot for who comes, then only what changes."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from . import state as states
from . import view
from .collect import ticks
from .patch import Tree, diff

if TYPE_CHECKING:
    from .state import State

GATHER = 0.2  # s from a change to its publication: what changes together is shown together


class Hub:
    """Publishes the state: at each change, and at least once an interval, as a sign of life."""

    def __init__(self, state: State, interval: float) -> None:
        """Publish `state`, with a sign of life every `interval` seconds; nobody listens yet."""
        self.browsers = 0
        self._state = state
        self._interval = interval
        self._tick = 0
        self._version = 0
        self._snapshot: Tree = {}
        self._patch = b""
        self._dirty = asyncio.Event()
        self._published = asyncio.Condition()

    def changed(self) -> None:
        """Say that the state may have changed."""
        self._dirty.set()

    def snapshot(self) -> Tree:
        """Return the state as JSON of this moment."""
        tree = view.snapshot(self._state, self._tick, time.time())
        return {"interval": self._interval, **tree}

    async def heartbeat(self) -> None:
        """Record the history, once an interval, for ever."""
        await asyncio.sleep(self._interval / 2)  # between two rounds of questions, when the answers are in
        async for _ in ticks(self._interval):
            self._tick += 1
            states.sample(self._state, self._tick, time.time())
            self.changed()

    async def publish(self) -> None:
        """Tell the browsers what changed, for ever."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(GATHER)
            self._dirty.clear()
            new = self.snapshot()
            patch = diff(self._snapshot, new)
            if patch.keys() <= {"time"}:
                continue
            self._snapshot, self._patch = new, frame("patch", patch)
            async with self._published:
                self._version += 1
                self._published.notify_all()

    async def next(self, seen: int) -> tuple[int, bytes]:
        """Return the version that comes after `seen` and what to send to a browser that is there.

        A browser that has seen the version before gets the difference, any other one everything.
        """
        async with self._published:
            await self._published.wait_for(lambda: self._version not in {0, seen})
        is_next = seen == self._version - 1 and seen > 0
        return self._version, self._patch if is_next else frame("snapshot", self._snapshot)


def frame(event: str, tree: Tree) -> bytes:
    """Return one server-sent event; JSON has no line end in it, so one data line is enough."""
    data = json.dumps(tree, separators=(",", ":"))
    return f"event: {event}\ndata: {data}\n\n".encode()
