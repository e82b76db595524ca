"""What every test of a fault under load asks of its history in the end."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import inf

from lab.checks import (
    faults_took_effect,
    gaps,
    linearizable,
    lost_writes,
    one_leader_per_term,
    stale_reads_advance,
    tally,
    unavailability,
)
from lab.errors import LabError
from lab.faults import Faults
from lab.history import LEADER, OK, READ, SECOND, WRITE, Fault, History, Operation
from lab.hosts import Lab, Node
from lab.kv import KvLoad
from lab.proof import Proof
from lab.waiting import wait_for

NO_LEADER = "No cluster leader"
WRITES = 50


def judge(proof: Proof, history: History) -> None:
    """Stand by what must hold of Consul's store under any fault.

    Every fault took effect; reads and writes are linearizable and no acknowledged write is lost; `?stale`
    answers of a server never go back; no term has two leaders. Raises AssertionError or LabError.
    """
    for check in (faults_took_effect, linearizable, lost_writes, stale_reads_advance, one_leader_per_term):
        proof.judge(check(history), "raft")


def outages(history: History, action: str, through: Collection[str] = ()) -> list[float]:
    """Return, for each fault of the history, the longest time in seconds without a good answer to `action`.

    It is the time of the agent that was away longest, of those in `through` or else of all that were asked.
    A gap is the fault's own when it overlaps the time from its injection to its recovery. Raises LabError
    when an agent gave no good answer at the end, or to nothing after a fault.
    """
    asked = [it for it in history.operations() if it.action == action]
    agents = through or {it.target for it in asked}
    lengths = [_outages([it for it in asked if it.target == agent], history, agent) for agent in agents]
    return [max(of_one) for of_one in zip(*lengths, strict=True)]


def _outages(asked: list[Operation], history: History, agent: str) -> list[float]:
    """Return, for each fault, the longest time in seconds in which one agent gave no good answer."""
    found = gaps(asked)
    if not found or found.pop().length:  # the last one is open
        raise LabError(f"{agent} gave no good answer at the end: nobody can tell how long it was away")
    lengths = []
    for fault in history.faults():
        own = [it for it in found if it.start < (fault.recovered or it.end) and it.end > fault.injected]
        if not own:
            raise LabError(f"{fault.name}: {agent} gave no good answer after it")
        lengths.append(max(it.length for it in own) / SECOND)
    return lengths


def hold_outages(
    proof: Proof, history: History, limit: float, source: str, through: Collection[str] = ()
) -> None:
    """Hold the longest time in which an agent did no write, and no `?consistent` read, to its limit.

    `through` names the agents, if not all that were asked.
    """
    where = f" through {', '.join(through)}" if through else ""
    for action in (WRITE, READ):
        lengths = outages(history, action, through)
        if len(lengths) > 1:
            proof.note(f"{action}s away{where}, median of {len(lengths)}", statistics.median(lengths), "s")
        proof.within(f"{action}s away{where}, longest", max(lengths), limit, source)


def hold_availability(proof: Proof, history: History, limit: float, source: str) -> None:
    """Hold the longest time without a good write, and without a good read, of each agent that was asked.

    Unlike `hold_outages` it needs no fault: also what happened beside one counts.
    """
    for action in (WRITE, READ):
        for agent in sorted({it.target for it in history.operations() if it.action == action}):
            proof.judge(unavailability(history, action, limit, [agent]), source)


@contextmanager
def silence(lab: Lab, faults: Faults, silent: Node, proof: Proof) -> Iterator[None]:
    """Load the store while the body silences a server, and hold each way to it to its own limit afterwards.

    The servers left answer again when they have a leader (N2), and with raft_multiplier 1 tell nobody that
    there is none (N4). A client agent that used the silent server leaves it when gossip has it as failed
    (N5): no connection is reset that would tell it earlier. It hands on what that one tells it, so that N4 is
    not promised there: its "no leader" is noted. The silent server is asked, too: what it answers is judged
    with the rest.
    """
    left, clients = [server for server in lab.servers if server is not silent], [lab.lb, lab.docker]
    names, limits, history = [server.name for server in left], lab.topology.deadlines, faults.history
    behind = [client.name for client in clients]
    with KvLoad(lab, history, [*left, *clients, silent]):
        yield
    hold_outages(proof, history, limits.election, "N2", names)
    hold_outages(proof, history, limits.members, "N5", behind)
    hold_leaderless(lab, proof, history, names)
    proof.note(f'answers "{NO_LEADER}" through {", ".join(behind)}', leaderless_answers(history, behind))


def leaderless_answers(history: History, through: Collection[str] = ()) -> int:
    """Return how many requests were answered with "No cluster leader", by the agents named or by all."""
    return sum(
        NO_LEADER in it.error
        for it in history.operations()
        if it.action in {WRITE, READ} and (not through or it.target in through)
    )


def hold_leaderless(lab: Lab, proof: Proof, history: History, through: Collection[str] = ()) -> None:
    """With raft_multiplier 1, stand by that nobody is told "no leader" (N4), and tell what else went wrong.

    An election is over then before `rpc_hold_timeout`, for which requests are held. A follower that still
    asks the dead leader, whose host refuses it, fails a request at once: that is noted.
    """
    for action in (WRITE, READ):
        ended = tally(history, action)
        proof.note(f"{action}s that failed or are unknown", sum(ended.values()) - ended.get(OK, 0))
    if lab.topology.consul.raft_multiplier == 1:
        proof.within(f'answers "{NO_LEADER}"', leaderless_answers(history, through), 0, "N4", "")


def last_claim(history: History, server: str, fault: Fault) -> float:
    """Return for how many seconds after a fault had struck a server still said that it leads, 0 for none.

    It led when it was asked, or later; the answer may have been on its way for long. Raises LabError when the
    server was not asked whether it leads after that, or never answered.
    """
    if fault.struck is None:
        raise LabError(f"{fault.name} has not struck")
    answered = [
        it for it in history.operations() if it.action == LEADER and it.target == server and it.result is OK
    ]
    if not any(it.start > fault.struck for it in answered):
        raise LabError(f"after {fault.name} {server} did not say whether it leads")
    return max([0.0, *((it.start - fault.struck) / SECOND for it in answered if it.value == LEADER)])


def took_office(history: History, fault: Fault) -> float:
    """Return how many seconds after a fault had begun another server first answered that it leads.

    Raises LabError when none did.
    """
    answered = [
        it.end
        for it in history.operations()
        if it.action == LEADER and it.value == LEADER and it.target not in fault.targets
    ]
    later = [end for end in answered if end > fault.injected]
    if not later:
        raise LabError(f"after {fault.name} of {', '.join(fault.targets)} no other server said that it leads")
    return (min(later) - fault.injected) / SECOND


def await_answer(history: History, action: str, node: Node, since: int) -> None:
    """Wait until an agent has answered a load's request that began after a moment (ns). Raises Unmet."""
    wait_for(
        lambda: any(
            it.action == action and it.target == node.name and it.result is OK and it.start > since
            for it in history.operations()
        ),
        within=node.limits.operation,
        what=f"an answer of {node.name} to a {action}",
    )


def await_writes(lab: Lab, history: History) -> None:
    """Wait until WRITES more writes of a load are acknowledged. Raises Unmet."""
    before = acknowledged(history)
    wait_for(
        lambda: acknowledged(history) >= before + WRITES,
        within=lab.topology.deadlines.operation,
        what=f"{WRITES} writes",
    )


def acknowledged(history: History, after: float = -inf, before: float = inf) -> int:
    """Return how many writes began and were acknowledged in a time (nanoseconds), or ever."""
    return sum(
        it.action == WRITE and it.result is OK and after < it.start and it.end < before
        for it in history.operations()
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


def succession(lab: Lab, history: History, old: Node, proof: Proof, elections: int = 1) -> Node:
    """Wait for the successor of a leader that falls by the latest fault, and return it.

    The time from the fault's injection is held to the bound (N2) of so many elections.
    """
    limit = elections * lab.topology.deadlines.election
    leader = successor(lab, old, limit)
    proof.within("another leader", history.since(history.faults()[-1].injected), limit, "N2")
    return leader
