"""What a container says about its services: SERVICE_* in its environment and its labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PREFIX = "SERVICE_"
USED = {"name", "tags", "id", "ip", "ignore"}
PAIRS = 61  # Consul takes 64; three are our marks
KEY = re.compile(r"(?!consul-)[A-Za-z0-9_-]{1,128}")  # that prefix is Consul's own
VALUE = 512  # bytes


def metadata(
    environment: Iterable[str], labels: Mapping[str, str], port: int
) -> tuple[dict[str, str], set[str]]:
    """Return the metadata of one exposed port, keys in lower case, and the keys given for it alone.

    A label beats the environment; SERVICE_<port>_X beats SERVICE_X; an empty value is no value.
    """
    pairs = [pair.partition("=")[::2] for pair in environment] + list(labels.items())
    general: dict[str, str] = {}
    special: dict[str, str] = {}
    for name, value in pairs:
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX).lower()
        number, _, rest = key.partition("_")
        if not number.isdecimal() or not rest:
            general[key] = value
        elif number == str(port):
            special[rest] = value
    return {key: value for key, value in (general | special).items() if value}, set(special)


def split_tags(text: str) -> list[str]:
    r"""Return the tags of a comma list in order; `\,` is a comma within a tag, empty ones are left out."""
    return [tag.replace("\\,", ",") for tag in re.split(r"(?<!\\),", text) if tag]


def attributes(meta: Mapping[str, str]) -> dict[str, str]:
    """Return what goes into Consul's Meta: all that has no other use and that Consul takes."""
    fit = {
        key: value
        for key, value in sorted(meta.items())
        if KEY.fullmatch(key)
        and len(value.encode()) <= VALUE
        and key not in USED
        and not key.startswith("check_")
    }
    return dict(list(fit.items())[:PAIRS])
