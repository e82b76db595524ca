"""The command line: what to open, where to, for how long."""

from __future__ import annotations

import argparse
import ipaddress
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .stamp import LARGEST, SMALLEST

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_RUN = 86400.0
MOST_CONNECTIONS = 1_000_000
MOST_PROCESSES = 64
MOST_SOURCES = 1024
OWN = "client"  # the name of the client's own counters
NONE, SLOW, ALL = "none", "slow", "all"
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")

_EPILOG = """\
examples:
  client -c 200 lb:5000                              hold 200, ping each once a second, for a minute
  client --churn --concurrency 256 --duration 30 lb:5000
                                                     256 opens at once without pause: what sees a lossy reload
  client -c 200 --churn --rate 500 lb:5000  both at once
  client -c 50000 --procs 3 --source 127.0.0.2,127.0.0.3,127.0.0.4 127.0.0.1:7000

exit code: 0 nothing lost, 1 lost, 2 could not tell (wrong use, this machine's limits, nothing was tried).
Ctrl-C or SIGTERM ends the run early with its summary; a second one does not wait for outstanding answers.
"""


class UsageError(Exception):
    """The options cannot be followed; the message says which and what to do."""


@dataclass(frozen=True)
class Options:
    """What to do; times in seconds, `rate` in opens a second (0: as fast as possible)."""

    host: str
    port: int
    connections: int = 0
    interval: float = 1.0
    size: int = SMALLEST
    churn: bool = False
    concurrency: int = 64
    rate: float = 0.0
    ramp: float = 0.0
    duration: float | None = None
    count: int = 0
    connect_timeout: float = 5.0
    reply_timeout: float = 5.0
    procs: int = 1
    source: tuple[str, ...] = ()
    tcp_info: str = SLOW
    counters: tuple[tuple[str, str], ...] = ()
    haproxy: str = ""
    json: Path | None = None
    history: Path | None = None
    plot: Path | None = None
    stream: bool = False
    quiet: bool = False

    @property
    def time_limit(self) -> float:
        """Return the seconds after which no more is opened or sent; there always is a limit."""
        return 60.0 if self.duration is None else self.duration


def _bounded(kind: type[int | float], low: float, high: float) -> Callable[[str], float]:
    """Return an argparse type that accepts numbers of `kind` in low..high."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:.10g} to {high:.10g}")
        return value

    return parse


def _target(text: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT or [V6]:PORT."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT with a port from 1 to 65535")
    return host, int(port)


def _addresses(text: str) -> tuple[str, ...]:
    """Return the addresses in A,B,C, each once; FIRST-LAST stands for a whole range."""
    found: list[str] = []
    for item in text.split(","):
        first, dash, last = item.partition("-")
        try:
            low, high = ipaddress.ip_address(first), ipaddress.ip_address(last if dash else first)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        span = int(high) - int(low) + 1
        if low.version != high.version or not 0 < span <= MOST_SOURCES:
            raise argparse.ArgumentTypeError(f"{item!r} is no range of at most {MOST_SOURCES} addresses")
        found += [_source(low + step) for step in range(span)]
    return tuple(dict.fromkeys(found))


def _source(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return the address as text when it is one of a single host."""
    if address.is_unspecified or address.is_multicast or address == _BROADCAST:
        raise argparse.ArgumentTypeError(f"{address}: no connection can come from such an address")
    return str(address)


