"""What this machine allows, looked at before the start: each refusal and warning says what to do."""

from __future__ import annotations

import ipaddress
import resource
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .options import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .options import Options
    from .wire import Target

SPARE_DESCRIPTORS = 64
TIME_WAIT = 60.0
_SYSTEM = Path("/proc/sys/net")
_ANY_TARGET, _LOOPBACK_ONLY = "1", "2"


def raise_descriptors(options: Options) -> None:
    """Allow this process and its children the descriptors they need. Raises UsageError when it cannot.

    Held connections that are being opened are among those to hold: only a churn needs more.
    """
    held = -(-options.connections // options.procs)
    needed = held + -(-options.concurrency * options.churn // options.procs) + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        room = hard - (needed - held)
        remedy = f"--procs {-(-options.connections // room)}" if room > 0 else "a smaller --concurrency"
        use = f"use {remedy}, or " if room > 0 or options.churn else ""
        raise UsageError(
            f"{needed} descriptors a process are needed, the hard limit is {hard}: {use}raise the limit "
            "(ulimit -Hn, LimitNOFILE=)"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def check_ports(options: Options, target: Target) -> None:
    """Refuse more connections than there are source ports. Raises UsageError."""
    low, high = port_range()
    a_source = high - low + 1 - sum(low <= port <= high for port in reserved_ports())
    ports = a_source * len(target.sources or [""])
    needed = options.connections + options.concurrency * options.churn
    if needed > ports:
        raise UsageError(
            f"{needed} connections at once need {needed} source ports, there are {ports}: use --source with "
            f"{-(-needed // a_source)} addresses, or widen net.ipv4.ip_local_port_range ({low}-{high})"
        )
    if not options.churn or _reuses_ports(target):
        return
    used = options.connections + min(_opens(options), options.rate * TIME_WAIT)
    if used > ports:
        raise UsageError(
            f"{used:.0f} ports are used within a minute, for which TIME_WAIT keeps each, there are {ports}: "
            f"set net.ipv4.tcp_tw_reuse=1, or use --source with {-(-used // a_source):.0f} addresses"
        )


def warnings(options: Options, target: Target) -> list[str]:
    """Return what may spoil the run without making it impossible."""
    found = []
    if target.others:
        used, others = target.address[0], ", ".join(target.others)
        found.append(f"{options.host} has several addresses: all connections go to {used}, none to {others}")
    if options.churn and not options.rate and not _reuses_ports(target):
        found.append(
            "closed connections keep their ports for a minute: without net.ipv4.tcp_tw_reuse=1 or --source "
            "a long churn runs out of them"
        )
    backlog = int(_read("core/somaxconn"))
    if options.concurrency > backlog and is_local(target):
        found.append(
            f"--concurrency {options.concurrency} is more than net.core.somaxconn {backlog} of this machine: "
            "the server's queue may overflow, raise it"
        )
    return found


def check_self_connect(target: Target) -> None:
    """Refuse a port at which a connection without a listener could connect to itself. Raises UsageError.

    It could where source and target address are the same and the kernel gives the port to sources.
    """
    low, high = port_range()
    port = target.address[1]
    if not low <= port <= high or port in reserved_ports():
        return
    if any(own == peer for own, peer in _ends(target)):
        raise UsageError(
            f"port {port} is one of this machine's source ports ({low}-{high}): connections could connect to "
            f"themselves and echo. Set net.ipv4.ip_local_reserved_ports={port}, or use another --source"
        )


def check_sources(target: Target) -> None:
    """Refuse a source address that this machine does not have. Raises UsageError."""
    for source in target.sources:
        try:
            with socket.socket(target.family, socket.SOCK_STREAM) as probe:
                probe.bind((source, 0))
        except socket.gaierror as error:
            raise UsageError(
                f"--source {source}: no address of the kind of {target.address[0]}, the target"
            ) from error
        except OSError as error:
            raise UsageError(
                f"--source {source}: {error.strerror}: give it to an interface first (ip address add)"
            ) from error


def port_range() -> tuple[int, int]:
    """Return the first and the last port that the kernel gives to connections."""
    low, high = _read("ipv4/ip_local_port_range").split()
    return int(low), int(high)


def reserved_ports() -> set[int]:
    """Return the ports that the kernel never gives to connections."""
    ports: set[int] = set()
    for span in _read("ipv4/ip_local_reserved_ports").replace(",", " ").split():
        first, _, last = span.partition("-")
        ports.update(range(int(first), int(last or first) + 1))
    return ports


def is_local(target: Target) -> bool:
    """Return whether the target is an address of this machine."""
    free = replace(target, sources=())
    return _is_loopback(target) or any(own == peer for own, peer in _ends(free))


def _ends(target: Target) -> Iterator[tuple[str, str]]:
    """Yield, for each source, the two addresses that a connection would have; none where no route leads.

    The kernel itself is asked: it knows, for example, which address 0.0.0.0 stands for. Nothing is sent to
    connect a UDP socket.
    """
    for source in target.sources or ("",):
        try:
            with socket.socket(target.family, socket.SOCK_DGRAM) as probe:
                if source:
                    probe.bind((source, 0))
                probe.connect(target.address)
                ends = probe.getsockname()[0], probe.getpeername()[0]
        except OSError:
            continue
        yield ends


def _is_loopback(target: Target) -> bool:
    return any(ipaddress.ip_address(peer).is_loopback for _, peer in _ends(target))


def _reuses_ports(target: Target) -> bool:
    """Return whether a port in TIME_WAIT is used again after a second."""
    reuse = _read("ipv4/tcp_tw_reuse")
    return reuse == _ANY_TARGET or (reuse == _LOOPBACK_ONLY and _is_loopback(target))


def _opens(options: Options) -> float:
    """Return how many opens the churn will do at most."""
    by_time = options.rate * options.time_limit
    return min(options.count, by_time) if options.count else by_time


def _read(name: str) -> str:
    return (_SYSTEM / name).read_text(encoding="ascii").strip()
