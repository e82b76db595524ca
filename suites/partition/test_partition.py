"""Hosts that cannot reach each other: who goes on, who stops, and what is true afterwards."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import consul
import pytest

from lab.consul import Status
from lab.errors import NotRunError
from lab.faults import Faults, Loss, PortCut, Together, apart, between, bridge, isolate, one_way
from lab.fleet import Fleet
from lab.history import OK, READ, SECOND, WRITE
from lab.hosts import Lab, Node
from lab.invariants import running
from lab.kv import KvLoad
from lab.load import Load, front
from lab.proof import Proof
from lab.start import seconds_until
from lab.trial import (
    acknowledged,
    await_writes,
    hold_outages,
    judge,
    last_claim,
    outages,
    silence,
    succession,
)
from lab.unit import Unit
from lab.waiting import hold, lapse, wait_for

LOST_PERCENT = 20
SUSPECTED = 15.0  # seconds: a round of probes and a suspicion, 9 s, and more than half as much again
MOST_TERMS = 4  # in 60 s
SELDOM = 5  # requests a second, of each stream, where all of them hang: fewer than Consul's 200 connections
TCP_ONLY = "over TCP but UDP probes failed"


def followers(lab: Lab, leader: Node) -> list[Node]:
    """Return the servers that do not lead."""
    return [server for server in lab.servers if server is not leader]


def term(lab: Lab) -> int:
    """Return raft's highest term."""
    return max(int(server.agent.raft()["term"]) for server in lab.servers)


def abdication(lab: Lab, old: Node, faults: Faults, proof: Proof) -> None:
    """Hold the time for which a leader without followers still called itself one to its lease.

    After that it acknowledges no write and answers no consistent read until the fault begins to be healed.
    """
    fault, limits = faults.history.faults()[0], lab.topology.deadlines
    late = last_claim(faults.history, old.name, fault)
    proof.within("the old one still leads", late, limits.lease + limits.answer, "N3")
    assert fault.struck
    assert fault.healing
    deposed = fault.struck + (limits.lease + limits.answer) * SECOND
    asked = [
        it
        for it in faults.history.operations()
        if it.target == old.name and it.action in {WRITE, READ} and deposed < it.start < fault.healing
    ]
    answered = [it for it in asked if it.result is OK and it.end < fault.healing]
    assert asked, "nobody asked the old leader"
    proof.within("writes and reads it answered then", len(answered), 0, "raft", "")


def test_an_isolated_leader_steps_down(lab: Lab, faults: Faults, proof: Proof) -> None:
    """P1, P10: The majority elects a leader; the isolated one steps down and answers only stale reads."""
    old = lab.leader()
    with silence(lab, faults, old, proof), faults.under(isolate(old, lab.agents)):
        succession(lab, faults.history, old, proof)
        answers_stale_reads(old)
        refuses(old)

    abdication(lab, old, faults, proof)
    judge(proof, faults.history)


def refuses(old: Node) -> None:
    """See a leader that lost its majority refuse a write and a consistent read, which it holds first (N4)."""
    api = old.agent.api
    with ThreadPoolExecutor(2) as pool:
        read = pool.submit(api.kv.get, "consul-demo/any", consistency="consistent")
        written = pool.submit(api.kv.put, "consul-demo/any", "never")
    for refused in (read, written):
        with pytest.raises(consul.ConsulException):
            refused.result()


def answers_stale_reads(old: Node) -> None:
    """See a leader that lost its majority lead no more, and answer stale reads and DNS all the same."""
    within = old.limits.lease + old.limits.answer
    wait_for(lambda: old.agent.raft()["state"] != "Leader", within=within, what="the old one's abdication")
    for path in ("kv/consul-demo/any", "catalog/nodes"):
        assert old.agent.get(path, stale="").status_code in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}, path
    wait_for(lambda: old.agent.addresses("consul"), within=old.limits.answer, what="servers in its DNS")


