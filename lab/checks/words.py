"""Evidence in words: times count in seconds from the first record of the history."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from lab.history import NO_INDEX, SECOND

if TYPE_CHECKING:
    from lab.history import History, Operation


class Words:
    """Says when and what, for one history."""

    def __init__(self, history: History) -> None:
        """Take the time of the first record as zero."""
        records = history.records
        self._origin = records[0].time if records else 0

    def at(self, time: float) -> str:
        """Return a time as seconds since the history began."""
        return f"{(time - self._origin) / SECOND:.3f} s"

    def operation(self, it: Operation) -> str:
        """Return what an operation did, where and when."""
        target = f" on {it.target}" if it.target else ""
        index = "" if it.index == NO_INDEX else f" at index {it.index}"
        until = "on" if it.end == inf else f"to {self.at(it.end)}"
        return f"{it.action} of {it.value!r}{index}{target} ({it.result}, {self.at(it.start)} {until})"
