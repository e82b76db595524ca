"""Whatever breaks, Consul's catalog equals the running containers within seconds."""

from __future__ import annotations

from itertools import chain, zip_longest

import pytest

from lab.containers import LABEL
from lab.faults import Faults, Reboot
from lab.hosts import Lab
from lab.machines import Machines
from lab.unit import stopped
from lab.waiting import Unmet

from .conftest import PORT, Containers, registrator_away

WAVE, WAVES = 50, 2
START_OR_END = (
    'n=${1#?}; case "$1" in'
    f' +*) docker run --detach --name "t-$n" --label {LABEL} --publish "$n:80" --entrypoint sleep "$0" 600;;'
    ' *) docker rm --force "t-$n";; esac >/dev/null'
)


def test_registrator_killed_while_services_come_and_go(containers: Containers, lab: Lab) -> None:
    """R3: What changed while it was dead is right once it is back: no ghost, nothing missing."""
    gone, stays = containers.launch("gone", 20001), containers.launch("stays", 20002)
    containers.settle(gone, stays)

    with registrator_away(containers, "kill"):
        containers.docker("rm", "--force", "t-gone")
        fresh = containers.launch("fresh", 20003)

    within = lab.topology.registrator.resync
    containers.prove("registrator is back", stays, fresh, within=within, source="R3: one resync")


@pytest.mark.full
@pytest.mark.destructive
def test_the_docker_host_reboots(containers: Containers, lab: Lab, faults: Faults, power: Machines) -> None:
    """R4: After a reboot each container that runs again is registered once, and no other is."""
    gone, back = (
        containers.launch("gone", 20001),
        containers.launch("back", 20002, "--restart", "always"),
    )
    containers.settle(gone, back)

    with faults.under(Reboot(power, lab.docker)):
        within = lab.topology.deadlines.members
        containers.prove("the host is up", back, within=within, source="N5")


@pytest.mark.original_fails("#377")
def test_docker_restarted(containers: Containers, lab: Lab) -> None:
    """dockerd restarts under live containers: they stay registered, and new ones are found."""
    stays = containers.launch("stays", 20001)
    containers.settle(stays)

    lab.docker.run("sudo", "systemctl", "restart", "docker")
    fresh = containers.launch("fresh", 20002)

    within = lab.topology.deadlines.container
    containers.prove("launched after the restart", stays, fresh, within=within, source="our choice")


@pytest.mark.original_fails("#264, #327")
def test_the_agent_restarted(containers: Containers, lab: Lab) -> None:
    """R5: Consul's agent away while a container starts and another ends: right soon after it is back."""
    gone, stays = containers.launch("gone", 20001), containers.launch("stays", 20002)
    containers.settle(gone, stays)

    with stopped(lab.docker):
        containers.docker("rm", "--force", "t-gone")
        fresh = containers.launch("fresh", 20003)

    within = lab.topology.registrator.resync
    containers.prove("the agent is started", stays, fresh, within=within, source="R5: one resync")


@pytest.mark.destructive
@pytest.mark.original_fails("#81, #334")
def test_the_agent_s_services_wiped(containers: Containers, lab: Lab) -> None:
    """The agent loses what it knew of services: all are registered again."""
    keys = [containers.launch("a", 20001), containers.launch("b", 20002)]
    containers.settle(*keys)
    folders = " ".join(f"{lab.topology.consul.data_dir}/{name}" for name in ("services", "checks"))

    with stopped(lab.docker):
        lab.docker.run("sudo", "sh", "-c", f"rm -rf {folders}")

    within = lab.topology.deadlines.members
    containers.prove("the agent is started", *keys, within=within, source="N5")


@pytest.mark.original_fails("#81, #334")
def test_somebody_removes_a_service_from_the_agent(containers: Containers, lab: Lab) -> None:
    """A service that somebody else deregistered is back, though Docker tells nothing."""
    key = containers.launch("web", 20001)
    containers.settle(key)

    lab.docker.agent.api.agent.service.deregister(key)

    containers.prove("deregistered by another", key)


@pytest.mark.full
@pytest.mark.timeout(400)
def test_what_only_the_catalog_lost_comes_back(containers: Containers, lab: Lab) -> None:
    """R6: A service that is removed from the catalog, while its agent has it, comes back there."""
    key = containers.launch("web", 20001)
    containers.settle(key)

    assert lab.lb.agent.api.catalog.deregister(lab.docker.name, service_id=key)
    assert key not in containers.catalog()

    within = lab.topology.deadlines.anti_entropy
    containers.prove("removed from the catalog", key, within=within, source="N9")


def test_somebody_else_s_service_is_left_alone(containers: Containers, lab: Lab) -> None:
    """A service that another program registered on the same agent outlives every look."""
    services = lab.docker.agent.api.agent.service
    services.register("foreign", service_id="foreign", port=1, tags=[LABEL])
    try:
        key = containers.launch("mine", 20001)
        containers.settle(key)
        containers.docker("restart", "registrator")
        containers.settle(key)
        assert "foreign" in lab.docker.agent.api.agent.services()
    finally:
        services.deregister("foreign")


@pytest.mark.original_fails("#339")
def test_many_containers_in_waves(containers: Containers) -> None:
    """R9: Waves of 50, each of which comes while the one before goes: the catalog equals `docker ps`."""
    old: list[int] = []
    for wave in range(WAVES + 1):
        new = [20001 + wave * WAVE + number for number in range(WAVE)] if wave < WAVES else []
        mixed = chain.from_iterable(zip_longest((f"+{port}" for port in new), (f"-{port}" for port in old)))
        containers.many(START_OR_END, [word for word in mixed if word])
        wanted = [containers.id_of(f"t-{port}", PORT) for port in new]
        containers.prove(f"{len(new)} came, {len(old)} went", *wanted, within=30, source="R9: our choice")
        old = new


def test_control_a_frozen_registrator_is_noticed(containers: Containers) -> None:
    """The suite can fail: with registrator frozen a new container is nobody's service."""
    containers.docker("pause", "registrator")
    try:
        key = containers.launch("unseen", 20001)
        with pytest.raises(Unmet):
            containers.settle(key, within=2)
    finally:
        containers.docker("unpause", "registrator")
    containers.settle(key)
