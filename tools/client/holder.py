"""Holding: connections on a ring in time, each pinged when its turn comes, whatever the others do.

The schedule is open: slot i of N is due at start + (i + k x N) x interval / N, so that pings are spread
evenly and a slow answer never delays the next ping's turn. A held connection has no object: its state is a
few numbers in arrays, by slot or by descriptor.
"""

from __future__ import annotations

import errno
import os
import select
from array import array
from typing import TYPE_CHECKING, Any

from .accounts import Kind, Loss, Outcome, classify
from .histogram import LINEAR
from .stamp import difference
from .wire import SECOND, Wire, clock, nanoseconds, port_of

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH = 64
LATE = SECOND // 100
_EDGES = select.EPOLLIN | select.EPOLLET
_NONE = -1


class Holder:
    """The held connections; numbers of connections are slots of the ring."""

    def __init__(self, wire: Wire) -> None:
        """Begin with empty slots; `start` sets the clock of the ring."""
        size = wire.options.connections
        self._wire = wire
        self._size = size
        self._interval = nanoseconds(wire.options.interval)
        self._patience = nanoseconds(wire.options.reply_timeout)
        self._descriptor = array("i", [_NONE]) * size
        self._sequence = array("I", [0]) * size
        self._sent = array("q", [0]) * size
        self._due = array("q", [0]) * size
        self._opened = array("q", [0]) * size
        self._slot = array("i")
        self._partial: dict[int, bytes] = {}
        self._started = 0
        self._turn = 0
        self.opened = 0
        self.alive = 0
        self.pings_sent = 0
        self.pings_ok = 0
        self.skipped = 0
        self.late = 0

    def start(self, now: int) -> None:
        """Set the moment at which slot 0 is due for the first time."""
        self._started = now

    def adopt(self, slot: int, sock: Any) -> None:  # noqa: ANN401 - a bare _socket.socket
        """Hold the connection of `sock`, whose first ping has come back."""
        descriptor = sock.detach()
        if descriptor >= len(self._slot):
            self._slot.extend([_NONE] * (descriptor + 1024 - len(self._slot)))
        self._slot[descriptor] = slot
        self._descriptor[slot] = descriptor
        self._opened[slot] = clock()
        self._wire.epoll.register(descriptor, _EDGES)
        self.opened += 1
        self.alive += 1
        self.pings_sent += 1
        self.pings_ok += 1

    def next_due(self) -> int:
        """Return when the next slot's turn comes."""
        return self._started + self._turn * self._interval // self._size

    def ping(self, now: int) -> None:
        """Ping the slots whose turn has come, at most a batch of them so that answers are not starved."""
        size, interval = self._size, self._interval
        due = (now - self._started) * size // interval + 1
        pinged = 0
        while self._turn < due and pinged < BATCH:
            slot = self._turn % size
            if self._sent[slot]:
                self._overdue(slot, now)
            elif self._descriptor[slot] != _NONE:
                self._send(slot, self._started + self._turn * interval // size)
                pinged += 1
            self._turn += 1

    def _send(self, slot: int, due: int) -> None:
        sequence = self._sequence[slot] + 1
        self._sequence[slot] = sequence
        self._due[slot] = due
        now = self._sent[slot] = clock()
        self.late += now - due > LATE
        try:
            os.write(self._descriptor[slot], self._wire.stamp(slot, sequence))
        except OSError as error:
            self._fail(slot, error)
        else:
            self.pings_sent += 1

    def _overdue(self, slot: int, now: int) -> None:
        """Count a turn that passes because the last answer has not come; give up when it is too late."""
        if now - self._sent[slot] >= self._patience:
            self._end(slot, Outcome.TIMEOUT_REPLY, "no whole answer in time")
        else:
            self.skipped += 1

    def receive(self, events: Iterable[tuple[int, int]]) -> list[int]:
        """Read the answers on held connections; return the descriptors that are not held."""
        wire = self._wire
        slots, sequence, sent, stamp = self._slot, self._sequence, self._sent, wire.stamp
        known, small, limit, read = len(slots), wire.reply.small, wire.options.size + 1, os.read
        others = []
        for descriptor, _ in events:
            slot = slots[descriptor] if descriptor < known else _NONE
            if slot == _NONE:
                others.append(descriptor)
                continue
            try:
                answer = read(descriptor, limit)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    self._fail(slot, error)
                continue
            if not sent[slot] or answer != stamp(slot, sequence[slot]) or slot in self._partial:
                self._take(slot, answer)
                continue
            now = clock()
            took = (now - sent[slot]) // 1000
            if took < LINEAR:
                small[took] += 1
            else:
                wire.reply.record(took)
            self._correct(now - self._due[slot])
            sent[slot] = 0
            self.pings_ok += 1
        return others

    def _correct(self, took: int) -> None:
        """Count a latency from the turn on, and those that the turns skipped meanwhile would have seen."""
        record = self._wire.corrected.record
        while took > 0:
            record(took // 1000)
            took -= self._interval

    def _take(self, slot: int, data: bytes) -> None:
        """Judge an answer that is not simply the whole right one."""
        answer = self._partial.pop(slot, b"") + data
        expected = self._wire.stamp(slot, self._sequence[slot]) if self._sent[slot] else b""
        if not data:
            self._end(slot, Outcome.CLOSED_EARLY, "end of stream")
        elif answer == expected:
            self._prove(slot)
        elif expected.startswith(answer):
            self._partial[slot] = answer
        else:
            sent = self._wire.stamp(slot, self._sequence[slot])
            self._end(
                slot, Outcome.WRONG_BYTES, difference(sent, answer) if expected else "bytes nobody asked for"
            )

    def _prove(self, slot: int) -> None:
        """Count an answer that came in pieces."""
        now = clock()
        self._wire.reply.record((now - self._sent[slot]) // 1000)
        self._correct(now - self._due[slot])
        self._sent[slot] = 0
        self.pings_ok += 1

    def _fail(self, slot: int, error: OSError) -> None:
        code = error.errno or 0
        self._end(slot, classify(code, connected=True, answered=True), errno.errorcode.get(code, str(error)))

    def _end(self, slot: int, outcome: Outcome, reason: str) -> None:
        """Enter a held connection as lost and close it."""
        now, port = clock(), port_of(self._descriptor[slot])
        age = now - self._opened[slot]
        self._wire.accounts.lose(Loss(now, Kind.HOLD, slot, outcome, reason, port, age))
        self._close(slot)

    def _close(self, slot: int) -> None:
        descriptor = self._descriptor[slot]
        self._slot[descriptor] = self._descriptor[slot] = _NONE
        self._sent[slot] = 0
        self._partial.pop(slot, None)
        self.alive -= 1
        os.close(descriptor)

    def outstanding(self, now: int) -> int:
        """Return how many pings still wait for their answer; those that waited too long are given up."""
        waiting = [slot for slot, sent in enumerate(self._sent) if sent]
        for slot in waiting:
            if now - self._sent[slot] >= self._patience:
                self._end(slot, Outcome.TIMEOUT_REPLY, "no whole answer in time")
        return sum(1 for slot in waiting if self._sent[slot])

    def abandon(self) -> None:
        """End the connections with a ping under way: the user waits no longer, so nobody can tell."""
        for slot, sent in enumerate(self._sent):
            if sent:
                self._end(slot, Outcome.LOCAL_ERROR, "interrupted")

    def close(self) -> None:
        """Close the connections that have lived to the end and enter them as ok."""
        self._wire.accounts.classes[Kind.HOLD][Outcome.OK] += self.alive
        survivors = self.alive
        for slot, descriptor in enumerate(self._descriptor):
            if descriptor != _NONE:
                self._close(slot)
        self.alive = survivors