@pytest.mark.full
def test_an_isolated_follower_returns_unnoticed(lab: Lab, faults: Faults, proof: Proof) -> None:
    """P2, P10: A follower cut off costs no write, and its return no election (pre-vote).

    The load goes to the majority's servers: a client agent whose server is the one cut off keeps asking it.
    """
    leader, before = lab.leader(), term(lab)
    victim, other = followers(lab, leader)
    with KvLoad(lab, faults.history, [leader, other]), faults.under(isolate(victim, lab.agents)):
        # Long enough for some elections of its own, if it held any.
        lapse(lab.topology.deadlines.election, "the follower to stay cut off")

    failed = [it for it in faults.history.operations() if it.action == WRITE and it.result != "ok"]
    proof.within("writes that failed", len(failed), 0, "raft", "")
    proof.within("elections on return", term(lab) - before, 0, "raft 1.7.0: pre-vote", "")
    assert lab.leader() is leader
    judge(proof, faults.history)


@pytest.mark.full
def test_a_bridge_keeps_one_leader(lab: Lab, faults: Faults, proof: Proof) -> None:
    """P3, P10: Two servers see only the third: one leader, and terms do not run away.

    Who asks the third is served within the bound. A client agent whose server lost sight of the leader gets
    an error when that server has held its request for long enough (N4), and goes on with another one.
    """
    leader, before, limits = lab.leader(), term(lab), lab.topology.deadlines
    cut_off, third = followers(lab, leader)
    clients = [lab.lb, lab.docker]
    with (
        KvLoad(lab, faults.history, [third, *clients, leader, cut_off]),
        faults.under(bridge(leader, cut_off)),
    ):
        lapse(60, "elections to be seen, if there are any")

    hold_outages(proof, faults.history, limits.election, "N2", [third.name])
    hold_outages(proof, faults.history, limits.leaderless, "N4", [client.name for client in clients])
    proof.within("terms in 60 s", term(lab) - before, MOST_TERMS, "choice", "")
    judge(proof, faults.history)


@pytest.mark.parametrize("direction", ["deaf", "mute"])
def test_a_leader_heard_one_way_is_replaced(lab: Lab, faults: Faults, proof: Proof, direction: str) -> None:
    """P4, P10: A leader that hears nobody, or that nobody hears, gives way and answers only stale reads."""
    old = lab.leader()
    others = [node for node in lab.agents if node is not old]
    cut = one_way(others, [old]) if direction == "deaf" else one_way([old], others)
    with silence(lab, faults, old, proof), faults.under(cut):
        succession(lab, faults.history, old, proof)
        answers_stale_reads(old)
        lapse(lab.topology.deadlines.lease + lab.topology.deadlines.answer, "requests to the one deposed")

    abdication(lab, old, faults, proof)
    judge(proof, faults.history)


@pytest.mark.full
def test_three_apart_acknowledge_nothing(lab: Lab, faults: Faults, proof: Proof) -> None:
    """P5, P10: While no server reaches another no write is acknowledged; then a leader is there in time."""
    limits = lab.topology.deadlines
    with KvLoad(lab, faults.history, [*lab.servers, lab.lb, lab.docker], rate=SELDOM):
        with faults.under(apart(lab.servers)):
            lapse(30, "three servers apart")
        wait_for(lab.leader, within=limits.election, what="a leader")
        await_writes(lab, faults.history)

    fault = faults.history.faults()[0]
    assert fault.seen
    assert fault.healing
    assert fault.healed
    written = acknowledged(faults.history, fault.seen, fault.healing)
    proof.within("writes acknowledged", written, 0, "raft", "")
    claims = first_claim(faults, fault.healed)
    proof.within("a leader after the heal", claims, limits.election, "N2")
    judge(proof, faults.history)


def first_claim(faults: Faults, since: int) -> float:
    """Return how many seconds after a moment the first write was acknowledged."""
    ends = [it.end for it in faults.history.operations() if it.action == WRITE and it.result == "ok"]
    return min((end - since) / SECOND for end in ends if end > since)


