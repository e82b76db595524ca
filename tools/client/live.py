"""One line a second: on a terminal it is written over, elsewhere each is a line of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from .timeline import Row


class Live:
    """Writes rows to a stream; a stream that is gone is left alone."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, in place when it is a terminal."""
        self._stream = stream
        self._terminal = stream.isatty()

    def show(self, row: Row) -> None:
        """Show how things stand."""
        self._write(to_line(row), "\r", "\x1b[K" if self._terminal else "\n")

    def finish(self) -> None:
        """Leave the line."""
        if self._terminal:
            self._write("", "\r", "\x1b[K")

    def _write(self, text: str, begin: str, end: str) -> None:
        try:
            self._stream.write((begin if self._terminal else "") + text + end)
            self._stream.flush()
        except OSError:
            self._terminal = False


def to_line(row: Row) -> str:
    """Return a row of the timeline in words."""
    return (
        f"{row['time']:6.1f} s  held {row['held']}  opening {row['opening']}  "
        f"opens {row['opens_per_second']:.0f}/s  lost {row['lost']}  local errors {row['local_errors']}  "
        f"p50 {row['p50']:.2f} p99 {row['p99']:.2f} ms"
    )
