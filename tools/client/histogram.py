"""Latencies: counters that cost a list access a value, turned into an HDR histogram at the end."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from itertools import accumulate, chain
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
        self.small = array("Q", [0]) * LINEAR
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
        self.small = _counts(_number(self.small) + _number(other.small))
        for value, count in other.large.items():
            self.large[value] = self.large.get(value, 0) + count

    def since(self, earlier: Latencies) -> Latencies:
        """Return what was counted after the copy `earlier` was made."""
        later = Latencies()
        if self.small != earlier.small:
            later.small = _counts(_number(self.small) - _number(earlier.small))
        later.large = {value: count - earlier.large.get(value, 0) for value, count in self.large.items()}
        return later

    def copy(self) -> Latencies:
        """Return the counts of now."""
        same = Latencies()
        same.small, same.large = self.small[:], self.large.copy()
        return same

    def percentiles(self, *shares: float) -> list[int]:
        """Return for each share the value below or at which so many per cent lie; 0 without values."""
        large = sorted(self.large.items())
        ranks = list(accumulate(chain(self.small, (count for _, count in large))))
        places = [bisect_left(ranks, share / 100 * ranks[-1]) if ranks[-1] else 0 for share in shares]
        return [place if place < LINEAR else large[place - LINEAR][0] for place in places]

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


def _number(counts: array[int]) -> int:
    """Return all counts as one long number, to add or subtract in one go: none overflows or sinks below 0."""
    return int.from_bytes(counts.tobytes(), sys.byteorder)


def _counts(number: int) -> array[int]:
    """Return the counts again."""
    return array("Q", number.to_bytes(8 * LINEAR, sys.byteorder))
