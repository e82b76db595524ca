"""A second HAProxy whose reload loses connections: what a proof of no loss is held to.

Its new process binds a listening socket of its own, as `haproxy -sf` without `-x` does, and what waits in the
old one's accept queue is reset. It runs beside the real one, in the same container, on a port of its own.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

from lab.errors import LabError
from lab.hosts import Lab
from lab.waiting import Unmet, wait_for

FILES = "/run/lb/naive"
BASE = "/run/lb/base.cfg"
SERVERS = "/var/lib/haproxy-servers/servers.cfg"
# What the real one has and the naive one must not: its way to hand over sockets, and its stats' port.
CUTS = (r"^ *master-worker\n", r"^ *stats socket .*\n", r"^frontend stats\n(?:[ \t].*\n)*")
START = f"""
haproxy -D -p {FILES}.pid -f {FILES}.cfg -f {SERVERS} "$@" </dev/null >{FILES}.log 2>&1 ||
    {{ cat {FILES}.log >&2; exit 1; }}
cat {FILES}.pid
"""
# The brackets keep the search from finding itself.
STOP = f"""
for file in $(grep -lze '{FILES}[.]cfg' /proc/[0-9]*/cmdline 2>/dev/null); do
    pid=${{file#/proc/}}
    kill -KILL "${{pid%/cmdline}}"
done
rm -f {FILES}.*
"""


def configuration(base: str, front: int, port: int) -> str:
    """Return the naive one's configuration, made from the real one's `base`: on `port` in place of `front`.

    Raises LabError when `base` is not what this is made for.
    """
    for pattern, instead in (*((cut, "") for cut in CUTS), (rf"\bbind :{front}\b", f"bind :{port}")):
        base, found = re.subn(pattern, instead, base, flags=re.MULTILINE)
        if found != 1:
            raise LabError(f"{BASE}: {pattern!r} found {found} times, wanted once")
    return base


class NaiveHaproxy:
    """The naive HAProxy while the body of a `with` goes on, before the servers that the real one has."""

    def __init__(self, lab: Lab) -> None:
        """Start nothing yet."""
        self._node = lab.lb
        self._ports = lab.topology.ports
        self.target = f"{lab.lb.address}:{lab.topology.ports.haproxy_naive}"
        self.pid = 0

    def __enter__(self) -> Self:
        """Start it; one that an interrupted run left behind is stopped first."""
        self._stop()
        base = self._in_container('cat "$1"', BASE)
        text = configuration(base, self._ports.haproxy_front, self._ports.haproxy_naive)
        self._in_container(f'printf %s "$1" > {FILES}.cfg', text)
        self.pid = int(self._in_container(START))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it and every old process of it that still has connections, and remove its files."""
        self._stop()

    def reload(self) -> None:
        """Put a new process in its place. Raises LabError when none came."""
        old = self.pid
        self.pid = int(self._in_container(START, "-sf", str(old)))
        if self.pid == old:
            raise LabError(f"the naive HAProxy did not reload: its process is still {old}")

    def await_load(self, connections: int, within: float) -> None:
        """Wait until the load client has so many connections. Raises LabError when it does not get them."""
        try:
            wait_for(self._connections, lambda seen: seen >= connections, within=within, what="a load")
        except Unmet as error:
            raise LabError(f"the naive HAProxy has no load: {error}") from error

    def _connections(self) -> int:
        filters = f"sport = :{self._ports.haproxy_naive}"
        return len(self._node.run("sudo", "ss", "-tnH", "state", "established", filters).splitlines())

    def _stop(self) -> None:
        self._in_container(STOP)

    def _in_container(self, script: str, *words: str) -> str:
        return self._node.run("docker", "exec", "haproxy", "sh", "-c", script, "sh", *words)
