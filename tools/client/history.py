"""The history of a run, one JSON object a line: what was tried when, and how it ended.

    {"record": "invoke", "time": 81234, "number": 1, "action": "open", "key": "0.17"}
    {"record": "completion", "time": 81299, "number": 1, "result": "ok"}

`time` is the monotonic clock in nanoseconds and never goes back; `number` grows with each invoke; `key` is
process.connection. Actions: `open` (connect and first ping), `ping` (each later one), `hold` (from the proof
to the end). Results: `ok`; `fail`, it certainly was not served; `unknown`, it may have been; the last two
carry the class as `error`.
"""

from __future__ import annotations

import heapq
import json
from typing import TYPE_CHECKING, Any, TextIO

from .accounts import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OPEN, PING, HOLD = "open", "ping", "hold"
_NEVER_SERVED = (Outcome.REFUSED, Outcome.TIMEOUT_CONNECT)


class History:
    """Writes records as they come, in the order of the clock; a full disk ends the writing, not the run."""

    def __init__(self, path: Path, process: int) -> None:
        """Begin an empty file at `path`. Raises OSError."""
        self._file: TextIO = path.open("w", encoding="ascii")
        self._process = process
        self._number = 0
        self._running: dict[tuple[str, int], int] = {}
        self.trouble = ""

    def invoke(self, time: int, action: str, number: int) -> None:
        """Enter that `action` on connection `number` begins."""
        self._number += 1
        self._running[action, number] = self._number
        self._write(
            f'{{"record": "invoke", "time": {time}, "number": {self._number}, "action": "{action}", '
            f'"key": "{self._process}.{number}"}}\n'
        )

    def ok(self, time: int, action: str, number: int) -> None:
        """Enter that it happened."""
        self._complete(time, self._running.pop((action, number)), '"ok"')

    def end(self, time: int, number: int, outcome: Outcome) -> None:
        """Enter that a connection is lost, and with it all that is under way on it."""
        result = "fail" if outcome in _NEVER_SERVED else "unknown"
        for action in (OPEN, PING, HOLD):
            if running := self._running.pop((action, number), 0):
                self._complete(time, running, f'"{result}", "error": "{outcome}"')

    def close(self) -> None:
        """Write out what is left."""
        try:
            self._file.close()
        except OSError as error:
            self._give_up(error)

    def _complete(self, time: int, number: int, result: str) -> None:
        self._write(f'{{"record": "completion", "time": {time}, "number": {number}, "result": {result}}}\n')

    def _write(self, line: str) -> None:
        if self.trouble:
            return
        try:
            self._file.write(line)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.trouble = self.trouble or f"{self._file.name}: {error.strerror}: the history is cut short"


def part(path: Path, process: int) -> Path:
    """Return where process number `process` writes its part of the history at `path`."""
    return path.with_name(f"{path.name}.{process}")


def merge(path: Path, parts: Iterable[Path]) -> None:
    """Write the histories in `parts` as one, in the order of time with numbers of its own. Raises OSError."""
    streams = [_records(source, place) for place, source in enumerate(parts)]
    numbers: dict[tuple[int, int], int] = {}
    last = 0
    with path.open("w", encoding="ascii") as file:
        for _, place, record in heapq.merge(*streams, key=lambda entry: entry[:2]):
            if record["record"] == "invoke":
                last += 1
                number = numbers[place, record["number"]] = last
            else:
                number = numbers.pop((place, record["number"]))
            file.write(json.dumps(record | {"number": number}) + "\n")


def _records(path: Path, place: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the records; the last line of a process that was killed may be cut short, and is none."""
    with path.open(encoding="ascii") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            record = json.loads(line)
            yield record["time"], place, record
