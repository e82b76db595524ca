"""Linearizability, lost writes and stale reads: correct histories pass, every kind of violation is found."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from itertools import groupby
from math import inf
from operator import attrgetter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lab.checks import Outcome, linearizable, lost_writes, stale_reads_advance
from lab.history import FAIL, NO_INDEX, OK, READ, STALE_READ, UNKNOWN, WRITE, Fault, Operation
from tests.lab.simulated import history_of, operation, orders_exist, registers

WRITTEN = operation(WRITE, 0, 10, value="a", index=5)
AGAIN = operation(WRITE, 20, 30, value="b", index=8)
SHOWN = operation(READ, 40, 50, value="b", index=8)
GOOD = [WRITTEN, AGAIN, SHOWN]


def test_writes_and_the_read_of_the_last_are_linearizable() -> None:
    """The history into which the violations below are planted is itself beyond reproach."""
    verdict = linearizable(history_of(GOOD))
    assert verdict.outcome is Outcome.OK
    assert verdict.numbers == {"operations": 3, "ok": 3, "fail": 0, "unknown": 0, "violations": 0}


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        (operation(READ, 60, 70, value="a", index=5), "the indexes go against time"),
        (operation(READ, 60, 70, value=None, index=0), "the indexes go against time"),
        (operation(READ, 11, 19, value="b", index=8), "the indexes go against time"),
        (operation(WRITE, 60, 70, value="c", index=7), "the indexes go against time"),
        (operation(WRITE, 60, 70, value="c", index=8), "two values at one index"),
        (operation(READ, 60, 70, value="a", index=8), "two values at one index"),
        (operation(READ, 60, 70, value="b", index=9), "one value at two indexes"),
        (operation(READ, 60, 70, value="nobody's", index=9), "written below what the key began with"),
    ],
    ids=[
        "stale read",
        "lost write",
        "read of the future",
        "write ordered before an older one",
        "two writes at one index",
        "read of another value",
        "value that moved",
        "value out of nowhere",
    ],
)
def test_a_planted_violation_is_found(planted: Operation, why: str) -> None:
    """Each kind of violation is named, and the search that knows nothing of indexes' order agrees."""
    verdict = linearizable(history_of([*GOOD, planted]))
    assert verdict.outcome is Outcome.BROKEN
    assert why in verdict.evidence
    assert not orders_exist([*GOOD, planted])


def test_a_failed_write_that_is_read_is_a_violation() -> None:
    """A write that was refused for certain must never show."""
    failed = operation(WRITE, 0, 10, value="a", result=FAIL)
    read = operation(READ, 20, 30, value="a", index=5)
    verdict = linearizable(history_of([failed, read, *GOOD[1:]]))
    assert verdict.outcome is Outcome.BROKEN
    assert "a write that failed took effect" in verdict.evidence


def test_two_values_that_nobody_wrote_are_a_violation() -> None:
    """A key may begin with one value from before the history, not with two."""
    reads = [operation(READ, 0, 10, value="x", index=1), operation(READ, 11, 12, value=None, index=0)]
    verdict = linearizable(history_of([*reads, *GOOD[1:]]))
    assert verdict.outcome is Outcome.BROKEN
    assert "two values that nobody wrote" in verdict.evidence


def test_the_evidence_says_what_contradicts_what() -> None:
    """One line holds both operations with value, index, server and seconds since the history began."""
    stale = operation(READ, 2_000_000_000, 2_500_000_000, value="a", index=5, target="server3")
    assert linearizable(history_of([*GOOD, stale])).evidence == (
        "key k: the indexes go against time: write of 'b' at index 8 on server1 (ok, 0.000 s to 0.000 s), "
        "but read of 'a' at index 5 on server3 (ok, 2.000 s to 2.500 s)"
    )


def test_an_unknown_write_may_show_later_or_never() -> None:
    """Neither is a violation: it is resolved by the read that shows it, long after the client gave up."""
    unknown = operation(WRITE, 1, 2, value="u", result=UNKNOWN)
    assert linearizable(history_of([*GOOD, unknown])).outcome is Outcome.OK
    late = operation(READ, 60, 70, value="u", index=9)
    assert linearizable(history_of([*GOOD, unknown, late])).outcome is Outcome.OK


