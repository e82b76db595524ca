"""What makes HAProxy reload without a container, and what the kernels on the way count."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import running
from lab.waiting import wait_for

LISTEN_QUEUE = ("TcpExtListenOverflows", "TcpExtListenDrops")
RESETS = "TcpOutRsts"


class Twin:
    """A second entry in Consul for an instance that runs: each change of it is a new list, and a reload.

    Should nobody take it away, its check does: it passes for two minutes only, and Consul removes it then.
    """

    NAME = "twin"
    CHECK = {"ttl": "120s", "status": "passing", "DeregisterCriticalServiceAfter": "60s"}  # noqa: RUF012

    def __init__(self, lab: Lab) -> None:
        """Take an instance; there must be one."""
        self._lab = lab
        self._api = lab.docker.agent.api.agent.service
        self._like = min(running(lab))
        self.listed = False

    def toggle(self) -> None:
        """Enter it, or remove it when it is there."""
        if self.listed:
            self._api.deregister(self.NAME)
        else:
            echo = self._lab.topology.services.echo
            words = {"address": self._like.address, "port": self._like.port, "check": self.CHECK}
            self._api.register(echo, service_id=self.NAME, **words)
        self.listed = not self.listed

    def settle(self) -> None:
        """Wait until HAProxy has it, or has it no longer."""
        wait_for(
            self._lab.haproxy.servers,
            until=lambda servers: (self.NAME in servers) == self.listed,
            within=self._lab.topology.deadlines.loadbalancer,
            what=f"HAProxy {'with' if self.listed else 'without'} the twin",
        )

    def reload(self) -> int:
        """Change it and return the pid of the worker that came with it."""
        old = self._lab.haproxy.worker()
        self.toggle()
        return next_worker(self._lab, old)


def next_worker(lab: Lab, old: int) -> int:
    """Wait until another worker than `old` takes new connections, and return its pid."""
    within = lab.topology.deadlines.loadbalancer
    return wait_for(lab.haproxy.worker, until=lambda pid: pid != old, within=within, what="a new worker")


def counters(node: Node, *names: str) -> dict[str, int]:
    """Return counters of a host's kernel, of its network namespace, by the names that nstat gives them."""
    said = node.run("nstat", "--json", "--zeros", "--ignore", "--noupdate", *names)
    return {name: int(json.loads(said)["kernel"][name]) for name in names}


@pytest.fixture
def twin(lab: Lab, fleet: Fleet) -> Iterator[Twin]:
    """A second entry of an instance, beside three that serve."""
    fleet.serve(3)
    one = Twin(lab)
    yield one
    if one.listed:
        one.toggle()


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
