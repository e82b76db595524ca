"""Servers that all went down find their cluster again (hashicorp/consul#454)."""

from collections.abc import Callable

import pytest

from lab.checks import lost_writes, one_leader_per_term
from lab.faults import Fault, Faults, Kill, Reboot, Terminate
from lab.history import History
from lab.hosts import Lab, Node
from lab.kv import KvLoad
from lab.machines import Machines
from lab.proof import Proof
from lab.start import agreed, seconds_until, start
from lab.stored import Stored
from lab.trial import hold_availability
from lab.unit import Unit

RECOVERY = "found peers.json file"  # what a server logs that takes its peers from there
CHANGED = "updating configuration: command="  # and a leader that changes the list of peers (raft.go)


def configurations(lab: Lab) -> list[str]:
    """Return each server's own list of peers: ids, addresses, who votes."""
    return [server.agent.raft()["latest_configuration"] for server in lab.servers]


@pytest.fixture
def find_together(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored, order: list[Node]
) -> Callable[[Fault], None]:
    """Ends all servers by a fault, starts them in order, and proves that they are the cluster they were."""

    def proven_under(fault: Fault) -> None:
        peers = configurations(lab)
        since = {node: Unit(node).now() for node in order}
        with faults.under(fault):
            start(order[0])
            begun = start(order[1])
            took = seconds_until(lambda: lab.leader(order[:2]), begun, faults.limits.recovery, "a leader")
            start(order[2])
            proof.within("a leader, from the second's start", took, faults.limits.election, "N2")
        for node in order:
            stored.arrive_on(node)
            said = Unit(node).journal(since[node])
            assert RECOVERY not in said, node.name
            assert CHANGED not in said, node.name
        assert configurations(lab) == peers

    return proven_under


def test_terminated_servers_find_together_in_any_order(
    find_together: Callable[[Fault], None], order: list[Node]
) -> None:
    """B4: Servers that were all ended by SIGTERM lead again when two of three are up, with all their data.

    None of them left the cluster: the list of peers is the one of before, and no peers.json was needed.
    """
    find_together(Terminate(*order))


def test_killed_servers_find_together_in_any_order(
    find_together: Callable[[Fault], None], order: list[Node]
) -> None:
    """B5: Servers that were all ended by SIGKILL lead again when two of three are up, with all their data."""
    find_together(Kill(*order))


@pytest.mark.destructive
@pytest.mark.full
def test_a_rolling_reboot_keeps_the_cluster(
    lab: Lab, faults: Faults, history: History, proof: Proof, power: Machines
) -> None:
    """B6: The servers' hosts reboot, each when the one before is a healthy voter again, and it leads on."""
    limits = lab.topology.deadlines

    with KvLoad(lab, history, [lab.lb, lab.docker]):
        for server in lab.servers:
            with faults.under(Reboot(power, server)):
                pass

    assert agreed(lab)
    hold_availability(proof, history, limits.election, "N2")
    proof.judge(one_leader_per_term(history))
    proof.judge(lost_writes(history))