def test_an_unknown_write_cannot_show_before_it_was_invoked() -> None:
    """Once resolved it is held to real time like any other."""
    unknown = operation(WRITE, 60, inf, value="u")
    early = operation(READ, 51, 59, value="u", index=9)
    assert linearizable(history_of([*GOOD, unknown, early])).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("operations", "why"),
    [
        ([], "no write succeeded; no read succeeded"),
        (GOOD[:2], "no read succeeded"),
        (GOOD[2:], "no write succeeded"),
        ([*GOOD, operation(WRITE, 60, 70, value="b", index=8)], "'b' was written 2 times"),
        ([*GOOD, operation(READ, 60, 70, value="b")], "an answer came without its index"),
        (
            [replace(it, result=UNKNOWN, index=NO_INDEX) for it in GOOD],
            "no write succeeded; no read succeeded",
        ),
    ],
    ids=["empty", "no reads", "no writes", "values not unique", "no index", "nothing but unknown"],
)
def test_what_cannot_be_judged_is_not_passed(operations: list[Operation], why: str) -> None:
    """Too little, or not unique, or without indexes: it could not tell, and says why."""
    verdict = linearizable(history_of(operations))
    assert verdict.outcome is Outcome.COULD_NOT_TELL
    assert why in verdict.evidence


@given(operations=registers())
@settings(deadline=None)
def test_a_correct_register_is_never_blamed(operations: list[Operation]) -> None:
    """What concurrent clients see of correct registers, failed and unknown writes too, is linearizable."""
    assert linearizable(history_of(operations)).outcome is not Outcome.BROKEN
    assert lost_writes(history_of(operations)).outcome is not Outcome.BROKEN


ANSWERS = st.tuples(st.sampled_from([None, "x", "v0", "v1", "v2", "v3"]), st.integers(0, 6))


@st.composite
def anything(draw: st.DrawFn) -> list[Operation]:
    """Return a small history that may or may not be that of a register."""
    made = []
    for place in range(draw(st.integers(2, 7))):
        start = draw(st.integers(0, 12))
        end = start + draw(st.integers(1, 6))
        if place < draw(st.integers(1, 4)):
            result = draw(st.sampled_from([OK, OK, UNKNOWN]))
            index = draw(st.integers(1, 6)) if result is OK else NO_INDEX
            made.append(operation(WRITE, start, end, value=f"v{place}", index=index, result=result))
        else:
            value, index = draw(ANSWERS)
            made.append(operation(READ, start, end, value=value, index=index))
    return sorted(made, key=attrgetter("start"))


@given(operations=anything())
@settings(max_examples=1000, deadline=None)
def test_agrees_with_the_search_on_any_history(operations: list[Operation]) -> None:
    """Broken exactly if no order of the operations exists that a register with rising indexes allows."""
    assert (linearizable(history_of(operations)).outcome is Outcome.BROKEN) is not orders_exist(operations)


@given(operations=registers(least=6), data=st.data())
@settings(max_examples=500, deadline=None)
def test_agrees_with_the_search_on_a_register_gone_wrong(
    operations: list[Operation], data: st.DataObject
) -> None:
    """One answer of a correct history is replaced by another of its own: found if the search finds it."""
    answers = [it for it in operations if it.result is OK]
    assume(answers)
    wrong, other = data.draw(st.sampled_from(answers)), data.draw(st.sampled_from(answers))
    value = wrong.value if wrong.action == WRITE else other.value
    planted = [replace(it, value=value, index=other.index) if it is wrong else it for it in operations]
    by_key = groupby(sorted(planted, key=attrgetter("key")), key=attrgetter("key"))
    possible = all(orders_exist(list(group)) for _, group in by_key)
    assert (linearizable(history_of(planted)).outcome is Outcome.BROKEN) is not possible


def test_a_hundred_thousand_operations_take_less_than_a_second() -> None:
    """The check is linear: ten concurrent clients on ten keys, judged in well under a second of CPU time."""
    choose = random.Random(1)
    operations, states = [], {f"k{number}": (None, 0) for number in range(10)}
    for point in range(100_000):
        action, key = choose.choice([READ, WRITE]), choose.choice(list(states))
        if action == WRITE:
            states[key] = (f"v{point}", point + 1)  # type: ignore[assignment]
        value, index = states[key]
        start, end = 10 * point - choose.randrange(50), 10 * point + choose.randrange(1, 50)
        operations.append(operation(action, start + 50, end + 50, key=key, value=value, index=index))
    history = history_of(operations)
    before = time.process_time()
    assert linearizable(history).outcome is Outcome.OK
    assert time.process_time() - before < 1


