"""Which backend served how many: the echo itself does not tell, so HAProxy's statistics are asked."""

from __future__ import annotations

import csv
import io
import time
import urllib.request
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, NamedTuple

from .kernel import EvidenceError

if TYPE_CHECKING:
    from http.client import HTTPResponse

TIME_LIMIT = 5.0
LARGEST_PAGE = 1 << 24
_CHUNK = 1 << 16
_SUMS = ("FRONTEND", "BACKEND")
_COLUMNS = ("pxname", "svname", "stot", "scur")


class Server(NamedTuple):
    """One server line: sessions since the worker's start, and those of now."""

    total: int
    current: int


def parse_statistics(text: str) -> dict[str, Server]:
    """Return "proxy/server" -> numbers from HAProxy's CSV page. Raises ValueError when it is none."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("# ")))
    try:
        if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
            raise ValueError(f"no page of HAProxy's CSV statistics: no column {', '.join(missing)}")
        return {
            f"{row['pxname']}/{row['svname']}": Server(int(row["stot"] or 0), int(row["scur"] or 0))
            for row in reader
            if row["svname"] not in _SUMS
        }
    except csv.Error as error:
        raise ValueError(f"no page of HAProxy's CSV statistics: {error}") from error


def read_statistics(url: str) -> dict[str, Server]:
    """Return what HAProxy's CSV page at `url` says.

    Raises EvidenceError when it cannot be read, takes too long, is too long or says something else.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIME_LIMIT) as page:  # noqa: S310 - the user's own address
            return parse_statistics(_whole(page).decode())
    except HTTPException as error:
        raise EvidenceError(f"{url}: it cannot be read as a web page: {error!r}") from error
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{url}: {error}") from error


def _whole(page: HTTPResponse) -> bytes:
    """Return all of the page. Raises OSError, ValueError or HTTPException when that cannot be had."""
    end = time.monotonic() + TIME_LIMIT
    text = b""
    while data := page.read1(_CHUNK):
        text += data
        if len(text) > LARGEST_PAGE:
            raise ValueError(f"more than {LARGEST_PAGE} bytes")
        if time.monotonic() > end:
            raise TimeoutError(f"not read within {TIME_LIMIT:.0f} s")
    if page.length:
        raise IncompleteRead(text, page.length)
    return text


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
