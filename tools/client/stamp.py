"""The ping: bytes that tell whose they are, so that an echo of anything else is caught and named."""

from __future__ import annotations

import random
import struct
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SMALLEST = 16
LARGEST = 16384

_HEADER = struct.Struct("!HHIQ")
_MARK = 0xA55A
_TURNS = 256
_PATTERN = random.Random(_MARK).randbytes(LARGEST + _TURNS)  # noqa: S311 - a pattern, not a secret


class Stamp:
    """Makes the pings of one process, `size` bytes each.

    The first 16 bytes are length (16 bits), a mark (16), sequence (32), run (24), process (8) and connection
    (32); the rest is cut from a pattern at a place that depends on connection and sequence.
    `make(sequence, base + number)` is a ping of connection `number`; the shortest take no Python code.
    """

    def __init__(self, run: int, process: int, size: int) -> None:
        """Prepare for run number `run` (its lowest 24 bits) and process number `process`."""
        self.base = (run & 0xFFFFFF) << 40 | (process & 0xFF) << 32
        self._rest = size - SMALLEST
        self._header: Callable[[int, int], bytes] = partial(_HEADER.pack, size, _MARK)
        self.make = self._long if self._rest else self._header

    def _long(self, sequence: int, identity: int) -> bytes:
        turn = (identity + sequence) % _TURNS
        return self._header(sequence, identity) + _PATTERN[turn : turn + self._rest]


def difference(expected: bytes, found: bytes) -> str:
    """Return in a few words what is wrong with the answer `found`, which is not a beginning of `expected`."""
    if found.startswith(expected):
        return "more bytes than were sent"
    if len(found) < SMALLEST:
        return "altered"
    _, _, sequence, right = _HEADER.unpack_from(expected)
    _, mark, other, identity = _HEADER.unpack_from(found)
    if mark != _MARK or identity >> 40 != right >> 40:
        return "not a ping of this run"
    if identity != right:
        return "another connection's ping"
    if other != sequence:
        return "another ping of this connection"
    return "altered"
