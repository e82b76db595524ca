"""Judgements on the cluster, the lists that must agree, the accounts of a load and the faults themselves."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

from lab.checks.verdict import judge
from lab.checks.words import Words
from lab.history import LEADER, NO_INDEX, OK

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from collections.abc import Set as AbstractSet

    from lab.checks.verdict import Verdict
    from lab.history import History, Operation

LOCAL = "local_error"


def one_leader_per_term(history: History) -> Verdict:
    """Return whether no two servers said that they were the leader of the same raft term."""
    words = Words(history)
    claims: dict[int, dict[str, Operation]] = defaultdict(dict)
    doubts = []
    for it in history.operations():
        if it.action == LEADER and it.result is OK and it.value == LEADER:
            if it.index == NO_INDEX:
                doubts.append(f"no term: {words.operation(it)}")
            else:
                claims[it.index].setdefault(it.target, it)
    broken = [
        f"term {term} had {len(its)} leaders: " + ", ".join(words.operation(it) for it in its.values())
        for term, its in claims.items()
        if len(its) > 1
    ]
    if not claims:
        doubts.append("no server said that it was the leader")
    leaders = [server for _, its in sorted(claims.items()) for server in its]
    changes = sum(one != other for one, other in pairwise(leaders))
    numbers = {"terms": len(claims), "highest_term": max(claims, default=0), "changes": changes}
    return judge("one_leader_per_term", numbers, broken, doubts, f"{len(claims)} terms, each with one leader")


def equal_sets(lists: Mapping[str, AbstractSet[str] | None], least: int = 1) -> Verdict:
    """Return whether all `lists` (name of the source: what it lists) hold the same.

    None says that a source could not be asked. Fewer than two sources, or fewer than `least` entries in all,
    prove nothing.
    """
    known = {name: entries for name, entries in lists.items() if entries is not None}
    every = set().union(*known.values())
    broken = [
        f"{name} lacks {', '.join(sorted(every - entries))}"
        for name, entries in known.items()
        if every - entries
    ]
    doubts = [f"{name} could not be asked" for name in lists if name not in known]
    if len(known) < 2:
        doubts.append(f"{len(known)} lists cannot be compared")
    if len(every) < least:
        doubts.append(f"{len(every)} entries in all, fewer than {least}")
    numbers = {name: len(entries) for name, entries in known.items()}
    return judge("equal_sets", numbers, broken, doubts, f"{' = '.join(known)}: {len(every)} entries")


def accounts(attempts: int, classes: Mapping[str, int], own: Collection[str] = (LOCAL,)) -> Verdict:
    """Return whether every one of `attempts` ended in the class "ok".

    `classes` counts the attempts by how they ended; those in `own` are faults of the load itself (no port,
    no descriptor): it cannot tell. Nor can it if the classes do not sum up, or if nothing is ok.
    """
    total = sum(classes.values())
    doubts = [f"{count} ended in {name}" for name, count in classes.items() if name in own and count]
    lost = {name: count for name, count in classes.items() if name not in own and name != OK and count}
    if total != attempts:
        doubts.append(f"the classes sum up to {total}, not to {attempts}")
    if not classes.get(OK):
        doubts.append("nothing succeeded")
    credible = total == attempts and classes.get(OK)
    broken = [f"{count} ended in {name}" for name, count in lost.items()] if credible else []
    numbers = {"attempts": attempts, "lost": sum(lost.values()), **classes}
    return judge("accounts", numbers, broken, doubts, f"all {attempts} attempts ended well")


def tally(history: History, action: str) -> dict[str, int]:
    """Return how the operations of one action ended: "ok", their errors, and "unfinished"."""
    return dict(
        Counter(
            "unfinished" if it.end == inf else it.error or str(it.result)
            for it in history.operations()
            if it.action == action
        )
    )


def faults_took_effect(history: History) -> Verdict:
    """Return ok if every fault was seen, healed and recovered from; else nobody can tell what was tested."""
    faults = history.faults()
    doubts = [
        f"{it.name} of {', '.join(it.targets)} was never {stage}"
        for it in faults
        for stage, time in (("seen", it.seen), ("healed", it.healed), ("recovered", it.recovered))
        if time is None
    ]
    if not faults:
        doubts.append("no fault was injected")
    fine = f"{len(faults)} faults were seen, healed and recovered from"
    return judge("faults_took_effect", {"faults": len(faults)}, [], doubts, fine)
