"""Unavailability: what counts as one, how long it was, and when nobody can tell."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.checks import Gap, Outcome, gaps, unavailability
from lab.history import FAIL, OK, READ, SECOND, UNKNOWN, WRITE, Fault, History, Operation
from tests.lab.simulated import history_of, operation

if TYPE_CHECKING:
    from collections.abc import Container

MS = SECOND // 1000


def steady(count: int, down: Container[int] = ()) -> list[Operation]:
    """Return a write every 100 ms that is answered after 10 ms; those with a number in `down` fail."""
    return [
        operation(WRITE, at * 100 * MS, (at * 100 + 10) * MS, result=FAIL if at in down else OK)
        for at in range(count)
    ]


def test_an_outage_lasts_from_the_last_good_answer_to_the_next() -> None:
    """Failures in between do not end it; the number is given whether it passes or not, and the fault."""
    kill = Fault(
        "kill -9", ("server1",), restarts=True, injected=1050 * MS, seen=None, healed=None, recovered=None
    )
    history = history_of(steady(40, down={11, 12, 13, 14, 15, 30}), [kill])
    verdict = unavailability(history, WRITE, allowed=1)
    assert verdict.outcome is Outcome.OK
    assert verdict.evidence == (
        "0.600 s without a good answer, 1.010 s to 1.610 s (5 failed, 0 unknown)"
        " during kill -9 of server1 at 1.050 s"
    )
    assert verdict.numbers == {
        "ok": 34,
        "fail": 6,
        "unknown": 0,
        "longest_s": 0.6,
        "proven_s": 0.51,
        "allowed_s": 1,
    }


@given(first=st.integers(1, 40), length=st.integers(1, 40))
def test_an_outage_too_long_is_found(first: int, length: int) -> None:
    """Wherever it lies; what is measured is its length and at most one period of the load more."""
    history = history_of(steady(100, down=range(first, first + length)))
    verdict = unavailability(history, WRITE, allowed=0.1 * length - 0.05)
    assert verdict.outcome is Outcome.BROKEN
    assert 0.1 * length <= verdict.numbers["longest_s"] <= 0.1 * (length + 1) + 1e-9


def test_a_time_within_the_period_of_the_load_is_not_judged() -> None:
    """Between two questions the service may have been there: too long only by that is no proof."""
    history = history_of(steady(40, down=range(11, 16)))
    verdict = unavailability(history, WRITE, allowed=0.55)
    assert verdict.outcome is Outcome.COULD_NOT_TELL
    assert verdict.evidence.endswith("but for 0.090 s of it nobody asked")


def test_a_load_that_paused_proves_nothing() -> None:
    """Ten seconds without a question are the load's fault, not an outage."""
    resumed = [replace(it, start=it.start + 10 * SECOND, end=it.end + 10 * SECOND) for it in steady(10)]
    verdict = unavailability(history_of([*steady(10), *resumed]), WRITE, allowed=5)
    assert verdict.outcome is Outcome.COULD_NOT_TELL
    assert verdict.numbers["proven_s"] < 0.2


def test_a_pause_does_not_hide_an_outage() -> None:
    """The longest gap may be the load's own, a shorter one still breaks the promise."""
    resumed = [replace(it, start=it.start + 20 * SECOND, end=it.end + 20 * SECOND) for it in steady(10)]
    verdict = unavailability(history_of([*steady(90, down=range(20, 80)), *resumed]), WRITE, allowed=5)
    assert verdict.outcome is Outcome.BROKEN
    assert verdict.numbers["longest_s"] > 10
    assert verdict.evidence.startswith("6.100 s without a good answer")


@pytest.mark.parametrize("end", [9 * SECOND, inf], ids=["timed out", "never ended"])
def test_a_write_without_an_answer_is_no_good_answer(end: float) -> None:
    """It was being asked all the while, so nothing of the gap is silence."""
    hung = operation(WRITE, SECOND + MS, end, result=UNKNOWN)
    back = operation(WRITE, 8 * SECOND, 8 * SECOND + MS)
    verdict = unavailability(history_of([*steady(10), hung, back]), WRITE, allowed=5)
    assert verdict.outcome is Outcome.BROKEN
    assert verdict.evidence == "7.091 s without a good answer, 0.910 s to 8.001 s (0 failed, 1 unknown)"


