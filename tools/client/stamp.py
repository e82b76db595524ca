"""The ping: bytes that tell whose they are, so that an echo of anything else is caught and named."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SMALLEST = 16
LARGEST = 16384

_HEADER = struct.Struct("!QIHH")
_MARK = 0xA55A
_TURNS = 256
_PATTERN = random.Random(_MARK).randbytes(LARGEST + _TURNS)  # noqa: S311 - a pattern, not a secret


def make_stamp(run: int, process: int, size: int) -> Callable[[int, int], bytes]:
    """Return the function (connection number, sequence number) -> the `size` bytes of that ping.

    The first 16 bytes are run (24 bits), process (8), connection (32), sequence (32), length (16) and a mark;
    the rest is cut from a pattern at a place that depends on connection and sequence.
    """
    base = (run & 0xFFFFFF) << 40 | (process & 0xFF) << 32
    pack = _HEADER.pack
    rest = size - SMALLEST

    def short(number: int, sequence: int) -> bytes:
        return pack(base + number, sequence, SMALLEST, _MARK)

    def long(number: int, sequence: int) -> bytes:
        turn = (number + sequence) % _TURNS
        return pack(base + number, sequence, size, _MARK) + _PATTERN[turn : turn + rest]

    return long if rest else short


def difference(expected: bytes, found: bytes) -> str:
    """Return in a few words what is wrong with the answer `found`, which is not a beginning of `expected`."""
    if found.startswith(expected):
        return "more bytes than were sent"
    if len(found) < SMALLEST:
        return "altered"
    (right, sequence, _, _), (identity, other, _, mark) = (
        _HEADER.unpack_from(expected),
        _HEADER.unpack_from(found),
    )
    if mark != _MARK or identity >> 40 != right >> 40:
        return "not a ping of this run"
    if identity != right:
        return "another connection's ping"
    if other != sequence:
        return "another ping of this connection"
    return "altered"
