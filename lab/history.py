"""The history of one run: every operation and every fault, in order, on one monotonic clock.

Load and faults append records while they work; lab.checks judges and lab.timeline draws them afterwards.
An operation is *invoked* and ends *ok* (it happened), *fail* (it certainly did not and never will) or
*unknown* (it may have: a time-out, a lost connection, an error that does not say). One that never ended is
unknown, too. A fault is *injected*, has *struck*, is *seen*, *healing*, *healed* and *recovered*.
"""

from __future__ import annotations

import json
import threading
import time
import typing
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

WRITE = "write"
READ = "read"  # ?consistent
STALE_READ = "stale read"
KEPT = "kept"  # which writes of a key have left their mark, that nobody overwrites: their values, in one
LEADER = "leader"  # asks a server whether it is the leader: value "leader" if so, index the raft term
NO_INDEX = -1
SECOND = 1_000_000_000  # of nanoseconds


class HistoryError(Exception):
    """A record that cannot be: one sentence with the record, or the line, and what is wrong with it."""


class Result(StrEnum):
    """How an operation ended."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


OK, FAIL, UNKNOWN = Result  # bound once: Python 3.11 makes a call of each access through the class


class Stage(StrEnum):
    """What a fault has come to.

    INJECTED is when its injection begins, STRUCK when that is over; HEALING is when it begins to be undone,
    HEALED when that is over; SEEN and RECOVERED are observed from outside, not assumed.
    """

    INJECTED = "injected"
    STRUCK = "struck"
    SEEN = "seen"
    HEALING = "healing"
    HEALED = "healed"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Invoke:
    """An operation begins; `action` is a verb like WRITE, `target` the host or address that is asked."""

    time: int
    number: int
    action: str
    key: str = ""
    value: str | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """Operation `number` ends; `index` is Consul's ModifyIndex, 0 where a read found no such key."""

    time: int
    number: int
    result: Result
    value: str | None = None
    index: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault begins; `restarts` says that the targets' processes lose what they held in memory."""

    time: int
    number: int
    name: str
    targets: tuple[str, ...] = ()
    restarts: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Fault `number` comes to a later stage."""

    time: int
    number: int
    stage: Stage


Record = Invoke | Completion | Injection | Mark


@dataclass(slots=True)  # frozen, each would take three times as long to make
class Operation:
    """An invocation with its completion; times in nanoseconds, `end` is infinite when it never came.

    `value` is what was written or read (None: no such key); `index` is NO_INDEX when none was answered.
    """

    action: str
    key: str
    value: str | None
    target: str
    start: int
    end: float
    result: Result
    index: int
    error: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with the times, in nanoseconds, at which it came to each stage; None where it did not."""

    name: str
    targets: tuple[str, ...]
    restarts: bool
    injected: int
    seen: int | None
    healed: int | None
    recovered: int | None
    struck: int | None = None
    healing: int | None = None


