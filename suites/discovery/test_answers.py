"""What Consul answers when it has no leader or no server, of services that are ill, and to those who wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from itertools import pairwise

import dns.rcode
import pytest
import requests

from lab.consul import instances_of
from lab.containers import LABEL
from lab.faults import Faults, Terminate
from lab.faults.heal import ONLY_PASSING
from lab.fleet import Fleet
from lab.gossip import exchange
from lab.history import History
from lab.hosts import Lab, Node
from lab.kv import KvLoad
from lab.proof import Proof
from lab.start import await_death, start_all
from lab.unit import Unit
from lab.waiting import lapse, wait_for

from .conftest import by_udp, listed

CHANGES = 10
WAIT = 4.0  # seconds of a blocking query that nothing answers
JITTER = 1 / 16  # Consul adds up to this share of the wait
KNOWN_LEADER, LAST_CONTACT, INDEX = "X-Consul-KnownLeader", "X-Consul-LastContact", "X-Consul-Index"
NO_LEADER = "No cluster leader"
CONDITIONS = ("passing", "warning", "critical")
ILL = "t-ill"


def rcode(node: Node, port: int, service: str) -> str:
    """Return what a host's agent answers to a query by UDP, as DNS words it: NOERROR, SERVFAIL ..."""
    return dns.rcode.to_text(by_udp(node, port, service, 1)[0].rcode())


def test_a_server_that_lost_the_others_still_answers(
    lab: Lab, fleet: Fleet, faults: Faults, proof: Proof
) -> None:
    """D4: Without a leader the server that is left, and clients through it, answer DNS and `?stale`.

    A client agent that used one of those that stopped fails a request or two before it asks the one left.
    """
    fleet.serve(2)
    echo = lab.topology.services.echo
    expected = listed(lab.lb, echo, "consistent")
    left = lab.servers[0]
    with faults.under(Terminate(*lab.servers[1:])):
        wait_for(lambda: not left.agent.leader(), within=lab.topology.deadlines.election, what="no leader")
        for node in (left, lab.lb, lab.docker):
            begun = time.monotonic()
            limit = lab.topology.deadlines.answer
            wait_for(
                lambda: (node.agent.resolve(echo), listed(node, echo, "stale")),  # noqa: B023 - asked at once
                until=lambda answers: answers == (expected, expected),
                within=limit,
                what=f"{node.name}'s answers",
            )
            proof.within(f"{node.name}: answers by DNS and HTTP", time.monotonic() - begun, limit, "N11")
        answer = left.agent.get(f"health/service/{echo}", stale="")
        assert answer.headers[KNOWN_LEADER] == "false"


@pytest.mark.full
def test_without_any_server_there_is_an_error_in_time(
    lab: Lab, fleet: Fleet, faults: Faults, proof: Proof
) -> None:
    """D4: With all servers stopped clients say so, by DNS and HTTP; so does one that is started alone.

    N11's "answers without a leader" holds of a server that has had one since it started, as the test above
    shows: Consul reads its own data only then. Another one holds each request for a time, and then fails it.
    """
    fleet.serve(2)
    with faults.under(Terminate(*lab.servers)):
        refuse(lab, [lab.lb, lab.docker], proof, "failed to get conn")
        alone = lab.servers[0]
        Unit(alone).start()
        wait_for(lambda: alone.agent.leader() == "", within=lab.topology.deadlines.fault, what="it answers")
        refuse(lab, [alone], proof, NO_LEADER)
        # A client agent whose servers it still believes alive may ask one of these, which refuses at once.
        await_death(lab.servers[1:], [lab.lb])
        refuse(lab, [lab.lb], proof, NO_LEADER)
        start_all(lab.servers[1:])
        exchange(lab)  # how all come back by themselves is B4's


