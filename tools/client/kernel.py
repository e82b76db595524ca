"""The kernel's own evidence: TCP_INFO of a connection, and the counters of a network namespace."""

from __future__ import annotations

import shlex
import socket
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .histogram import LINEAR, Latencies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

COMMAND_LIMIT = 10.0
# Counters of a lost or refused packet or connection: always reported, also when they stood still.
TELLING = (
    "Tcp.AttemptFails",
    "Tcp.EstabResets",
    "Tcp.OutRsts",
    "Tcp.RetransSegs",
    "TcpExt.ListenDrops",
    "TcpExt.ListenOverflows",
    "TcpExt.TCPAbortOnData",
    "TcpExt.TCPAbortOnTimeout",
    "TcpExt.TCPSynRetrans",
    "TcpExt.TCPTimeouts",
)
_FILES = (Path("/proc/net/snmp"), Path("/proc/net/netstat"))
_INFO_BYTES = 104
_RTT = struct.Struct("68xI28xI")  # tcpi_rtt in us, tcpi_total_retrans


class EvidenceError(Exception):
    """Counters could not be read; the message says whose and why."""


@dataclass
class Connections:
    """TCP_INFO of many connections, summed up; `rtt` is the kernel's smoothed one in microseconds."""

    read: int = 0
    retransmits: int = 0
    with_retransmits: int = 0
    rtt: Latencies = field(default_factory=Latencies)

    def read_from(self, sock: Any) -> int | None:  # noqa: ANN401 - socket.socket or its bare base
        """Enter `sock` and return its retransmits; None, and no entry, when the kernel does not tell."""
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        except OSError:
            return None
        rtt, retransmits = _RTT.unpack(info)
        self.read += 1
        if rtt < LINEAR:
            self.rtt.small[rtt] += 1
        else:
            self.rtt.record(rtt)
        if retransmits:
            self.retransmits += retransmits
            self.with_retransmits += 1
        return int(retransmits)

    def read_descriptors(self, descriptors: Iterable[int]) -> None:
        """Enter connections that no socket object owns."""
        for descriptor in descriptors:
            with borrowed(descriptor) as sock:
                self.read_from(sock)

    def add(self, other: Connections) -> None:
        """Enter what another process has read."""
        self.read += other.read
        self.retransmits += other.retransmits
        self.with_retransmits += other.with_retransmits
        self.rtt.add(other.rtt)


@contextmanager
def borrowed(descriptor: int) -> Iterator[socket.socket]:
    """Give a socket object for a descriptor that stays open afterwards."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)
    try:
        yield sock
    finally:
        sock.detach()


def parse_counters(text: str) -> dict[str, int]:
    """Return the counters in `text`, which is made like /proc/net/snmp: "TcpExt.ListenDrops" -> value.

    Raises ValueError when it is not.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    counters: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        if names[0] != values[0] or not names[0].endswith(":"):
            raise ValueError(f"no pair of lines: {names[0]} and {values[0]}")
        group = names[0][:-1]
        counters |= {f"{group}.{name}": int(value) for name, value in zip(names[1:], values[1:], strict=True)}
    return counters


def deltas(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much each counter has moved: the telling ones always, the others when they have."""
    moved = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: moved[name] for name in sorted(moved) if moved[name] or name in TELLING}


def read_own_counters() -> dict[str, int]:
    """Return the counters of this process's network namespace. Raises EvidenceError."""
    try:
        return parse_counters("".join(path.read_text(encoding="ascii") for path in _FILES))
    except (OSError, ValueError) as error:
        raise EvidenceError(f"counters of this host: {error}") from error


def read_counters(name: str, command: str) -> dict[str, int]:
    """Return the counters of another host of the path, printed by `command`.

    Raises EvidenceError when the command fails, takes too long or prints something else.
    """
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, timeout=COMMAND_LIMIT, check=True
        )
        return parse_counters(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise EvidenceError(f"counters of {name}: {error}") from error
