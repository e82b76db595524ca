"""Containers of a test's own, and what Consul says of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from lab.containers import LABEL, parse
from lab.hosts import Lab
from lab.plugin import FACTS
from lab.proof import Proof
from lab.waiting import wait_for

Services = dict[str, dict[str, Any]]
Limit = tuple[float, str]  # seconds, and where they are from

OURS = "consul-demo/registrator"
PORT = 80


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect another registrator to fail where the original is known to, with its thread numbers."""
    image = config.stash[FACTS].images.registrator
    for item in items:
        marker = item.get_closest_marker("original_fails")
        if marker and image != OURS:
            threads = f"gliderlabs/registrator {marker.args[0]}"
            item.add_marker(pytest.mark.xfail(reason=f"known of the original: {threads}", strict=False))


class Containers:
    """Containers of a test's own, `t-NAME`, on the docker host; all are removed at the test's end."""

    def __init__(self, lab: Lab, proof: Proof) -> None:
        """Begin with none."""
        self._lab = lab
        self._proof = proof
        self._image = lab.topology.images.fep
        self.limit = lab.topology.deadlines.removal
        self.prompt = lab.topology.deadlines.register

    def docker(self, *words: str) -> str:
        """Run docker on the docker host."""
        return self._lab.docker.run("docker", *words, deadline=self._lab.topology.deadlines.container)

    def run(self, name: str, *options: str, command: tuple[str, ...] = ("sleep", "600")) -> str:
        """Start `t-NAME` with Docker's options and return its full name."""
        first, *rest = command
        own = ("--name", f"t-{name}", "--label", LABEL, "--entrypoint", first)
        self.docker("run", "--detach", *own, *options, self._image, *rest)
        return f"t-{name}"

    def launch(self, name: str, port: int, *options: str, command: tuple[str, ...] = ("sleep", "600")) -> str:
        """Start `t-NAME` with one port, published as `port`, and return its ID in Consul."""
        return self.id_of(self.run(name, "--publish", f"{port}:{PORT}", *options, command=command), PORT)

    def many(self, program: str, words: list[str]) -> None:
        """Run a shell program once for each word, two at a time; `$0` is the image, `$1` the word."""
        line = f"printf '%s\\n' {' '.join(words)} | xargs -P2 -I@ sh -c '{program}' {self._image} @"
        self._lab.docker.run("bash", "-c", line, deadline=4 * self._lab.topology.deadlines.container)

    def id_of(self, name: str, port: int, suffix: str = "") -> str:
        """Return the ID that a container's port has in Consul."""
        return f"{self._lab.docker.name}:{name}:{port}{suffix}"

    def published(self) -> set[str]:
        """Return the IDs of all TCP ports that these containers publish, as `docker ps` tells."""
        listing = self.docker("ps", "--filter", f"label={LABEL}", "--format", "{{json .}}")
        return {self.id_of(it.name, port) for it in parse(listing) for port in it.ports}

    def state(self, name: str, template: str = "{{.State.Status}}") -> str:
        """Return a container's state in Docker's words, or what else of it a template asks for."""
        return self.docker("inspect", "--format", template, name).strip()

    def registered(self) -> Services:
        """Return the services of these containers, by ID, as the docker host's agent has them."""
        services = self._lab.docker.agent.api.agent.services()
        return {key: value for key, value in services.items() if ":t-" in key or key.startswith("t-")}

    def catalog(self) -> set[str]:
        """Return the IDs of these containers' services as the load balancer's agent finds them."""
        _, node = self._lab.lb.agent.api.catalog.node(self._lab.docker.name)
        return {key for key in node["Services"] if ":t-" in key or key.startswith("t-")}

    def settle(self, *wanted: str, within: float = 0) -> Services:
        """Wait until exactly the wanted IDs are registered, in the agent and in the catalog; return them."""
        limit = within or self.limit
        found = wait_for(
            self.registered,
            lambda now: now.keys() == set(wanted),
            within=limit,
            what=f"exactly {sorted(wanted)}",
        )
        wait_for(self.catalog, lambda ids: ids == set(wanted), within=limit, what="the same in the catalog")
        return found

    def seconds(self, *wanted: str, within: float = 0) -> float:
        """Return for how many seconds it took from now until exactly the wanted IDs are in the catalog."""
        begun = time.monotonic()
        self.settle(*wanted, within=within)
        return time.monotonic() - begun

    def prove(self, what: str, *wanted: str, within: float = 0, source: str = "R1, R2: our choice") -> None:
        """Tell how long it takes from now until the catalog has exactly the wanted IDs, and hold it.

        They are those of what `docker ps` lists.
        """
        took = self.seconds(*wanted, within=within)
        assert self.published() == set(wanted), "docker ps"
        self._proof.within(f"{what}, to the catalog", took, within or self.prompt, source)

    def healthy(self, key: str) -> bool:
        """Return whether the load balancer's agent lists a service, which is registered, as healthy."""
        service = self.registered()[key]["Service"]
        return key in {instance.id for instance in self._lab.lb.agent.instances(service)}

    def checks(self, key: str) -> str:
        """Return what the checks of a service last said, as its agent has it."""
        checks = self._lab.docker.agent.api.agent.checks().values()
        return " ".join(it["Output"] for it in checks if it["ServiceID"] == key)

    def prove_health(self, what: str, key: str, *, healthy: bool, limit: Limit | None = None) -> None:
        """Tell how long it takes from now until a service is healthy, or is not, and hold it."""
        begun, (allowed, source) = time.monotonic(), limit or (self.prompt, "our choice")
        wait_for(
            lambda: self.healthy(key),
            lambda now: now == healthy,
            within=max(allowed, self.limit),
            what=f"{key}: {what}",
        )
        self._proof.within(what, time.monotonic() - begun, allowed, source)

    def remove_all(self) -> None:
        """Remove every container of the tests."""
        ids = self.docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()
        if ids:
            self.docker("rm", "--force", *ids)
        self.settle(within=self._lab.topology.deadlines.container)


@pytest.fixture
def containers(lab: Lab, proof: Proof, undisturbed: None) -> Iterator[Containers]:
    """Containers of the test's own."""
    mine = Containers(lab, proof)
    yield mine
    mine.remove_all()


@pytest.fixture
def health(lab: Lab) -> Iterator[Callable[[], requests.Response]]:
    """What registrator's /health on the docker host answers."""
    tunnel = lab.docker.tunnel(lab.topology.ports.registrator_health)
    within = lab.topology.deadlines.command
    yield lambda: requests.get(f"http://127.0.0.1:{tunnel.port}/health", timeout=within)
    tunnel.close()


@contextmanager
def registrator_away(containers: Containers, *how: str) -> Iterator[None]:
    """Keep registrator stopped while the body of a `with` goes on; `how` is docker's command to end it."""
    containers.docker(*how, "registrator")
    try:
        yield
    finally:
        containers.docker("start", "registrator")
