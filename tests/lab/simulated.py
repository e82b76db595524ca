"""Made-up histories: correct registers under concurrent clients, and a search to judge any small history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from lab.history import (
    FAIL,
    NO_INDEX,
    OK,
    READ,
    UNKNOWN,
    WRITE,
    Completion,
    History,
    Injection,
    Invoke,
    Mark,
    Operation,
    Result,
    Stage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lab.history import Fault, Record

State = tuple[str | None, int] | None


def operation(action: str, start: int, end: float, **more: Any) -> Operation:  # noqa: ANN401 - any of its fields
    """Return an operation on key "k" of "server1", ok or, if `end` is infinite, unknown; `more` replaces."""
    result = OK if end < inf else UNKNOWN
    return replace(Operation(action, "k", None, "server1", start, end, result, NO_INDEX, ""), **more)


GOOD = (
    operation(WRITE, 0, 10, value="a", index=5),
    operation(WRITE, 20, 30, value="b", index=8),
    operation(READ, 40, 50, value="b", index=8),
)


def history_of(operations: Iterable[Operation], faults: Iterable[Fault] = ()) -> History:
    """Return the history that has these operations and faults."""
    begun: list[tuple[int, Operation | Fault]] = [(it.start, it) for it in operations]
    begun += [(it.injected, it) for it in faults]
    begun.sort(key=itemgetter(0))
    records = [record for number, (_, it) in enumerate(begun, 1) for record in _records(number, it)]
    return History(sorted(records, key=lambda it: it.time))


def _records(number: int, it: Operation | Fault) -> Iterator[Record]:
    if isinstance(it, Operation):
        asked = it.value if it.action == WRITE else None
        yield Invoke(it.start, number, it.action, it.key, asked, it.target)
        if it.end < inf:
            index = None if it.index == NO_INDEX else it.index
            yield Completion(int(it.end), number, it.result, it.value, index, it.error)
    else:
        yield Injection(it.injected, number, it.name, it.targets, it.restarts)
        times = (it.struck, it.seen, it.healing, it.healed, it.recovered)
        for stage, time in zip(list(Stage)[1:], times, strict=True):
            if time is not None:
                yield Mark(time, number, stage)


@dataclass(frozen=True)
class Plan:
    """What one client will do, when it takes effect (None: never) and how it will look to the client."""

    action: str
    key: str
    start: int
    end: float
    effect: int | None
    result: Result


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Return a plan; a write whose outcome is unknown may take effect after the client gave up."""
    action = draw(st.sampled_from([READ, WRITE]))
    start = draw(st.integers(0, 30))
    end = start + draw(st.integers(1, 12))
    result = draw(st.sampled_from([OK, OK, OK, FAIL, UNKNOWN]))
    effect = draw(st.integers(start, end + (10 if result is UNKNOWN else 0)))
    happens = result is OK or (result is UNKNOWN and draw(st.booleans()))
    seen = inf if result is UNKNOWN and draw(st.booleans()) else end
    return Plan(action, draw(st.sampled_from(["j", "k"])), start, seen, effect if happens else None, result)


@st.composite
def registers(draw: st.DrawFn, *, least: int = 0) -> list[Operation]:
    """Return what concurrent clients see of two correct registers, one ordering index over both."""
    todo = draw(st.lists(plans(), min_size=least, max_size=14))
    index = 1
    states = {key: draw(st.sampled_from([(None, 0), ("initial", 1)])) for key in ("j", "k")}
    done: list[Operation] = []
    order = sorted(range(len(todo)), key=lambda place: (todo[place].effect is None, todo[place].effect))
    for place in order:
        plan = todo[place]
        value = f"v{place}" if plan.action == WRITE else None
        if plan.effect is not None and plan.action == WRITE:
            index += draw(st.integers(1, 2))
            states[plan.key] = (value, index)
        shown = states[plan.key] if plan.result is OK else (value, NO_INDEX)
        done.append(
            Operation(plan.action, plan.key, shown[0], "s", plan.start, plan.end, plan.result, shown[1], "")
        )
    return sorted(done, key=lambda it: it.start)


def orders_exist(operations: Sequence[Operation]) -> bool:
    """Return whether a search (Wing and Gong) finds an order of one key's operations that a register allows.

    The register holds a value and its index, which every write raises; what it held first is free, but no
    value that was written. An unknown write may come at any time after its invocation, or never.
    """
    written = {it.value for it in operations if it.action == WRITE}
    shown = {it.value: it.index for it in operations if it.action == READ and it.result is OK}
    todo = [it for it in operations if it.result is OK or (it.action == WRITE and it.result is UNKNOWN)]

    @cache
    def search(left: frozenset[int], state: State) -> bool:
        if all(todo[place].result is UNKNOWN for place in left):
            return True
        horizon = min(todo[place].end if todo[place].result is OK else inf for place in left)
        return any(
            search(left - {place}, after)
            for place in left
            if todo[place].start <= horizon
            for after in step(todo[place], state)
        )

    def step(it: Operation, state: State) -> list[State]:
        if it.action == READ:
            fits = it.value not in written if state is None else state == (it.value, it.index)
            return [(it.value, it.index)] if fits else []
        index = it.index if it.result is OK else shown.get(it.value, NO_INDEX)
        rises = index != NO_INDEX and (state is None or index > state[1])
        return [(it.value, index)] if rises else []

    return search(frozenset(range(len(todo))), None)
