"""One process's share of a run, and what it brings home."""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .accounts import Accounts
from .engine import Churn, Engine
from .histogram import Latencies
from .history import History, part
from .holder import Held
from .kernel import Connections
from .options import NONE
from .stamp import Stamp
from .wire import Target, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .options import Options
    from .stop import Stop
    from .timeline import Sample


@dataclass
class Result:
    """What a run has counted; times in nanoseconds on the monotonic clock, `cpu` in seconds.

    `unknown` are the connections to hold of processes that brought nothing home.
    """

    accounts: Accounts = field(default_factory=Accounts)
    held: Held = field(default_factory=Held)
    connections: Connections = field(default_factory=Connections)
    connect: Latencies = field(default_factory=Latencies)
    first_reply: Latencies = field(default_factory=Latencies)
    reply: Latencies = field(default_factory=Latencies)
    corrected: Latencies = field(default_factory=Latencies)
    first_reply_corrected: Latencies = field(default_factory=Latencies)
    cpu: float = 0.0
    troubles: list[str] = field(default_factory=list)
    churn: Churn = field(default_factory=Churn)
    unknown: int = 0

    def add(self, other: Result) -> None:
        """Add what another process has counted."""
        self.accounts.add(other.accounts)
        self.held.add(other.held)
        self.connections.add(other.connections)
        self.connect.add(other.connect)
        self.first_reply.add(other.first_reply)
        self.reply.add(other.reply)
        self.corrected.add(other.corrected)
        self.first_reply_corrected.add(other.first_reply_corrected)
        self.cpu += other.cpu
        self.troubles += other.troubles
        self.churn.add(other.churn)
        self.unknown += other.unknown


def share(options: Options, process: int) -> Options:
    """Return what process number `process` of `options.procs` does; the first ones take the remainders."""

    def part_of(total: int) -> int:
        return total // options.procs + (process < total % options.procs)

    return replace(
        options,
        connections=part_of(options.connections),
        concurrency=part_of(options.concurrency),
        count=part_of(options.count),
        rate=options.rate / options.procs,
        history=options.history and part(options.history, process),
    )


class Worker:
    """One engine with its surroundings."""

    def __init__(self, options: Options, target: Target, run: int, process: int, stop: Stop) -> None:
        """Prepare process number `process` of the run with the random number `run`. Raises OSError."""
        self._wire = Wire(
            options=options,
            target=target,
            stamp=Stamp(run, process, options.size),
            make_socket=target.socket_maker(process),
            history=History(options.history, process) if options.history else None,
        )
        self._stop = stop
        self._engine = Engine(self._wire, stop)

    def run(self, tell: Callable[[Sample], None]) -> Result:
        """Do the work, telling a sample a second; return the result. What lives stays open until `close`."""
        wire, engine = self._wire, self._engine
        with _no_garbage():
            before = time.process_time()
            engine.run(tell)
            cpu = time.process_time() - before
        if wire.options.tcp_info != NONE:
            wire.connections.read_descriptors(engine.holder.descriptors())
        engine.holder.account()
        troubles = []
        if wire.history:
            wire.history.close()
            troubles = [wire.history.trouble] if wire.history.trouble else []
        return Result(
            wire.accounts,
            engine.holder.held,
            wire.connections,
            wire.connect,
            wire.first_reply,
            wire.reply,
            wire.corrected,
            wire.first_reply_corrected,
            cpu,
            troubles,
            engine.churn,
        )

    def close(self) -> None:
        """Close what lives."""
        self._engine.holder.close()
        self._wire.epoll.close()


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Keep the collector of reference cycles away from the loop, which makes none."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
