"""The verdict of a run: an entry for each test, as JSON and as a table, with its numbers and its waits."""

from __future__ import annotations

import enum
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.proof import Measure

IDS = re.compile(r"((?:[A-Z]\d+)(?:, [A-Z]\d+)*): ")
SLOWEST = 10
STANDSTILL = 0.2  # seconds that are told beside a failure: what is held is a multiple of it
WIDTH = 58


class Outcome(enum.IntEnum):
    """What a run, or a test of it, says of the stack, the worst one last; the values are exit codes."""

    OK = 0
    BROKEN = 1
    UNKNOWN = 10


WORDS = {
    Outcome.OK: "OK: the stack keeps its promises",
    Outcome.BROKEN: "BROKEN: a promise is not kept",
    Outcome.UNKNOWN: "COULD NOT TELL: the lab failed, or nothing was tested, or not all was written down",
}
SHORT = {Outcome.OK: "ok", Outcome.BROKEN: "BROKEN", Outcome.UNKNOWN: "could not tell"}


@dataclass
class Entry:
    """One test: the promise in its docstring, which begins with the ids of scenarios, and what came of it.

    `not_run` says why it was not run, if so; `waits` are what it waited for and how long, in seconds;
    `standstill` is for how many seconds on end the suites themselves were not run by this machine.
    """

    test: str
    promise: str
    outcome: Outcome = Outcome.OK
    reason: str = ""
    not_run: str = ""
    seconds: float = 0.0
    measures: list[Measure] = field(default_factory=list)
    waits: list[tuple[str, float]] = field(default_factory=list)
    standstill: float = 0.0

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of the scenarios it proves."""
        found = IDS.match(self.promise)
        return tuple(found[1].split(", ")) if found else ()

    @property
    def word(self) -> str:
        """Return what came of it in a word or three."""
        return "not run" if self.not_run else SHORT[self.outcome]


def document(entries: Iterable[Entry], outcome: Outcome, facts: Mapping[str, object]) -> str:
    """Return the verdict as JSON: what the run was, and every test with its numbers beside their limits."""
    tests = [
        asdict(entry) | {"ids": entry.ids, "outcome": entry.word, "waits": _summed(entry.waits)}
        for entry in entries
    ]
    return json.dumps({"verdict": SHORT[outcome], **facts, "tests": tests}, indent=2, default=str)


def _summed(waits: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return what was waited for: how long in all, in seconds."""
    sums: dict[str, float] = defaultdict(float)
    for what, seconds in waits:
        sums[what] += seconds
    return dict(sums)


def save(folder: Path, text: str) -> None:
    """Write verdict.json into the run's folder, and let `latest` beside it lead there. Raises OSError."""
    (folder / "verdict.json").write_text(text)
    latest = folder.parent / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(folder.name)


def table(entries: Iterable[Entry]) -> list[str]:
    """Return a line for each scenario and each limit, and for whatever else is not ok."""
    lines = [f"{'id':6} {'promise':{WIDTH}} {'measured':>10} {'allowed':>10}  verdict"]
    for entry in sorted((it for it in entries if it.ids or it.not_run or it.reason), key=_by_id):
        ids = ",".join(entry.ids) or "-"
        promise = _cut(IDS.sub("", entry.promise, count=1))
        lines.append(f"{ids:6} {promise:{WIDTH}} {'':10} {'':10}  {entry.word}")
        lines += [_number(it, it.allowed) for it in entry.measures if it.allowed is not None]
        lines += [f"{'':6}   {why}" for why in (entry.not_run or entry.reason).splitlines()[:1]]
        if entry.reason and entry.standstill > STANDSTILL:
            lines.append(f"{'':6}   meanwhile this machine stood still for {entry.standstill:.1f} s")
    return lines


def _number(it: Measure, allowed: float) -> str:
    what = f"  {_cut(it.what, 2)}"
    return f"{'':6} {what:{WIDTH}} {it.value:>8.3g} {it.unit:1} {allowed:>8g} {it.unit:1}  {it.source}"


def slowest(entries: Iterable[Entry]) -> list[str]:
    """Return a line for each of the ten tests that took longest: how long, and what it waited for most."""
    lines = []
    for entry in sorted(entries, key=lambda it: -it.seconds)[:SLOWEST]:
        waits = sorted(entry.waits, key=lambda it: -it[1])[:3]
        told = ", ".join(f"{seconds:.1f} s for {what}" for what, seconds in waits if seconds > 0.1)
        lines.append(
            f"{entry.seconds:6.1f} s  {entry.test.removeprefix('suites/')}: {told or 'no long wait'}"
        )
    return lines


def _by_id(entry: Entry) -> tuple[str, int, str]:
    first = entry.ids[0] if entry.ids else "~0"
    return first[0], int(first[1:]), entry.test


def _cut(text: str, less: int = 0) -> str:
    return text if len(text) <= WIDTH - less else f"{text[: WIDTH - less - 3]}..."
