"""Containers of a test's own, and what Consul says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.hosts import Lab
from lab.plugin import FACTS
from lab.waiting import wait_for

Services = dict[str, dict[str, Any]]


OURS = "consul-demo/registrator"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect another registrator to fail where the original is known to, with its thread numbers."""
    image = config.stash[FACTS].images.registrator
    for item in items:
        marker = item.get_closest_marker("original_fails")
        if marker and image != OURS:
            threads = f"gliderlabs/registrator {marker.args[0]}"
            item.add_marker(pytest.mark.xfail(reason=f"known of the original: {threads}", strict=False))


class Containers:
    """Containers whose names begin with `t-`, on the docker host; all are removed at the test's end."""

    def __init__(self, lab: Lab) -> None:
        """Begin with none."""
        self._lab = lab
        self._image = lab.topology.images.fep
        self.limit = lab.topology.deadlines.removal

    def docker(self, *words: str) -> str:
        """Run docker on the docker host."""
        return self._lab.docker.run("docker", *words, deadline=self._lab.topology.deadlines.container)

    def run(self, name: str, *options: str, command: tuple[str, ...] = ("sleep", "600")) -> str:
        """Start `t-NAME` with Docker's options and return its full name."""
        first, *rest = command
        self.docker(
            "run", "--detach", "--name", f"t-{name}", "--entrypoint", first, *options, self._image, *rest
        )
        return f"t-{name}"

    def many(self, program: str, words: list[str]) -> None:
        """Run a shell program once for each word, two at a time; `$0` is the image, `$1` the word."""
        line = f"printf '%s\\n' {' '.join(words)} | xargs -P2 -I@ sh -c '{program}' {self._image} @"
        self._lab.docker.run("bash", "-c", line, deadline=4 * self._lab.topology.deadlines.container)

    def id_of(self, name: str, port: int, suffix: str = "") -> str:
        """Return the ID that a container's port has in Consul."""
        return f"{self._lab.docker.name}:{name}:{port}{suffix}"

    def registered(self) -> Services:
        """Return the services of these containers, by ID, as the docker host's agent has them."""
        services = self._lab.docker.agent.api.agent.services()
        return {key: value for key, value in services.items() if ":t-" in key or key.startswith("t-")}

    def settle(self, *wanted: str, within: float = 0) -> Services:
        """Wait until exactly the wanted IDs are registered, in the agent and in the catalog; return them."""
        found = wait_for(
            self.registered,
            lambda now: now.keys() == set(wanted),
            within=within or self.limit,
            what=f"exactly {sorted(wanted)}",
        )
        wait_for(
            self._catalog, lambda ids: ids == set(wanted), within=self.limit, what="the same in the catalog"
        )
        return found

    def _catalog(self) -> set[str]:
        _, node = self._lab.lb.agent.api.catalog.node(self._lab.docker.name)
        return {key for key in node["Services"] if ":t-" in key or key.startswith("t-")}

    def remove_all(self) -> None:
        """Remove every container of the tests."""
        ids = self.docker("ps", "--all", "--quiet", "--filter", "name=^t-").split()
        if ids:
            self.docker("rm", "--force", *ids)
        self.settle(within=self._lab.topology.deadlines.container)


@pytest.fixture
def containers(lab: Lab, undisturbed: None) -> Iterator[Containers]:
    """Containers of the test's own."""
    mine = Containers(lab)
    yield mine
    mine.remove_all()
