"""Whatever becomes of the leader, another one follows within the bound, and no acknowledged write is lost."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from lab.checks import one_leader_per_term
from lab.errors import NotRunError
from lab.faults import Fault, Faults, FullDisk, Kill, Leave, NoOp, Pause, PowerCut, Terminate
from lab.history import LEADER, OK, SECOND, WRITE
from lab.hosts import Lab, Node
from lab.kv import KvLoad
from lab.machines import Machines
from lab.proof import Proof
from lab.start import await_missed
from lab.trial import (
    await_answer,
    await_writes,
    hold_leaderless,
    hold_outages,
    judge,
    last_claim,
    outages,
    silence,
    succession,
    successor,
    took_office,
)
from lab.waiting import lapse, wait_for

FROZEN = 30.0
TRANSFERS = 10


@pytest.mark.deepest
@pytest.mark.parametrize(
    "kills", [pytest.param(1, marks=pytest.mark.quick), pytest.param(9, marks=pytest.mark.full)]
)
def test_a_killed_leader_is_followed_by_another(lab: Lab, faults: Faults, proof: Proof, kills: int) -> None:
    """F1, P10: A leader killed at any moment is replaced within the bound, and no client is told "no leader".

    Nine kills are what it takes to see the worst case (roachtest). With raft_multiplier 1 an election is over
    before `rpc_hold_timeout`, for which requests are held (N4).
    """
    with KvLoad(lab, faults.history, [lab.lb, lab.docker]):
        for _ in range(kills):
            lapse(random.random(), "a random phase")
            old = lab.leader()
            with faults.under(Kill(old)):
                succession(lab, faults.history, old, proof)

    hold_outages(proof, faults.history, lab.topology.deadlines.election, "N2")
    hold_leaderless(lab, proof, faults.history)
    judge(proof, faults.history)


@pytest.mark.full
def test_a_frozen_leader_is_replaced_and_steps_down(lab: Lab, faults: Faults, proof: Proof) -> None:
    """F2, P10: A leader that stands still for 30 s is replaced, and leads no more as soon as it goes on."""
    old = lab.leader()
    with silence(lab, faults, old, proof):
        with faults.under(Pause(old)):
            succession(lab, faults.history, old, proof)
            lapse(FROZEN, "the leader to stay frozen")
        fault, limits = faults.history.faults()[0], lab.topology.deadlines
        assert fault.struck
        assert fault.healing
        await_answer(faults.history, LEADER, old, fault.healing)

    late = last_claim(faults.history, old.name, fault) - (fault.healing - fault.struck) / SECOND
    proof.within("still called itself leader", max(0.0, late), limits.lease + limits.answer, "N3")
    judge(proof, faults.history)


def test_a_stopped_leader_hands_over(lab: Lab, faults: Faults, proof: Proof) -> None:
    """F3: A leader ended by SIGTERM is replaced within the bound and keeps its vote.

    The bound begins with the signal, and not with the end of the process, for which systemd waits.
    """
    old, limits = lab.leader(), lab.topology.deadlines
    with KvLoad(lab, faults.history, [lab.lb, lab.docker]), faults.under(Terminate(old)):
        leader = successor(lab, old, limits.election)
        voters = [peer.node for peer in leader.agent.peers() if peer.voter]

    fault = faults.history.faults()[0]
    assert fault.struck
    ended = (fault.struck - fault.injected) / SECOND
    proof.within("the process ended", ended, limits.stop + limits.answer, "the topology's stop")
    proof.within("another leader", took_office(faults.history, fault), limits.election, "N2")
    assert old.name in voters
    hold_outages(proof, faults.history, lab.topology.deadlines.election, "N2")
    hold_leaderless(lab, proof, faults.history)
    judge(proof, faults.history)


@pytest.mark.full
def test_a_leader_that_leaves_takes_its_vote_along(lab: Lab, faults: Faults, proof: Proof) -> None:
    """F3: A leader that leaves costs clients no more than an election, and two voters remain.

    It leads on while it drains (`leave_drain_time`, 5 s).
    """
    old = lab.leader()
    with KvLoad(lab, faults.history, [lab.lb, lab.docker]), faults.under(Leave(old, lab.agents)):
        leader = successor(lab, old, lab.topology.deadlines.election)
        proof.note("another leader", faults.history.since(faults.history.faults()[0].injected), "s")
        voters = sorted(peer.node for peer in leader.agent.peers() if peer.voter)

    assert voters == sorted(server.name for server in lab.servers if server is not old)
    hold_outages(proof, faults.history, lab.topology.deadlines.election, "N2")
    hold_leaderless(lab, proof, faults.history)
    judge(proof, faults.history)


class Transfer(Fault):
    """The leader gives its office to another server: nothing is broken, and nothing is to be healed."""

    name = "transfer"

    def inject(self) -> None:
        """Ask the leader to go."""
        assert self.nodes[0].agent.api.operator.raft_transfer_leader()

    def seen(self) -> bool:
        """Return whether it leads no more."""
        return self.nodes[0].agent.raft()["state"] != "Leader"

    def heal(self) -> None:
        """Do nothing."""

    def healed(self) -> bool:
        """Return that nothing is left of it."""
        return True


def test_leadership_is_handed_over(lab: Lab, faults: Faults, proof: Proof) -> None:
    """F4: Ten transfers of leadership: each time another server leads, and writes hardly wait."""
    limits = lab.topology.deadlines
    with KvLoad(lab, faults.history, [lab.lb, lab.docker]):
        for _ in range(TRANSFERS):
            old, begun = lab.leader(), time.monotonic()
            with faults.under(Transfer(old)):
                successor(lab, old, limits.transfer)
                proof.within(
                    "another leader", time.monotonic() - begun, limits.transfer, "Consul's own tests"
                )

    hold_outages(proof, faults.history, limits.handover * lab.topology.consul.raft_multiplier, "choice")
    judge(proof, faults.history)


@pytest.mark.full
@pytest.mark.destructive
@pytest.mark.usefixtures("heard")
def test_a_leader_without_power_is_replaced(lab: Lab, faults: Faults, proof: Proof, power: Machines) -> None:
    """F5: The leader's host without power: another server leads, and all agents see the one as failed.

    An agent that waits for news from it, on a connection that nobody ended, learns of it in time.
    """
    old, limits = lab.leader(), lab.topology.deadlines
    with silence(lab, faults, old, proof):
        begun = time.monotonic()
        with faults.under(PowerCut(power, old)):
            succession(lab, faults.history, old, proof)
            await_missed(lab, [old])
            proof.within("seen as failed", time.monotonic() - begun, limits.members, "N5")

    judge(proof, faults.history)


def test_a_killed_follower_costs_nothing(lab: Lab, faults: Faults, proof: Proof) -> None:
    """F6: When a follower is killed the leader stays, and no write through the servers left fails.

    A client agent that used the killed one loses what was under way on it, and goes on with another at once,
    because its connection is reset: it is away no longer than an answer may take.
    """
    leader, clients = lab.leader(), [lab.lb, lab.docker]
    follower, *others = [server for server in lab.servers if server is not leader]
    with KvLoad(lab, faults.history, [leader, *others, *clients]), faults.under(Kill(follower)):
        await_writes(lab, faults.history)
        assert lab.leader([leader]) is leader

    terms = one_leader_per_term(faults.history).numbers["terms"]
    proof.within("terms, with the follower's return", terms, 1, "raft", "")
    writes = [it for it in faults.history.operations() if it.action == WRITE]
    failed = Counter(it.target for it in writes if it.result is not OK)
    proof.note("writes", len(writes))
    left = sum(failed[server.name] for server in [leader, *others])
    proof.within("writes through the servers left that failed", left, 0, "raft", "")
    proof.note("writes through the client agents that failed", failed.total() - left)
    hold_outages(proof, faults.history, lab.topology.deadlines.answer, "choice", [it.name for it in clients])
    judge(proof, faults.history)


@pytest.mark.full
@pytest.mark.destructive
def test_a_leader_with_a_full_disk_is_replaced(lab: Lab, faults: Faults, proof: Proof) -> None:
    """F8: A leader whose disk is full gives way to another in time; no acknowledged write is lost.

    It may well be elected again, as it can still answer the others, and step down again when it is to write
    that: two elections' time is allowed.
    """
    victim = lab.servers[0]
    disk = FullDisk(victim)
    with faults.on(disk):
        make_leader(lab, victim)
        with KvLoad(lab, faults.history, [lab.lb, lab.docker]), faults.under(disk):
            succession(lab, faults.history, victim, proof, elections=2)

    hold_outages(proof, faults.history, 2 * lab.topology.deadlines.election, "N2")
    judge(proof, faults.history)


def make_leader(lab: Lab, server: Node) -> None:
    """Let leadership be given to one server, as soon as the leader replicates to it again.

    That begins, after an absence, seconds later than the heartbeats: its pauses double with each failure.
    """
    within = lab.topology.deadlines.transfer
    if lab.leader() is not server:
        ids = {s["Node"]: s["ID"] for s in server.agent.api.operator.raft_config()["Servers"]}
        wait_for(
            lambda: server.agent.api.operator.raft_transfer_leader(ids[server.name]),
            within=within,
            what=f"leadership given to {server.name}",
        )
    wait_for(lab.leader, until=lambda it: it is server, within=within, what=f"{server.name} as leader")


@pytest.mark.full
def test_a_leader_with_a_stalled_disk_is_replaced(lab: Lab) -> None:
    """F8: A leader whose disk does not answer gives way to another."""
    raise NotRunError(
        "not built: the lab's hosts have no disk of their own that could be stalled; the full one is tried"
    )


@pytest.mark.deepest
@pytest.mark.parametrize("rounds", [pytest.param(3), pytest.param(60, marks=pytest.mark.soak)])
def test_control_without_a_fault_nothing_happens(lab: Lab, faults: Faults, proof: Proof, rounds: int) -> None:
    """K3: Under the fault that does nothing no request fails, no leader changes, nothing waits."""
    with KvLoad(lab, faults.history, [lab.lb, lab.docker]):
        for _ in range(rounds):
            with faults.under(NoOp(*lab.servers)):
                lapse(1, "nothing to happen")

    bad = [it for it in faults.history.operations() if it.result != "ok"]
    proof.within("requests that failed", len(bad), 0, "control", "")
    proof.within("longest write outage", max(outages(faults.history, WRITE)), 1, "control")
    terms = one_leader_per_term(faults.history).numbers["terms"]
    proof.within("terms", terms, 1, "control", "")
    judge(proof, faults.history)
