"""The collectors: loops that ask, each on its own, and tell the state. None waits for another."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from typing import TYPE_CHECKING

from yarl import URL

from . import cluster, parse
from . import state as states
from .answer import AnswerError
from .consul import Consul
from .fetch import get, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    import aiohttp

    from .options import Options
    from .state import Instance, Kind, State

PATIENCE = 0.9  # of an interval: what an answer may take
SPREAD = 0.7  # of an interval: over which the questions to many instances are spread
BATCH = 50  # instances that are asked at the same moment
COUNT_SIZE = 64  # bytes of an instance's answer
HAPROXY_SIZE = 8 * 2**20
LOOKS = 4  # an interval at what may change at any moment and costs little to ask: leader, members, worker


async def ticks(interval: float) -> AsyncIterator[int]:
    """Yield 0, 1, ... every `interval` seconds, the first at once.

    What is done in between delays no tick; ticks that it misses are left out.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    for number in itertools.count():
        yield number
        due += interval * max(1, math.ceil((loop.time() - due) / interval))
        await asyncio.sleep(due - loop.time())


class Collectors:
    """Everything that asks; `changed` is called after each answer."""

    def __init__(
        self, options: Options, state: State, http: aiohttp.ClientSession, changed: Callable[[], None]
    ) -> None:
        """Ask with `http` for what `options` name, and write the answers into `state`."""
        self._options = options
        self._state = state
        self._http = http
        self._changed = changed
        self._limit = options.interval * PATIENCE
        self._consul = Consul(http, state, self._limit)

    def loops(self) -> list[Coroutine[None, None, None]]:
        """Return the loops to run side by side; they end only by being cancelled."""
        agents = [self._agent(agent) for agent in self._state.agents]
        haproxy = [self._worker(), self._servers()] if self._options.haproxy else []
        return [
            *agents,
            *haproxy,
            self._services("info", self._options.info),
            self._services("echo", self._options.echo),
            self._poll("Consul's members", "/v1/agent/members", self._see_members),
            self._poll("Consul's raft peers", "/v1/operator/raft/configuration", self._see_peers),
            self._instances(),
        ]

    async def _agent(self, agent: str) -> None:
        async for _ in ticks(self._options.interval / LOOKS):
            try:
                leader = parse.leader(await self._consul.ask_agent(agent, "/v1/status/leader"))
            except AnswerError as error:
                cluster.miss_agent(self._state, agent, error, time.time())
            else:
                cluster.see_leader(self._state, agent, leader, time.time())
            self._changed()

    async def _poll(self, source: str, path: str, see: Callable[[object], None]) -> None:
        async for _ in ticks(self._options.interval / LOOKS):
            try:
                see(await self._consul.ask(path))
                cluster.answered(self._state, source, time.time())
            except AnswerError as error:
                cluster.failed(self._state, source, error, time.time())
            self._changed()

    def _see_members(self, document: object) -> None:
        cluster.see_members(self._state, parse.members(document), time.time())

    def _see_peers(self, document: object) -> None:
        cluster.see_peers(self._state, parse.peers(document), time.time())

    async def _services(self, kind: Kind, service: str) -> None:
        source = f"Consul's service {service}"
        async for _ in ticks(self._options.interval):
            try:
                async for document in self._consul.watch(f"/v1/health/service/{service}"):
                    states.see_services(self._state, kind, parse.services(document), time.time())
                    cluster.answered(self._state, source, time.time())
                    self._changed()
            except AnswerError as error:
                cluster.failed(self._state, source, error, time.time())
            self._changed()

    async def _instances(self) -> None:
        async with asyncio.TaskGroup() as group:
            async for _ in ticks(self._options.interval):
                asked = [
                    instance for instance in self._state.instances.values() if "info" in instance.services
                ]
                step = self._options.interval * SPREAD * BATCH / max(len(asked), BATCH)
                for number, instance in enumerate(asked):
                    group.create_task(self._connections(instance, number // BATCH * step))

    async def _connections(self, instance: Instance, delay: float) -> None:
        await asyncio.sleep(delay)
        service = instance.services.get("info")
        if service is None:
            return
        try:
            url = url_of(service.address, service.port, "/conns")
            answer = await get(self._http, url, self._limit, COUNT_SIZE)
            number = parse.connections(answer.body)
        except AnswerError as error:
            states.miss_connections(self._state, instance, service, error, time.time())
        else:
            states.see_connections(self._state, instance, service, number, time.time())
        self._changed()

    async def _worker(self) -> None:
        async for _ in ticks(self._options.interval / LOOKS):
            try:
                # A scope that matches no proxy leaves the page's head, which names the worker.
                worker = parse.haproxy_worker(await self._haproxy("?scope=.none."))
            except AnswerError as error:
                cluster.miss_haproxy(self._state, error, time.time())
            else:
                cluster.see_worker(self._state, worker, time.time())
            self._changed()

    async def _servers(self) -> None:
        async for _ in ticks(self._options.interval):
            try:
                servers = parse.haproxy_servers(await self._haproxy(";csv"), self._options.echo)
            except AnswerError as error:
                cluster.failed(self._state, cluster.SERVERS, error, time.time())
            else:
                cluster.see_servers(self._state, servers, time.time())
            self._changed()

    async def _haproxy(self, suffix: str) -> str:
        """Return one of the forms of HAProxy's statistics page."""
        url = URL(self._options.haproxy + suffix)
        answer = await get(self._http, url, self._limit, HAPROXY_SIZE)
        return answer.body.decode(errors="replace")
