"""One line a second: on a terminal it is written over, elsewhere each is a line of its own."""

from __future__ import annotations

import json
import select
from typing import TYPE_CHECKING, TextIO

from .accounts import Outcome

if TYPE_CHECKING:
    from .stop import Stop
    from .timeline import Row

PATIENCE = 1.0  # seconds that a reader may take until there is room for a row


class Live:
    """Writes rows to a stream; a stream that is gone is left alone."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, in place when it is a terminal."""
        self._stream = stream
        self._terminal = stream.isatty()

    def show(self, row: Row) -> None:
        """Show how things stand."""
        line = to_line(row)
        self._write(f"\r{line}\x1b[K" if self._terminal else f"{line}\n")

    def finish(self) -> None:
        """Leave the line that was written over."""
        if self._terminal:
            self._write("\n")

    def _write(self, text: str) -> None:
        if not takes(self._stream, 0):  # a stopped terminal must not stop the load
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._terminal = False


class Stream:
    """Writes rows as JSON, one a line, for a program that reads along; when it reads no more the run ends."""

    def __init__(self, stream: TextIO, stop: Stop) -> None:
        """Write to `stream` until that fails, then ask `stop` for the end."""
        self._stream = stream
        self._stop = stop
        self._unread = False

    def show(self, row: Row) -> None:
        """Write how things stand."""
        if self._unread:
            return
        if not takes(self._stream, PATIENCE):
            self._unread = True
            self._stop.request("unread output")
            return
        try:
            self._stream.write(json.dumps(row) + "\n")
            self._stream.flush()
        except OSError:
            self._stop.request("closed output")


def takes(stream: TextIO, seconds: float) -> bool:
    """Return whether a stream takes more within some seconds; one that is no file of the system's does."""
    try:
        return bool(select.select([], [stream], [], seconds)[1])
    except (OSError, ValueError):
        return True


def to_line(row: Row) -> str:
    """Return a row of the timeline in words."""
    local_errors = row["classes"][Outcome.LOCAL_ERROR]
    return (
        f"{row['time']:6.1f} s  held {row['held']}  opening {row['opening']}  "
        f"opens {row['opens_per_second']:.0f}/s  lost {row['lost']}  local errors {local_errors}  "
        f"p50 {row['p50']:.2f} p99 {row['p99']:.2f} ms"
    )