def _page(text: str) -> str:
    """Return the address of a web page."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is not http://HOST:PORT/PATH")
    return text


def _named(text: str) -> tuple[str, str]:
    """Return name and command of NAME=COMMAND."""
    name, _, command = text.partition("=")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    if not (name and words):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND")
    if name == OWN:
        raise argparse.ArgumentTypeError(f"{OWN} is the name of the client's own counters: use another one")
    return name, command


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} -h explains")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="client",
        description="Open TCP connections to an echo service, prove every byte, account for each of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("target", metavar="HOST:PORT", type=_target, help="the echo service, or the load balancer before it")
    seconds = _bounded(float, 0.001, LONGEST_RUN)
    _add_load(parser, seconds)
    _add_evidence(parser)
    _add_output(parser)
    return parser


def _add_load(parser: argparse.ArgumentParser, seconds: Callable[[str], float]) -> None:
    number = _bounded(int, 1, MOST_CONNECTIONS)
    add = parser.add_argument_group("load").add_argument
    add("-c", "--connections", metavar="N", type=_bounded(int, 0, MOST_CONNECTIONS), default=0, help="hold N")
    add("--interval", metavar="S", type=seconds, default=1.0, help="ping each held one every S seconds (1)")
    add(
        "--ramp",
        metavar="S",
        type=_bounded(float, 0, LONGEST_RUN),
        default=0.0,
        help="open the held ones over S",
    )
    add("--churn", action="store_true", help="open, ping once, close, again and again")
    add("--concurrency", metavar="K", type=number, default=64, help="at most K opens under way at once (64)")
    add("--rate", metavar="R", type=_bounded(float, 0.01, 1e6), default=0.0, help="R churn opens a second")
    add("--count", metavar="N", type=_bounded(int, 1, 1e9), default=0, help="end the churn after N opens")
    add(
        "--duration",
        metavar="S",
        type=seconds,
        help="end after S seconds (60), or when --count opens are done",
    )
    add(
        "--size",
        metavar="B",
        type=_bounded(int, SMALLEST, LARGEST),
        default=SMALLEST,
        help="bytes of a ping (16)",
    )
    add("--procs", metavar="P", type=_bounded(int, 1, MOST_PROCESSES), default=1, help="share it among P")
    add("--source", metavar="A,B-C", type=_addresses, default=(), help="connect from these addresses in turn")
    add("--connect-timeout", metavar="S", type=seconds, default=5.0, help="give up a connect after S (5)")
    add("--reply-timeout", metavar="S", type=seconds, default=5.0, help="give up an answer after S (5)")


def _add_evidence(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("evidence").add_argument
    add(
        "--tcp-info",
        choices=(NONE, SLOW, ALL),
        default=SLOW,
        help="ask the kernel about no connection; the held, lost and slow ones; or all",
    )
    add(
        "--counters",
        metavar="NAME=COMMAND",
        type=_named,
        action="append",
        default=[],
        help="prints /proc/net/snmp and netstat of another host of the path; run before and after",
    )
    add(
        "--haproxy",
        metavar="URL",
        type=_page,
        default=argparse.SUPPRESS,  # a default that is text would be judged, too
        help="HAProxy's CSV page: which backend served how many",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("output").add_argument
    add("--json", metavar="FILE", type=Path, help="write the summary here as JSON")
    add("--history", metavar="FILE", type=Path, help="write every operation here, a JSON object a line")
    add("--plot", metavar="FILE", type=Path, help="draw the connections over time here as SVG")
    add("--stream", action="store_true", help="write a JSON object each second, the summary as the last")
    add("-q", "--quiet", action="store_true", help="no line a second, only the summary")


def parse(arguments: list[str] | None = None) -> Options:
    """Return the options on the command line.

    Raises UsageError when one makes no sense or all together make none, SystemExit when -h has printed the
    help, OSError when that could not be printed.
    """
    found = vars(_parser().parse_args(arguments))
    host, port = found.pop("target")
    found["counters"] = tuple(found["counters"])
    options = Options(host=host, port=port, **found)
    if not options.connections and not options.churn:
        raise UsageError("nothing to do: -c N holds connections, --churn opens and closes them")
    if (options.rate or options.count) and not options.churn:
        raise UsageError("--rate and --count are about --churn; -c N is paced by --ramp and --interval")
    if options.ramp and not options.connections:
        raise UsageError("--ramp is about -c N; --churn is paced by --rate")
    names = [name for name, _ in options.counters]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UsageError(f"--counters: {twice[0]} is given twice: use another name")
    for name in ("concurrency", "count"):
        if 0 < (number := getattr(options, name)) < options.procs:
            raise UsageError(f"--{name} {number} cannot be shared among --procs {options.procs}")
    return options