def test_an_acknowledged_write_that_is_gone_is_lost() -> None:
    """A final read that shows an older index, or nothing, loses each later write that was acknowledged."""
    older = lost_writes(history_of([*GOOD, operation(READ, 60, 70, value="a", index=5)]))
    assert (older.outcome, older.numbers["lost"]) == (Outcome.BROKEN, 1)
    assert "acknowledged, then gone: write of 'b' at index 8" in older.evidence
    nothing = lost_writes(history_of([*GOOD, operation(READ, 60, 70, value=None, index=0)]))
    assert (nothing.outcome, nothing.numbers["lost"]) == (Outcome.BROKEN, 2)


def test_an_acknowledged_write_replaced_at_its_index_is_lost() -> None:
    """Another value in the place of the acknowledged one means that the log was rewritten."""
    read = operation(READ, 60, 70, value="x", index=8)
    assert lost_writes(history_of([*GOOD[:2], read])).outcome is Outcome.BROKEN


def test_an_overwritten_write_is_not_lost() -> None:
    """A later write, even one of unknown outcome, may take its place."""
    unknown = operation(WRITE, 51, inf, value="u")
    read = operation(READ, 60, 70, value="u", index=9)
    verdict = lost_writes(history_of([*GOOD, unknown, read]))
    assert (verdict.outcome, verdict.numbers["lost"]) == (Outcome.OK, 0)


@pytest.mark.parametrize(
    ("operations", "why"),
    [
        ([], "no write succeeded"),
        (GOOD[:2], "key k: not read after its last acknowledged write"),
        (
            [*GOOD[:2], operation(READ, 25, 50, value="b", index=8)],
            "not read after its last acknowledged write",
        ),
        ([*GOOD, operation(WRITE, 60, 70, value="c")], "an answer came without its index"),
    ],
    ids=["empty", "no read", "read too early", "no index"],
)
def test_writes_that_were_not_read_back_are_not_passed(operations: list[Operation], why: str) -> None:
    """Whether a write is lost is unknown until a read that began after it has answered."""
    verdict = lost_writes(history_of(operations))
    assert verdict.outcome is Outcome.COULD_NOT_TELL
    assert why in verdict.evidence


def stale(start: int, end: int, index: int, target: str = "server1", key: str = "k") -> Operation:
    """Return a `?stale` read."""
    return operation(STALE_READ, start, end, value=f"v{index}", index=index, target=target, key=key)


def test_stale_reads_that_go_back_on_one_server_are_found() -> None:
    """Old answers are allowed, older ones than before are not."""
    verdict = stale_reads_advance(history_of([stale(0, 1, 5), stale(2, 3, 5), stale(4, 5, 4)]))
    assert (verdict.outcome, verdict.numbers["violations"]) == (Outcome.BROKEN, 1)
    assert "stale read of 'v4' at index 4" in verdict.evidence


def test_servers_may_lag_behind_each_other() -> None:
    """Each server is held to its own past of each key only, and reads under way together to nothing."""
    reads = [
        stale(0, 1, 5),
        stale(2, 3, 4, "server2"),
        stale(4, 9, 7),
        stale(5, 8, 6),
        stale(10, 11, 2, key="j"),
    ]
    assert stale_reads_advance(history_of(reads)).outcome is Outcome.OK


def test_a_restart_lets_a_server_begin_anew() -> None:
    """Until it has recovered it may answer anything; within one life, or after a mere pause, it may not."""
    reads = [stale(0, 1, 5), stale(11, 12, 6), stale(30, 31, 4), stale(41, 42, 3)]
    kill = Fault("kill -9", ("server1",), restarts=True, injected=10, seen=20, healed=25, recovered=40)
    assert stale_reads_advance(history_of(reads, [kill])).outcome is Outcome.OK
    assert stale_reads_advance(history_of(reads, [replace(kill, recovered=None)])).outcome is Outcome.OK
    assert stale_reads_advance(history_of(reads, [replace(kill, restarts=False)])).outcome is Outcome.BROKEN
    assert (
        stale_reads_advance(history_of(reads, [replace(kill, targets=("server2",))])).outcome
        is Outcome.BROKEN
    )
    for back in (stale(43, 44, 2), stale(8, 9, 4)):
        assert stale_reads_advance(history_of([*reads, back], [kill])).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("operations", "why"),
    [([], "no stale read succeeded"), ([operation(STALE_READ, 0, 1)], "an answer came without its index")],
    ids=["empty", "no index"],
)
def test_stale_reads_that_cannot_be_judged_are_not_passed(operations: list[Operation], why: str) -> None:
    """Without an indexed answer nobody can tell."""
    verdict = stale_reads_advance(history_of(operations))
    assert verdict.outcome is Outcome.COULD_NOT_TELL
    assert why in verdict.evidence
