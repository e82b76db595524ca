"""The command line: the flags of the original registrator, in Go's style, and a few of our own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from . import __version__

SCHEMES = ("consul", "consul-unix", "consul-tls")
TRUE = {"1", "t", "T", "true", "TRUE", "True"}
FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def flag(default: Any, text: str) -> Any:  # noqa: ANN401 - of the type of its field
    """Return a field of Options that is a flag."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    """What the flags say; times in seconds unless the name says otherwise."""

    uri: str = "consul:"
    ip: str = flag("", "address for ports published on the host")
    internal: bool = flag(False, "register container addresses and exposed ports")
    explicit: bool = flag(False, "only what carries SERVICE_NAME or SERVICE_<port>_NAME")
    useIpFromLabel: str = flag("", "take the address from this container label")  # noqa: N815 - as people type it
    tags: str = flag("", "comma list appended to the tags of every service")
    ttl: int = flag(0, "accepted, without effect on Consul")
    ttl_refresh: int = flag(0, "accepted, without effect on Consul")
    resync: int = flag(0, "seconds between looks without a reason; 0: 30")
    cleanup: bool = flag(False, "also remove what the original registrator left on this host")
    deregister: str = flag(
        "always", "when a container has ended: always, or on-success: those of one that failed stay"
    )
    retry_attempts: int = flag(-1, "retries of the first contact with Consul; -1: for ever")
    retry_interval: int = flag(2000, "milliseconds between them")
    drain: int = flag(60, "seconds that a container stays out after a signal meant to end it; 0: not at all")
    docker_checks: bool = flag(True, "show pause and HEALTHCHECK as a check in Consul")
    deregister_on_exit: bool = flag(False, "remove the own services on SIGTERM and SIGINT")
    health: str = flag("", "HOST:PORT to serve /health on")


def boolean(text: str) -> bool:
    """Return the truth value of a Go flag; raise ValueError for anything else."""
    if text not in TRUE | FALSE:
        raise ValueError(text)
    return text in TRUE


KINDS: dict[str, Callable[[str], bool | int | str]] = {"bool": boolean, "int": int, "str": str}


def parser() -> argparse.ArgumentParser:
    """Return the parser: every flag with one or two dashes, `-x=v` or `-x v`."""
    parser = argparse.ArgumentParser(prog="registrator", allow_abbrev=False, add_help=False)
    parser.add_argument("-h", "-help", "--help", action="help")
    parser.add_argument("--version", "-version", action="version", version=__version__)
    parser.add_argument("uri", help="consul://HOST:PORT, consul-unix:///PATH or consul-tls://HOST:PORT")
    for item in fields(Options)[1:]:
        name, word = item.name.replace("_", "-"), str(item.type)
        settings = {"type": KINDS[word], "metavar": word.upper(), "default": item.default, **item.metadata}
        parser.add_argument(f"-{name}", f"--{name}", **settings)
    return parser


def parse(argv: list[str]) -> Options:
    """Return the options of a command line; exit 2 on a wrong one, 1 on values that do not go together."""
    booleans = {"-" + item.name.replace("_", "-") for item in fields(Options) if item.type == "bool"}
    argv = [f"{word}=true" if word.replace("--", "-", 1) in booleans else word for word in argv]
    options = Options(**vars(parser().parse_args(argv)))
    if error := conflict(options):
        raise SystemExit(f"registrator: {error}")
    return options


def conflict(options: Options) -> str:
    """Return what is wrong with values that parse one by one, or nothing."""
    scheme = urlsplit(options.uri).scheme
    if scheme not in SCHEMES:
        return f"unrecognized adapter: {options.uri}: only {', '.join(SCHEMES)}"
    if (options.ttl or options.ttl_refresh) and not options.ttl > options.ttl_refresh > 0:
        return "-ttl and -ttl-refresh go together, and -ttl must be greater"
    if options.deregister not in ("always", "on-success"):
        return "-deregister is always or on-success"
    if options.resync < 0 or options.drain < 0:
        return "-resync and -drain must not be negative"
    if options.retry_interval <= 0:
        return "-retry-interval must be greater than 0"
    return "-tags takes a plain comma list, not a template" if "{{" in options.tags else ""