def refuse(lab: Lab, nodes: list[Node], proof: Proof, why: str) -> None:
    """Hold agents to it that DNS and `?stale` both fail, with words, before whoever asks gives up."""
    echo, port = lab.topology.services.echo, lab.topology.ports.consul_dns
    begun = time.monotonic()
    with ThreadPoolExecutor(2 * len(nodes)) as pool:
        by_dns = [pool.submit(rcode, node, port, echo) for node in nodes]
        by_http = [pool.submit(node.agent.get, f"health/service/{echo}", stale="") for node in nodes]
    took, limit = time.monotonic() - begun, lab.topology.deadlines.leaderless
    for node, answer in zip(nodes, by_dns, strict=True):
        assert answer.result() == "SERVFAIL", node.name
    for node, refusal in zip(nodes, by_http, strict=True):
        assert refusal.result().status_code == HTTPStatus.INTERNAL_SERVER_ERROR, node.name
        assert why in refusal.result().text, node.name
    who = " and ".join(node.name for node in nodes)
    proof.within(f"{who}: fail: {why}", took, limit, "N4, twice")


@contextmanager
def ill(lab: Lab) -> Iterator[dict[str, int]]:
    """Register a service with one instance in each condition; the body is given the port of each."""
    services = lab.docker.agent.api.agent.service
    ports = {condition: number for number, condition in enumerate(CONDITIONS, start=1)}
    try:
        for condition, port in ports.items():
            check = {"ttl": "600s", "status": condition}
            words = {"address": lab.docker.address, "port": port, "check": check, "tags": [LABEL]}
            services.register(ILL, service_id=f"{ILL}-{condition}", **words)
        yield ports
    finally:
        for condition in ports:
            services.deregister(f"{ILL}-{condition}")


@contextmanager
def only_passing(lab: Lab, node: Node) -> Iterator[None]:
    """Let a client's agent leave out of its DNS answers whatever does not pass; restarts it, twice."""
    setting = '{"dns_config": {"only_passing": true}}'
    try:
        node.run("sudo", "sh", "-c", f"echo '{setting}' > {ONLY_PASSING}")
        node.script("consul", "restart", "client")
        yield
    finally:
        node.run("sudo", "rm", "-f", ONLY_PASSING)
        node.script("consul", "restart", "client")


def in_dns(node: Node, wanted: set[int], within: float) -> float:
    """Wait until DNS gives exactly these ports of the ill service, and return for how many seconds."""
    begun = time.monotonic()
    wait_for(
        lambda: {port for _, port in node.agent.resolve(ILL)},
        until=lambda ports: ports == wanted,
        within=within,
        what=f"ports {wanted} in {node.name}'s DNS",
    )
    return time.monotonic() - begun


@pytest.mark.full
def test_a_warning_is_still_in_dns(lab: Lab, proof: Proof) -> None:
    """D5: An instance in warning is in DNS, one that is critical is not; with only_passing neither is."""
    within = lab.topology.deadlines.discovery
    with ill(lab) as ports:
        both = {ports["passing"], ports["warning"]}
        proof.within("in DNS", in_dns(lab.lb, both, within), within, "choice")
        assert {port for _, port in listed(lab.lb, ILL, "default")} == {ports["passing"]}
        with only_passing(lab, lab.lb):
            proof.within("only the passing one", in_dns(lab.lb, {ports["passing"]}, within), within, "choice")
            in_dns(lab.docker, both, within)


@pytest.fixture
def permanent(lab: Lab) -> Iterator[str]:
    """A service with an instance that stays: a query about one without any returns at every other's change.

    (hashicorp/consul#4810)
    """
    services = lab.docker.agent.api.agent.service
    services.register(ILL, service_id=f"{ILL}-stays", port=2, tags=[LABEL])
    try:
        wait_for(
            lambda: all(node.agent.instances(ILL, passing=False) for node in lab.agents),
            within=lab.topology.deadlines.register,
            what=f"{ILL} known to all agents",
        )
        yield ILL
    finally:
        services.deregister(f"{ILL}-stays")


