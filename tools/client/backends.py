"""Which backend served how many: the echo itself does not tell, so HAProxy's statistics are asked."""

from __future__ import annotations

import csv
import io
import urllib.request
from typing import NamedTuple

from .kernel import EvidenceError

TIME_LIMIT = 5.0
_SUMS = ("FRONTEND", "BACKEND")


class Server(NamedTuple):
    """One server line: sessions since the worker's start, and those of now."""

    total: int
    current: int


def parse_statistics(text: str) -> dict[str, Server]:
    """Return "proxy/server" -> numbers from HAProxy's CSV page. Raises ValueError when it is none."""
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("# "))))
    try:
        return {
            f"{row['pxname']}/{row['svname']}": Server(int(row["stot"] or 0), int(row["scur"] or 0))
            for row in rows
            if row["svname"] not in _SUMS
        }
    except KeyError as error:
        raise ValueError(f"no column {error}") from error


def read_statistics(url: str) -> dict[str, Server]:
    """Return what HAProxy's CSV page at `url` says. Raises EvidenceError."""
    try:
        with urllib.request.urlopen(url, timeout=TIME_LIMIT) as page:  # noqa: S310 - the user's own address
            return parse_statistics(page.read().decode())
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{url}: {error}") from error


def distribution(before: dict[str, Server], after: dict[str, Server]) -> dict[str, dict[str, int]]:
    """Return for each server the sessions of the run and those still open at its end.

    A reload begins the counters anew: a total that went back is the new worker's alone.
    """
    none = Server(0, 0)
    return {
        name: {
            "sessions": server.total - old.total if server.total >= old.total else server.total,
            "open": server.current,
        }
        for name, server in after.items()
        for old in (before.get(name, none),)
    }
