"""The Docker side: recorded answers become containers, and no lag of the daemon's list is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from images.registrator.registrator.engine import Engine, Fixed, container, ports, state
from images.registrator.registrator.services import Container, Port
from tests.registrator.fakes import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.registrator.fake_docker import FakeDocker


@pytest.fixture
def engine(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Return a client of the daemon of pretence."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{docker.place}")
    engine = Engine()
    yield engine
    engine.client.close()


def test_a_recorded_answer() -> None:
    """What dockerd 20.10.24 says of a published container with a HEALTHCHECK is read in full."""
    fixed = Fixed("web", ("SERVICE_80_NAME=fep",), ("80/tcp", "81/tcp"), "")

    assert container(recorded("container"), fixed) == Container(
        id="8388d595669bb15897b514e002146bf710539caa56227088706aac606037ff63",
        name="fep.1",
        image="web",
        environment=("SERVICE_80_NAME=fep",),
        labels={"team": "x"},
        ports=(Port(80, "tcp", "0.0.0.0", 10001), Port(81, "tcp")),
        network="default",
        addresses={"bridge": "10.99.0.2"},
        state="running",
        health=recorded("container")["Status"].partition("(")[2].removeprefix("health: ").rstrip(")"),
    )


@pytest.mark.parametrize(
    ("listed", "status", "wanted"),
    [
        ("running", "Up 5 minutes", "running"),
        ("paused", "Up 5 minutes (Paused)", "paused"),
        ("exited", "Exited (0) 2 seconds ago", "exited"),
        ("exited", "Exited (1) 2 seconds ago", "failed"),
        ("exited", "Exited (127) 2 seconds ago", "failed"),
        ("exited", "Exited (137) 2 seconds ago", "exited"),
        ("restarting", "Restarting (3) 1 second ago", "failed"),
    ],
)
def test_states(listed: str, status: str, wanted: str) -> None:
    """A container has failed if it ended with an exit code of its own other than 0."""
    assert state({"State": listed, "Status": status}) == wanted


def test_first_binding_counts() -> None:
    """Of several bindings of a port the first on IPv4 counts; a range that nobody expanded is left out."""
    bindings = [
        {"IP": "::", "PrivatePort": 80, "PublicPort": 1, "Type": "tcp"},
        {"IP": "192.0.2.1", "PrivatePort": 80, "PublicPort": 2, "Type": "tcp"},
        {"IP": "192.0.2.1", "PrivatePort": 80, "PublicPort": 3, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 4, "Type": "udp"},
        {"PrivatePort": 81, "Type": "tcp"},
    ]

    found = ports({"Ports": bindings}, ("80/tcp", "81/tcp", "90-99/tcp"))

    assert found == (Port(80, "tcp", "192.0.2.1", 2), Port(81), Port(80, "udp", "::", 4))


def test_oldest_first(engine: Engine, docker: FakeDocker) -> None:
    """Containers come in the order of their creation, and the host by Docker's own name of it."""
    for name in ("b", "a", "c"):
        docker.run(name)

    assert [item.name for item in engine.containers(set())] == ["b", "a", "c"]
    assert engine.host_name() == "vm"


def test_the_list_is_not_believed_after_an_event(engine: Engine, docker: FakeDocker) -> None:
    """What an event has touched is read as it is, though the daemon's list still shows what it was."""
    key = docker.run("web")
    docker.change(key, "pause", State="paused", Status="Up 1 second (Paused)")

    assert [item.state for item in engine.containers(set())] == ["running"]
    assert [item.state for item in engine.containers({key})] == ["paused"]


def test_a_container_that_is_gone(engine: Engine, docker: FakeDocker) -> None:
    """A container that goes between its event and its inspection is no error."""
    key = docker.run("web")
    docker.remove(key)

    assert engine.containers({key}) == []


@pytest.mark.parametrize("status", [404, 500])
def test_a_container_that_does_not_tell(engine: Engine, docker: FakeDocker, status: int) -> None:
    """A container that is listed and cannot be inspected is unknown, unless it was inspected before."""
    before, after = docker.run("before"), docker.run("after")
    docker.refusals[after] = status

    assert [item.state for item in engine.containers({before})] == ["running", "unknown"]
    docker.refusals[before] = status
    assert [item.state for item in engine.containers({before, after})] == ["running", "unknown"]


def test_failed_containers_are_told_on_request(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers that failed are listed for on-success, and only those."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{docker.place}")
    engine = Engine(failed=True)
    for name, code in {"failed": 3, "done": 0, "killed": 137}.items():
        docker.die(docker.run(name), code)

    found = engine.containers(set(docker.entries))

    assert [(item.name, item.state) for item in found] == [("failed", "failed")]
    engine.client.close()
