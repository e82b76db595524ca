"""The command line: the flags of the original registrator, in Go's style, and a few of our own."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from . import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMES = ("consul", "consul-unix", "consul-tls")
TRUE = {"1", "t", "T", "true", "TRUE", "True"}
FALSE = {"0", "f", "F", "false", "FALSE", "False"}


@dataclass(frozen=True)
class Options:
    """What the flags say; times in seconds unless the name says otherwise."""

    uri: str = "consul:"
    ip: str = ""
    internal: bool = False
    explicit: bool = False
    use_ip_from_label: str = ""
    tags: str = ""
    ttl: int = 0
    ttl_refresh: int = 0
    resync: int = 0
    cleanup: bool = False
    deregister: str = "always"
    retry_attempts: int = -1
    retry_interval: int = 2000
    drain: int = 60
    docker_checks: bool = True
    deregister_on_exit: bool = False
    health: str = ""


HELP = {
    "ip": "address for ports published on the host",
    "internal": "register container addresses and exposed ports",
    "explicit": "register only containers that carry a SERVICE_NAME or SERVICE_<port>_NAME",
    "use_ip_from_label": "take the address from this container label; a trailing /mask is cut",
    "tags": "comma list appended to the tags of every service",
    "ttl": "accepted, without effect on Consul",
    "ttl_refresh": "accepted, without effect on Consul",
    "resync": "seconds between reconciliations without an event; 0 means 30",
    "cleanup": "also remove unmarked services whose ID says they are this host's",
    "deregister": "always, or on-success: a container that failed (exit code 1 to 127) stays registered",
    "retry_attempts": "retries of the first contact with Consul; -1: for ever",
    "retry_interval": "milliseconds between these",
    "drain": "seconds a container stays out after a terminating signal that it survives; 0: wait for its end",
    "docker_checks": "show pause and HEALTHCHECK as a check in Consul",
    "deregister_on_exit": "remove own services on SIGTERM and SIGINT",
    "health": "serve /health on this HOST:PORT",
}


def flag(name: str) -> str:
    """Return the flag of a field: the original's spelling."""
    return "useIpFromLabel" if name == "use_ip_from_label" else name.replace("_", "-")


def boolean(text: str) -> bool:
    """Return the truth value of a Go flag; raise ValueError for anything else."""
    if text not in TRUE | FALSE:
        raise ValueError(text)
    return text in TRUE


KINDS: dict[str, Callable[[str], bool | int | str]] = {"bool": boolean, "int": int, "str": str}


def parser() -> argparse.ArgumentParser:
    """Return the parser: every flag with one or two dashes, `-x=v` or `-x v`."""
    parser = argparse.ArgumentParser(prog="registrator", allow_abbrev=False)
    parser.add_argument("--version", "-version", action="version", version=__version__)
    for field in fields(Options)[1:]:
        kind = KINDS[str(field.type)]
        name, choices = flag(field.name), ("always", "on-success") if field.name == "deregister" else None
        parser.add_argument(
            f"-{name}",
            f"--{name}",
            dest=field.name,
            type=kind,
            default=field.default,
            choices=choices,
            help=HELP[field.name],
        )
    parser.add_argument("uri", help="consul://HOST:PORT, consul-unix:///PATH or consul-tls://HOST:PORT")
    return parser


def parse(argv: list[str]) -> Options:
    """Return the options of a command line; exit 2 on a wrong one and 1 on values that do not go together."""
    booleans = {f"-{flag(field.name)}" for field in fields(Options) if field.type == "bool"}
    argv = [f"{word}=true" if word.replace("--", "-", 1) in booleans else word for word in argv]
    options = Options(**vars(parser().parse_args(argv)))
    if error := conflict(options):
        raise SystemExit(f"registrator: {error}")
    return options


def conflict(options: Options) -> str:
    """Return what is wrong with values that parse one by one, or nothing."""
    scheme = urlsplit(options.uri).scheme
    rules = {
        f"unsupported backend {scheme!r}: only {', '.join(SCHEMES)}": scheme not in SCHEMES,
        "-ttl and -ttl-refresh go together, and -ttl is the larger": (options.ttl, options.ttl_refresh)
        != (0, 0)
        and not options.ttl > options.ttl_refresh > 0,
        "-retry-interval must be greater than 0": options.retry_interval <= 0,
        "-tags takes a plain comma list, not a template": "{{" in options.tags,
    }
    return next((message for message, broken in rules.items() if broken), "")
