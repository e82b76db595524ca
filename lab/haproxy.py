"""What the load balancer says of itself: its servers and its processes."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Server:
    """One server line of a backend; `sessions` are the connections it ever got in this worker."""

    name: str
    up: bool
    sessions: int
    current: int


def servers(stats: str, backend: str) -> dict[str, Server]:
    """Return a backend's servers by name from HAProxy's CSV statistics (management.txt, section 9.1)."""
    rows = csv.DictReader(stats.removeprefix("# ").splitlines())
    chosen = [r for r in rows if r["pxname"] == backend and r["svname"] not in {"FRONTEND", "BACKEND"}]
    return {
        row["svname"]: Server(
            row["svname"], row["status"].startswith("UP"), int(row["stot"]), int(row["scur"])
        )
        for row in chosen
    }


def worker(processes: str) -> int:
    """Return the pid of the current worker from the master's `show proc`. Raises LookupError without one."""
    current = processes.partition("# old workers")[0]
    found = re.search(r"^(\d+)\s+worker\b", current, re.MULTILINE)
    if not found:
        raise LookupError(f"no worker in: {processes}")
    return int(found[1])


def old_workers(processes: str) -> list[int]:
    """Return the pids of workers that a reload replaced and that still have connections, from `show proc`."""
    old = processes.partition("# old workers")[2].partition("#")[0]
    return [int(pid) for pid in re.findall(r"^(\d+)\s+worker\b", old, re.MULTILINE)]


def consul_template(listing: str) -> int:
    """Return the pid of consul-template in a listing of pids and names. Raises LookupError without one."""
    found = re.search(r"^\s*(\d+)\s+consul-templat", listing, re.MULTILINE)
    if not found:
        raise LookupError("no consul-template runs")
    return int(found[1])


def reloads(processes: str) -> int:
    """Return how often the master has reloaded, from its `show proc`. Raises LookupError without a master."""
    found = re.search(r"^\d+\s+master\s+(\d+)", processes, re.MULTILINE)
    if not found:
        raise LookupError(f"no master in: {processes}")
    return int(found[1])
