"""Servers are added and replaced while the cluster works."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.checks import linearizable, lost_writes, one_leader_per_term
from lab.consul import Peer
from lab.faults import Faults
from lab.history import History
from lab.hosts import Lab
from lab.kv import KvLoad
from lab.proof import Proof
from lab.spare import Spare
from lab.start import await_departure, seconds_until
from lab.trial import hold_availability
from lab.unit import Unit
from lab.waiting import wait_for


def peers(lab: Lab) -> dict[str, Peer]:
    """Return raft's configuration by node, asked of an agent that is no server: each of those may be away."""
    return {peer.node: peer for peer in lab.lb.agent.peers()}


def await_vote(lab: Lab, name: str) -> float:
    """Wait until a server votes that did not, and return for how many seconds it was seen to follow so."""
    limits = lab.topology.deadlines
    wait_for(lambda: name in peers(lab), within=limits.fault, what=f"{name} in raft's configuration")
    seen = time.monotonic()
    assert not peers(lab)[name].voter, f"{name} votes at once"
    return seconds_until(lambda: peers(lab)[name].voter, seen, limits.recovery, f"the vote of {name}")


@contextmanager
def added(lab: Lab, proof: Proof) -> Iterator[None]:
    """A fourth server with its vote and every entry while the body goes on. Raises AssertionError or Unmet.

    The vote's time is what the leader logged, between adding it without one and with one.
    """
    limits, leader = lab.topology.deadlines, Unit(lab.leader())
    since = leader.now()

    with Spare(lab) as spare:
        await_vote(lab, spare.name)
        took = leader.logged(since, "command=AddVoter") - leader.logged(since, "command=AddNonvoter")
        assert took > limits.stabilisation, f"a vote after {took} s"
        proof.within("a vote, after it was added", took, limits.promotion, "N7")
        last, now = lab.leader().agent.last_entry(), time.monotonic()
        took = seconds_until(
            lambda: spare.agent.last_entry() >= last, now, limits.election, "the leader's last entry"
        )
        proof.note("the leader's last entry is with it", took, "s")
        yield


@pytest.mark.deepest(of="a fourth server")
@pytest.mark.usefixtures("settled")
def test_a_new_server_votes_when_it_was_stable(lab: Lab, faults: Faults, proof: Proof) -> None:
    """M1: A fourth server only follows until it was stable for ten seconds, then votes and lacks no entry."""
    with added(lab, proof):
        pass
    faults.await_recovery("a fourth server")


@pytest.mark.full
@pytest.mark.deepest(of="a fourth server")
@pytest.mark.usefixtures("settled")
def test_a_server_is_replaced_under_load(lab: Lab, faults: Faults, history: History, proof: Proof) -> None:
    """M1, M2: A new server is added as in M1, then the leader leaves for good: no acknowledged write is lost.

    Afterwards it comes back and the new one leaves, all under the same load.
    """
    limits = lab.topology.deadlines
    old = lab.leader()

    with KvLoad(lab, history, [lab.lb, lab.docker]):
        with added(lab, proof):
            try:
                Unit(old).leave()
                wait_for(lambda: old.name not in peers(lab), within=limits.fault, what=f"{old.name} gone")
                assert [peer.voter for peer in peers(lab).values()] == [True] * len(lab.servers)
                # Who comes back while an agent still has it as leaving is never alive for that agent again.
                await_departure([old], [node for node in lab.agents if node is not old])
            finally:
                Unit(old).start()
            proof.note("a vote, after it came back", await_vote(lab, old.name), "s")
        faults.await_recovery("the replacement of a server")
    hold_availability(proof, history, limits.election, "N2")
    for check in (lost_writes, linearizable, one_leader_per_term):
        proof.judge(check(history))