@pytest.mark.full
def test_a_docker_host_cut_off_is_out_and_returns(
    lab: Lab, fleet: Fleet, faults: Faults, proof: Proof
) -> None:
    """P6: Services of a host cut off from Consul are listed no more, are served on, and return.

    Gossip to the load balancer is cut as well: it would vouch for the host, and its services stayed listed.
    """
    fleet.serve(2)
    echo, limits = lab.topology.services.echo, lab.topology.deadlines
    expected = running(lab)
    gossip = PortCut(between([lab.docker], [lab.lb]), lab.topology.ports.consul_serf, "tcp", "udp")
    with Load(lab.client, front(lab), "-c", "50", "--churn", "--rate", "50", seconds=180) as load:
        begun = time.monotonic()
        with faults.under(Together(isolate(lab.docker, lab.servers), gossip)):
            wait_for(
                lambda: lab.lb.agent.instances(echo),
                until=lambda left: not left,
                within=limits.members,
                what="no healthy instance",
            )
            proof.within("services out", time.monotonic() - begun, limits.members, "N5")
            begun = time.monotonic()
        wait_for(
            lambda: lab.lb.agent.instances(echo),
            until=lambda back: back == expected,
            within=limits.members,
            what="all instances again",
        )
        proof.within("services back", time.monotonic() - begun, limits.members, "N5")

    proof.note("connections", load.summary["attempts"])
    proof.within("connections lost", load.summary["lost"], 0, "choice", "")


@pytest.mark.full
def test_a_load_balancer_cut_off_serves_the_last_known(
    lab: Lab, fleet: Fleet, faults: Faults, proof: Proof
) -> None:
    """P7: Without Consul HAProxy serves those it knows, and learns what changed soon after the heal.

    The same process of consul-template goes on.
    """
    fleet.serve(2)
    limits, template = lab.topology.deadlines, lab.haproxy.consul_template()
    with Load(lab.client, front(lab), "-c", "50", "--churn", "--rate", "50", seconds=180) as load:
        known = lab.haproxy.servers().keys()
        with faults.under(isolate(lab.lb, lab.servers)):
            fleet.launch()
            lapse(limits.discovery + limits.loadbalancer, "HAProxy to learn of it, if it could")
            assert lab.haproxy.servers().keys() == known
            begun = time.monotonic()
        wait_for(
            lambda: lab.haproxy.servers().keys(),
            until=lambda now: now == {instance.id for instance in running(lab)},
            within=limits.reconverge,
            what="HAProxy's new server",
        )
        proof.within("converged", time.monotonic() - begun, limits.reconverge, "N16")

    assert lab.haproxy.consul_template() == template, "consul-template was started again"
    proof.within("connections lost", load.summary["lost"], 0, "choice", "")


@pytest.mark.full
def test_gossip_falls_back_to_tcp(lab: Lab, faults: Faults, proof: Proof) -> None:
    """P8: With only the gossip's datagrams cut everybody stays alive by TCP, and says so in the log."""
    victim, others = lab.servers[0], [node for node in lab.agents if node is not lab.servers[0]]
    units = [Unit(node) for node in lab.agents]
    since = units[0].now()
    cut = PortCut(between([victim], others), lab.topology.ports.consul_serf, "udp")
    with faults.under(cut):
        took = seconds_until(
            lambda: any(TCP_ONLY in unit.journal(since) for unit in units),
            time.monotonic(),
            lab.topology.deadlines.members,
            f"'{TCP_ONLY}' in a log",
        )
        # Whom all suspect is dead after 4 s, and everybody is probed once in 5 (memberlist's state.go).
        hold(
            lambda: {status for node in lab.agents for status in node.agent.members().values()},
            until=lambda seen: seen == {Status.ALIVE},
            during=SUSPECTED,
            what="everybody alive",
        )

    proof.within("reported in a log", took, lab.topology.deadlines.members, "N5")


@pytest.mark.full
def test_a_fifth_of_all_packets_lost_loses_no_write(lab: Lab, faults: Faults, proof: Proof) -> None:
    """P9: With 20 % of all packets lost for 60 s no acknowledged write is lost, and leaders change hardly."""
    before = term(lab)
    loss = Loss(between(lab.servers, lab.agents), LOST_PERCENT)
    with KvLoad(lab, faults.history, [lab.lb, lab.docker]), faults.under(loss):
        lapse(60, "packets to be lost")

    changes = term(lab) - before
    proof.note("writes away, longest", max(outages(faults.history, WRITE)), "s")
    if lab.topology.consul.raft_multiplier == 5:
        proof.within("elections", changes, 1, "choice", "")
    else:
        proof.note("elections", changes)
    judge(proof, faults.history)


def test_clocks_that_differ() -> None:
    """P11: Servers whose clocks differ agree all the same."""
    raise NotRunError("the hosts have one kernel and so one clock; only virtual machines have their own")
