"""The run second by second: rows for the live line, the summary and the plot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .histogram import Latencies

Row = dict[str, Any]


@dataclass
class Sample:
    """How things stand: `held` and `opening` now, the others since the start; `time` and `cpu` in seconds."""

    time: float = 0.0
    held: int = 0
    opening: int = 0
    attempts: int = 0
    lost: int = 0
    local_errors: int = 0
    pings_ok: int = 0
    cpu: float = 0.0
    reply: Latencies = field(default_factory=Latencies)

    def add(self, other: Sample) -> None:
        """Add the share of another process, taken in the same second."""
        self.time = max(self.time, other.time)
        self.held += other.held
        self.opening += other.opening
        self.attempts += other.attempts
        self.lost += other.lost
        self.local_errors += other.local_errors
        self.pings_ok += other.pings_ok
        self.cpu += other.cpu
        self.reply.add(other.reply)


class Timeline:
    """Rows, one a sample, with the rate and the latencies of the time since the sample before."""

    def __init__(self) -> None:
        """Begin without rows."""
        self.rows: list[Row] = []
        self._last = Sample()

    def add(self, sample: Sample) -> Row:
        """Return the new row; rates are a second, latencies in milliseconds."""
        last, self._last = self._last, sample
        seconds = max(sample.time - last.time, 1e-9)
        reply = sample.reply.since(last.reply)
        row = {
            "time": round(sample.time, 3),
            "held": sample.held,
            "opening": sample.opening,
            "attempts": sample.attempts,
            "lost": sample.lost,
            "local_errors": sample.local_errors,
            "pings_ok": sample.pings_ok,
            "cpu": round(sample.cpu, 3),
            "opens_per_second": round((sample.attempts - last.attempts) / seconds, 1),
            "p50": reply.percentile(50.0) / 1000,
            "p99": reply.percentile(99.0) / 1000,
        }
        self.rows.append(row)
        return row
