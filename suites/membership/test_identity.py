"""A server's name, address and node-id: what it may change, and what it may not share."""

import pytest

from lab.consul import Status
from lab.faults import Faults, Wipe
from lab.hosts import Lab, Node
from lab.marks import Marks
from lab.proof import Proof
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


def votes(lab: Lab, server: Node) -> bool:
    """Return whether raft's configuration gives a vote to a server under the node-id that it has now."""
    ids = {it["ID"] for it in lab.lb.agent.api.operator.raft_config()["Servers"] if it["Voter"]}
    return Unit(server).read("node-id") in ids
