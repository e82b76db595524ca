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
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .accounts import Kind, Loss, Outcome, classify
from .histogram import LINEAR
from .history import HOLD, PING
from .kernel import borrowed
from .options import NONE
from .stamp import difference
from .wire import SECOND, Wire, clock, nanoseconds, own_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BATCH = 64
LATE = SECOND // 100
_DATA = select.EPOLLIN
_EDGES = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_NONE = -1


@dataclass
class Held:
    """What became of the held connections and their pings; `seconds_to_open` up to the last one's proof."""

    wanted: int = 0
    opened: int = 0
    alive: int = 0
    pings_sent: int = 0
    pings_ok: int = 0
    skipped: int = 0
    late: int = 0
    unsent: int = 0
    seconds_to_open: float = 0.0

    @property
    def due(self) -> int:
        """Return how many pings were to be sent."""
        return self.pings_sent + self.unsent

    def add(self, other: Held) -> None:
        """Add what another process holds."""
        slowest = max(self.seconds_to_open, other.seconds_to_open)
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        self.seconds_to_open = slowest


class Holder:
    """The held connections; numbers of connections are slots of the ring."""

    def __init__(self, wire: Wire) -> None:
        """Begin with empty slots; `start` says when the first connection is opened."""
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
        self._quick = min(LINEAR, self._patience // 1000)
        self._partial: dict[int, bytes] = {}
        self._inspect = wire.options.tcp_info != NONE
        self._started = self._ring = 0
        self._turn = 0
        self.held = Held(wanted=size)
        self.lost: Counter[Outcome] = Counter()

    def start(self, now: int) -> None:
        """Begin at `now`: slot 0 is due when all are held, but after one interval at the latest."""
        self._started = now
        self._ring = now + self._interval

    def adopt(self, slot: int, sock: Any) -> None:  # noqa: ANN401 - a bare _socket.socket
        """Hold the connection of `sock`, whose first ping has come back."""
        descriptor = sock.detach()
        if descriptor >= len(self._slot):
            self._slot.extend([_NONE] * (descriptor + 1024 - len(self._slot)))
        self._slot[descriptor] = slot
        self._descriptor[slot] = descriptor
        now = self._opened[slot] = clock()
        self.held.opened += 1
        self._wire.epoll.register(descriptor, _EDGES)
        if self._wire.history:
            self._wire.history.invoke(now, HOLD, slot)
        self.held.seconds_to_open = (now - self._started) / SECOND
        if self.held.opened == self._size:
            self._ring = min(self._ring, now)
        self.held.alive += 1
        self.held.pings_sent += 1
        self.held.pings_ok += 1

    def next_due(self) -> int:
        """Return when the next slot's turn comes."""
        return self._ring + self._turn * self._interval // self._size

    def behind(self, now: int) -> bool:
        """Return whether pings are late, so that little else should be begun."""
        return bool(self.held.alive) and now - self.next_due() > LATE

    def ping(self, now: int) -> None:
        """Ping the slots whose turn has come, at most a batch of them so that answers are not starved."""
        size, interval, ring, turn = self._size, self._interval, self._ring, self._turn
        descriptors, sequences, sent = self._descriptor, self._sequence, self._sent
        make, base, length = self._wire.stamp.make, self._wire.stamp.base, self._wire.options.size
        history, write, dues = self._wire.history, os.write, self._due
        end = (now - ring) * size // interval + 1
        pinged = late = 0
        while turn < end and pinged < BATCH:
            slot = turn % size
            if sent[slot]:
                self._overdue(slot, now)
            elif descriptors[slot] != _NONE:
                sequences[slot] = sequence = sequences[slot] + 1
                dues[slot] = due = ring + turn * interval // size
                sent[slot] = moment = clock()
                if moment - due > LATE:
                    late += 1
                pinged += 1
                if history:
                    history.invoke(moment, PING, slot)
                try:
                    if write(descriptors[slot], make(sequence, base + slot)) != length:
                        raise OSError(errno.ENOBUFS, "write")  # noqa: TRY301
                except OSError as error:
                    self._fail(slot, error)
            turn += 1
        self._turn = turn
        self.held.late += late
        self.held.pings_sent += pinged

    def stop(self, now: int) -> None:
        """Send no more; count the pings that are late by now and were not sent."""
        end = (now - LATE - self._ring) * self._size // self._interval + 1 if self._size else 0
        turns = range(self._turn, end)
        self.held.unsent = sum(self._descriptor[turn % self._size] != _NONE for turn in turns)

    def _overdue(self, slot: int, now: int) -> None:
        """Count a turn that passes because the last answer has not come; give up when it is too late."""
        if now - self._sent[slot] >= self._patience:
            self._give_up(slot)
        else:
            self.held.skipped += 1

    def receive(self, events: Iterable[tuple[int, int]]) -> list[int]:
        """Read the answers on held connections; return the descriptors that are not held."""
        wire, limit, read, partial = self._wire, self._wire.options.size + 1, os.read, self._partial
        slots, sequences, sent, dues = self._slot, self._sequence, self._sent, self._due
        known, make, base, history = len(slots), wire.stamp.make, wire.stamp.base, wire.history
        small, corrected, quick = wire.reply.small, wire.corrected.small, self._quick
        others, proven = [], 0
        for descriptor, event in events:
            slot = slots[descriptor] if descriptor < known else _NONE
            if slot == _NONE:
                others.append(descriptor)
                continue
            if event != _DATA:
                self._read_to_the_end(slot)
                continue
            try:
                answer = read(descriptor, limit)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    self._fail(slot, error)
                continue
            begun = sent[slot]
            if not begun or answer != make(sequences[slot], base + slot) or slot in partial:
                self._take(slot, answer)
                continue
            now = clock()
            waited = (now - dues[slot]) // 1000
            if waited < quick:
                small[(now - begun) // 1000] += 1
                corrected[waited] += 1
                sent[slot] = 0
                proven += 1
                if history:
                    history.ok(now, PING, slot)
            else:
                self._prove(slot, now)
        self.held.pings_ok += proven
        return others

    def _read_to_the_end(self, slot: int) -> None:
        """Read and judge all that has come before the peer's end of the connection, and that end."""
        descriptor = self._descriptor[slot]
        while self._descriptor[slot] == descriptor:
            try:
                answer = os.read(descriptor, self._wire.options.size + 1)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(slot, error)
            else:
                self._take(slot, answer)

    def _correct(self, took: int) -> None:
        """Count a latency since the turn, and what the turns skipped meanwhile would have seen."""
        interval = self._interval // 1000
        self._wire.corrected.record(took)
        while (took := took - interval) > 0:
            self._wire.corrected.record(took)

    def _take(self, slot: int, data: bytes) -> None:
        """Judge an answer that is not simply the whole right one."""
        answer = self._partial.pop(slot, b"") + data
        sent = self._wire.stamp.make(self._sequence[slot], self._wire.stamp.base + slot)
        expected = sent if self._sent[slot] else b""
        if not data:
            self._end(slot, Outcome.CLOSED_EARLY, "end of stream")
        elif answer == expected:
            self._prove(slot, clock())
        elif expected.startswith(answer):
            self._partial[slot] = answer
        else:
            reason = difference(sent, answer) if expected else "bytes nobody asked for"
            self._end(slot, Outcome.WRONG_BYTES, reason)

    def _prove(self, slot: int, now: int) -> None:
        """Judge a right and whole answer by its age: one that came too late is lost."""
        took = now - self._sent[slot]
        if took >= self._patience:
            self._give_up(slot)
            return
        self._wire.reply.record(took // 1000)
        self._correct((now - self._due[slot]) // 1000)
        self._sent[slot] = 0
        self.held.pings_ok += 1
        if self._wire.history:
            self._wire.history.ok(now, PING, slot)

    def _fail(self, slot: int, error: OSError) -> None:
        code = error.errno or 0
        self._end(slot, classify(code, connected=True, answered=True), errno.errorcode.get(code, str(error)))

    def _give_up(self, slot: int) -> None:
        deadline = self._sent[slot] + self._patience
        self._end(slot, *self._wire.too_late(deadline, Outcome.TIMEOUT_REPLY))

    def _end(self, slot: int, outcome: Outcome, reason: str) -> None:
        """Enter a held connection as lost and close it."""
        now = clock()
        with borrowed(self._descriptor[slot]) as sock:
            port = own_port(sock)
            retransmits = self._wire.connections.read_from(sock) if self._inspect else None
        age = now - self._opened[slot]
        self._wire.lose(Loss(now, Kind.HOLD, slot, outcome, reason, port, age, retransmits))
        self.held.alive -= 1
        self.lost[outcome] += 1
        self._close(slot)

    def _close(self, slot: int) -> None:
        descriptor = self._descriptor[slot]
        self._slot[descriptor] = self._descriptor[slot] = _NONE
        self._sent[slot] = 0
        self._partial.pop(slot, None)
        os.close(descriptor)

    def outstanding(self, now: int) -> int:
        """Return how many pings still wait for their answer; those that waited too long are given up."""
        waiting = [slot for slot, sent in enumerate(self._sent) if sent]
        for slot in waiting:
            if now - self._sent[slot] >= self._patience:
                self._give_up(slot)
        return sum(1 for slot in waiting if self._sent[slot])

    def abandon(self) -> None:
        """End the connections with a ping under way: the user waits no longer, so nobody can tell."""
        for slot, sent in enumerate(self._sent):
            if sent:
                self._end(slot, Outcome.LOCAL_ERROR, "interrupted")

    def descriptors(self) -> Iterator[int]:
        """Yield the descriptors of the living."""
        return (descriptor for descriptor in self._descriptor if descriptor != _NONE)

    def account(self) -> None:
        """Enter the connections that have lived to the end as ok."""
        now = clock()
        self._wire.accounts.classes[Kind.HOLD][Outcome.OK] += self.held.alive
        for slot, descriptor in enumerate(self._descriptor):
            if descriptor != _NONE and self._wire.history:
                self._wire.history.ok(now, HOLD, slot)

    def close(self) -> None:
        """Close the living."""
        for descriptor in self.descriptors():
            os.close(descriptor)
