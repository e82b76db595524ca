"""What the death of a client agent, and of a host that holds a lock, means to everybody else."""

from __future__ import annotations

import time

import pytest

from lab.faults import Faults, Kill, PowerCut
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.invariants import running
from lab.machines import Machines
from lab.proof import Proof
from lab.waiting import wait_for

TTL = 10
LOCK_DELAY = 15
KEY = "consul-demo/lock"


@pytest.mark.full
def test_services_of_a_dead_agent_are_out_and_return(
    lab: Lab, fleet: Fleet, faults: Faults, proof: Proof
) -> None:
    """F7: No agent lists the services of a killed agent; when it is back, so are they."""
    fleet.serve(2)
    echo, limits = lab.topology.services.echo, lab.topology.deadlines
    expected = running(lab)
    others = [node for node in lab.agents if node is not lab.docker]
    begun = time.monotonic()
    with faults.under(Kill(lab.docker)):
        wait_for(
            lambda: [node.agent.instances(echo) for node in others],
            until=lambda lists: not any(lists),
            within=limits.members,
            what="no healthy instance anywhere",
        )
        proof.within("services out", time.monotonic() - begun, limits.members, "N5")
        begun = time.monotonic()
    wait_for(
        lambda: [node.agent.instances(echo) for node in lab.agents],
        until=lambda lists: all(listed == expected for listed in lists),
        within=limits.resync,
        what="all instances everywhere",
    )
    proof.within("services back", time.monotonic() - begun, limits.resync, "N5, N9")


@pytest.mark.full
@pytest.mark.destructive
def test_the_lock_of_a_dead_host_is_free_in_time(
    lab: Lab, faults: Faults, proof: Proof, power: Machines
) -> None:
    """F9: The lock of a dead host is free after TTL and lock-delay, not before; never do two hold it."""
    holder, rival = lab.docker.agent.api, lab.lb.agent.api
    words = {"ttl": TTL, "lock_delay": LOCK_DELAY, "behavior": "release"}
    mine = holder.session.create(name="holder", checks=[], **words)
    other = rival.session.create(name="rival", checks=[], **words)
    try:
        assert holder.kv.put(KEY, "holder", acquire=mine)
        assert not rival.kv.put(KEY, "rival", acquire=other)
        holder.session.renew(mine)
        begun = time.monotonic()
        with faults.under(PowerCut(power, lab.docker)):
            bound = 2 * TTL + LOCK_DELAY + 3 * lab.topology.deadlines.answer
            wait_for(
                lambda: rival.session.renew(other) and rival.kv.put(KEY, "rival", acquire=other),
                within=bound,
                what="the lock",
            )
            taken = time.monotonic() - begun
            _, entry = rival.kv.get(KEY, consistency="consistent")
        proof.within("the lock is free", taken, bound, "choice")
        proof.note("earliest that is promised", TTL + LOCK_DELAY, "s")
        assert taken >= TTL + LOCK_DELAY
        assert (entry["Session"], entry["Value"], entry["LockIndex"]) == (other, b"rival", 2)
    finally:
        for session in (mine, other):
            rival.session.destroy(session)
        rival.kv.delete(KEY)
