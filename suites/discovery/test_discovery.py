"""What runs is found, and what is gone is not: on every agent, by HTTP and by DNS."""

from collections.abc import Callable, Iterator

import pytest

from lab.consul import Instance
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.invariants import running
from lab.waiting import Unmet, wait_for


def everywhere(lab: Lab) -> dict[str, list[set[Instance]]]:
    """Return what each agent lists: the healthy instances by HTTP, and all that its catalog has."""
    echo = lab.topology.services.echo
    return {node.name: [node.agent.instances(echo), node.agent.catalog(echo)] for node in lab.agents}


def equal_to(expected: set[Instance]) -> Callable[[dict[str, list[set[Instance]]]], bool]:
    """Return the question whether every agent lists exactly `expected`."""
    return lambda answers: all(listed == expected for lists in answers.values() for listed in lists)


def test_launched_services_are_found_everywhere(lab: Lab, fleet: Fleet) -> None:
    """Every agent lists exactly what Docker runs, healthy, at the published port, within the deadline."""
    fleet.launch(3)
    within = lab.topology.deadlines.discovery

    wait_for(lambda: everywhere(lab), until=equal_to(running(lab)), within=within, what="every agent's list")


def test_dns_tells_the_published_ports(lab: Lab, fleet: Fleet) -> None:
    """SRV over TCP gives, on every agent, the docker host's address and the port of each instance."""
    fleet.launch(4)
    expected = {(instance.address, instance.port) for instance in running(lab)}
    within = lab.topology.deadlines.discovery

    for node in lab.agents:
        wait_for(
            lambda: node.agent.resolve(lab.topology.services.echo),  # noqa: B023 - asked before the next turn
            until=lambda answer: answer == expected,
            within=within,
            what=f"{node.name}'s SRV records {sorted(expected)}",
        )


def test_the_second_port_is_a_service_of_its_own(lab: Lab, fleet: Fleet) -> None:
    """The HTTP port of each container is listed beside its echo, under its own name."""
    names = fleet.launch(2)
    services, ports = lab.topology.services, lab.topology.ports
    expected = {f"{lab.docker.name}:{name}:{ports.fep_info}" for name in names}

    wait_for(
        lambda: {instance.id for instance in lab.lb.agent.instances(services.info)},
        until=lambda ids: expected <= ids,
        within=lab.topology.deadlines.discovery,
        what=f"the info services {sorted(expected)}",
    )


@pytest.mark.parametrize("how", ["remove", "kill"])
def test_a_service_that_ends_is_gone_everywhere(lab: Lab, fleet: Fleet, how: str) -> None:
    """Removed by the operator or crashed: within the deadline no agent lists the instance any more."""
    first, _second = fleet.serve(2)
    if how == "remove":
        fleet.remove(first)
    else:
        fleet.kill(first)
    within = lab.topology.deadlines.removal

    wait_for(lambda: everywhere(lab), until=equal_to(running(lab)), within=within, what="every agent's list")


@pytest.fixture
def deaf_registrator(lab: Lab) -> Iterator[None]:
    """Registrator on the docker host is frozen during the test."""
    lab.docker.run("docker", "pause", "registrator")
    yield
    lab.docker.run("docker", "unpause", "registrator")


def test_control_without_registrator_nothing_is_found(lab: Lab, fleet: Fleet, deaf_registrator: None) -> None:
    """The test of discovery can fail: with registrator frozen a new instance is in nobody's list."""
    fleet.launch()
    within = lab.topology.deadlines.discovery

    with pytest.raises(Unmet):
        wait_for(lambda: everywhere(lab), until=equal_to(running(lab)), within=within)
