"""The history keeps order, pairs what belongs together and survives a file."""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.history import (
    FAIL,
    NO_INDEX,
    OK,
    READ,
    UNKNOWN,
    WRITE,
    Fault,
    History,
    HistoryError,
    Invoke,
    Operation,
    Stage,
    load,
    merge,
)
from tests.lab.simulated import history_of, operation, registers

if TYPE_CHECKING:
    from pathlib import Path


def test_pairs_each_end_with_its_beginning() -> None:
    """Completions name their invocation, so operations may overlap and end in any order."""
    history = History(clock=iter(range(0, 100, 10)).__next__)
    write, read, late = (
        history.invoke(WRITE, "k", "a", "server1"),
        history.invoke(READ, "k", target="server2"),
        history.invoke(WRITE, "k", "b"),
    )
    history.ok(read, value=None, index=0)
    history.unknown(late, "timed out")
    history.ok(write, index=7)
    assert (write, read, late, history.invoke("later")) == (1, 2, 3, 4)
    assert history.operations() == [
        Operation(WRITE, "k", "a", "server1", 0, 50, OK, 7, ""),
        Operation(READ, "k", None, "server2", 10, 30, OK, 0, ""),
        Operation(WRITE, "k", "b", "", 20, 40, UNKNOWN, NO_INDEX, "timed out"),
        Operation("later", "", None, "", 60, inf, UNKNOWN, NO_INDEX, ""),
    ]


def test_an_operation_that_never_ended_is_unknown() -> None:
    """Nobody can tell what became of it; its end is never."""
    history = History()
    history.invoke(WRITE, "k", "a")
    (only,) = history.operations()
    assert (only.result, only.end) == (UNKNOWN, inf)


def test_a_refused_operation_is_a_failure_with_its_error() -> None:
    """A failure keeps the error that says why it certainly did not happen."""
    history = History()
    history.fail(history.invoke(WRITE, "k", "a"), "connection refused")
    (only,) = history.operations()
    assert (only.result, only.error) == (FAIL, "connection refused")


def test_a_fault_collects_its_stages() -> None:
    """Each stage of a fault has the time at which it was marked, or None."""
    history = History(clock=iter(range(10)).__next__)
    kill = history.inject("kill -9", ["server1"], restarts=True)
    history.inject("no-op")
    history.mark(kill, Stage.SEEN)
    history.mark(kill, Stage.HEALED)
    assert history.faults() == [
        Fault("kill -9", ("server1",), restarts=True, injected=0, seen=2, healed=3, recovered=None),
        Fault("no-op", (), restarts=False, injected=1, seen=None, healed=None, recovered=None),
    ]


