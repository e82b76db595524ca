"""What is done at its time: ticks, signs of life, publications; in a time that passes only by waiting."""

from __future__ import annotations

import asyncio
import json
import re
import selectors
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tools.monitor.collect import ticks
from tools.monitor.hub import BEHIND, GATHER, Hub
from tools.monitor.state import State

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Hands(selectors.SelectSelector):
    """What an event loop waits with: it does not wait, but moves the time on."""

    now = 0.0  # s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, after `timeout` by this clock."""
        self.now += timeout or 0
        return super().select(0)


class Clockwork(asyncio.SelectorEventLoop):
    """An event loop in which hours pass in no time, and work takes none."""

    def __init__(self) -> None:
        """Start at 0."""
        self._hands = Hands()
        super().__init__(self._hands)

    def time(self) -> float:
        """Return the time in s."""
        return self._hands.now


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario by the clockwork, in its own thread: the tests of the page keep a loop in this one."""

    def wind() -> None:
        with asyncio.Runner(loop_factory=Clockwork) as runner:
            runner.run(scenario)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(wind).result()


async def publications(hub: Hub, count: int) -> list[tuple[float, dict[str, Any]]]:
    """Return when the first publications came, and what they say."""
    found: list[tuple[float, dict[str, Any]]] = []
    version = 0
    while len(found) < count:
        version, message = await hub.next(version)
        found.append((asyncio.get_running_loop().time(), json.loads(message.partition(b"data: ")[2])))
    return found


def test_ticks_keep_their_grid() -> None:
    """Work between two ticks does not delay the next; a tick that was missed is left out."""

    async def scenario() -> None:
        loop, seen = asyncio.get_running_loop(), []
        async for number in ticks(1):
            seen.append(loop.time())
            if number == 4:
                break
            await asyncio.sleep(2.5 if number == 1 else 0.4)
        assert seen == pytest.approx([0, 1, 4, 5, 6])

    run(scenario())


def test_signs_of_life_come_on_time() -> None:
    """Each interval, to the moment, a browser hears of the next tick, however much changes."""
    state = State((), (), "")
    hub = Hub(state, interval=1)

    async def noise() -> None:
        async for number in ticks(0.07):
            state.haproxy.reloads = number
            hub.changed()

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in (hub.heartbeat(), hub.publish(), noise())]
            times = [time for time, tree in await publications(hub, 60) if tree.get("tick")]
            for task in tasks:
                task.cancel()
        assert len(times) > 8
        assert times == pytest.approx([0.5 + number for number in range(len(times))])

    run(scenario())


def test_a_change_is_published_soon() -> None:
    """A change, at any time between two signs of life, is published once and within 0.2 s."""
    state = State((), (), "")
    hub = Hub(state, interval=100)

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(hub.publish())]
            heard = group.create_task(publications(hub, 2))
            for reloads, moment in ((1, 0.05), (2, 3.0)):
                await asyncio.sleep(moment)
                state.haproxy.reloads = reloads
                hub.changed()
            found = await heard
            tasks[0].cancel()
        assert [time for time, _ in found] == pytest.approx([0.05 + GATHER, 3.05 + GATHER])
        assert [tree["haproxy"]["reloads"] for _, tree in found] == [1, 2]
        assert GATHER <= 0.2

    run(scenario())


@pytest.mark.parametrize(
    ("missed", "kinds"),
    [(1, [b"patch"]), (3, [b"patch"] * 3), (BEHIND, [b"patch"] * BEHIND), (BEHIND + 1, [b"snapshot"])],
)
def test_who_is_little_behind_gets_little(missed: int, kinds: list[bytes]) -> None:
    """A browser that missed some publications is told each change; one that missed many, everything."""
    state = State((), (), "")
    hub = Hub(state, interval=1)

    async def scenario() -> None:
        task = asyncio.create_task(hub.heartbeat())
        first, _ = await hub.next(0)
        await asyncio.sleep(missed + 0.1)
        now, message = await hub.next(first)
        task.cancel()
        assert now == first + missed
        assert re.findall(rb"event: (\w+)", message) == kinds
        assert json.loads(message.split(b"data: ")[-1])["tick"] == 1 + missed

    run(scenario())
