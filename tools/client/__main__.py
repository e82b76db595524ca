"""The command `client`."""

from __future__ import annotations

import json
import random
import socket
import sys
from typing import TYPE_CHECKING, Any

from .accounts import Verdict
from .engine import Engine, Sample
from .options import Options, UsageError, parse
from .report import summarise, to_text
from .stamp import make_stamp
from .wire import Wire

if TYPE_CHECKING:
    from pathlib import Path


def resolve(options: Options) -> tuple[int, Any]:
    """Return address family and address of the target. Raises UsageError when the name has none."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"{options.host}: {error.strerror}") from error
    family, _, _, _, address = found[0]
    return family, address


def _live(sample: Sample) -> None:
    print(
        f"{sample.time:6.1f} s  held {sample.held}  opening {sample.opening}  attempts {sample.attempts}  "
        f"lost {sample.lost}  local errors {sample.local_errors}",
        file=sys.stderr,
        flush=True,
    )


def run(options: Options) -> dict[str, Any]:
    """Return the summary of a run with `options`. Raises UsageError when it cannot begin."""
    family, address = resolve(options)
    stamp = make_stamp(random.SystemRandom().getrandbits(24), 0, options.size)
    wire = Wire(options, family, address, stamp)
    engine = Engine(wire, (lambda _: None) if options.quiet else _live)
    engine.run()
    engine.close()
    return summarise(wire, engine)


def write(path: Path, text: str) -> None:
    """Write `text` to `path`. Raises UsageError when that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: nothing written") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        options = parse(arguments)
        summary = run(options)
        print(to_text(summary), flush=True)
        if options.json:
            write(options.json, json.dumps(summary, indent=1) + "\n")
    except UsageError as error:
        print(f"client: {error}", file=sys.stderr)
        return Verdict.COULD_NOT_TELL
    return Verdict[summary["verdict"].upper()]


if __name__ == "__main__":
    sys.exit(main())
