"""Linearizability: correct histories pass, every kind of violation is found, and a search agrees."""

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

from lab.checks import Outcome, linearizable
from lab.history import FAIL, NO_INDEX, OK, READ, UNKNOWN, WRITE, Operation
from tests.lab.simulated import GOOD, history_of, operation, orders_exist, registers


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
def test_a_correct_register_is_never_blamed(operations: list[Operation]) -> None:
    """What concurrent clients see of correct registers, failed and unknown writes too, is linearizable."""
    assert linearizable(history_of(operations)).outcome is not Outcome.BROKEN


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
@settings(max_examples=1000)
def test_agrees_with_the_search_on_any_history(operations: list[Operation]) -> None:
    """Broken exactly if no order of the operations exists that a register with rising indexes allows."""
    assert (linearizable(history_of(operations)).outcome is Outcome.BROKEN) is not orders_exist(operations)


@given(operations=registers(least=6), data=st.data())
@settings(max_examples=500)
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
