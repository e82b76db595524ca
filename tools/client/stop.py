"""How a run is asked to end early: by a signal, or by the program around it."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Remembers who asked, when (monotonic ns) and how often: a second time means not to wait for answers."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.count = 0
        self.time = 0
        self.name = ""

    def request(self, name: str) -> None:
        """Ask for the end in the name of `name`."""
        if not self.count:
            self.time = time.monotonic_ns()
            self.name = name
        self.count += 1

    def heed(self, *numbers: signal.Signals) -> dict[signal.Signals, Any]:
        """Let these signals ask, instead of ending the program; return who handled them before."""
        return {number: signal.signal(number, self._handle) for number in numbers}

    @contextmanager
    def on_signals(self, *numbers: signal.Signals) -> Iterator[None]:
        """Let these signals ask for a while."""
        before = self.heed(*numbers)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: object) -> None:
        self.request(signal.Signals(number).name)
