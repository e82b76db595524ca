"""What runs is found, and what is gone is not: on every agent, by HTTP and by DNS."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial

import dns.flags
import pytest

from lab.consul import Instance, Place, places
from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import running
from lab.proof import Proof
from lab.waiting import Unmet, wait_for

from .conftest import Watch, by_udp, listed

QUERIES = 100
MOST_BY_UDP = 3

Lists = dict[str, list[set[Place]]]


def everywhere(lab: Lab) -> Lists:
    """Return what each agent lists: healthy instances by HTTP, all that its catalog has, and SRV records."""
    echo = lab.topology.services.echo
    return {
        node.name: [
            {instance.place for instance in node.agent.instances(echo)},
            {instance.place for instance in node.agent.catalog(echo)},
            node.agent.resolve(echo),
        ]
        for node in lab.agents
    }


def equal_to(expected: set[Instance]) -> Callable[[Lists], bool]:
    """Return the question whether every agent lists exactly `expected`."""
    wanted = {instance.place for instance in expected}
    return lambda answers: all(listed == wanted for lists in answers.values() for listed in lists)


@pytest.mark.quick
def test_launched_services_are_found_everywhere(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """D1: Every agent lists by HTTP and by DNS exactly what Docker runs, at the published ports, in time."""
    fleet.launch(4)
    begun, within = time.monotonic(), lab.topology.deadlines.discovery

    wait_for(lambda: everywhere(lab), until=equal_to(running(lab)), within=within, what="every agent's list")

    proof.within("in every agent's answers", time.monotonic() - begun, within, "choice")
    echo = lab.topology.services.echo
    for node in lab.agents:
        assert node.agent.addresses(echo) == {lab.docker.address}, node.name


def test_plain_udp_tells_three_at_a_time(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """D2: A query by plain UDP is answered with three instances at most, others each time, in the end all.

    The answers are not marked as truncated, as the setting `enable_truncate` is Consul's default: off.
    """
    fleet.serve(5)
    wanted, echo = {instance.place for instance in running(lab)}, lab.topology.services.echo

    for node in lab.agents:
        answers = by_udp(node, lab.topology.ports.consul_dns, echo, QUERIES)
        most = max(len(places(answer)) for answer in answers)
        proof.within(f"{node.name}: most in one answer", most, MOST_BY_UDP, "N11", "")
        assert wanted == set.union(*(places(answer) for answer in answers)), node.name
        assert not any(answer.flags & dns.flags.TC for answer in answers), node.name
    proof.note("instances", len(wanted))


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


def in_dns(node: Node, service: str, place: Place) -> bool:
    """Return whether an agent's DNS answer has a place."""
    return place in node.agent.resolve(service)


def in_http(node: Node, service: str, place: Place) -> bool:
    """Return whether an agent's `?stale` HTTP answer has a place."""
    return place in listed(node, service, "stale")


def watches(lab: Lab, place: Place) -> dict[str, Watch]:
    """Return watches over a place in the DNS and the `?stale` HTTP answers of a client and of a server."""
    echo = lab.topology.services.echo
    found = {}
    for node in (lab.lb, lab.servers[0]):
        found[f"{node.name} DNS"] = Watch(partial(in_dns, node, echo, place))
        found[f"{node.name} HTTP"] = Watch(partial(in_http, node, echo, place))
    return found


@pytest.mark.parametrize("how", ["remove", "kill"])
def test_a_service_that_ends_is_gone_everywhere(lab: Lab, fleet: Fleet, proof: Proof, how: str) -> None:
    """D3: Removed by the operator or crashed, an instance is in nobody's answer any more, by HTTP or DNS.

    A client's and a server's agent are asked every 50 ms by both; DNS, whose answers must not be kept, is not
    later than HTTP by more than a second.
    """
    first, _second = fleet.serve(2)
    place = next(it.place for it in running(lab) if f":{first}:" in it.id)
    limits, watching = lab.topology.deadlines, watches(lab, place)
    for node in (lab.lb, lab.servers[0]):
        (answer,) = by_udp(node, lab.topology.ports.consul_dns, lab.topology.services.echo, 1)
        kept = max(records.ttl for records in answer.answer + answer.additional)
        proof.within(f"{node.name}: an answer may be kept", kept, 0, "N11")
    with contextlib.ExitStack() as stack:
        for watch in watching.values():
            stack.enter_context(watch)
        wait_for(lambda: all(watch.yes for watch in watching.values()), within=limits.answer, what="watched")
        begun = time.monotonic()
        (fleet.remove if how == "remove" else fleet.kill)(first)
        wait_for(
            lambda: not any(watch.yes for watch in watching.values()), within=limits.removal, what="gone"
        )

    gone = {name: watch.end() - begun for name, watch in watching.items()}
    for name, seconds in gone.items():
        proof.within(f"out of {name}", seconds, limits.removal, "choice, N10")
    for node in (lab.lb, lab.servers[0]):
        lag = gone[f"{node.name} DNS"] - gone[f"{node.name} HTTP"]
        proof.within(f"{node.name}: DNS after HTTP", lag, limits.answer, "N11, N12")
    wait_for(lambda: everywhere(lab), until=equal_to(running(lab)), within=limits.removal, what="every list")


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
