"""A server's name, address and node-id: what it may change, and what it may not share."""

import re
import time
from collections.abc import Callable

import pytest

from lab.faults import Faults, Kill, Wipe
from lab.fleet import Fleet
from lab.gossip import exchange
from lab.hosts import Lab, Node
from lab.invariants import clones, violations
from lab.proof import Proof
from lab.spare import Spare
from lab.start import await_missed, seconds_until, start
from lab.stored import Stored
from lab.unit import Unit
from lab.waiting import wait_for

RESERVED = "is reserved by node"  # what Consul says to a node whose name it holds for another's


@pytest.fixture
def wiped(lab: Lab) -> Node:
    """A follower: the server that a test wipes."""
    return next(server for server in lab.servers if server is not lab.leader())


@pytest.fixture
def returned(lab: Lab, proof: Proof, stored: Stored, wiped: Node) -> Callable[[], None]:
    """Starts the wiped server, and proves that it votes under a node-id of its own and has all data."""
    limits, lost = lab.topology.deadlines, Unit(wiped).read("node-id")

    def prove() -> None:
        begun = start(wiped)
        took = seconds_until(lambda: votes(lab, wiped), begun, limits.recovery, "its vote")
        proof.within("it votes, from its start", took, limits.promotion + limits.election, "N2, N7")
        assert Unit(wiped).read("node-id") != lost
        stored.arrive_on(wiped)

    return prove


@pytest.mark.full
@pytest.mark.destructive
def test_a_wiped_server_is_taken_back(
    lab: Lab, faults: Faults, wiped: Node, returned: Callable[[], None]
) -> None:
    """M6: A server that lost its disk and was missed is back under its name and address, and votes.

    No server calls its name reserved for the one that it was.
    """
    since = {server: Unit(server).now() for server in lab.servers}

    with faults.under(Wipe(wiped)):
        await_missed(lab, [wiped])
        returned()
        await_entry(lab, wiped)
    own = Unit(wiped).read("node-id").strip()
    said = [line for server in lab.servers for line in Unit(server).journal(since[server]).splitlines()]
    assert [line for line in said if RESERVED in line and own in line] == []


@pytest.mark.full
@pytest.mark.destructive
def test_a_wiped_server_that_nobody_missed_is_refused_by_the_catalog(
    lab: Lab, faults: Faults, wiped: Node, returned: Callable[[], None]
) -> None:
    """M6: A server that is back with an empty disk before it was missed votes, but is not in the catalog.

    That has its name for the node-id that it lost, and a server's log says so, until it was missed once.
    """
    lost = Unit(wiped).read("node-id").strip()
    since = {server: Unit(server).now() for server in lab.servers}

    with faults.under(Wipe(wiped)):
        returned()
        wait_for(
            lambda: [it for it in lab.servers if RESERVED in Unit(it).journal(since[it])],
            within=lab.topology.deadlines.resync,
            what="a server that says why",
        )
        assert entry(lab, wiped) == lost
    with faults.under(Kill(wiped)):
        await_missed(lab, [wiped])
        start(wiped)
        await_entry(lab, wiped)


def await_entry(lab: Lab, server: Node) -> None:
    """Wait until the catalog has a server under the node-id that it has now."""
    wait_for(
        lambda: entry(lab, server),
        until=lambda number: number == Unit(server).read("node-id").strip(),
        within=lab.topology.deadlines.resync,
        what=f"{server.name}'s own node-id in the catalog",
    )


def entry(lab: Lab, server: Node) -> str:
    """Return the node-id that the catalog has for a server's name. Raises LookupError without one."""
    return lab.lb.agent.catalog_ids()[server.name]


@pytest.mark.deepest
@pytest.mark.parametrize(
    "restarted",
    [pytest.param(True, marks=pytest.mark.full), pytest.param(False, marks=pytest.mark.soak)],
    ids=["restarted", "by itself"],
)
def test_a_copied_node_id_is_named(lab: Lab, fleet: Fleet, proof: Proof, restarted: bool) -> None:
    """M7: An agent with the node-id of another half-joins; the check of a healthy lab names both.

    The catalog holds a node-id once, so that the one that is registered last takes the other's place
    (hashicorp/consul#13037). When the copy is gone the other is back, with its services: by itself with the
    next full comparison of its agent with the catalog, in a minute or two as in R6, or as soon as that agent
    is started again.
    """
    fleet.serve()
    original, limits = lab.docker, lab.topology.deadlines
    number = Unit(original).read("node-id").strip()

    with Spare(lab, server=False, node_id=number) as copy:
        (named,) = wait_for(lambda: clones(lab), within=limits.members, what="the copy found")
        assert {original.name, copy.name, number} <= set(re.split("[ :]", named))
        assert named in violations(lab)
    begun, again = time.monotonic(), limits.anti_entropy
    if restarted:
        Unit(original).stop()
        begun, again = start(original), limits.members
        exchange(lab)  # or some hear of it with gossip's next round alone, which is not what is tested
    allowed = again + limits.discovery + limits.loadbalancer
    took = seconds_until(lambda: not violations(lab), begun, allowed, "all as it was")
    proof.within("all as it was, without the copy", took, allowed, "N5, N14" if restarted else "N9, N14")


def test_no_two_hosts_have_one_node_id(lab: Lab) -> None:
    """M7: Each agent made its node-id itself: the hosts' image has none that all would share."""
    numbers = [Unit(node).read("node-id") for node in lab.agents]

    assert len(set(numbers)) == len(lab.agents)
    assert clones(lab) == []


def votes(lab: Lab, server: Node) -> bool:
    """Return whether raft's configuration gives a vote to a server under the node-id that it has now."""
    ids = {it["ID"] for it in lab.lb.agent.api.operator.raft_config()["Servers"] if it["Voter"]}
    return Unit(server).read("node-id") in ids
