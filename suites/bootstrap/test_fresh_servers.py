"""Servers without any data found a cluster, and everybody finds it."""

import itertools
import time

import consul
import pytest

from lab.faults import Faults, Terminate, Wipe
from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import running, unrecovered
from lab.proof import Proof
from lab.start import agreed, leaders, outgrow, seconds_until, start, start_all
from lab.stored import Stored
from lab.waiting import hold

LATE = 60  # seconds that the third server is late
# consul-template may not have seen that the cluster is new when the next test makes it grow: not to the same.
TIMES = itertools.cycle(range(1, 5))


@pytest.fixture(autouse=True)
def served_before(lab: Lab, fleet: Fleet) -> None:
    """An echo service that was there before, in a cluster that is not taken for another new one."""
    outgrow(lab.docker, next(TIMES))
    fleet.serve()


@pytest.mark.destructive
def test_fresh_servers_become_one_cluster_in_any_order(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored, order: list[Node]
) -> None:
    """B1: Three fresh servers become one cluster with one leader and three voters, whichever is first.

    The agents of the other hosts, which come after them, find it and bring their services.
    """
    limits = lab.topology.deadlines

    with faults.under(Wipe(*lab.servers)), faults.under(Terminate(lab.lb, lab.docker)):
        third = start_all(order)[-1]
        took = seconds_until(lambda: agreed(lab), third, limits.recovery, "one leader, three voters")
        proof.within("one leader, three voters, from the third's start", took, limits.election, "N2")
        assert stored.found(order[0]) == {}, "the old cluster's values are in the new one"
        come = time.monotonic()
    took = seconds_until(lambda: all_listed(lab), come, limits.anti_entropy, "services registered")
    proof.within("services registered, from then", took, limits.anti_entropy, "N9")


@pytest.mark.destructive
@pytest.mark.full
def test_agents_bring_their_services_to_a_new_cluster(
    lab: Lab, faults: Faults, fleet: Fleet, proof: Proof
) -> None:
    """B1, R7: Agents that were there all the time bring their services to a new cluster, unaided.

    They hold the new servers for the old ones, whose names and addresses they have, and say so: the leader
    may take a voter for another, remove it and let it vote again when autopilot finds it stable. No server is
    new to them, so that anti-entropy brings the services only when its minute, or two, are over.
    consul-template, which waits for an index that only the old cluster had, asks again in time.
    """
    limits = lab.topology.deadlines

    with faults.under(Wipe(*lab.servers)):
        founded = start_all(lab.servers)[-1]
        took = seconds_until(lambda: not unrecovered(lab), founded, limits.recovery, "all members and voters")
        proof.within("all members known, all voters healthy", took, limits.recovery, "N5, N7, N19")
        allowed = limits.anti_entropy + limits.sync_retry
        took = seconds_until(lambda: all_listed(lab), founded, allowed, "services registered")
        proof.within("services registered", took, allowed, "N9")
        fleet.launch()
        launched = time.monotonic()
        took = seconds_until(lambda: served(lab), launched, limits.anti_entropy, "a new service served")
        allowed = limits.discovery + limits.loadbalancer + lab.topology.haproxy.query_wait
        proof.within("a new one served by the load balancer", took, allowed, "N17")


@pytest.mark.destructive
@pytest.mark.full
def test_two_of_three_wait_for_the_third(lab: Lab, faults: Faults, proof: Proof) -> None:
    """B2, B3: Two of three fresh servers elect nobody and refuse writes; the third, a minute late, ends that.

    The agents of the other hosts were there before them all. They join each server as it comes, and bring the
    services when there is a leader.
    """
    limits = lab.topology.deadlines
    early, third = lab.servers[:-1], lab.servers[-1]
    clients = [lab.lb, lab.docker]

    with faults.under(Wipe(*lab.servers)), faults.under(Terminate(*clients)):
        start_all([*clients, *early])
        met = time.monotonic()
        with pytest.raises(consul.ConsulException, match="500 No cluster leader"):
            early[0].agent.api.kv.put("consul-demo/nobody", "leads")
        late = LATE - (time.monotonic() - met)
        hold(lambda: leaders(early), until=lambda them: them == {""}, during=late, what="no leader of two")
        begun = start(third)
        took = seconds_until(lambda: agreed(lab), begun, limits.recovery, "one leader, three voters")
        limit = lab.topology.consul.retry_interval + limits.election
        proof.within("one leader, three voters, from the late one's start", took, limit, "N18, N2")
        took = seconds_until(
            lambda: served(lab), begun, limits.anti_entropy, "services registered and served"
        )
        proof.within("services registered and served", took, limits.anti_entropy, "N9")


def all_listed(lab: Lab) -> bool:
    """Return whether every agent answers with exactly the instances that Docker runs, and there are some."""
    expected = running(lab)
    echo = lab.topology.services.echo
    return bool(expected) and all(node.agent.instances(echo) == expected for node in lab.agents)


def served(lab: Lab) -> bool:
    """Return whether HAProxy serves exactly the instances that Docker runs."""
    servers = lab.haproxy.servers()
    up = {name for name, server in servers.items() if server.up}
    return up == servers.keys() == {it.id for it in running(lab)}
