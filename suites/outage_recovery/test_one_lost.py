"""One server of three is lost: the cluster goes on, and has three again."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab.faults import Faults, Kill, Wipe
from lab.hosts import Lab, Node
from lab.proof import Proof
from lab.spare import Spare
from lab.start import await_death, await_missed
from lab.stored import Stored
from lab.unit import Unit
from lab.waiting import wait_for


def succeed(lab: Lab, lost: Node) -> Node:
    """Return the leader that the others have, once they have one."""
    others = [server for server in lab.servers if server is not lost]
    return wait_for(
        lambda: lab.leader(others),
        until=lambda leader: leader is not lost,
        within=lab.topology.deadlines.election,
        what=f"a leader without {lost.name}",
    )


@pytest.mark.destructive
@pytest.mark.parametrize("kind", [Kill, Wipe])
def test_a_lost_server_is_back_at_its_address(
    lab: Lab, faults: Faults, stored: Stored, all_vote: Callable[[str, float], None], kind: type[Kill]
) -> None:
    """O1: A lost server starts again, on its disk or an empty one, and votes with every key on its disk.

    The lost one is the leader; a key that is written while it is away is there as well.
    """
    lost = lab.leader()

    with faults.under(kind(lost)):
        leader = succeed(lab, lost)
        stored.add(leader, "while away")
        await_missed(lab, [lost])
        begun = time.monotonic()
        Unit(lost).start()
        all_vote("three healthy voters", begun)

    stored.arrive_on(lost)


@pytest.mark.full
@pytest.mark.destructive
def test_lost_servers_are_replaced_by_others(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored, all_vote: Callable[[str, float], None]
) -> None:
    """O2: A lost server is forgotten by autopilot, and one elsewhere votes instead, with every key.

    That one is lost as well and forgotten by the operator, and a new server at another address, which is that
    of the first one, votes instead.
    """
    lost, limits = lab.leader(), lab.topology.deadlines
    number = Unit(lost).read("node-id").strip()

    with faults.under(Wipe(lost)):
        begun = time.monotonic()
        leader = succeed(lab, lost)
        wait_until_forgotten(leader, number)
        allowed = limits.members + limits.stabilisation
        proof.within("forgotten by autopilot", time.monotonic() - begun, allowed, "N5 + N7")

        begun = time.monotonic()
        # A name that was there a moment ago and left is ignored, for a minute, by a leader younger than that.
        with Spare(lab) as spare:
            wait_for(
                leader.agent.health,
                until=lambda health: (
                    spare.name in health and all(health.values()) and len(health) == len(lab.servers)
                ),
                within=limits.recovery,
                what=f"{spare.name} a healthy voter",
            )
            allowed = limits.election + limits.members + limits.stabilisation
            proof.within("the new one votes", time.monotonic() - begun, allowed, "N2 + N5 + N7")
            stored.arrive_on(lab.client)

            number = spare.agent.node_ids()[spare.name]
            spare.stop()
            begun = time.monotonic()
            leader.run("consul", "operator", "raft", "remove-peer", f"-id={number}")
            wait_until_forgotten(leader, number)
            proof.within("forgotten by the operator", time.monotonic() - begun, limits.election, "choice")
            # A fresh server that hears of a dead one as alive asks it for 63 s, and knows no other meanwhile.
            await_death([spare], [node for node in lab.agents if node is not lost])

            begun = time.monotonic()
            Unit(lost).start()
            all_vote("three healthy voters", begun)

    stored.arrive_on(lost)


def wait_until_forgotten(leader: Node, number: str) -> None:
    """Wait until the leader's configuration of raft lists a node-id no more; names it may not know."""
    wait_for(
        lambda: leader.agent.raft()["latest_configuration"],
        until=lambda peers: number not in peers,
        within=leader.limits.recovery,
        what="raft without the lost one",
    )
