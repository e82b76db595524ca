"""Servers die one after another, and autopilot takes the dead ones out of the cluster, or not."""

import time
from collections.abc import Callable

import pytest

from lab.faults import Faults, Kill
from lab.hosts import Lab, Node
from lab.proof import Proof
from lab.start import await_death, leaders, seconds_until, start
from lab.stored import Stored
from lab.waiting import hold, wait_for


def one_by_one(lab: Lab) -> tuple[Node, Node, Node]:
    """Return the server that dies first, a follower, the second, the leader, and the one that is left."""
    second = lab.leader()
    first, last = (server for server in lab.servers if server is not second)
    return first, second, last


def without_leader(servers: list[Node], during: float) -> None:
    """See to it that these servers miss their leader and then know none for so many seconds. Raises Unmet."""
    within = servers[0].limits.election
    wait_for(lambda: leaders(servers), until=lambda them: them == {""}, within=within, what="a leader missed")
    hold(
        lambda: leaders(servers),
        until=lambda them: them == {""},
        during=during,
        what=f"no leader of {' and '.join(server.name for server in servers)}",
    )


def listed(asked: Node, server: Node) -> bool:
    """Return whether a server is in raft's configuration, as another one says."""
    return server.name in {peer.node for peer in asked.agent.peers()}


@pytest.mark.full
@pytest.mark.usefixtures("settled")
def test_a_pruned_server_cannot_end_the_next_outage(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored
) -> None:
    """M4, M5: A dead server of three is soon pruned; the loss of the leader then is an outage it cannot end.

    Two voters are left, and each is needed. The pruned one, when it comes back, is nobody's peer: the last
    one neither asks for its vote nor gives it one. Only the leader that was lost ends the outage.
    """
    limits = lab.topology.deadlines
    first, second, last = one_by_one(lab)

    with faults.under(Kill(first)):
        died = time.monotonic()
        took = seconds_until(lambda: not listed(second, first), died, limits.recovery, "the dead one pruned")
        proof.within("the dead server is pruned", took, limits.prune, "N5, N7, N8")
        with faults.under(Kill(second)):
            start(first)
            without_leader([first, last], limits.outage)
            begun = start(second)
            took = seconds_until(lambda: lab.leader([second]), begun, limits.recovery, "a leader")
            proof.within("a leader, from the start of the other voter", took, limits.election, "N2")
    stored.arrive_on(first)


@pytest.mark.full
@pytest.mark.usefixtures("settled")
def test_min_quorum_keeps_the_dead_server_a_peer(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored, autopilot: Callable[..., None]
) -> None:
    """M4: With a min_quorum of three the dead server is not pruned: its return ends the next outage.

    It stays a peer for as long as autopilot's rounds take. The loss of the leader is an outage all the same.
    """
    limits = lab.topology.deadlines
    first, second, last = one_by_one(lab)
    autopilot(min_quorum=len(lab.servers))

    with faults.under(Kill(first)):
        await_death([first], [second, last])
        rounds = limits.prune - limits.members
        hold(lambda: listed(second, first), during=rounds, what="the dead server stays a peer")
        with faults.under(Kill(second)):
            without_leader([last], limits.outage)
            begun = start(first)
            took = seconds_until(lambda: lab.leader([last]), begun, limits.recovery, "a leader")
            proof.within("a leader, from the first one's return", took, limits.election, "N2")
    stored.arrive_on(first)