def test_a_held_write_is_an_outage_until_it_is_answered() -> None:
    """A request that the servers hold during an election ends well, but until then nobody got an answer."""
    held = operation(WRITE, SECOND, 7 * SECOND)
    assert unavailability(history_of([*steady(10), held]), WRITE, allowed=5).outcome is Outcome.BROKEN


def test_an_outage_before_the_first_answer_counts() -> None:
    """The first stretch begins with the first question."""
    verdict = unavailability(history_of(steady(100, down=range(60))), WRITE, allowed=5)
    assert (verdict.outcome, verdict.numbers["longest_s"]) == (Outcome.BROKEN, 6.01)


def test_an_outage_still_open_at_the_end_is_not_passed() -> None:
    """It may have lasted longer than was asked; what is seen of it can still be too long."""
    history = history_of(steady(40, down=range(20, 40)))
    short = unavailability(history, WRITE, allowed=5)
    assert short.outcome is Outcome.COULD_NOT_TELL
    assert short.evidence.endswith("it was still open at the end")
    assert unavailability(history, WRITE, allowed=1).outcome is Outcome.BROKEN


def test_a_write_that_hangs_when_the_load_ends_opens_no_gap() -> None:
    """What was asked last and never answered, or much later, says nothing of the time after the load."""
    for end in (60 * SECOND, inf):
        hung = operation(WRITE, SECOND, end, result=UNKNOWN)
        verdict = unavailability(history_of([*steady(10), hung]), WRITE, allowed=0.5)
        assert (verdict.outcome, verdict.numbers["longest_s"]) == (Outcome.OK, 0.1)


def test_one_failure_at_the_end_is_no_open_outage() -> None:
    """One of three servers is down and the last question went there: the longest gap lies elsewhere."""
    operations = [replace(it, result=FAIL) if at % 3 == 2 else it for at, it in enumerate(steady(30))]
    assert unavailability(history_of(operations), WRITE, allowed=1).outcome is Outcome.OK


def test_only_what_was_asked_for_counts() -> None:
    """Reads do not fill a gap in the writes, nor do other servers when one is named."""
    writes = steady(100, down=range(20, 80))
    reads = [replace(it, action=READ, target="server2", result=OK) for it in writes]
    history = history_of([*writes, *reads])
    assert unavailability(history, WRITE, allowed=5).outcome is Outcome.BROKEN
    assert unavailability(history, READ, allowed=5).outcome is Outcome.OK
    mixed = history_of([*writes, *(replace(it, action=WRITE) for it in reads)])
    assert unavailability(mixed, WRITE, allowed=5).outcome is Outcome.OK
    assert unavailability(mixed, WRITE, allowed=5, targets=["server1"]).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    "history", [History(), history_of(steady(50, down=range(50)))], ids=["empty", "all failed"]
)
def test_availability_needs_one_good_answer(history: History) -> None:
    """Without any, the load may never have reached the service at all."""
    verdict = unavailability(history, WRITE, allowed=60)
    assert (verdict.outcome, verdict.evidence) == (Outcome.COULD_NOT_TELL, "no write succeeded")


@given(
    operations=st.lists(
        st.builds(
            lambda start, length, result: operation(WRITE, start, start + length, result=result),
            st.integers(0, 50),
            st.integers(1, 5) | st.just(inf),
            st.sampled_from([OK, FAIL, UNKNOWN]),
        ).filter(lambda it: it.end < inf or it.result is not OK),
        min_size=5,
    )
)
@settings(max_examples=300)
def test_gaps_tile_the_time_of_the_load(operations: list[Operation]) -> None:
    """No time is lost or counted twice, and each gap's silence is the longest that counting finds."""
    found = gaps(operations)
    assert bool(found) is any(it.result is OK for it in operations)
    for gap, after in pairwise(found):
        assert gap.end == after.start
    for gap in found:
        assert gap.length >= 0
        runs = "".join(
            "x" if any(it.start <= now < it.end for it in operations) else "."
            for now in range(gap.start, gap.end)
        )
        assert gap.silence == max(map(len, runs.split("x")))


def test_a_gap_knows_its_certain_part() -> None:
    """What is proven of a gap is its length without the longest silence."""
    assert (Gap(10, 40, 12).length, Gap(10, 40, 12).proven) == (30, 18)
