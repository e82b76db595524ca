"""What the monitor is told by flags and environment."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from yarl import URL

from .state import Host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHORTEST, LONGEST = 0.1, 60  # s
DESCRIPTION = """\
Shows, live, how many connections each service of the demo holds: who comes and goes, who leads, and
HAProxy reloading. Open the address it listens on in a browser, or read it with curl.

The services are those that Consul knows; each is asked for its connections at /conns once an interval.
"""
EPILOG = """\
Every flag has an environment variable, MONITOR_ and its name; where a flag may be given several times,
the variable holds all values, separated by spaces. Flags win.

What it serves:
  /             the page; plain text for curl, one "name count" a line
  /api/state    everything the page shows, as JSON
  /api/history  the connections of the last minutes, as JSON
  /events       server-sent events: a snapshot, then merge patches (RFC 7386)
  /metrics      Prometheus

example:
  monitor --listen 0.0.0.0:80 --consul 192.0.2.4:80 --consul 192.0.2.5:80 --echo fep --info fepinfo \\
          --haproxy http://192.0.2.2:80/ --host lb=192.0.2.2=lb --host server1=192.0.2.4=server

exit code: 0 stopped by a signal, 1 cannot listen, 2 wrong usage
"""


@dataclass(frozen=True)
class Options:
    """The facts that the monitor needs; `interval` in seconds, `haproxy` may be empty."""

    listen: tuple[str, int]
    consul: list[str]
    haproxy: str
    host: list[Host]
    echo: str
    info: str
    interval: float

    @property
    def haproxy_address(self) -> str:
        """Return the address of the load balancer's host, empty without one."""
        return URL(self.haproxy).host or "" if self.haproxy else ""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Return the options; ends the program with a message and code 2 when they are wrong."""
    words = [*_from_environment(arguments, environment), *arguments]
    return Options(**vars(_parser().parse_args(words)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="monitor",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    where: dict[str, Any] = {"metavar": "ADDRESS:PORT", "required": True}
    several: dict[str, Any] = {"action": "append", "default": []}
    add("--listen", **where, type=_endpoint, help="where the page is served")
    add(
        "--consul", **where, type=_agent, **several, help="the HTTP API of one of Consul's agents; repeatable"
    )
    add("--echo", required=True, metavar="NAME", help="the echo service in Consul, and HAProxy's backend")
    add("--info", required=True, metavar="NAME", help="the service in Consul that answers /conns")
    add("--haproxy", metavar="URL", type=_page, default="", help="HAProxy's statistics page (default: none)")
    add("--host", metavar="NAME=ADDRESS=ROLE", type=_host, **several, help="a host to show; repeatable")
    add(
        "--interval", metavar="SECONDS", type=_seconds, default=1.0, help="between two questions (default: 1)"
    )
    return parser


def _from_environment(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return, as flags, the variables of those flags that are not given."""
    given = {argument.partition("=")[0] for argument in arguments}
    names = [field.name for field in fields(Options) if f"--{field.name}" not in given]
    values = {name: environment.get(f"MONITOR_{name.upper()}", "").split() for name in names}
    return [f"--{name}={value}" for name, several in values.items() for value in several]


def _endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or int(port) >= 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT")
    return address, int(port)


def _agent(text: str) -> str:
    address, port = _endpoint(text)
    return f"{address}:{port}"


def _host(text: str) -> Host:
    name, _, rest = text.partition("=")
    address, _, role = rest.partition("=")
    if not (name and address and role):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=ADDRESS=ROLE")
    return Host(name, address, role)


def _page(text: str) -> str:
    if text and not (text.startswith("http://") and text.endswith("/") and URL(text).host):
        raise argparse.ArgumentTypeError(f"{text!r} is not http://ADDRESS:PORT/ with a slash at its end")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not SHORTEST <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {SHORTEST} to {LONGEST}")
    return seconds
