"""A snapshot that is the store of one moment passes; every hole, and everything foreign in it, is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lab.checks import Outcome, Verdict, consistent_cut
from lab.history import FAIL, NO_INDEX, OK, UNKNOWN, WRITE, Operation
from tests.lab.simulated import history_of, operation

SNAPSHOT = operation("snapshot", 40, 50)


def write(key: str, start: int, end: float, index: int, **more: object) -> Operation:
    """Return the write of a key, whose value is "v" and the key."""
    return replace(operation(WRITE, start, end, key=key, value=f"v{key}", index=index), **more)  # type: ignore[arg-type]


# Written one after another; the snapshot is taken while c and d are under way.
WRITES = (
    write("a", 0, 10, 5),
    write("b", 20, 30, 6),
    write("c", 38, 45, 8),
    write("d", 46, 55, 9),
    write("e", 60, 70, 10),
)


def judged(writes: tuple[Operation, ...], *found: str) -> Verdict:
    """Return the verdict on a snapshot in which these keys are."""
    return consistent_cut(history_of(writes), SNAPSHOT, {key: f"v{key}" for key in found})


@pytest.mark.parametrize("found", ["ab", "abc", "abcd"])
def test_every_moment_while_it_was_taken_will_do(found: str) -> None:
    """What was under way may be in it or not."""
    verdict = judged(WRITES, *found)
    assert verdict.outcome is Outcome.OK
    assert verdict.numbers == {"written": 5, "found": len(found), "during": 2, "violations": 0}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ("a", "acknowledged before, and not in it: write of 'vb' at index 6"),
        ("abd", "a later one, at index 9, is in it, but not: write of 'vc' at index 8"),
        ("abcde", "it was written later: write of 've'"),
        ("abx", "nobody wrote x = 'vx'"),
    ],
)
def test_what_no_moment_held_is_found(found: str, why: str) -> None:
    """Too old, with a hole, too new, invented."""
    verdict = judged(WRITES, *found)
    assert verdict.outcome is Outcome.BROKEN
    assert why in verdict.evidence


def test_another_value_is_foreign() -> None:
    """A key whose value nobody wrote is no better than a key that nobody wrote."""
    verdict = consistent_cut(history_of(WRITES), SNAPSHOT, {"a": "va", "b": "va"})
    assert "nobody wrote b = 'va'" in verdict.evidence


def test_a_write_that_failed_is_foreign() -> None:
    """It certainly never happened."""
    failed = write("f", 12, 14, NO_INDEX, result=FAIL)
    assert judged((*WRITES, failed), "a", "b", "f").outcome is Outcome.BROKEN
    assert judged((*WRITES, failed), "a", "b").outcome is Outcome.OK


@pytest.mark.parametrize("found", ["ab", "abu"])
def test_a_write_of_unknown_outcome_may_be_there(found: str) -> None:
    """Nobody can tell whether it happened."""
    unknown = write("u", 12, inf, NO_INDEX, result=UNKNOWN)
    assert judged((*WRITES, unknown), *found).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("writes", "found", "why"),
    [
        ((), "", "it holds no write that was acknowledged"),
        (WRITES[2:], "", "it holds no write that was acknowledged"),
        (WRITES[:3], "abc", "every acknowledged write is in it"),
        ((*WRITES[:2], WRITES[4]), "ab", "nothing was being written while it was taken"),
        ((*WRITES, WRITES[0]), "ab", "a was written 2 times"),
        ((*WRITES, write("f", 41, 42, NO_INDEX)), "ab", "an answer came without its index"),
    ],
)
def test_a_snapshot_of_a_store_at_rest_proves_nothing(
    writes: tuple[Operation, ...], found: str, why: str
) -> None:
    """Without writes before, while and after it is taken nobody can tell."""
    verdict = judged(writes, *found)
    assert verdict.outcome is Outcome.COULD_NOT_TELL
    assert why in verdict.evidence


@dataclass(frozen=True)
class Written:
    """A load of single writes, and what the store held at one moment of the snapshot."""

    writes: list[Operation]
    found: dict[str, str]


@st.composite
def loads(draw: st.DrawFn) -> Written:
    """Return what concurrent writers did and the state at a moment while the snapshot was taken."""
    moment = draw(st.integers(SNAPSHOT.start, int(SNAPSHOT.end)))
    effects = draw(st.lists(st.integers(1, 99), min_size=4, max_size=14, unique=True))
    writes, found = [], {}
    for index, effect in enumerate(sorted(effects), 1):
        result = draw(st.sampled_from([OK, OK, OK, OK, UNKNOWN, FAIL]))
        start, end = effect - draw(st.integers(0, 12)), effect + draw(st.integers(0, 12))
        shown = index if result is OK else NO_INDEX
        writes.append(
            write(str(index), max(0, start), inf if result is UNKNOWN else end, shown, result=result)
        )
        if effect <= moment and result is not FAIL:
            found[str(index)] = f"v{index}"
    return Written(writes, found)


def outcome(written: Written, found: dict[str, str]) -> Outcome:
    """Return the verdict on `found` in one word."""
    return consistent_cut(history_of(written.writes), SNAPSHOT, found).outcome


@given(written=loads())
def test_what_one_moment_held_is_never_broken(written: Written) -> None:
    """Whatever was written, and whenever the moment was."""
    assert outcome(written, written.found) is not Outcome.BROKEN


@given(written=loads(), data=st.data())
def test_every_hole_is_found(written: Written, data: st.DataObject) -> None:
    """Any acknowledged write but the newest taken out of the snapshot, or any but the oldest put into it."""
    acknowledged = [it for it in written.writes if it.result is OK]
    inside = [it.key for it in acknowledged if it.key in written.found]
    outside = [it.key for it in acknowledged if it.key not in written.found]
    assume(len(inside) > 1 or len(outside) > 1)
    changed = dict(written.found)
    if len(inside) > 1:
        del changed[data.draw(st.sampled_from(inside[:-1]))]
    else:
        key = data.draw(st.sampled_from(outside[1:]))
        changed[key] = f"v{key}"
    assert outcome(written, changed) is Outcome.BROKEN


@given(written=loads(), data=st.data())
def test_everything_foreign_is_found(written: Written, data: st.DataObject) -> None:
    """A key that nobody wrote, or a value, or what was written too late or never."""
    never = [it.key for it in written.writes if it.result is FAIL or it.start > SNAPSHOT.end]
    key = data.draw(st.sampled_from(["x", *never, *written.found]))
    value = "x" if key in written.found else f"v{key}"
    assert outcome(written, {**written.found, key: value}) is Outcome.BROKEN
