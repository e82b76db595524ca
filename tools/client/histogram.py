"""Latencies: counters that cost a list access a value, turned into an HDR histogram at the end."""

from __future__ import annotations

from array import array
from itertools import chain
from operator import add, sub
from typing import Any

from hdrh.histogram import HdrHistogram

LINEAR = 8192
LONGEST = 3_600_000_000
SIGNIFICANT = 3
_KEPT_BITS = 10
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}


class Latencies:
    """Counts of latencies in microseconds: exact below 8,192, three significant digits above.

    A hot loop may count a value below LINEAR in `small` by itself.
    """

    def __init__(self) -> None:
        """Begin without a value."""
        self.small = array("I", [0]) * LINEAR
        self.large: dict[int, int] = {}

    def record(self, microseconds: int) -> None:
        """Count one value."""
        if 0 <= microseconds < LINEAR:
            self.small[microseconds] += 1
        else:
            shift = microseconds.bit_length() - _KEPT_BITS
            value = microseconds >> shift << shift
            self.large[value] = self.large.get(value, 0) + 1

    def add(self, other: Latencies) -> None:
        """Count the values of `other`, too."""
        self.small = array("I", map(add, self.small, other.small))
        for value, count in other.large.items():
            self.large[value] = self.large.get(value, 0) + count

    def since(self, earlier: Latencies) -> Latencies:
        """Return what was counted after the copy `earlier` was made."""
        later = Latencies()
        later.small = array("I", map(sub, self.small, earlier.small))
        later.large = {value: count - earlier.large.get(value, 0) for value, count in self.large.items()}
        return later

    def copy(self) -> Latencies:
        """Return the counts of now."""
        same = Latencies()
        same.small, same.large = self.small[:], self.large.copy()
        return same

    def percentile(self, share: float) -> int:
        """Return the value below or at which `share` per cent of the values lie; 0 without values."""
        rest = share / 100 * (sum(self.small) + sum(self.large.values()))
        for value, count in chain(enumerate(self.small), sorted(self.large.items())):
            rest -= count
            if count and rest <= 0:
                return value
        return 0

    def hdr(self) -> HdrHistogram:
        """Return them as an HDR histogram in microseconds, up to one hour."""
        histogram = HdrHistogram(1, LONGEST, SIGNIFICANT)
        for value, count in [*enumerate(self.small), *self.large.items()]:
            if count:
                histogram.record_value(min(max(value, 1), LONGEST), count)
        return histogram

    def encoded(self) -> str:
        """Return them as an HDR histogram, encoded as text."""
        text: str = self.hdr().encode().decode()
        return text

    def summary(self) -> dict[str, Any]:
        """Return count, minimum, percentiles and maximum in milliseconds, and the encoded histogram."""
        histogram = self.hdr()
        count = histogram.get_total_count()
        if not count:
            return {"count": 0}
        values = {name: histogram.get_value_at_percentile(share) for name, share in PERCENTILES.items()}
        values = {"min": histogram.get_min_value(), **values, "max": histogram.get_max_value()}
        rounded = {name: value / 1000 for name, value in values.items()}
        return {"count": count, **rounded, "hdr": histogram.encode().decode()}
