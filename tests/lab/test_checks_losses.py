"""Lost writes and stale reads: correct histories pass, every loss and every step back is found."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import Outcome, linearizable, lost_writes, stale_reads_advance
from lab.history import FAIL, KEPT, OK, READ, STALE_READ, WRITE, Fault, Operation
from tests.lab.simulated import GOOD, history_of, operation, registers


def look(*values: str, start: int = 60) -> Operation:
    """Return a look at the marks at the end."""
    return operation(KEPT, start, start + 10, value=" ".join(values), index=0)


def test_an_acknowledged_write_without_its_mark_is_lost() -> None:
    """Each is looked for by itself: what came after a lost write does not hide it."""
    first = lost_writes(history_of([*GOOD, look("b")]))
    assert (first.outcome, first.numbers["lost"]) == (Outcome.BROKEN, 1)
    assert "acknowledged, then gone: write of 'a' at index 5" in first.evidence
    nothing = lost_writes(history_of([*GOOD, look()]))
    assert (nothing.outcome, nothing.numbers["lost"]) == (Outcome.BROKEN, 2)


def test_an_unknown_write_may_have_left_a_mark_or_none() -> None:
    """Only what was acknowledged must be there."""
    unknown = operation(WRITE, 51, inf, value="u")
    for marks in (["a", "b"], ["a", "b", "u"]):
        verdict = lost_writes(history_of([*GOOD, unknown, look(*marks)]))
        assert (verdict.outcome, verdict.numbers["lost"]) == (Outcome.OK, 0)


@pytest.mark.parametrize(
    ("operations", "why"),
    [
        ([], "no write succeeded"),
        (GOOD, "key k: nobody looked for its marks"),
        ([*GOOD, look("a", "b", start=25)], "nobody looked for its marks after its last acknowledged write"),
        (
            [*GOOD, replace(look("a", "b"), result=FAIL)],
            "nobody looked for its marks after its last acknowledged write",
        ),
        (
            [*GOOD, operation(WRITE, 52, 55, value="c"), look("a", "b", "c")],
            "an answer came without its index",
        ),
    ],
    ids=["empty", "no look", "too early", "no answer", "no index"],
)
def test_writes_that_nobody_looked_for_are_not_passed(operations: list[Operation], why: str) -> None:
    """Whether a write is lost is unknown until a look at the marks that began after it was answered."""
    verdict = lost_writes(history_of(operations))
    assert verdict.outcome is Outcome.COULD_NOT_TELL
    assert why in verdict.evidence


def acknowledged(operations: list[Operation]) -> list[Operation]:
    """Return the writes that were."""
    return [it for it in operations if it.action == WRITE and it.result is OK]


@given(operations=registers(least=6).filter(acknowledged), data=st.data())
def test_of_any_history_each_loss_and_no_other_is_found(
    operations: list[Operation], data: st.DataObject
) -> None:
    """All marks there: nothing is lost. Any that lack: they are, however the register went on."""
    written = acknowledged(operations)
    gone = data.draw(st.sets(st.sampled_from([it.value for it in written])))
    looks = [
        replace(look(*(it.value or "" for it in written if it.key == key and it.value not in gone)), key=key)
        for key in ("j", "k")
    ]
    verdict = lost_writes(history_of([*operations, *looks]))
    assert verdict.numbers["lost"] == len(gone)
    assert verdict.outcome is (Outcome.BROKEN if gone else Outcome.OK)


@given(operations=registers(least=6).filter(acknowledged), data=st.data())
def test_a_step_back_after_any_correct_history_is_found(
    operations: list[Operation], data: st.DataObject
) -> None:
    """A last read that shows any state before the last acknowledged write is not linearizable."""
    written = acknowledged(operations)
    last = max(written, key=attrgetter("index"))
    older = [it for it in operations if it.key == last.key and it.result is OK and it.index < last.index]
    shown = data.draw(st.sampled_from([operation(READ, 0, 1, index=0), *older]))
    final = operation(READ, 100, 101, key=last.key, value=shown.value, index=shown.index)
    assert linearizable(history_of([*operations, final])).outcome is Outcome.BROKEN


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


@given(data=st.data())
def test_servers_that_only_advance_are_never_blamed_and_a_step_back_is_found(data: st.DataObject) -> None:
    """Each server applies writes at its own pace under concurrent reads; the older answer is planted."""
    applied = {"server1": 1, "server2": 1}
    reads = []
    for moment in range(data.draw(st.integers(1, 15))):
        server = data.draw(st.sampled_from(sorted(applied)))
        applied[server] += data.draw(st.integers(0, 3))
        start, end = (
            10 * moment + 40 - data.draw(st.integers(0, 40)),
            10 * moment + 41 + data.draw(st.integers(0, 40)),
        )
        reads.append(stale(start, end, applied[server], server))
    assert stale_reads_advance(history_of(reads)).outcome is Outcome.OK
    seen = max(it.index for it in reads if it.target == reads[0].target)
    back = stale(300, 301, seen - 1, reads[0].target)
    assert stale_reads_advance(history_of([*reads, back])).outcome is Outcome.BROKEN
