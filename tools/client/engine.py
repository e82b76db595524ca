"""The loop: opens, pings and reads in turn, on one thread, until its time or its work is over."""

from __future__ import annotations

import gc
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .accounts import Kind, Outcome
from .holder import Holder
from .opener import Opener
from .wire import SECOND, Wire, clock, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .histogram import Latencies
    from .options import Options

LONGEST_NAP = SECOND // 10
GRACE = SECOND


@dataclass(frozen=True)
class Sample:
    """How things stand: `held` and `opening` now, the others since the start; `time` in seconds."""

    time: float
    held: int
    opening: int
    attempts: int
    ok: int
    lost: int
    local_errors: int
    pings_ok: int
    reply: Latencies


class Engine:
    """One process's share of a run."""

    def __init__(self, wire: Wire, tell: Callable[[Sample], None]) -> None:
        """Prepare a run on `wire`; `tell` is called with a sample once a second."""
        self._wire = wire
        self._options: Options = wire.options
        self._tell = tell
        self.holder = Holder(wire)
        self.opener = Opener(wire, self.holder.adopt)
        self.started = 0
        self.ended = 0
        self.signal = ""
        self._stop_at = 0
        self._sampled = 0
        self._abandon_at = 0
        self._hold_opens = 0
        self._churn_opens = 0

    def run(self) -> None:
        """Do the whole run; afterwards the accounts are complete. Ends early on SIGINT or SIGTERM."""
        self.started = self._sampled = clock()
        self._stop_at = self.started + nanoseconds(self._options.time_limit)
        self.holder.start(self.started)
        with _no_garbage(), self._signals():
            self._loop(self._work)
            self._loop(self._drain)
            self._poll(0)
        self.ended = clock()

    def close(self) -> None:
        """Close what lives; to be called when the kernel's evidence has been read."""
        self.holder.close()
        self._wire.epoll.close()

    def _loop(self, step: Callable[[int], int]) -> None:
        """Repeat `step`, which returns when it is needed again and 0 when it is done."""
        while wake := step(clock()):
            now = clock()
            self._poll(max(0, min(wake - now, LONGEST_NAP)))
            self.opener.expire(now)
            if now - self._sampled >= SECOND:
                self._sample(now)

    def _work(self, now: int) -> int:
        """Open and ping what is due; return when to be called again, 0 at the end of the work."""
        if now >= self._stop_at or self._finished():
            return 0
        if self.holder.alive:
            self.holder.ping(now)
        wake = self._open(Kind.HOLD, now, self._holds_due(now))
        wake = min(wake, self._open(Kind.CHURN, now, self._churns_due(now)))
        if self.holder.alive:
            wake = min(wake, self.holder.next_due())
        return max(1, min(wake, self._stop_at))

    def _finished(self) -> bool:
        """Return whether the counted work is done, where no time was asked for."""
        options = self._options
        counted = options.count and self._churn_opens >= options.count and options.duration is None
        return bool(counted and self._hold_opens >= options.connections and not self.opener.pending)

    def _drain(self, now: int) -> int:
        """Wait for what is under way; return 0 when nothing is."""
        if self._abandon_at and now >= self._abandon_at:
            self.opener.abandon()
            self.holder.abandon()
        if self.opener.pending or self.holder.outstanding(now):
            return now + SECOND // 1000
        return 0

    def _open(self, kind: Kind, now: int, due: tuple[int, int]) -> int:
        """Open what is due, as far as concurrency allows; return when to look again."""
        count, later = due
        room = self._options.concurrency - self.opener.pending
        if now < self.opener.resume_at:
            return self.opener.resume_at
        if count <= 0:
            return later
        if room <= 0:
            return now + LONGEST_NAP
        if kind is Kind.HOLD:
            first = self._hold_opens
            self._hold_opens += self.opener.sweep(kind, range(first, first + min(room, count)))
        else:
            first = self._options.connections + self._churn_opens
            self._churn_opens += self.opener.sweep(kind, range(first, first + min(room, count)))
        return max(now, self.opener.resume_at)

    def _holds_due(self, now: int) -> tuple[int, int]:
        """Return how many held connections are to be opened now, and when the next ones are."""
        options, done = self._options, self._hold_opens
        ramp = nanoseconds(options.ramp)
        if done >= options.connections:
            return 0, self._stop_at
        if not ramp:
            return options.connections - done, now
        by_now = min(options.connections, (now - self.started) * options.connections // ramp + 1)
        return by_now - done, self.started + done * ramp // options.connections

    def _churns_due(self, now: int) -> tuple[int, int]:
        """Return how many opens of the churn are due, and when the next ones are."""
        options, done = self._options, self._churn_opens
        left = options.count - done if options.count else options.concurrency
        if not options.churn or left <= 0:
            return 0, self._stop_at
        if not options.rate:
            return left, now
        by_now = int((now - self.started) * options.rate / SECOND) + 1
        return min(left, by_now - done), self.started + int(done * SECOND / options.rate)

    def _poll(self, nap: int) -> None:
        """Wait at most `nap` nanoseconds for events and follow them."""
        if not (nap or self.holder.alive or self.opener.pending):
            return
        events = self._wire.epoll.poll(nap / SECOND)
        for descriptor in self.holder.receive(events):
            self.opener.advance(descriptor)

    def _sample(self, now: int) -> None:
        """Tell how things stand."""
        self._sampled += SECOND
        self._tell(self.sample(now))

    def sample(self, now: int) -> Sample:
        """Return how things stand at `now`."""
        accounts = self._wire.accounts
        return Sample(
            time=(now - self.started) / SECOND,
            held=self.holder.alive,
            opening=self.opener.pending,
            attempts=accounts.total,
            ok=accounts.of(Outcome.OK),
            lost=accounts.lost,
            local_errors=accounts.of(Outcome.LOCAL_ERROR),
            pings_ok=self.holder.pings_ok,
            reply=self._wire.reply.copy(),
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """End the work at the first SIGINT or SIGTERM, all waiting at the second."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: object) -> None:
        now = clock()
        self._abandon_at = now if self.signal else now + GRACE
        self.signal = signal.Signals(number).name
        self._stop_at = min(self._stop_at, now)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Keep the collector of reference cycles away from the loop, which makes none."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
