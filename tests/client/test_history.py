"""The history of a run: what is entered, how processes' parts become one, that lab.checks can judge it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import checks
from lab.history import load
from tests.client import behaviours as b
from tools.client.accounts import Outcome
from tools.client.history import History, merge
from tools.client.options import Options
from tools.client.run import run
from tools.client.stop import Stop

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("procs", [1, 2])
def test_history_is_judged(tmp_path: Path, procs: int) -> None:
    """What lab.checks reads in a history, by itself or of several processes, is what the run accounts for."""
    path = tmp_path / "history"
    with b.Server(b.echo, b.echo, b.reset_after_echo, b.altered, b.reset_after_ping, b.echo) as server:
        options = Options(b.HOST, server.port, churn=True, count=20, concurrency=2, procs=procs, history=path)
        accounts = run(options, Stop(), lambda _: None).result.accounts
    classes = {str(outcome): accounts.of(outcome) for outcome in Outcome if accounts.of(outcome)}
    judged = checks.tally(load(path), "open")

    assert accounts.lost == 2
    assert judged == classes
    assert checks.accounts(accounts.total, judged, own=(Outcome.LOCAL_ERROR,)).outcome == "broken"


def test_history_of_a_good_run_is_judged_ok(port: int, tmp_path: Path) -> None:
    """Held connections, their pings and the opens are each an availability without a gap, and all are ok."""
    path = tmp_path / "history"
    options = Options(b.HOST, port, connections=3, interval=0.1, duration=0.5, history=path)
    total = run(options, Stop(), lambda _: None).result.accounts.total
    history = load(path)

    assert checks.accounts(total, checks.tally(history, "hold")).outcome == "ok"
    assert checks.unavailability(history, "ping", allowed=2).outcome == "ok"


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a history."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@settings(max_examples=30)
@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12), min_size=1, max_size=4))
def test_merged_history(
    tmp_path_factory: pytest.TempPathFactory, shares: list[list[tuple[int, bool]]]
) -> None:
    """The histories of processes become one: in the order of time, each end with its own begin's number."""
    folder = tmp_path_factory.mktemp("history")
    parts = [folder / f"part.{process}" for process in range(len(shares))]
    for process, (path, share) in enumerate(zip(parts, shares, strict=True)):
        history, now = History(path, process), 0
        for number, (took, well) in enumerate(share):
            history.invoke(now, "open", number)
            now += took
            if well:
                history.ok(now, "open", number)
            else:
                history.end(now, number, Outcome.REFUSED)
        history.close()
    merge(folder / "whole", parts)
    records = read(folder / "whole")
    begun = {record["number"]: record for record in records if record["record"] == "invoke"}
    ended = {record["number"]: record for record in records if record["record"] == "completion"}

    assert [record["time"] for record in records] == sorted(record["time"] for record in records)
    assert list(begun) == sorted(begun) == sorted(ended)
    for number, record in begun.items():
        process, connection = map(int, record["key"].split("."))
        took, well = shares[process][connection]
        assert ended[number]["time"] - record["time"] == took
        assert ended[number]["result"] == ("ok" if well else "fail")


def test_history_of_a_killed_process(tmp_path: Path) -> None:
    """A line that a killed process did not finish is left out of the merged history."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for process, path in enumerate((whole, cut)):
        history = History(path, process)
        history.invoke(1, "open", 7)
        history.ok(2, "open", 7)
        history.close()
    cut.write_text(cut.read_text()[:-9])
    merge(tmp_path / "merged", [whole, cut])

    assert [record["time"] for record in read(tmp_path / "merged")] == [1, 1, 2]


def test_lost_connection_ends_all_that_is_under_way(tmp_path: Path) -> None:
    """When a held connection is lost, its ping and its hold end as unknown, with the class."""
    history = History(tmp_path / "history", 0)
    history.invoke(1, "open", 7)
    history.ok(2, "open", 7)
    history.invoke(2, "hold", 7)
    history.invoke(3, "ping", 7)
    history.end(4, 7, Outcome.RESET_AFTER_DATA)
    history.close()
    ends = [record for record in read(tmp_path / "history") if record["time"] == 4]

    assert [(end["number"], end["result"], end["error"]) for end in ends] == [
        (3, "unknown", "reset_after_data"),
        (2, "unknown", "reset_after_data"),
    ]
