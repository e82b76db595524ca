"""A server's name, address and node-id: what it may change, and what it may not share."""

import re
import time

import pytest

from lab.consul import Status
from lab.faults import Faults, Wipe
from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import clones, violations
from lab.marks import Marks
from lab.proof import Proof
from lab.spare import Spare
from lab.start import seconds_until, start
from lab.unit import Unit
from lab.waiting import wait_for

RESERVED = "is reserved by node"  # what Consul says to a node whose name it holds for another's


@pytest.mark.full
@pytest.mark.destructive
@pytest.mark.parametrize("late", [False, True], ids=["at_once", "after_it_was_missed"])
def test_a_wiped_server_is_taken_back(
    lab: Lab, faults: Faults, proof: Proof, marks: Marks, late: bool
) -> None:
    """M6: A server that lost its disk comes back under its name and address, and votes with all data."""
    limits = lab.topology.deadlines
    victim = next(server for server in lab.servers if server is not lab.leader())
    lost = Unit(victim).read("node-id")
    since = {server: Unit(server).now() for server in lab.servers}

    with faults.under(Wipe(victim)):
        if late:
            wait_for(lambda: missed(lab, victim), within=limits.members, what=f"{victim.name} missed")
        begun = start(victim)
        took = seconds_until(lambda: votes(lab, victim), begun, limits.recovery, "its vote")
        proof.within("it votes, from its start", took, limits.promotion + limits.election, "N2, N7")
    own = Unit(victim).read("node-id")
    assert own != lost
    assert marks.found(victim.agent, "stale") == marks.wanted
    said = [line for server in lab.servers for line in Unit(server).journal(since[server]).splitlines()]
    assert [line for line in said if RESERVED in line and own in line] == []


def missed(lab: Lab, victim: Node) -> bool:
    """Return whether every other agent knows that a server failed."""
    return all(
        node.agent.members()[victim.name] is Status.FAILED for node in lab.agents if node is not victim
    )


@pytest.mark.full
def test_a_copied_node_id_is_named(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """M7: An agent with the node-id of another half-joins; the check of a healthy lab names both.

    The catalog holds a node-id once, so that the one that is registered last takes the other's place
    (hashicorp/consul#13037). Without the copy the other is back, with its services.
    """
    fleet.serve()
    original, limits = lab.docker, lab.topology.deadlines
    number = Unit(original).read("node-id").strip()

    with Spare(lab, server=False, node_id=number) as copy:
        (named,) = wait_for(lambda: clones(lab), within=limits.members, what="the copy found")
        assert {original.name, copy.name, number} <= set(re.split("[ :]", named))
        assert named in violations(lab)
    begun = time.monotonic()
    took = seconds_until(lambda: not violations(lab), begun, limits.anti_entropy, "all as it was")
    proof.within("all as it was, without the copy", took, limits.anti_entropy, "N9")


def test_no_two_hosts_have_one_node_id(lab: Lab) -> None:
    """M7: Each agent made its node-id itself: the hosts' image has none that all would share."""
    numbers = [Unit(node).read("node-id") for node in lab.agents]

    assert len(set(numbers)) == len(lab.agents)
    assert clones(lab) == []


def votes(lab: Lab, server: Node) -> bool:
    """Return whether raft's configuration gives a vote to a server under the node-id that it has now."""
    ids = {it["ID"] for it in lab.lb.agent.api.operator.raft_config()["Servers"] if it["Voter"]}
    return Unit(server).read("node-id") in ids
