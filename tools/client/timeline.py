"""The run second by second: rows for the live line, the summary and the plot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .accounts import Outcome
from .histogram import Latencies

Row = dict[str, Any]


@dataclass
class Sample:
    """How things stand: `held` and `opening` now, the others since the start; `time` and `cpu` in seconds.

    `held_lost` are those among `classes` that were lost after they had been proven.
    """

    time: float = 0.0
    held: int = 0
    opening: int = 0
    attempts: int = 0
    lost: int = 0
    pings_ok: int = 0
    cpu: float = 0.0
    classes: Counter[Outcome] = field(default_factory=Counter)
    held_lost: Counter[Outcome] = field(default_factory=Counter)
    first_reply: Latencies = field(default_factory=Latencies)
    reply: Latencies = field(default_factory=Latencies)

    def add(self, other: Sample) -> None:
        """Add the share of another process, taken in the same second."""
        self.time = max(self.time, other.time)
        self.held += other.held
        self.opening += other.opening
        self.attempts += other.attempts
        self.lost += other.lost
        self.pings_ok += other.pings_ok
        self.cpu += other.cpu
        self.classes.update(other.classes)
        self.held_lost.update(other.held_lost)
        self.first_reply.add(other.first_reply)
        self.reply.add(other.reply)


class Timeline:
    """Rows, one a sample, with the rate and the latencies of the time since the sample before."""

    def __init__(self, *, histograms: bool, connections: int = 0) -> None:
        """Begin without rows; with `histograms` each row shown (not kept) has its encoded HDR histograms.

        `connections` is how many are to be held: once all are, replies are steady.
        """
        self.rows: list[Row] = []
        self._last = Sample()
        self._settled: Sample | None = None
        self._histograms = histograms
        self._wanted = connections

    def add(self, sample: Sample) -> Row:
        """Return the new row; rates are a second, latencies in milliseconds."""
        last, self._last = self._last, sample
        if self._wanted and sample.held == self._wanted:
            self._settled = self._settled or sample
        seconds = max(sample.time - last.time, 1e-9)
        first_reply, reply = sample.first_reply.since(last.first_reply), sample.reply.since(last.reply)
        both = first_reply.copy()
        both.add(reply)
        p50, p99 = both.percentiles(50.0, 99.0)
        row: Row = {
            "time": round(sample.time, 3),
            "held": sample.held,
            "opening": sample.opening,
            "attempts": sample.attempts,
            "lost": sample.lost,
            "pings_ok": sample.pings_ok,
            "cpu": round(sample.cpu, 3),
            "classes": {outcome: sample.classes[outcome] for outcome in Outcome},
            "held_lost": dict(sample.held_lost),
            "opens_per_second": round((sample.attempts - last.attempts) / seconds, 1),
            "p50": p50 / 1000,
            "p99": p99 / 1000,
        }
        self.rows.append(row)
        if not self._histograms:
            return row
        return row | {"first_reply": first_reply.encoded(), "reply": reply.encoded()}

    def steady(self) -> Latencies:
        """Return the latencies of replies since all connections were held; none when they never were."""
        return self._last.reply.since(self._settled.reply) if self._settled else Latencies()
