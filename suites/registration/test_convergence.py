"""Whatever breaks, Consul's catalog equals the running containers within seconds."""

from __future__ import annotations

import pytest

from lab.hosts import Lab
from lab.waiting import Unmet, wait_for

from .conftest import Containers

PORT = 80
WAVE = 50
WAVES = 4


def launch(containers: Containers, name: str, host_port: int) -> str:
    """Start a container with one published port and return its ID in Consul."""
    return containers.id_of(containers.run(name, "--publish", f"{host_port}:{PORT}"), PORT)


@pytest.mark.parametrize(
    "how", [("stop", "--time", "1"), ("kill",), ("kill", "--signal", "TERM"), ("rm", "--force")], ids=" ".join
)
def test_an_end_is_an_end(containers: Containers, how: tuple[str, ...]) -> None:
    """R2: Stopped, killed or removed: the service goes; its neighbour stays."""
    gone, stays = launch(containers, "gone", 20001), launch(containers, "stays", 20002)
    containers.settle(gone, stays)

    containers.docker(*how, "t-gone")

    containers.settle(stays)


def test_a_crash_loop_leaves_no_ghost(containers: Containers) -> None:
    """R2: A container that dies again and again is gone for good when it is removed."""
    containers.run("loop", "--publish", "20001:80", "--restart", "always", command=("sh", "-c", "sleep 0.3"))
    wait_for(
        lambda: int(containers.docker("inspect", "--format", "{{.RestartCount}}", "t-loop")),
        lambda count: count >= 3,
        within=30,
        what="three restarts",
    )

    containers.docker("rm", "--force", "t-loop")

    containers.settle()


@pytest.mark.original_fails("#224, #578")
def test_a_paused_container_is_critical(containers: Containers, lab: Lab) -> None:
    """R10: Paused it stays registered but is not healthy; unpaused it is again."""
    key = launch(containers, "paused", 20001)
    service = containers.settle(key)[key]["Service"]

    def healthy() -> set[str]:
        return {instance.id for instance in lab.lb.agent.instances(service)}

    wait_for(healthy, lambda ids: key in ids, within=containers.limit, what="healthy")
    containers.docker("pause", "t-paused")
    wait_for(healthy, lambda ids: key not in ids, within=containers.limit, what="not healthy while paused")
    containers.settle(key)
    containers.docker("unpause", "t-paused")
    wait_for(healthy, lambda ids: key in ids, within=containers.limit, what="healthy again")


def test_registrator_killed_while_services_come_and_go(containers: Containers) -> None:
    """R3: What changed while it was dead is right once it is back: no ghost, nothing missing."""
    gone, stays = launch(containers, "gone", 20001), launch(containers, "stays", 20002)
    containers.settle(gone, stays)

    containers.docker("kill", "registrator")
    containers.docker("rm", "--force", "t-gone")
    fresh = launch(containers, "fresh", 20003)
    containers.docker("start", "registrator")

    containers.settle(stays, fresh)


@pytest.mark.original_fails("#377")
def test_docker_restarted(containers: Containers, lab: Lab) -> None:
    """dockerd restarts under live containers: they stay registered, and new ones are found."""
    stays = launch(containers, "stays", 20001)
    containers.settle(stays)

    lab.docker.run("sudo", "systemctl", "restart", "docker")

    containers.settle(stays, launch(containers, "fresh", 20002), within=lab.topology.deadlines.container)


@pytest.mark.original_fails("#264, #327")
def test_the_agent_restarted(containers: Containers, lab: Lab) -> None:
    """R5: Consul's agent away while a container starts and another ends: right soon after it is back."""
    gone, stays = launch(containers, "gone", 20001), launch(containers, "stays", 20002)
    containers.settle(gone, stays)

    lab.docker.run("sudo", "systemctl", "stop", "consul")
    containers.docker("rm", "--force", "t-gone")
    fresh = launch(containers, "fresh", 20003)
    lab.docker.run("sudo", "systemctl", "start", "consul")

    containers.settle(stays, fresh, within=lab.topology.deadlines.members)


@pytest.mark.original_fails("#81, #334")
def test_the_agent_s_services_wiped(containers: Containers, lab: Lab) -> None:
    """The agent loses what it knew of services: all are registered again."""
    keys = [launch(containers, "a", 20001), launch(containers, "b", 20002)]
    containers.settle(*keys)
    folders = " ".join(f"{lab.topology.consul.data_dir}/{name}" for name in ("services", "checks"))

    lab.docker.run("sudo", "systemctl", "stop", "consul")
    lab.docker.run("sudo", "sh", "-c", f"rm -rf {folders}")
    lab.docker.run("sudo", "systemctl", "start", "consul")

    containers.settle(*keys, within=lab.topology.deadlines.members)


def test_somebody_else_s_service_is_left_alone(containers: Containers, lab: Lab) -> None:
    """A service that another program registered on the same agent outlives every look."""
    services = lab.docker.agent.api.agent.service
    services.register("foreign", service_id="foreign", port=1)
    try:
        containers.settle(launch(containers, "mine", 20001))
        containers.docker("restart", "registrator")
        containers.settle(containers.id_of("t-mine", PORT))
        assert "foreign" in lab.docker.agent.api.agent.services()
    finally:
        services.deregister("foreign")


@pytest.mark.timeout(600)
@pytest.mark.original_fails("#339")
def test_200_containers_in_waves(containers: Containers) -> None:
    """R9: Four waves of 50 come and go; after each the catalog equals `docker ps`."""
    for wave in range(WAVES):
        ports = [20001 + wave * WAVE + n for n in range(WAVE)]
        program = 'docker run --detach --name "t-$1" --publish "$1:80" --entrypoint sleep "$0" 600 >/dev/null'
        containers.many(program, [str(port) for port in ports])
        containers.settle(*(containers.id_of(f"t-{port}", PORT) for port in ports), within=30)
        containers.remove_all()


def test_control_a_frozen_registrator_is_noticed(containers: Containers) -> None:
    """The suite can fail: with registrator frozen a new container is nobody's service."""
    containers.docker("pause", "registrator")
    try:
        key = launch(containers, "unseen", 20001)
        with pytest.raises(Unmet):
            containers.settle(key, within=2)
    finally:
        containers.docker("unpause", "registrator")
    containers.settle(key)
