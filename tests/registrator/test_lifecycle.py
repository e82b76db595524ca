"""The life of containers and services: what each event leads to in Consul."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from images.registrator.registrator.plan import own_check
from tests.registrator.conftest import Program, eventually
from tests.registrator.fakes import recorded

if TYPE_CHECKING:
    from tests.registrator.fake_agent import FakeAgent
    from tests.registrator.fake_docker import FakeDocker

PORT = {"80/tcp": 8080}
WEB = "vm:web:80"
SOON = "-resync=1"  # looks every second, where the reason to look is what is broken


def state(agent: FakeAgent, key: str = WEB) -> str | None:
    """Return the status of a container's own check."""
    return agent.checks.get(own_check(key), {}).get("Status")


def test_a_container_comes_and_goes(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A running container is registered, also one that ran before; one that died is removed."""
    first = docker.run("web", PORT)
    program.start()
    eventually([WEB], lambda: sorted(agent.services))
    docker.run("api", PORT)
    eventually(["vm:api:80", WEB], lambda: sorted(agent.services))
    docker.die(first)
    eventually(["vm:api:80"], lambda: sorted(agent.services))

    assert agent.services["vm:api:80"]["Address"] == "192.0.2.7"
    eventually(True, lambda: f"removed: {first[:12]} {WEB} reason=gone" in program.log.read_text())
    added = f"added: {first[:12]} {WEB} reason=missing name=web address=192.0.2.7:8080"
    assert added in program.log.read_text()


def test_nothing_is_written_without_a_difference(
    program: Program, docker: FakeDocker, agent: FakeAgent
) -> None:
    """Looks that find no difference write nothing, also those of a new process."""
    docker.run(
        "web", PORT, ("SERVICE_CHECK_HTTP=/", "SERVICE_TAGS=b,a", "SERVICE_REGION=eu"), Status="Up (healthy)"
    )
    program.start(SOON)
    eventually([WEB], lambda: sorted(agent.services))
    program.settle()
    program.end()
    program.start(SOON)
    eventually(True, lambda: "reconciliations" in program.health())
    program.settle()

    assert agent.writes == ["service/register"]


def test_pause(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A paused container is critical, though the list shows it late; one that goes on has no such check."""
    key = docker.run("web", PORT)
    program.start()
    eventually([WEB], lambda: sorted(agent.services))
    docker.change(key, "pause", State="paused", Status="Up 1 second (Paused)")
    eventually("critical", lambda: state(agent))
    docker.change(key, "unpause", State="running", Status="Up 1 second")
    eventually(None, lambda: state(agent))

    assert sorted(agent.services) == [WEB]


def test_healthcheck(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """HEALTHCHECK's word shows from the first registration on, and changes with it."""
    key = docker.run("web", PORT, Status="Up 1 second (health: starting)")
    program.start()
    eventually("critical", lambda: state(agent))
    for word, status in {"healthy": "passing", "unhealthy": "critical"}.items():
        docker.listed[key]["Status"] = docker.entries[key]["Status"] = f"Up 1 second ({word})"
        docker.emit(f"health_status: {word}", key)
        eventually(status, lambda: state(agent))


def test_rename(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A renamed container has its new name in Consul, and no longer the old one."""
    key = docker.run("web", PORT)
    program.start()
    eventually([WEB], lambda: sorted(agent.services))
    docker.change(key, "rename", Names=["/shop"])

    eventually(["vm:shop:80"], lambda: sorted(agent.services))


def test_drain(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A container that is told to end is out of Consul while it still runs; HUP changes nothing."""
    key = docker.run("web", PORT)
    other = docker.run("other", PORT)
    program.start("-drain=30")
    eventually(["vm:other:80", WEB], lambda: sorted(agent.services))
    docker.kill(other, 1)
    docker.kill(key, 15)
    eventually(["vm:other:80"], lambda: sorted(agent.services))
    program.end()
    agent.writes.clear()
    program.start("-drain=30", SOON)
    program.settle(3)
    assert (sorted(agent.services), agent.writes) == (["vm:other:80"], [])

    docker.die(key)
    docker.start_again(key)

    eventually(["vm:other:80", WEB], lambda: sorted(agent.services))


def test_a_signal_that_was_survived(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A container that lives on after the signal is back after -drain."""
    key = docker.run("web", PORT)
    program.start("-drain=1")
    eventually([WEB], lambda: sorted(agent.services))
    docker.kill(key, 15)
    eventually([], lambda: sorted(agent.services))

    eventually([WEB], lambda: sorted(agent.services))


@pytest.mark.parametrize(("code", "left"), [(3, [WEB]), (0, []), (143, [])])
def test_on_success(
    program: Program, docker: FakeDocker, agent: FakeAgent, code: int, left: list[str]
) -> None:
    """With on-success the services of a container that failed stay until it is removed; others go."""
    key = docker.run("web", PORT)
    docker.run("other", PORT)
    program.start("-deregister=on-success", SOON)
    eventually(["vm:other:80", WEB], lambda: sorted(agent.services))
    docker.die(key, code)
    eventually(sorted(["vm:other:80", *left]), lambda: sorted(agent.services))
    program.settle()
    assert sorted(agent.services) == sorted(["vm:other:80", *left])
    docker.remove(key)

    eventually(["vm:other:80"], lambda: sorted(agent.services))


def test_other_peoples_services(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A service of somebody else on the same agent stays as it is, also where a container asks for its ID."""
    agent.services["db"] = recorded("service") | {"ID": "db", "Service": "db", "Meta": {}}
    agent.services["web"] = recorded("service") | {"ID": "web", "Meta": {"registrator-host": "another"}}
    before = dict(agent.services)
    docker.run("db", PORT, ("SERVICE_ID=db",))
    program.start("-deregister-on-exit", "-cleanup")
    eventually(True, lambda: "conflict: db is somebody else's" in program.log.read_text())
    assert program.end(signal.SIGTERM) == 0

    assert agent.services == before


@pytest.mark.parametrize(("flags", "left"), [([], ["vm:old:80", WEB]), (["-cleanup"], [WEB])])
def test_after_the_original(
    program: Program, docker: FakeDocker, agent: FakeAgent, flags: list[str], left: list[str]
) -> None:
    """What the original registered is taken over; what it left behind goes with -cleanup."""
    for key in (WEB, "vm:old:80"):
        agent.services[key] = recorded("service") | {"ID": key, "Meta": {}}
    docker.run("web", PORT)
    program.start(*flags)
    eventually("vm", lambda: agent.services[WEB]["Meta"].get("registrator-host"))

    eventually(left, lambda: sorted(agent.services))
    assert ("dangling: vm:old:80" in program.log.read_text()) == bool(flags)


@pytest.mark.parametrize(("flags", "left"), [([], [WEB]), (["-deregister-on-exit"], [])])
def test_its_own_end(
    program: Program, docker: FakeDocker, agent: FakeAgent, flags: list[str], left: list[str]
) -> None:
    """On SIGTERM the program ends well and soon; its services stay unless -deregister-on-exit is given."""
    docker.run("web", PORT)
    program.start(*flags)
    eventually([WEB], lambda: sorted(agent.services))
    start = time.monotonic()

    assert program.end(signal.SIGTERM) == 0
    assert time.monotonic() - start < 2
    assert sorted(agent.services) == left


def test_not_healthy_before_the_first_look(program: Program, agent: FakeAgent) -> None:
    """As long as nothing was looked at, /health does not call that healthy."""
    agent.thawed.clear()
    program.start()
    eventually(True, lambda: "status" in program.health())
    assert (program.health()["status"], program.health()["failure"]) == (503, "")
    agent.thawed.set()

    eventually(200, lambda: program.health()["status"])


def test_health(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """/health counts what was done, and tells what the catalog does not hold."""
    docker.run("web", PORT)
    program.start()
    eventually((1, []), lambda: tuple(program.health().get(key) for key in ("register", "not_in_catalog")))
    health = program.health()

    assert (health["status"], health["healthy"], health["services"]) == (200, True, 1)
    assert health["events"] > 0
    assert health["seconds_since_success"] < 30
