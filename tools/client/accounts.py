"""The accounts: every attempt ends in exactly one class, and the classes add up to the attempts."""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple

KEPT_LOSSES = 1000


class Kind(StrEnum):
    """What a connection is opened for."""

    HOLD = "hold"
    CHURN = "churn"


class Outcome(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    REFUSED = "refused"
    RESET_BEFORE_DATA = "reset_before_data"
    RESET_AFTER_DATA = "reset_after_data"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_REPLY = "timeout_reply"
    CLOSED_EARLY = "closed_early"
    WRONG_BYTES = "wrong_bytes"
    LOCAL_ERROR = "local_error"


NOT_LOST = (Outcome.OK, Outcome.LOCAL_ERROR)


class Verdict(IntEnum):
    """What the run has shown; the value is the program's exit code."""

    NOTHING_LOST = 0
    LOST = 1
    COULD_NOT_TELL = 2


_RESETS = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
_SILENCES = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN)


def classify(code: int, *, connected: bool, answered: bool) -> Outcome:
    """Return the class of the kernel's error `code` on a connection that had come this far.

    What is neither the peer's refusal, its reset nor its silence is the client's own trouble.
    """
    if code == errno.ECONNREFUSED:
        return Outcome.REFUSED
    if code in _RESETS:
        return Outcome.RESET_AFTER_DATA if answered else Outcome.RESET_BEFORE_DATA
    if code in _SILENCES:
        return Outcome.TIMEOUT_REPLY if connected else Outcome.TIMEOUT_CONNECT
    return Outcome.LOCAL_ERROR


class Loss(NamedTuple):
    """One attempt that did not end well; times in nanoseconds on the monotonic clock.

    `port` is the client's own (0: never known), `reason` the kernel's or the client's words, `age` how long
    ago it was begun, or, of a held connection, open; `retransmits` the segments that TCP had to send again
    (None: the kernel was not asked).
    """

    time: int
    kind: Kind
    number: int
    outcome: Outcome
    reason: str
    port: int
    age: int
    retransmits: int | None


class SlowConnect(NamedTuple):
    """A connect that took a second or more, which a dropped SYN costs; times in nanoseconds as in Loss."""

    time: int
    kind: Kind
    number: int
    port: int
    took: int


@dataclass
class Accounts:
    """What became of the attempts, by kind and class."""

    attempts: Counter[Kind] = field(default_factory=Counter)
    classes: dict[Kind, Counter[Outcome]] = field(default_factory=lambda: {kind: Counter() for kind in Kind})
    reasons: Counter[str] = field(default_factory=Counter)
    losses: list[Loss] = field(default_factory=list)
    slow_connects: int = 0
    slow: list[SlowConnect] = field(default_factory=list)

    def lose(self, loss: Loss) -> None:
        """Enter an attempt that ended in another class than ok; the first thousand are kept whole."""
        self.classes[loss.kind][loss.outcome] += 1
        self.reasons[f"{loss.outcome}: {loss.reason}"] += 1
        if len(self.losses) < KEPT_LOSSES:
            self.losses.append(loss)

    def wait_long(self, connect: SlowConnect) -> None:
        """Enter a slow connect, which is no loss; the first thousand are kept whole."""
        self.slow_connects += 1
        if len(self.slow) < KEPT_LOSSES:
            self.slow.append(connect)

    def add(self, other: Accounts) -> None:
        """Enter what another process accounted for."""
        self.attempts.update(other.attempts)
        for kind in Kind:
            self.classes[kind].update(other.classes[kind])
        self.reasons.update(other.reasons)
        self.losses = sorted(self.losses + other.losses)[:KEPT_LOSSES]
        self.slow_connects += other.slow_connects
        self.slow = sorted(self.slow + other.slow)[:KEPT_LOSSES]

    def of(self, outcome: Outcome) -> int:
        """Return how many attempts of all kinds ended so."""
        return sum(classes[outcome] for classes in self.classes.values())

    @property
    def total(self) -> int:
        """Return the number of attempts."""
        return self.attempts.total()

    @property
    def lost(self) -> int:
        """Return how many attempts the system under test failed."""
        return sum(self.of(outcome) for outcome in Outcome if outcome not in NOT_LOST)

    @property
    def unfinished(self) -> int:
        """Return how many attempts have no class yet, or one too many; at the end of a run it must be 0."""
        return sum(abs(self.attempts[kind] - self.classes[kind].total()) for kind in Kind)
