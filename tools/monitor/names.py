"""Names of instances: found in service IDs, made fit to be shown, sorted as people count."""

from __future__ import annotations

import re

LENGTH = 200  # characters that are shown of a name
_SERVICE_ID = re.compile(r"(?P<host>[^:]+):(?P<container>.+?):\d+(?::udp)?", re.DOTALL)


def printable(text: str) -> str:
    """Return `text` as one word on one line: what is not printable, or is space, becomes a question mark."""
    return "".join(c if c.isprintable() and not c.isspace() else "?" for c in text[:LENGTH])


def identity(service_id: str) -> tuple[str, str]:
    """Return key and name of the container behind a service ID.

    Registrator's IDs are `host:container:port`; any other ID is its own key and name.
    """
    match = _SERVICE_ID.fullmatch(service_id)
    if match is None:
        return service_id, printable(service_id)
    return f"{match['host']}:{match['container']}", printable(match["container"])


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sorting key that puts fep.2 before fep.10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
