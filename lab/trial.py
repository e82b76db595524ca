"""What every test of a fault under load asks of its history in the end."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from lab.checks import (
    faults_took_effect,
    gaps,
    linearizable,
    lost_writes,
    one_leader_per_term,
    stale_reads_advance,
    tally,
)
from lab.errors import LabError
from lab.faults import Faults
from lab.history import LEADER, OK, READ, SECOND, WRITE, Fault, History, Operation
from lab.hosts import Lab, Node
from lab.kv import KvLoad
from lab.proof import Proof
from lab.waiting import wait_for

NO_LEADER = "No cluster leader"


def judge(proof: Proof, history: History) -> None:
    """Stand by what must hold of Consul's store under any fault.

    Every fault took effect; reads and writes are linearizable and no acknowledged write is lost; `?stale`
    answers of a server never go back; no term has two leaders. Raises AssertionError or LabError.
    """
    for check in (faults_took_effect, linearizable, lost_writes, stale_reads_advance, one_leader_per_term):
        proof.judge(check(history))


def outages(history: History, action: str, targets: Collection[str] = ()) -> list[float]:
    """Return, for each fault of the history, the longest time in seconds without a good answer to `action`.

    `targets` restricts it to what the agents of these names were asked. A gap is the fault's own when it
    overlaps the time from its injection to its recovery. Raises LabError when no good answer came after that.
    """
    asked = [
        it for it in history.operations() if it.action == action and (not targets or it.target in targets)
    ]
    found = [(gap.start, gap.end, gap.length / SECOND) for gap in gaps(asked) if not gap.open]
    lengths = []
    for fault in history.faults():
        own = [it for start, end, it in found if start < (fault.recovered or end) and end > fault.injected]
        if not own:
            raise LabError(f"{fault.name}: no {action} succeeded after it")
        lengths.append(max(own))
    return lengths


def hold_outages(
    proof: Proof, history: History, limit: float, source: str, through: Collection[str] = ()
) -> None:
    """Hold the longest time without a good write, and without a good `?consistent` read, to its limit.

    `through` restricts it to what the agents of these names were asked.
    """
    where = f" through {', '.join(through)}" if through else ""
    for action in (WRITE, READ):
        lengths = outages(history, action, through)
        if len(lengths) > 1:
            proof.note(f"{action}s away{where}, median of {len(lengths)}", statistics.median(lengths), "s")
        proof.within(f"{action}s away{where}, longest", max(lengths), limit, source)


@contextmanager
def silence(lab: Lab, faults: Faults, silent: Node, proof: Proof) -> Iterator[None]:
    """Load the store while the body silences a server, and hold each way to it to its own limit afterwards.

    The servers left answer again when they have a leader (N2). A client agent that used the silent server
    leaves it when gossip has it as failed (N5): no connection is reset that would tell it earlier.
    """
    left, clients = [server for server in lab.servers if server is not silent], [lab.lb, lab.docker]
    limits, history = lab.topology.deadlines, faults.history
    with KvLoad(lab, history, left), KvLoad(lab, history, clients):
        yield
    hold_outages(proof, history, limits.election, "N2", [server.name for server in left])
    hold_outages(proof, history, limits.members, "N5", [client.name for client in clients])


def leaderless_answers(history: History) -> int:
    """Return how many requests were answered with "No cluster leader"."""
    return sum(
        count
        for action in (WRITE, READ)
        for error, count in tally(history, action).items()
        if NO_LEADER in error
    )


def claims(history: History, server: str) -> list[Operation]:
    """Return the answers in which a server said that it leads, in order."""
    return [
        it
        for it in history.operations()
        if it.action == LEADER and it.target == server and it.result is OK and it.value == LEADER
    ]


def last_claim(history: History, server: str, fault: Fault) -> float:
    """Return for how many seconds after a fault was seen a server still said that it leads, 0 for none."""
    if fault.seen is None:
        raise LabError(f"{fault.name} was never seen")
    return max([0.0, *((it.end - fault.seen) / SECOND for it in claims(history, server))])


def acknowledged(history: History, after: int, before: int) -> int:
    """Return how many writes that began in a time (nanoseconds) were acknowledged, whenever that was."""
    return sum(
        it.action == WRITE and it.result is OK and after < it.start < before for it in history.operations()
    )


def successor(lab: Lab, old: Node, within: float) -> Node:
    """Return the leader that the other servers name, once it is not `old`. Raises Unmet."""
    others = [server for server in lab.servers if server is not old]
    return wait_for(
        lambda: lab.leader(others),
        until=lambda it: it is not old,
        within=within,
        what=f"a leader after {old.name}",
    )


def succession(lab: Lab, old: Node, proof: Proof) -> Node:
    """Wait for the successor of a leader that fell, hold the time to its bound (N2), and return it."""
    limit, begun = lab.topology.deadlines.election, time.monotonic()
    leader = successor(lab, old, limit)
    proof.within("another leader", time.monotonic() - begun, limit, "N2")
    return leader
