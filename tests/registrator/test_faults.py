"""What breaks: whatever it is, Consul ends up equal to Docker again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.registrator.conftest import Program, eventually

if TYPE_CHECKING:
    from tests.registrator.fake_agent import FakeAgent
    from tests.registrator.fake_docker import FakeDocker

PORT = {"80/tcp": 8080}
WEB = "vm:web:80"
SOON = "-resync=1"  # looks every second, where the reason to look is what is broken


def test_consul_comes_late(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """Without Consul at the start the program waits for it."""
    docker.run("web", PORT)
    agent.stop()
    program.start()
    eventually(503, lambda: program.health().get("status"))
    agent.start()

    eventually([WEB], lambda: sorted(agent.services))
    eventually(200, lambda: program.health()["status"])


def test_retries_run_out(program: Program, agent: FakeAgent) -> None:
    """With a number of retries the program gives up after them, with exit code 1."""
    agent.stop()
    program.start("-retry-attempts=1", "-retry-interval=100")

    assert program.process
    assert program.process.wait(10) == 1
    log = program.log.read_text()
    assert "Connecting to backend (0/1)" in log
    assert "Connecting to backend (1/1)" in log


def test_the_agent_restarts(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """What happened while the agent was away is caught up with."""
    key = docker.run("web", PORT)
    docker.run("stays", PORT)
    program.start()
    eventually(["vm:stays:80", WEB], lambda: sorted(agent.services))
    agent.stop()
    docker.die(key)
    docker.run("new", PORT)
    agent.start()

    eventually(["vm:new:80", "vm:stays:80"], lambda: sorted(agent.services))


def test_the_agent_loses_its_data(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """An agent that restarts empty gets its services back, though nothing happens in Docker."""
    docker.run("web", PORT)
    program.start()
    eventually([WEB], lambda: sorted(agent.services))
    program.rest()
    agent.stop()
    agent.wipe()
    agent.start()

    eventually([WEB], lambda: sorted(agent.services))


def test_the_agent_hangs(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """No call waits for ever: an agent that hangs is a failure until it works again."""
    program.start()
    eventually(200, lambda: program.health().get("status"))
    agent.thawed.clear()
    docker.run("web", PORT)
    eventually(503, lambda: program.health().get("status"))
    assert "Consul failed" in program.health()["failure"]
    agent.thawed.set()

    eventually([WEB], lambda: sorted(agent.services))


def test_docker_restarts(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """What happened while the daemon's socket was gone is caught up with, and later events arrive."""
    key = docker.run("web", PORT)
    program.start()
    eventually([WEB], lambda: sorted(agent.services))
    docker.stop()
    eventually(503, lambda: program.health().get("status"))
    docker.die(key)
    docker.remove(key)
    docker.run("new", PORT)
    docker.start()
    eventually(["vm:new:80"], lambda: sorted(agent.services))
    eventually(True, lambda: program.log.read_text().count("Listening for Docker events") == 2)
    docker.run("later", PORT)

    eventually(["vm:later:80", "vm:new:80"], lambda: sorted(agent.services))


def test_docker_hangs(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A daemon that hangs is a failure after the time limit, until it works again."""
    program.start()
    eventually(200, lambda: program.health().get("status"))
    docker.thawed.clear()
    docker.run("web", PORT)
    eventually(503, lambda: program.health().get("status"), within=15)
    assert "Docker failed" in program.health()["failure"]
    docker.thawed.set()

    eventually([WEB], lambda: sorted(agent.services))


def test_a_container_is_stuck(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A container whose inspection never ends keeps up no other."""
    program.start()
    eventually(200, lambda: program.health().get("status"))
    docker.stuck.add(docker.run("stuck", PORT))
    docker.run("web", PORT)

    eventually([WEB], lambda: sorted(agent.services), within=20)


def test_a_container_that_does_not_tell_keeps_its_service(
    program: Program, docker: FakeDocker, agent: FakeAgent
) -> None:
    """A container that runs and cannot be inspected by a new process keeps the service that it has."""
    key = docker.run("web", PORT)
    program.start()
    eventually([WEB], lambda: sorted(agent.services))
    program.end()
    docker.refusals[key] = 500
    docker.run("new", PORT)
    program.start(SOON)
    eventually(["vm:new:80", WEB], lambda: sorted(agent.services))
    program.settle()

    assert sorted(agent.services) == ["vm:new:80", WEB]
    assert not [path for path in agent.writes if "deregister" in path]


def test_events_are_lost(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """What no event told is found by the look without a reason."""
    key = docker.run("web", PORT)
    program.start(SOON)
    eventually([WEB], lambda: sorted(agent.services))
    program.settle(6)
    docker.lossy = True
    docker.remove(key)
    docker.run("new", PORT)

    eventually(["vm:new:80"], lambda: sorted(agent.services))


def test_killed_and_started_again(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """What happened while the program was not there is caught up with, custom IDs included."""
    key = docker.run("web", PORT, ("SERVICE_ID=mine",))
    program.start()
    eventually(["mine"], lambda: sorted(agent.services))
    program.end()
    docker.remove(key)
    docker.run("new", PORT)
    program.start()

    eventually(["vm:new:80"], lambda: sorted(agent.services))


def test_somebody_removes_a_service(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A service that somebody else deregistered is back without an event of Docker's."""
    docker.run("web", PORT)
    program.start()
    eventually([WEB], lambda: sorted(agent.services))
    program.rest()
    assert agent.write(f"service/deregister/{WEB}", {}) is None

    eventually([WEB], lambda: sorted(agent.services))


def test_gone_before_it_was_looked_at(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A container that died before it was looked at is not left in Consul."""
    program.start()
    eventually(200, lambda: program.health().get("status"))
    docker.thawed.clear()
    docker.die(docker.run("web", PORT))
    docker.run("next", PORT)
    docker.thawed.set()

    eventually(["vm:next:80"], lambda: sorted(agent.services))


def test_a_refused_service(program: Program, docker: FakeDocker, agent: FakeAgent) -> None:
    """A service that Consul refuses is tried again and reported; the others do not wait for it."""
    bad = docker.run("bad", PORT, ("SERVICE_CHECK_TCP=1", "SERVICE_CHECK_INTERVAL=soon"))
    docker.run("web", PORT)
    program.start()
    eventually([WEB], lambda: sorted(agent.services))
    eventually(True, lambda: program.health()["refused"] >= 5)
    health = program.health()
    docker.remove(bad)

    assert (health["status"], health["waiting"]) == (503, ["vm:bad:80"])
    assert (
        'register failed: vm:bad:80 400 Request decode failed: time: invalid duration "soon"'
        in program.log.read_text()
    )
    eventually(200, lambda: program.health()["status"])
