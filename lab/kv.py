"""A load on Consul's KV store and on the servers' own views, every request of it in the run's history.

Its rate is fixed: a request goes out when its time has come, however slow the ones before it are, so that an
outage is met by as many requests as good times are. One writer a key, and every value is unique. With it each
write leaves a mark, a key that nobody writes again: what overwrites the value cannot hide that it was lost.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp

from lab.errors import LabError
from lab.history import KEPT, LEADER, READ, STALE_READ, WRITE, History
from lab.hosts import Lab, Node
from lab.waiting import lapse

RATE = 10.0  # of each stream of requests, a second
START = 5.0
AHEAD = 1.0  # seconds of load before the body
ROUNDS_AT_THE_END = 7  # those under way, begun meanwhile, the last, the marks, twice, the deletion; and one
ERROR = 120  # characters of what an answer said that are kept
# What a server says, or the network, before anything of a request can have been done.
NEVER_DONE = ("No cluster leader", "failed to get conn", "Cannot connect", "429 ")

Answer = tuple[str | None, int]


@dataclass(frozen=True)
class Stream:
    """Requests of one kind, about one key, that go to one agent."""

    action: str
    target: str
    key: str = ""


class KvLoad:
    """The load, while the body of a `with` goes on.

    Through each of `agents` a key of its own is written, and that of the next one read `?consistent`; each
    server is asked for `?stale` reads and whether it leads. The load goes on until every request begun within
    the body has ended, so that one that hangs is no time in which nobody else asks; then each key is written
    and read once more, and the marks of all its writes are asked for. One agent is asked so seldom that these
    are not too many connections, of which Consul allows a client 200 (`http_max_conns_per_client`), when all
    hang.
    """

    def __init__(self, lab: Lab, history: History, agents: Iterable[Node], rate: float = RATE) -> None:
        """Take the agents that the load goes through; `rate` is that of each stream, a second."""
        self.history = history
        self._agents = list(agents)
        self._servers = lab.servers
        self._urls = {node.name: node.url() for node in {*self._agents, *self._servers}}
        self._within = lab.topology.deadlines.operation
        self._pause = 1 / rate
        self.prefix = f"consul-demo/{uuid.uuid4().hex[:8]}"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._begun, self._over = threading.Event(), threading.Event()
        self._failed: BaseException | None = None
        # What is under way and was begun before the load was over, with whom it asks.
        self._awaited: dict[asyncio.Task[bool], str] = {}

    def __enter__(self) -> Self:
        """Start, and wait until there was a good second of load (etcd's tests do), to a random phase.

        Raises LabError when the first write or read of a key is not done in time.
        """
        self._thread.start()
        if not self._begun.wait(START):
            self._over.set()
            raise LabError(
                f"the load on Consul did not begin within {START:g} s: {self._failed or 'no answer'}"
            )
        lapse(AHEAD + random.random() / 2, "load before all else")  # noqa: S311 - no secret
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and wait for what is under way. Raises LabError when the load failed, or did not end."""
        self._over.set()
        self._thread.join(ROUNDS_AT_THE_END * self._within)
        if self._thread.is_alive() and not kind:
            raise LabError("the load on Consul did not end: its last requests had no answer in time")
        if self._failed and not kind:
            raise LabError(f"the load on Consul failed: {self._failed!r}") from self._failed

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._within)
        try:
            # No connection is kept: aiohttp sends a PUT again when one that was turns out closed.
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
                self._session = session
                writers, readers, views = self._writers(), self._readers(), self._views()
                # Nobody asks for what was never written: the first round is that of the writers.
                await asyncio.gather(*(self._succeed(stream) for stream in writers))
                await asyncio.gather(
                    *(self._succeed(stream) for stream in readers),
                    *(self._operate(stream) for stream in views),
                )
                self._begun.set()
                await asyncio.gather(*(self._keep_asking(stream) for stream in writers + readers + views))
                marks = [Stream(KEPT, reader.target, reader.key) for reader in readers]
                await asyncio.gather(*(self._operate(stream) for stream in writers + readers))
                await asyncio.gather(*(self._insist(mark) for mark in marks))
                with contextlib.suppress(OSError, aiohttp.ClientError, TimeoutError):
                    await self._ask("DELETE", self._agents[0].name, f"kv/{self.prefix}?recurse")
        except BaseException as error:  # noqa: BLE001 - handed to the thread that leaves the `with`
            self._failed = error

    def _writers(self) -> list[Stream]:
        return [Stream(WRITE, it.name, f"{self.prefix}/{number}") for number, it in enumerate(self._agents)]

    def _readers(self) -> list[Stream]:
        """Return who reads the key of each writer: the agent after its own."""
        after = [*self._agents[1:], self._agents[0]]
        return [Stream(READ, it.name, f"{self.prefix}/{number}") for number, it in enumerate(after)]

    def _views(self) -> list[Stream]:
        names = [node.name for node in self._servers]
        stale = [Stream(STALE_READ, name, f"{self.prefix}/0") for name in names]
        return stale + [Stream(LEADER, name) for name in names]

    async def _keep_asking(self, stream: Stream) -> None:
        """Begin a request at each of its times, until the load is over and what began before it is, too.

        Meanwhile nobody is asked who lets others wait: that would last as long again.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as requests:
            while self._awaited or not self._over.is_set():
                over = self._over.is_set()
                if not over or stream.target not in self._awaited.values():
                    request = requests.create_task(self._operate(stream))
                    if not over:
                        self._awaited[request] = stream.target
                        request.add_done_callback(self._awaited.pop)
                due += self._pause
                await asyncio.sleep(due - loop.time())

    async def _succeed(self, stream: Stream) -> None:
        """Do requests, one after another, until one is ok or the load is over."""
        while not self._over.is_set():
            if await self._operate(stream):
                return
            await asyncio.sleep(self._pause)

    async def _insist(self, stream: Stream) -> None:
        """Do a request again while it fails, for as long as one request may take."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._within
        while loop.time() < end:
            if await self._operate(stream):
                return
            await asyncio.sleep(self._pause)

    async def _operate(self, stream: Stream) -> bool:
        """Do one request, write down how it began and ended, and return whether it was ok."""
        value = uuid.uuid4().hex if stream.action == WRITE else None
        number = self.history.invoke(stream.action, stream.key, value, stream.target)
        try:
            answer, index = await self._request(stream, value or "")
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            said = str(error) or type(error).__name__
            undone = value is None or any(words in said for words in NEVER_DONE)
            (self.history.fail if undone else self.history.unknown)(number, said[:ERROR])
            return False
        self.history.ok(number, answer, index)
        return True

    async def _request(self, stream: Stream, value: str) -> Answer:
        """Return the value and index that were answered. Raises ValueError with what Consul said instead."""
        if stream.action == LEADER:
            raft = (await self._ask("GET", stream.target, "agent/self"))["Stats"]["raft"]
            return raft["state"].lower(), int(raft["term"])
        if stream.action == WRITE:
            encoded = base64.b64encode(value.encode()).decode()
            keys = (stream.key, f"{stream.key}/{value}")
            changes = [{"KV": {"Verb": "set", "Key": key, "Value": encoded}} for key in keys]
            said = await self._ask("PUT", stream.target, "txn", json=changes)
            return value, said["Results"][0]["KV"]["ModifyIndex"]
        if stream.action == KEPT:
            said = await self._ask("GET", stream.target, f"kv/{stream.key}/?keys&consistent")
            return " ".join(mark.rpartition("/")[2] for mark in said or ()), 0
        mode = "consistent" if stream.action == READ else "stale"
        said = await self._ask("GET", stream.target, f"kv/{stream.key}?{mode}")
        return (base64.b64decode(said[0]["Value"]).decode(), said[0]["ModifyIndex"]) if said else (None, 0)

    async def _ask(self, method: str, target: str, path: str, **words: Any) -> Any:  # noqa: ANN401 - JSON
        """Return the parsed answer, None where Consul has no such thing. Raises ValueError for any other."""
        async with self._session.request(method, f"{self._urls[target]}/v1/{path}", **words) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            if answer.status != HTTPStatus.OK:
                raise ValueError(f"{answer.status} {(await answer.text()).strip()}")
            return await answer.json()
