"""The loop: opens, pings and reads in turn, on one thread, until its time or its work is over."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .accounts import Kind, Outcome
from .holder import LATE, Holder
from .opener import Opener
from .timeline import Sample
from .wire import SECOND, STANDSTILL, Wire, clock, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from .stop import Stop

HOLD, CHURN = Kind  # in this module, for the loop: a member of its class takes long to look up
CHUNK = 32
SMALL_CHUNK = 16  # while pings are late; half of it made the opening of 50,000 on a busy core twice as long
EVENTS = 256  # that epoll tells at once; its own 1,023 take 10 bytes more a held connection, of 10,000
TICK = SECOND // 500  # between two batches of pings; a quarter of it costs an eighth more CPU a ping
LONGEST_NAP = SECOND // 10
GRACE = SECOND


@dataclass
class Churn:
    """The opens of the churn: those due 10 ms or more before the end, or begun all the same."""

    due: int = 0
    begun: int = 0

    def add(self, other: Churn) -> None:
        """Add what another process was to open."""
        self.due += other.due
        self.begun += other.begun


class Engine:
    """One process's share of a run."""

    def __init__(self, wire: Wire, stop: Stop) -> None:
        """Prepare a run on `wire` that ends early when `stop` is asked to."""
        self._wire = wire
        self._options = wire.options
        self._stop = stop
        self.holder = Holder(wire)
        self.opener = Opener(wire, self.holder.adopt)
        self.churn = Churn()
        self._show: Callable[[Sample], None] = lambda _: None
        self._told = Sample()
        self._started = 0
        self._stop_at = 0
        self._sampled = 0
        self._cpu = 0.0
        self._opens = dict.fromkeys(Kind, 0)
        self._opening = True

    def run(self, tell: Callable[[Sample], None]) -> None:
        """Do the whole run; call `tell` with a sample once a second, when all is opened, and at the end."""
        self._show = tell
        self._started = self._sampled = self._wire.turn = clock()
        self._cpu = time.process_time()
        self._stop_at = self._started + nanoseconds(self._options.time_limit)
        self.holder.start(self._started)
        self.opener.start(self._started)
        self._loop(self._work)
        now = clock()
        end = min(now, self._stop_at or now)
        self.holder.stop(end)
        self._count_opens(end)
        self._loop(self._drain)
        self._tell_the_rest(clock())

    def sample(self, now: int) -> Sample:
        """Return how things stand at `now`."""
        accounts = self._wire.accounts
        return Sample(
            time=(now - self._started) / SECOND,
            held=self.holder.held.alive,
            opening=self.opener.pending,
            attempts=accounts.total,
            lost=accounts.lost,
            pings_ok=self.holder.held.pings_ok,
            cpu=time.process_time() - self._cpu,
            classes=Counter({outcome: accounts.of(outcome) for outcome in Outcome}),
            held_lost=self.holder.lost.copy(),
            first_reply=self._wire.first_reply.copy(),
            reply=self._wire.reply.copy(),
        )

    def _loop(self, step: Callable[[int], int]) -> None:
        """Call `step`, which returns when it is needed again or 0 when done; follow events meanwhile."""
        wire, poll, receive, held, opener = (
            self._wire,
            self._wire.epoll.poll,
            self.holder.receive,
            self.holder.held,
            self.opener,
        )
        wake = clock()
        while True:
            now = clock()
            if now - wire.turn > STANDSTILL:
                self._catch_up(now)
            wire.turn = now
            if now >= wake:
                self._sample_if_due(now)
                if not (wake := step(now)):
                    return
                wake = min(wake, now + LONGEST_NAP)
            nap = max(0, wake - now)
            if nap or held.alive or opener.watched:
                for descriptor in receive(poll(nap / SECOND, EVENTS)):
                    opener.advance(descriptor)
                    wake = now  # there may be room for more now
                if opener.watched:
                    opener.expire(now)

    def _catch_up(self, now: int) -> None:
        """After a standstill: read all that has come meanwhile, before anything is given up."""
        self._wire.stood_still(now)
        self.opener.read(self.opener.fresh)
        while events := self._wire.epoll.poll(0, EVENTS):
            for descriptor in self.holder.receive(events):
                self.opener.advance(descriptor)

    def _sample_if_due(self, now: int) -> None:
        if now - self._sampled >= SECOND:
            self._sampled += SECOND
            if self._options.interval > self._options.reply_timeout:  # or each turn looks at its last answer
                self.holder.outstanding(now)
            self._tell(now)

    def _tell(self, now: int) -> None:
        self._told = self.sample(now)
        self._show(self._told)

    def _tell_the_rest(self, now: int) -> None:
        """Tell the last sample, unless the one before is as young and says the same."""
        last, told = self.sample(now), self._told
        counts = [(it.attempts, it.pings_ok, it.opening, it.classes) for it in (last, told)]
        if now - self._sampled >= LONGEST_NAP or now - self._started < SECOND or counts[0] != counts[1]:
            self._show(last)

    def _work(self, now: int) -> int:
        """Open and ping what is due; return when to be called again, 0 at the end of the work."""
        holder = self.holder
        if self._stop.count or now >= self._stop_at:
            return 0
        wake = self._stop_at
        if holder.held.alive:
            holder.ping(now)
            due = holder.next_due()
            wake = min(wake, max(due, now + TICK) if due > now else now)  # now: the batch was full
        if self._opening:
            return min(wake, self._open_all(now, SMALL_CHUNK if holder.behind(now) else CHUNK))
        return wake if holder.held.alive else 0

    def _open_all(self, now: int, most: int) -> int:
        """Open and prove what is due of both kinds, `most` at a time; return when to be called again."""
        wake = min(self._open(HOLD, now, most), self._open(CHURN, now, most))
        if self.opener.pending >= self._options.concurrency:
            self.opener.read(most)
        elif wake > now:
            self.opener.read(self.opener.fresh)
        if self._opened():
            self._opening = False
            self._tell(now)
        return now if self.opener.fresh or not self._opening else wake

    def _opened(self) -> bool:
        """Return whether nothing is left to open; where no time was asked for, the run is over then."""
        options, opens = self._options, self._opens
        if opens[HOLD] < options.connections or self.opener.pending:
            return False
        if options.churn and not 0 < options.count <= opens[CHURN]:
            return False
        if options.churn and options.duration is None:
            self._stop_at = 0
        return True

    def _drain(self, now: int) -> int:
        """Wait for what is under way; return 0 when nothing is."""
        self.opener.read(self.opener.fresh)
        if self._stop.count > 1 or (self._stop.count and now >= self._stop.time + GRACE):
            self.opener.abandon()
            self.holder.abandon()
        if self.opener.pending or self.holder.outstanding(now):
            return now + SECOND // 1000
        while events := self._wire.epoll.poll(0):  # connections may have ended meanwhile
            self.holder.receive(events)
        return 0

    def _open(self, kind: Kind, now: int, most: int) -> int:
        """Open what is due, as far as concurrency allows; return when to look again."""
        due, later = self._holds_due(now) if kind is HOLD else self._churns_due(now)
        room = self._options.concurrency - self.opener.pending
        if due <= 0:
            return later
        if now < self.opener.resume_at:
            return self.opener.resume_at
        if room <= 0:
            return now + LONGEST_NAP
        first = self._opens[kind] + (0 if kind is HOLD else self._options.connections)
        self._opens[kind] += self.opener.open(kind, range(first, first + min(room, due, most)))
        return now

    def _holds_due(self, now: int) -> tuple[int, int]:
        """Return how many held connections are to be opened now, and when the next ones are."""
        wanted, done = self._options.connections, self._opens[HOLD]
        ramp = nanoseconds(self._options.ramp)
        if done >= wanted:
            return 0, self._stop_at
        if not ramp:
            return wanted - done, now
        by_now = min(wanted, (now - self._started) * wanted // ramp + 1)
        return by_now - done, self._started + done * ramp // wanted

    def _churns_due(self, now: int) -> tuple[int, int]:
        """Return how many opens of the churn are due, and when the next ones are."""
        options, done = self._options, self._opens[CHURN]
        left = options.count - done if options.count else options.concurrency
        if not options.churn or left <= 0:
            return 0, self._stop_at
        if not options.rate:
            return left, now
        by_now = int((now - self._started) * options.rate / SECOND) + 1
        return min(left, by_now - done), self._started + int(done * SECOND / options.rate)

    def _count_opens(self, end: int) -> None:
        """Count the opens of the churn that were due by `end`; to be late by a little is no shortfall."""
        options, begun = self._options, self._opens[CHURN]
        due = max(0, math.ceil((end - LATE - self._started) * options.rate / SECOND))
        self.churn = Churn(max(begun, min(due, options.count or due)), begun)
