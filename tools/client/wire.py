"""What all parts of one running engine share: where to, with which bytes, and where results are entered."""

from __future__ import annotations

import _socket
import itertools
import select
import socket
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .accounts import Accounts, Outcome
from .histogram import Latencies
from .kernel import Connections
from .options import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .accounts import Loss
    from .history import History
    from .options import Options
    from .stamp import Stamp

SECOND = 1_000_000_000
STANDSTILL = SECOND  # between two turns of the loop, whose longest nap is a tenth of it
_TOO_LATE = {
    Outcome.TIMEOUT_CONNECT: "no connection in time",
    Outcome.TIMEOUT_REPLY: "no whole answer in time",
}
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
# From linux/in.h: the port is chosen at connect(), for the pair of addresses, and not already at bind().
_BIND_ADDRESS_NO_PORT = 24

clock = time.monotonic_ns


def nanoseconds(seconds: float) -> int:
    """Return `seconds` on the scale of `clock`."""
    return round(seconds * SECOND)


@dataclass(frozen=True)
class Target:
    """Where connections go to, and from which addresses in turn; without any the kernel chooses.

    `others` are the addresses that the same name has as well, to which none go.
    """

    family: int
    address: Any
    sources: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def socket_maker(self, offset: int) -> Callable[[], Any]:
        """Return what makes a non-blocking bare socket, the first one with source number `offset`.

        The bare `_socket.socket` is a third cheaper than the class on top of it.
        """
        bare = partial(_socket.socket, self.family, _STREAM, 0)
        if not self.sources:
            return bare
        turn = offset % len(self.sources)
        sources = itertools.cycle(self.sources[turn:] + self.sources[:turn])

        def bound() -> Any:  # noqa: ANN401 - a bare _socket.socket
            sock = bare()
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((next(sources), 0))
            return sock

        return bound


def resolve(options: Options) -> Target:
    """Return the target of `options`. Raises UsageError when its name has no address."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{options.host}: {getattr(error, 'strerror', None) or error}") from error
    family, _, _, _, address = found[0]
    others = dict.fromkeys(str(it[4][0]) for it in found if it[4][0] != address[0])
    return Target(family, address, options.source, tuple(others))


@dataclass
class Wire:
    """One engine's surroundings; latencies are counted in microseconds.

    `turn` is when the loop last came round, `standstill` the last time in which it did not for long.
    """

    options: Options
    target: Target
    stamp: Stamp
    make_socket: Callable[[], Any]
    history: History | None = None
    epoll: select.epoll = field(default_factory=select.epoll)
    accounts: Accounts = field(default_factory=Accounts)
    connections: Connections = field(default_factory=Connections)
    connect: Latencies = field(default_factory=Latencies)
    first_reply: Latencies = field(default_factory=Latencies)
    reply: Latencies = field(default_factory=Latencies)
    corrected: Latencies = field(default_factory=Latencies)
    first_reply_corrected: Latencies = field(default_factory=Latencies)
    turn: int = field(default_factory=clock)
    standstill: range = range(0)

    def stood_still(self, now: int) -> bool:
        """Return, and remember, whether this process has not run for long by `now`: stopped, or held up."""
        if now - self.turn <= STANDSTILL:
            return False
        self.standstill = range(self.turn, now)
        return True

    def too_late(self, deadline: int, outcome: Outcome) -> tuple[Outcome, str]:
        """Return the class and the reason of what was not there by `deadline`: `outcome`, a time-out.

        Nobody knows when it came if this process stood still then.
        """
        self.stood_still(clock())
        if deadline in self.standstill:
            return Outcome.LOCAL_ERROR, "this client stood still"
        return outcome, _TOO_LATE[outcome]

    def lose(self, loss: Loss) -> None:
        """Enter an attempt that ended badly."""
        self.accounts.lose(loss)
        if self.history:
            self.history.end(loss.time, loss.number, loss.outcome)


def own_port(sock: Any) -> int:  # noqa: ANN401 - socket.socket or its bare base
    """Return the local port of `sock`, 0 when it has none (any more)."""
    try:
        port: int = sock.getsockname()[1]
    except OSError:
        return 0
    return port
