"""Is a key of Consul's KV store one register? Judged by ModifyIndex, which gives the order of writes away.

Every written value must be unique on its key, because Consul keeps the index of a write that changes nothing.
A write of unknown outcome counts as done if a read shows its value; if none does, no answer depends on it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from lab.checks.verdict import judge
from lab.checks.words import Words
from lab.history import FAIL, KEPT, NO_INDEX, OK, READ, STALE_READ, WRITE, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lab.checks.verdict import Verdict
    from lab.history import Fault, History, Operation


class Violation(NamedTuple):
    """Two operations that cannot both be, and why."""

    why: str
    one: Operation
    other: Operation


def linearizable(history: History) -> Verdict:
    """Return whether writes and `?consistent` reads took effect in one order per key that agrees with time.

    Exact where it tells, and linear in the number of operations: (a) an index holds one value and a value has
    one index; (b) a value that was read was written, and not by a write that failed, or is the one value that
    the key began with; (c) if A ended before B began, A's index is not above B's, and is below it if B wrote.
    """
    operations = [it for it in history.operations() if it.action in (READ, WRITE)]
    doubts = _none_ok(operations, WRITE) + _none_ok(operations, READ)
    broken: list[str] = []
    words = Words(history)
    for key, group in _by_key(operations).items():
        unfit = _unfit(group)
        doubts += [f"key {key}: {why}" for why in unfit]
        broken += [] if unfit else [f"key {key}: {_tell(it, words)}" for it in _violations(group)]
    numbers = {**_counts(operations), "violations": len(broken)}
    return judge("linearizable", numbers, broken, doubts, f"one order fits all {len(operations)} operations")


def lost_writes(history: History) -> Verdict:
    """Return whether each acknowledged write has left its mark, as a look at all marks at the end tells.

    The last value alone does not: the next write of a key covers what was lost before it.
    """
    operations = [it for it in history.operations() if it.action in (WRITE, KEPT)]
    doubts = _none_ok(operations, WRITE)
    lost: list[str] = []
    words = Words(history)
    for key, group in _by_key(operations).items():
        written = [it for it in group if it.action == WRITE and it.result is OK]
        doubts += [f"key {key}: {why}" for why in _unfit(group)]
        over = max((it.end for it in written), default=inf)
        looks = [it for it in group if it.action == KEPT and it.result is OK and over < it.start]
        if written and not looks:
            doubts.append(f"key {key}: nobody looked for its marks after its last acknowledged write")
        for look in looks[-1:]:
            kept = set((look.value or "").split())
            missing = [it for it in written if it.value not in kept]
            lost += [f"key {key}: acknowledged, then gone: {words.operation(it)}" for it in missing]
    numbers = {**_counts([it for it in operations if it.action == WRITE]), "lost": len(lost)}
    return judge("lost_writes", numbers, lost, doubts, "each acknowledged write has left its mark")


def stale_reads_advance(history: History) -> Verdict:
    """Return whether `?stale` reads of a key on one server never went back to a lower index.

    A server that restarts passes reads on to the leader until it hears from it, and then answers from what it
    has replayed so far: reads are compared between two restarts only, and those under way from the injection
    of such a fault until the recovery from it was seen are left out.
    """
    operations = [it for it in history.operations() if it.action == STALE_READ]
    doubts = _none_ok(operations, STALE_READ) + _unfit(operations)
    restarts = [fault for fault in history.faults() if fault.restarts]
    lives: dict[tuple[str, str, int], list[Operation]] = defaultdict(list)
    for read in _answered(operations, STALE_READ):
        own = [fault for fault in restarts if read.target in fault.targets]
        if not any(_during(fault, read) for fault in own):
            life = sum(fault.injected < read.start for fault in own)
            lives[read.target, read.key, life].append(read)
    words = Words(history)
    broken = [_tell(it, words) for reads in lives.values() for it in _against_time(reads)]
    numbers = {**_counts(operations), "violations": len(broken)}
    return judge("stale_reads_advance", numbers, broken, doubts, "no server's answers went back")


def _violations(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Yield what contradicts one order of the operations on one key."""
    written = {it.value: it for it in operations if it.action == WRITE}
    effects = _answered(operations, WRITE, READ)
    by_value = {it.value: it for it in reversed(effects)}
    yield from _ambiguous(effects, by_value)
    unwritten = [it for value, it in by_value.items() if value not in written]
    yield from (Violation("two values that nobody wrote", unwritten[0], it) for it in unwritten[1:])
    for write in written.values():
        if write.result is not OK and write.value in by_value:
            shown = by_value[write.value]
            if write.result is FAIL:
                yield Violation("a write that failed took effect", write, shown)
            effects.append(replace(write, index=shown.index, end=inf))
    for initial in unwritten[:1]:
        late = (it for it in effects if it.action == WRITE and it.index < initial.index)
        yield from (Violation("written below what the key began with", it, initial) for it in late)
    yield from _against_time(effects)


def _ambiguous(effects: Iterable[Operation], by_value: Mapping[str | None, Operation]) -> Iterator[Violation]:
    """Yield the operations with which an index has a second value, or a value a second index."""
    by_index: dict[int, Operation] = {}
    for it in effects:
        holder, first = by_index.setdefault(it.index, it), by_value[it.value]
        if holder.value != it.value:
            yield Violation("two values at one index", holder, it)
        if first.index != it.index:
            yield Violation("one value at two indexes", first, it)


def _against_time(effects: list[Operation]) -> Iterator[Violation]:
    """Yield what has a lower index, or as a write the same one, as something that ended before it began."""
    ended = iter(sorted(effects, key=attrgetter("end")))
    upcoming = next(ended, None)
    highest: Operation | None = None
    for it in sorted(effects, key=attrgetter("start")):
        while upcoming and upcoming.end < it.start:
            highest = upcoming if highest is None or upcoming.index > highest.index else highest
            upcoming = next(ended, None)
        if highest and it.index < highest.index + (it.action == WRITE):
            yield Violation("the indexes go against time", highest, it)


def _during(restart: Fault, read: Operation) -> bool:
    over = inf if restart.recovered is None else restart.recovered
    return restart.injected <= read.end and read.start <= over


def _by_key(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    groups: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        groups[operation.key].append(operation)
    return groups


def _answered(operations: Iterable[Operation], *actions: str) -> list[Operation]:
    """Return what was acknowledged with an index, in the order of the operations."""
    return [it for it in operations if it.result is OK and it.index != NO_INDEX and it.action in actions]


def _none_ok(operations: Iterable[Operation], action: str) -> list[str]:
    done = any(it.action == action and it.result is OK for it in operations)
    return [] if done else [f"no {action} succeeded"]


def _unfit(operations: Iterable[Operation]) -> list[str]:
    """Return why these operations cannot be judged by their indexes, if so."""
    times = Counter(it.value for it in operations if it.action == WRITE)
    twice = [f"{value!r} was written {count} times" for value, count in times.items() if count > 1]
    bare = any(it.result is OK and it.index == NO_INDEX for it in operations)
    return twice + (["an answer came without its index"] if bare else [])


def _counts(operations: Sequence[Operation]) -> dict[str, float]:
    results = Counter(it.result for it in operations)
    return {"operations": len(operations), **{str(result): results[result] for result in Result}}


def _tell(violation: Violation, words: Words) -> str:
    one, other = words.operation(violation.one), words.operation(violation.other)
    return f"{violation.why}: {one}, but {other}"
