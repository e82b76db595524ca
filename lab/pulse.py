"""Does this machine stand still now and then? What came too late for that says nothing of the stack."""

from __future__ import annotations

import threading
import time

BEAT = 0.02  # seconds


class Pulse:
    """A thread that is to wake at each beat, and remembers by how much it was late.

    What it sees is that this process was not run: the machine was overloaded, or itself not run by what it
    runs on, or what runs here let no other thread run.
    """

    def __init__(self) -> None:
        """Begin."""
        self._latest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def take(self) -> float:
        """Return the longest standstill since this was asked last, in seconds."""
        taken, self._latest = self._latest, 0.0
        return taken

    def stop(self) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(BEAT):
            now = time.monotonic()
            self._latest = max(self._latest, now - begun - BEAT)
            begun = now
