"""What makes HAProxy reload without a container, and what the kernels on the way count."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from lab.containers import LABEL
from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import running
from lab.waiting import wait_for

LISTEN_QUEUE = ("TcpExtListenOverflows", "TcpExtListenDrops")
RESETS = "TcpOutRsts"


class Twins:
    """Further entries in Consul of an instance that runs: each change of them is a new list, and a reload.

    Should nobody take them away, Consul does: their checks pass for two minutes only.
    """

    CHECK = {"ttl": "120s", "status": "passing", "DeregisterCriticalServiceAfter": "60s"}  # noqa: RUF012

    def __init__(self, lab: Lab) -> None:
        """Take an instance; there must be one."""
        self._lab = lab
        self._api = lab.docker.agent.api.agent.service
        self._like = min(running(lab))
        self._names = (f"twin-{number}" for number in itertools.count())
        self.listed: list[str] = []

    def enter(self) -> None:
        """Enter one more, under a name that none had before."""
        name, echo = next(self._names), self._lab.topology.services.echo
        words = {"address": self._like.address, "port": self._like.port, "check": self.CHECK, "tags": [LABEL]}
        self._api.register(echo, service_id=name, **words)
        self.listed.append(name)

    def remove(self) -> None:
        """Remove the eldest."""
        self._api.deregister(self.listed.pop(0))

    def settle(self) -> None:
        """Wait until HAProxy has exactly those that are listed."""
        wait_for(
            lambda: [name for name in self._lab.haproxy.servers() if name.startswith("twin-")],
            until=lambda names: sorted(names) == sorted(self.listed),
            within=self._lab.topology.deadlines.loadbalancer,
            what=f"HAProxy with the twins {self.listed}",
        )

    def reload(self) -> int:
        """Remove the one that is listed, or enter one; return the pid of the worker that came with it."""
        old = self._lab.haproxy.worker()
        (self.remove if self.listed else self.enter)()
        return next_worker(self._lab, old)


def next_worker(lab: Lab, old: int) -> int:
    """Wait until another worker than `old` takes new connections, and return its pid."""
    within = lab.topology.deadlines.loadbalancer
    return wait_for(lab.haproxy.worker, until=lambda pid: pid != old, within=within, what="a new worker")


def held(lab: Lab) -> int:
    """Return how many connections the current worker has to its servers."""
    return sum(server.current for server in lab.haproxy.servers().values())


def counters(node: Node, *names: str) -> dict[str, int]:
    """Return counters of a host's kernel, of its network namespace, by the names that nstat gives them."""
    said = node.run("nstat", "--json", "--zeros", "--ignore", "--noupdate", *names)
    return {name: int(json.loads(said)["kernel"][name]) for name in names}


@pytest.fixture
def twins(lab: Lab, fleet: Fleet) -> Iterator[Twins]:
    """Further entries of an instance, none yet, beside three that serve."""
    fleet.serve(3)
    made = Twins(lab)
    yield made
    while made.listed:
        made.remove()


@pytest.fixture
def quiet_client(lab: Lab) -> Iterator[None]:
    """The kernel counts of the client's host are the load's alone: the monitor is stopped for the while.

    It connects from there to Consul, HAProxy and the echo services: what those refuse or reset, as a service
    that is removed may, would be counted among the load's.
    """
    lab.client.run("sudo", "systemctl", "stop", "monitor")
    try:
        yield
    finally:
        lab.client.run("sudo", "systemctl", "start", "monitor")
