"""From the state to the browsers: a snapshot for who comes, then only what changes."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from typing import TYPE_CHECKING

from . import state as states
from . import view
from .collect import ticks
from .patch import Tree, diff

if TYPE_CHECKING:
    from .state import State

GATHER = 0.2  # s from a change to its publication: what changes together is shown together
BEHIND = 8  # publications that a browser may miss and still be told only what changed


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
        self._patches: deque[bytes] = deque(maxlen=BEHIND)
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
        """Record the history and tell the browsers, once an interval, for ever."""
        await asyncio.sleep(self._interval / 2)  # between two rounds of questions, when the answers are in
        async for _ in ticks(self._interval):
            self._tick += 1
            states.sample(self._state, self._tick, time.time())
            await self._tell()

    async def publish(self) -> None:
        """Tell the browsers what changed, for ever."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(GATHER)
            await self._tell()

    async def _tell(self) -> None:
        """Publish the difference to what was published last, if there is any."""
        async with self._published:
            self._dirty.clear()
            new = self.snapshot()
            patch = diff(self._snapshot, new)
            if patch.keys() <= {"time"}:
                return
            self._snapshot = new
            self._patches.append(frame("patch", patch))
            self._version += 1
            self._published.notify_all()

    async def next(self, seen: int) -> tuple[int, bytes]:
        """Return a version that comes after `seen` and what to send to a browser that is there.

        A browser that is little behind gets what it missed, any other one everything.
        """
        async with self._published:
            await self._published.wait_for(lambda: self._version not in {0, seen})
        missed = self._version - seen
        if seen == 0 or missed > len(self._patches):
            return self._version, frame("snapshot", self._snapshot)
        return self._version, b"".join(list(self._patches)[-missed:])


def frame(event: str, tree: Tree) -> bytes:
    """Return one server-sent event; JSON has no line end in it, so one data line is enough."""
    data = json.dumps(tree, separators=(",", ":"))
    return f"event: {event}\ndata: {data}\n\n".encode()
