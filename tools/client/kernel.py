"""The kernel's own evidence: TCP_INFO of a connection, and the counters of a network namespace."""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .histogram import LINEAR, Latencies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

COMMAND_LIMIT = 10.0
LARGEST_OUTPUT = 1 << 20
_CHUNK = 1 << 16
_HINT = "did it print /proc/net/snmp and /proc/net/netstat?"
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
# Counters that no host is without for long: they go back when a healthy one began anew.
_BUSY = ("Tcp.ActiveOpens", "Tcp.InSegs", "Tcp.OutSegs", "Tcp.PassiveOpens")
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


def movement(name: str, before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return the `deltas` of the counters of host `name`.

    Raises EvidenceError when a telling or a busy one went back: they began anew, who knows how far they were.
    """
    moved = deltas(before, after)
    if back := [each for each in (*TELLING, *_BUSY) if moved.get(each, 0) < 0]:
        raise EvidenceError(f"the counters of {name} began anew meanwhile: {', '.join(back)} went back")
    return moved


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
        counters = parse_counters(_printed(shlex.split(command)))
    except OSError as error:
        raise EvidenceError(f"counters of {name}: {error}") from error
    except ValueError as error:
        raise EvidenceError(f"counters of {name}: {error}: {_HINT}") from error
    if missing := [each for each in TELLING if each not in counters]:
        raise EvidenceError(f"counters of {name}: no {', '.join(missing)}: {_HINT}")
    return counters


def _printed(command: list[str]) -> str:
    """Return what `command` prints. Raises OSError when it fails, prints too much or takes too long.

    In the last two cases all that it has started is ended with it.
    """
    end = time.monotonic() + COMMAND_LIMIT
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            output, messages = _outputs(process, end)
            code = process.wait(max(0.0, end - time.monotonic()))
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise _too_late() from error
            raise
    if code:
        raise ChildProcessError(": ".join([f"exit status {code}", *messages.splitlines()[-1:]]))
    return output


def _outputs(process: subprocess.Popen[bytes], end: float) -> list[str]:
    """Return what `process` writes to its two outputs until it closes them.

    Raises OSError when that is too much, or not over at `end` on the monotonic clock.
    """
    texts = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe, text in texts.items():
            selector.register(pipe or -1, selectors.EVENT_READ, text)
        while selector.get_map():
            ready = selector.select(max(0.0, end - time.monotonic()))
            if not ready:
                raise _too_late()
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fd)
                if len(key.data) > LARGEST_OUTPUT:
                    raise OSError(f"it prints more than {LARGEST_OUTPUT} bytes")
    return [text.decode(errors="replace") for text in texts.values()]


def _too_late() -> TimeoutError:
    return TimeoutError(f"no end within {COMMAND_LIMIT:.0f} s")