def test_threads_append_in_the_order_of_the_clock() -> None:
    """Reading the clock and appending are one step: no record is ever older than the one before it."""
    history = History()

    def load_on(key: str) -> None:
        for value in range(500):
            history.ok(history.invoke(WRITE, key, str(value)), index=value)

    threads = [threading.Thread(target=load_on, args=(f"k{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = [record.time for record in history.records]
    assert times == sorted(times)
    assert len({record.number for record in history.records if isinstance(record, Invoke)}) == 4000
    assert all(it.result is OK for it in history.operations())


def test_refuses_an_end_without_a_beginning() -> None:
    """A completion of what is not under way would pair wrongly: an error at once, and so is a second one."""
    history = History()
    with pytest.raises(HistoryError, match="no operation 1 is under way"):
        history.ok(1)
    write = history.invoke(WRITE, "k", "a")
    history.ok(write)
    with pytest.raises(HistoryError, match="no operation 1 is under way"):
        history.unknown(write, "late")


def test_refuses_a_stage_without_its_fault() -> None:
    """A fault must be injected before it is seen, and comes to each stage once."""
    history = History()
    with pytest.raises(HistoryError, match="no fault 1 that could come to seen"):
        history.mark(1, Stage.SEEN)
    fault = history.inject("kill -9", ["server1"])
    with pytest.raises(HistoryError, match="no fault 1 that could come to injected"):
        history.mark(fault, Stage.INJECTED)
    history.mark(fault, Stage.SEEN)
    with pytest.raises(HistoryError, match="no fault 1 that could come to seen"):
        history.mark(fault, Stage.SEEN)


def test_refuses_a_clock_that_goes_back() -> None:
    """Times out of order would make every judgement on them worthless."""
    history = History(clock=iter([5, 4]).__next__)
    history.invoke(READ, "k")
    with pytest.raises(HistoryError, match="the clock went back from 5 ns"):
        history.invoke(READ, "k")


def test_refuses_a_number_given_twice() -> None:
    """Two operations of one number could not be told apart."""
    with pytest.raises(HistoryError, match="number 1 was given before"):
        History([Invoke(0, 1, READ), Invoke(1, 1, READ)])


@given(operations=registers(), healed=st.none() | st.integers(6, 9))
def test_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory, operations: list[Operation], healed: int | None
) -> None:
    """What is loaded equals what was saved, record by record."""
    fault = Fault(
        "kill -9", ("server1", "server2"), restarts=True, injected=5, seen=5, healed=healed, recovered=None
    )
    history = history_of(operations, [fault])
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    history.save(path)
    assert load(path).records == history.records
    assert load(path).faults() == [fault]


def test_a_line_says_what_is_to_be_said(tmp_path: Path) -> None:
    """One JSON object a record, without the fields that have nothing to say: people read and grep it."""
    history = History(clock=iter(range(10)).__next__)
    history.ok(history.invoke(READ, "k", target="server1"), "a", 7)
    history.mark(history.inject("kill -9", ["server1"]), Stage.SEEN)
    history.save(tmp_path / "history.jsonl")
    assert (tmp_path / "history.jsonl").read_text().splitlines() == [
        '{"record": "invoke", "time": 0, "number": 1, "action": "read", "key": "k", "target": "server1"}',
        '{"record": "completion", "time": 1, "number": 1, "result": "ok", "value": "a", "index": 7}',
        '{"record": "injection", "time": 2, "number": 2, "name": "kill -9", "targets": ["server1"]}',
        '{"record": "mark", "time": 3, "number": 2, "stage": "seen"}',
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"record": "invoke", "time": 1, "num', "Unterminated string"),
        ("[]", "no record"),
        ('{"record": "nemesis", "time": 1, "number": 2}', "no record"),
        ('{"record": "invoke", "time": 1, "number": 2}', "missing 1 required"),
        ('{"record": "invoke", "time": "1", "number": 2, "action": "read"}', "time: '1'"),
        ('{"record": "invoke", "time": 1, "number": 2, "action": "read", "hue": "red"}', "hue: 'red'"),
        ('{"record": "completion", "time": 1, "number": 1, "result": "maybe"}', "not a valid Result"),
        ('{"record": "completion", "time": 1, "number": 2, "result": "ok"}', "no operation 2"),
        ('{"record": "injection", "time": 1, "number": 2, "name": "cut", "targets": "a"}', "targets: 'a'"),
        ('{"record": "invoke", "time": 1, "number": 2, "action": "\udcff"}', "can't decode byte"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path: Path, line: str, reason: str) -> None:
    """A history that was cut off or tampered with is no evidence: the error names file, line and reason."""
    path = tmp_path / "history.jsonl"
    good = '{"record": "invoke", "time": 0, "number": 1, "action": "read"}\n'
    path.write_bytes(good.encode() + line.encode(errors="surrogateescape"))
    with pytest.raises(HistoryError, match=rf"history.jsonl:2: .*{reason}"):
        load(path)


def test_merges_what_several_recorded_on_one_clock() -> None:
    """The load's own history and the faults' become one, in order of time, and every pair stays a pair."""
    load_side = history_of(
        [operation(WRITE, 1, 4, value="a", index=7), operation(READ, 2, 9, value="a", index=7)]
    )
    kill = Fault("kill -9", ("server1",), restarts=True, injected=3, seen=5, healed=6, recovered=8)
    merged = merge(load_side, history_of([], [kill]))
    assert merged.operations() == load_side.operations()
    assert merged.faults() == [kill]
    assert [record.time for record in merged.records] == [1, 2, 3, 4, 5, 6, 8, 9]