class History:
    """An append-only list of records; any number of threads may append, the order is that of the clock."""

    def __init__(self, records: Iterable[Record] = (), clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Begin with `records`; `clock` returns nanoseconds and never goes back.

        Raises HistoryError when a record contradicts those before it; so does every method that appends.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._records: list[Record] = []
        self._numbers = 0
        self._running: set[int] = set()
        self._stages: dict[int, set[Stage]] = {}
        for record in records:
            self._append(record)

    @property
    def records(self) -> tuple[Record, ...]:
        """Return what was recorded so far, oldest first."""
        with self._lock:
            return tuple(self._records)

    def invoke(self, action: str, key: str = "", value: str | None = None, target: str = "") -> int:
        """Record that an operation begins; return the number under which its end is recorded."""
        with self._lock:
            number = self._numbers + 1
            self._append(Invoke(self._clock(), number, action, key, value, target))
            return number

    def ok(self, number: int, value: str | None = None, index: int | None = None) -> None:
        """Record that an operation happened, and the value and index that were answered."""
        with self._lock:
            self._append(Completion(self._clock(), number, OK, value, index))

    def fail(self, number: int, error: str) -> None:
        """Record that an operation certainly did not happen and never will."""
        with self._lock:
            self._append(Completion(self._clock(), number, FAIL, error=error))

    def unknown(self, number: int, error: str) -> None:
        """Record that nobody can tell whether an operation happened, or will."""
        with self._lock:
            self._append(Completion(self._clock(), number, UNKNOWN, error=error))

    def inject(self, name: str, targets: Iterable[str] = (), *, restarts: bool = False) -> int:
        """Record that a fault begins; return the number under which its later stages are recorded."""
        with self._lock:
            number = self._numbers + 1
            self._append(Injection(self._clock(), number, name, tuple(targets), restarts))
            return number

    def mark(self, number: int, stage: Stage) -> None:
        """Record that a fault has come to a later stage."""
        with self._lock:
            self._append(Mark(self._clock(), number, stage))

    def operations(self) -> list[Operation]:
        """Return the operations in the order in which they began."""
        records = self.records
        ends = {record.number: record for record in records if isinstance(record, Completion)}
        return [_pair(record, ends.get(record.number)) for record in records if isinstance(record, Invoke)]

    def since(self, time: int) -> float:
        """Return how many seconds ago a time of this history was."""
        return (self._clock() - time) / SECOND

    def faults(self) -> list[Fault]:
        """Return the faults in the order in which they were injected."""
        records = self.records
        at = {(record.number, record.stage): record.time for record in records if isinstance(record, Mark)}
        later = (Stage.SEEN, Stage.HEALED, Stage.RECOVERED, Stage.STRUCK, Stage.HEALING)
        return [
            Fault(it.name, it.targets, it.restarts, it.time, *(at.get((it.number, stage)) for stage in later))
            for it in records
            if isinstance(it, Injection)
        ]

    def save(self, path: Path) -> None:
        """Write one JSON object a line. Raises OSError."""
        with path.open("w", encoding="utf-8") as file:
            file.writelines(_encode(record) + "\n" for record in self.records)

    def _append(self, record: Record) -> None:
        """Append `record` unless it contradicts those before it; the caller holds the lock."""
        if self._records and record.time < self._records[-1].time:
            raise HistoryError(f"{record}: the clock went back from {self._records[-1].time} ns")
        match record:
            case Invoke(number=number) | Injection(number=number) if number <= self._numbers:
                raise HistoryError(f"{record}: number {number} was given before")
            case Invoke(number=number):
                self._running.add(number)
            case Injection(number=number):
                self._stages[number] = {Stage.INJECTED}
            case Completion(number=number):
                if number not in self._running:
                    raise HistoryError(f"{record}: no operation {number} is under way")
                self._running.remove(number)
            case Mark(number=number, stage=stage):
                if stage in self._stages.get(number, Stage):  # no fault can come to nothing
                    raise HistoryError(f"{record}: no fault {number} that could come to {stage}")
                self._stages[number].add(stage)
        self._numbers = max(self._numbers, record.number)
        self._records.append(record)


def load(path: Path) -> History:
    """Return the history that was saved in `path`.

    Raises OSError when it cannot be read and HistoryError, with the line, when it is damaged.
    """
    history = History()
    for line, text in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            history._append(_decode(text))  # noqa: SLF001 - it belongs to this module
        except (ValueError, TypeError, HistoryError) as error:
            raise HistoryError(f"{path}:{line}: {error}") from error
    return history


def merge(*histories: History) -> History:
    """Return one history of several that were recorded on the same clock, that is under one kernel."""
    placed = [(place, record) for place, history in enumerate(histories) for record in history.records]
    placed.sort(key=lambda pair: pair[1].time)
    numbers: dict[tuple[int, int], int] = {}
    return History(
        replace(record, number=numbers.setdefault((place, record.number), len(numbers) + 1))
        for place, record in placed
    )


def _pair(it: Invoke, end: Completion | None) -> Operation:
    if end is None:
        return Operation(it.action, it.key, it.value, it.target, it.time, inf, UNKNOWN, NO_INDEX, "")
    value = it.value if end.value is None else end.value
    index = NO_INDEX if end.index is None else end.index
    return Operation(it.action, it.key, value, it.target, it.time, end.time, end.result, index, end.error)


_KINDS: dict[str, type[Record]] = {kind.__name__.lower(): kind for kind in typing.get_args(Record)}
_HINTS = {name: typing.get_type_hints(kind) for name, kind in _KINDS.items()}


def _encode(record: Record) -> str:
    """Return the record's type and those of its fields that differ from their defaults."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    told = {field.name: values[field.name] for field in fields(record) if values[field.name] != field.default}
    return json.dumps({"record": type(record).__name__.lower(), **told})


def _decode(line: bytes) -> Record:
    """Return the record of a line. Raises ValueError or TypeError when it is none."""
    told: Any = json.loads(line)
    if not isinstance(told, dict) or told.get("record") not in _KINDS:
        raise ValueError(f"no record: {line[:80]!r}")
    name = told.pop("record")
    return _KINDS[name](**{key: _as(_HINTS[name].get(key), key, value) for key, value in told.items()})


def _as(hint: Any, key: str, value: Any) -> Any:  # noqa: ANN401 - JSON's values are of many types
    """Return a JSON value as its field's type."""
    if hint in (Result, Stage):
        return hint(value)
    if hint == tuple[str, ...]:
        hint, value = tuple, tuple(value) if isinstance(value, list) else value
    if hint is None or not isinstance(value, hint):
        raise TypeError(f"{key}: {value!r}")
    return value