def blocked(node: Node, service: str, index: str, wait: float) -> tuple[float, requests.Response]:
    """Return when a blocking query came back, on the monotonic clock, and its answer."""
    answer = node.agent.get(f"health/service/{service}", index=index, wait=f"{wait:g}s")
    return time.monotonic(), answer


@pytest.mark.parametrize("role", ["lb", "server"])
def test_whoever_waits_learns_of_a_change_at_once(lab: Lab, proof: Proof, permanent: str, role: str) -> None:
    """D6: A blocking query that is held while a service is registered or removed returns within a second."""
    asked, services = lab.with_role(role)[0], lab.docker.agent.api.agent.service
    late = []
    try:
        for number in range(CHANGES):
            index = asked.agent.get(f"health/service/{permanent}").headers[INDEX]
            with ThreadPoolExecutor(1) as pool:
                query = pool.submit(blocked, asked, permanent, index, lab.topology.deadlines.command / 2)
                lapse(0.2, "the query is held")
                assert not query.done()
                begun = time.monotonic()
                services.deregister("t-one") if number % 2 else services.register(
                    ILL, "t-one", port=1, tags=[LABEL]
                )
                returned, answer = query.result()
            late.append(returned - begun)
            assert len(answer.json()) == 2 - number % 2
    finally:
        services.deregister("t-one")

    proof.note("changes", len(late))
    proof.within("latest return after a change", max(late), lab.topology.deadlines.answer, "choice")


@pytest.mark.parametrize("role", ["lb", "server"])
def test_whoever_waits_in_vain_is_let_go(lab: Lab, proof: Proof, permanent: str, role: str) -> None:
    """D6: A blocking query about what does not change returns after its wait and a sixteenth, as it was."""
    asked = lab.with_role(role)[0]
    before = asked.agent.get(f"health/service/{permanent}").headers[INDEX]
    begun = time.monotonic()
    returned, answer = blocked(asked, permanent, before, WAIT)

    most = WAIT * (1 + JITTER) + lab.topology.deadlines.answer
    proof.within("returned by itself", returned - begun, most, "wait + wait/16, answer")
    assert returned - begun >= WAIT
    assert before == answer.headers[INDEX]


def test_consistent_reads_agree_under_load(lab: Lab, fleet: Fleet, history: History, proof: Proof) -> None:
    """D7: Under load, every `consistent` read on any server is as the leader's at the same index, and as new.

    It names a leader that it has heard of just now, and no read is older than the one before it, whichever
    server that one was asked of.
    """
    known: dict[int, frozenset[str]] = {}
    indexes = []
    with KvLoad(lab, history, [lab.lb, lab.docker]), ThreadPoolExecutor(1) as pool:
        change = pool.submit(fleet.serve, 3)
        while not change.done():
            for server in lab.servers:
                index, ids = consistent(lab, server)
                assert ids == known.setdefault(index, ids), (server.name, index)
                indexes.append(index)
        change.result()
        final = {consistent(lab, server) for server in lab.servers}

    proof.note("reads", len(indexes))
    proof.note("states seen", len(known))
    proof.within("reads older than one before", backwards(indexes), 0, "api consistency", "")
    assert len(final) == 1
    assert len(known) > 1


def consistent(lab: Lab, server: Node) -> tuple[int, frozenset[str]]:
    """Return index and IDs of a `consistent` read, which must come from a leader that is heard of now."""
    answer = server.agent.get(f"health/service/{lab.topology.services.echo}", passing="", consistent="")
    assert (answer.headers[KNOWN_LEADER], answer.headers[LAST_CONTACT]) == ("true", "0")
    return int(answer.headers[INDEX]), frozenset(it.id for it in instances_of(answer.json()))


def backwards(indexes: list[int]) -> int:
    """Return how many of the indexes are lower than the one before."""
    return sum(later < earlier for earlier, later in pairwise(indexes))
