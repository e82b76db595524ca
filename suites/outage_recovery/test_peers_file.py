"""peers.json: a wrong one is refused before a restart, and a stray one does no harm."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.checks import one_leader_per_term
from lab.faults import Faults, Terminate, Wipe
from lab.gossip import exchange
from lab.hosts import Lab
from lab.kv import KvLoad
from lab.peers import FILE, PeersError, build, refuse
from lab.proof import Proof
from lab.recovery import Recovery, survey
from lab.start import await_missed, start_all
from lab.stored import Stored
from lab.topology import Ports
from lab.trial import hold_availability
from lab.unit import Unit
from lab.waiting import wait_for

from .conftest import follower

Peers = list[dict[str, Any]]
ANOTHER = "00000000-0000-0000-0000-000000000000"
IGNORED = "deleted peers.json file (see peers.info for details)"
INITIAL = "raft: initial configuration"  # logged at a start, with the servers that raft begins with
ABORTED = "not part of stable configuration, aborting election"


def at_port(peers: Peers, port: int) -> Peers:
    """Return the same list with another port in the first address."""
    host = peers[0]["address"].rpartition(":")[0]
    return [peers[0] | {"address": f"{host}:{port}"}, *peers[1:]]


def stranger(ports: Ports) -> dict[str, object]:
    """Return the entry of a server that never was, at an address of documentation (RFC 5737)."""
    return {"id": ANOTHER, "address": f"192.0.2.1:{ports.consul_rpc}", "non_voter": False}


def mistakes(peers: Peers, ports: Ports) -> dict[str, str]:
    """Return a file for each mistake of promises.md 3.2 that a list can have, and what its refusal says."""
    first, *others = peers
    lists: dict[str, object] = {
        "where raft protocol 3 wants an object": [it["address"] for it in peers],
        "has an entry without id": [first | {"id": ""}, *others],
        "has an entry without address": [first | {"address": ""}, *others],
        f"lists the id {first['id']} twice": [first, first, *others],
        "lists no voter": [it | {"non_voter": True} for it in peers],
        f":{ports.consul_http}, but its raft is at": at_port(peers, ports.consul_http),
        f":{ports.consul_serf}, but its raft is at": at_port(peers, ports.consul_serf),
        f"the id {ANOTHER}, but its node-id is": [first | {"id": ANOTHER}, *others],
        "which survived": others,
        "which did not survive": [*peers, stranger(ports)],
    }
    files = {why: json.dumps(entries) for why, entries in lists.items()}
    return files | {"is no JSON": json.dumps(peers)[:-1]}


@pytest.mark.destructive
def test_every_wrong_list_is_refused_before_the_restart(lab: Lab, faults: Faults, proof: Proof) -> None:
    """O6: A peers.json with any known mistake, on all survivors or on one, is refused and nothing is started.

    On two stopped servers, of which each mistake is written to one or to both; the right file is not refused.
    """
    leader = lab.leader()
    survivors = [server for server in lab.servers if server is not leader]
    units = [Unit(server) for server in survivors]

    with faults.under(Terminate(*survivors)):
        recovery = Recovery(lab, survivors, say=print)
        right = build(recovery.survey())
        wrong = mistakes(json.loads(right), lab.topology.ports)
        try:
            for why, file in wrong.items():
                for other in (file, right):
                    place(units, [file, other])
                    assert why in refusal(recovery)
            place(units, [right])
            units[1].remove(FILE)
            assert f"{FILE} is missing" in refusal(recovery)
            place(units, [json.dumps([it]) for it in json.loads(right)])
            assert "differ: each list would found a cluster of its own" in refusal(recovery)
            assert not any(unit.pid() for unit in units)
            place(units, [right, right])
            assert refuse(recovery.survey()) == []
        finally:
            for unit in units:
                unit.remove(FILE)
    proof.note("mistakes refused", len(wrong) + 2)


def place(units: list[Unit], files: list[str]) -> None:
    """Write a peers.json to each of some servers."""
    for unit, file in zip(units, files, strict=False):
        unit.write(FILE, file)


def refusal(recovery: Recovery) -> str:
    """Return with which words the restart is refused; it must be."""
    with pytest.raises(PeersError) as refused:
        recovery.start()
    return str(refused.value)


@pytest.mark.destructive
def test_a_server_that_cannot_take_the_file_is_refused(lab: Lab, faults: Faults, proof: Proof) -> None:
    """O6: A server that runs, lacks peers.info or has no raft state is refused: the file would do nothing."""
    server = follower(lab)
    unit = Unit(server)
    recovery = Recovery(lab, [server], say=print)

    try:
        running = survey(unit, lab.topology.ports.consul_rpc)
        unit.write(FILE, json.dumps([{"id": running.id, "address": running.peer, "non_voter": False}]))
        assert "reads raft/peers.json only when it starts" in refusal(recovery)
        with faults.under(Terminate(server)):
            unread = refused_without(recovery, unit, "raft/peers.info")
            assert "deletes raft/peers.json unread" in unread
            assert "refuse to start" in refused_without(recovery, unit, "raft/wal", "raft/snapshots")
            assert refuse(recovery.survey()) == []
            unit.remove(FILE)
    finally:
        unit.remove(FILE)
    proof.note("states refused", 3)


def refused_without(recovery: Recovery, unit: Unit, *hidden: str) -> str:
    """Return with which words the restart is refused while some files are elsewhere."""
    there = unit.files(*hidden)
    for path in there:
        unit.move(path, path.replace("/", "."))
    try:
        return refusal(recovery)
    finally:
        for path in there:
            unit.move(path.replace("/", "."), path)


@pytest.mark.destructive
def test_a_cluster_that_lives_is_not_recovered(lab: Lab, proof: Proof) -> None:
    """O6: While there is a leader, or another server lives, a recovery is refused and nothing is stopped."""
    with pytest.raises(PeersError, match="knows a leader"):
        Recovery(lab, lab.servers[:1], say=print).run()

    proof.note("servers running", sum(bool(Unit(server).pid()) for server in lab.servers))
    assert all(Unit(server).pid() for server in lab.servers)


@pytest.mark.full
@pytest.mark.destructive
def test_control_consul_takes_a_wrong_port_or_id_in_silence(
    lab: Lab, faults: Faults, proof: Proof, all_vote: Callable[[str, float], None]
) -> None:
    """O6: Consul itself takes a wrong port and a wrong id without a word, which is why they are compared.

    With the wrong port it takes itself for a voter at an address where no server can reach it, and leads as
    if all were well; only then it enters its own. With the wrong id it never leads. `tools/lab recover` puts
    either right.
    """
    survivor, limits = follower(lab), lab.topology.deadlines
    lost = [server for server in lab.servers if server is not survivor]
    unit, recovery = Unit(survivor), Recovery(lab, [survivor], say=print)

    with faults.under(Wipe(*lost)):
        await_missed(lab, lost)
        recovery.stop()
        right = json.loads(build(recovery.survey()))
        since = unit.now()
        begin(unit, at_port(right, lab.topology.ports.consul_http))
        wait_for(survivor.agent.leader, within=limits.recovery, what="a leader at a wrong port")
        taken = [line for line in unit.journal(since).splitlines() if INITIAL in line]
        assert taken[-1].endswith(f'Address:{survivor.address}:{lab.topology.ports.consul_http}}}]"')

        recovery.stop()
        since = unit.now()
        begin(unit, [right[0] | {"id": ANOTHER}])
        wait_for(lambda: ABORTED in unit.journal(since), within=limits.recovery, what="no election")
        assert survivor.agent.leader() == ""

        proof.within("leader after the restart", recovery.run().seconds, limits.election, "N2")
        begun = start_all(lost)[0]
        exchange(lab)  # how two come back by themselves is O3's
        all_vote("two fresh servers vote", begun)


def begin(unit: Unit, peers: Peers) -> None:
    """Start Consul with a peers.json that nobody compared with anything."""
    unit.write(FILE, json.dumps(peers))
    unit.start()


@pytest.mark.destructive
def test_a_stray_file_on_a_fresh_server_is_ignored(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored, all_vote: Callable[[str, float], None]
) -> None:
    """O7: A peers.json on a server without data is deleted unread, and the cluster does not notice it."""
    fresh = follower(lab)
    unit = Unit(fresh)

    left = [server for server in lab.servers if server is not fresh]
    with KvLoad(lab, faults.history, left), faults.under(Wipe(fresh)):
        unit.write(FILE, json.dumps([stranger(lab.topology.ports)]))
        await_missed(lab, [fresh])
        since, begun = unit.now(), time.monotonic()
        unit.start()
        wait_for(lambda: IGNORED in unit.journal(since), within=lab.topology.deadlines.fault, what=IGNORED)
        assert not unit.files(FILE)
        all_vote("the fresh server votes", begun)

    leaders = one_leader_per_term(faults.history)
    proof.judge(leaders)
    assert leaders.numbers["terms"] == 1
    hold_availability(proof, faults.history, lab.topology.deadlines.election, "N2, an election")
    stored.arrive_on(fresh)
