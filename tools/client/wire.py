"""What all parts of one running engine share: where to, with which bytes, and where results are entered."""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .accounts import Accounts
from .histogram import Latencies

if TYPE_CHECKING:
    from collections.abc import Callable

    from .options import Options

SECOND = 1_000_000_000
SLOW_CONNECT = SECOND

clock = time.monotonic_ns


def nanoseconds(seconds: float) -> int:
    """Return `seconds` on the scale of `clock`."""
    return round(seconds * SECOND)


@dataclass
class Wire:
    """One engine's surroundings; latencies are counted in microseconds."""

    options: Options
    family: int
    address: Any
    stamp: Callable[[int, int], bytes]
    epoll: select.epoll = field(default_factory=select.epoll)
    accounts: Accounts = field(default_factory=Accounts)
    connect: Latencies = field(default_factory=Latencies)
    reply: Latencies = field(default_factory=Latencies)
    corrected: Latencies = field(default_factory=Latencies)


def own_port(sock: socket.socket) -> int:
    """Return the local port of `sock`, 0 when it has none (any more)."""
    try:
        port: int = sock.getsockname()[1]
    except OSError:
        return 0
    return port


def port_of(descriptor: int) -> int:
    """Return the local port of a descriptor that no socket object owns."""
    sock = socket.socket(fileno=descriptor)
    try:
        return own_port(sock)
    finally:
        sock.detach()
