"""A made-up past and present for the real page: what takes minutes in the lab is there at once.

The monitor's own functions make the state of observations, and its own server serves it; nobody is asked
anything, and the addresses are only shown.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from tools.monitor import cluster
from tools.monitor import state as states
from tools.monitor.answer import AnswerError
from tools.monitor.hub import Hub
from tools.monitor.parse import Check, Member, Peer, Server, Service, Worker
from tools.monitor.server import Pages
from tools.monitor.state import Host, Kind, State

if TYPE_CHECKING:
    from .rig import Loop

ROLES = {"client": "client", "lb": "lb", "docker": "docker"} | {f"server{n}": "server" for n in (1, 2, 3)}
HOSTS = [Host(name, f"192.168.0.{n}", role) for n, (name, role) in enumerate(ROLES.items(), start=1)]
AGENTS = [host for host in HOSTS if host.role != "client"]
RPC = {host.name: f"{host.address}:8300" for host in HOSTS if host.role == "server"}
PORTS: dict[Kind, int] = {"echo": 10000, "info": 5000}  # and the number of the instance


class Scene:
    """A lab of six hosts in good health; what happens in it has happened when the page is opened."""

    def __init__(self, loop: Loop, seconds: int) -> None:
        """Begin so many seconds ago, with server1 as leader and without any service."""
        self.now = time.time() - seconds
        self._state = State(
            tuple(HOSTS), tuple(f"{agent.address}:8500" for agent in AGENTS), HOSTS[1].address
        )
        self._loop = loop
        self._tick = 0
        self._worker = 4000
        self._checks: dict[int, Check] = {}
        self._counts: dict[int, int] = {}
        self._sessions: dict[int, int] = {}
        peers = [Peer(name, rpc, voter=True) for name, rpc in RPC.items()]
        cluster.see_peers(self._state, peers, self.now)
        members = [Member(host.name, host.address, "alive", host.name in RPC) for host in AGENTS]
        cluster.see_members(self._state, members, self.now)
        self._see_services()
        cluster.see_worker(self._state, Worker(self._worker, 0), self.now)
        self.lead("server1")

    def lead(self, name: str) -> None:
        """Let a server be elected; without a name nobody leads."""
        for agent in self._state.agents:
            cluster.see_leader(self._state, agent, RPC.get(name, ""), self.now)

    def launch(self, *numbers: int) -> None:
        """Let instances appear and pass their checks; HAProxy reloads."""
        self._checks.update(dict.fromkeys(numbers, "critical"))
        self._counts.update(dict.fromkeys(numbers, 0))
        self._see_services()
        self.wait(1)
        self._checks.update(dict.fromkeys(numbers, "passing"))
        self._see_services()
        self.reload()

    def remove(self, *numbers: int) -> None:
        """Let instances leave, with what they held; HAProxy reloads."""
        for number in numbers:
            del self._checks[number], self._counts[number]
        self._see_services()
        self.reload()

    def reload(self) -> None:
        """Let a new worker take over from HAProxy's present one."""
        self._worker += 7
        self._sessions.clear()
        cluster.see_worker(self._state, Worker(self._worker, 0), self.now)

    def connect(self, connections: int) -> None:
        """Open connections, to one instance after the other."""
        for turn in range(connections):
            number = list(self._counts)[turn % len(self._counts)]
            self._counts[number] += 1
            self._sessions[number] = self._sessions.get(number, 0) + 1

    def lose(self, *names: str) -> None:
        """Let the agents of these hosts answer no more."""
        for host in HOSTS:
            if host.name in names:
                error = AnswerError("connection refused")
                cluster.miss_agent(self._state, f"{host.address}:8500", error, self.now)

    def silence(self, number: int) -> None:
        """Let an instance answer no more."""
        instance = self._state.instances[f"docker:fep.{number}"]
        del self._counts[number]
        error = AnswerError("connection refused")
        states.miss_connections(self._state, instance, instance.services["info"], error, self.now)

    def wait(self, seconds: int) -> None:
        """Let the monitor look once a second."""
        for _ in range(seconds):
            self._tick += 1
            self.now += 1
            for number, count in self._counts.items():
                instance = self._state.instances[f"docker:fep.{number}"]
                states.see_connections(self._state, instance, instance.services["info"], count, self.now)
            found = {f"docker:fep.{n}": Server(self._sessions.get(n, 0), 0, "UP") for n in self._checks}
            cluster.see_servers(self._state, found, self.now)
            states.sample(self._state, self._tick, self.now)

    def _see_services(self) -> None:
        for kind, base in PORTS.items():
            found = [
                Service(f"docker:fep.{n}", f"fep.{n}", "docker", HOSTS[2].address, base + n, check)
                for n, check in self._checks.items()
            ]
            states.see_services(self._state, kind, found, self.now)

    def open(self, buffer: int = 2**18) -> str:
        """Serve the page, with a sign of life every second; returns its address.

        The kernel takes `buffer` bytes of what a browser does not read.
        """
        return self._loop.call(self._open(buffer))

    async def _open(self, buffer: int) -> str:
        hub = Hub(self._state, interval=1)
        hub._tick = self._tick
        self._beating = asyncio.create_task(hub.heartbeat())
        application = Pages(self._state, hub).application()
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        await web.SockSite(self._runner, listening).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def close(self) -> None:
        """Serve no more."""
        self._loop.call(self._close())

    async def _close(self) -> None:
        self._beating.cancel()
        await self._runner.cleanup()


Begin = Callable[[int], Scene]
