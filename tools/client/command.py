"""What the command does: read its words, run, show, and tell the verdict, whatever can still be written."""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .accounts import Verdict
from .live import PATIENCE, Live, Stream, takes
from .options import Options, UsageError, parse
from .report import Report, to_text
from .run import run, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .stop import Stop
    from .timeline import Row


def main(stop: Stop, arguments: list[str] | None = None) -> int:
    """Follow the command line; return the exit code. `stop` is what ends a run early."""
    sys.stdout, sys.stderr = sys.stdout or _closed(), sys.stderr or _nowhere()  # closed before the start
    try:
        code = _follow(stop, arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is: nothing was lost by it, and nothing is known
        code = _refuse(f"{type(error).__name__}: {error}")
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = _nowhere()  # what is left there must not fail once more at exit
    return code


def _follow(stop: Stop, arguments: list[str] | None) -> int:
    try:
        options = parse(arguments)
    except UsageError as error:
        return _refuse(str(error))
    except SystemExit:  # -h: the help is printed
        return _say("")
    except OSError as error:
        return _unheard(error)
    try:
        with _showing(options, stop) as show:
            report = run(options, stop, show)
    except UsageError as error:
        return _refuse(str(error))
    write(report)
    for warning in report.warnings:
        _complain(f"warning: {warning}")
    return _tell(report)


@contextmanager
def _showing(options: Options, stop: Stop) -> Iterator[Callable[[Row], None]]:
    """Give what shows a row of the timeline."""
    if options.stream:
        yield Stream(sys.stdout, stop).show
    elif options.quiet:
        yield lambda _: None
    else:
        live = Live(sys.stderr)
        yield live.show
        live.finish()


def _tell(report: Report) -> int:
    """Print the summary and return the verdict, which is not good when the summary cannot be printed."""
    summary = json.dumps(report.to_json()) if report.options.stream else to_text(report)
    said = _say(summary + "\n")
    return report.verdict() or said


def _say(text: str) -> int:
    """Print it; return 0 when all that was printed so far has come through, COULD_NOT_TELL when not."""
    try:
        if not takes(sys.stdout, PATIENCE):
            raise OSError(errno.EAGAIN, "nobody reads it")  # noqa: TRY301
        print(text, end="", flush=True)
    except OSError as error:
        return _unheard(error)
    return 0


def _unheard(error: OSError) -> int:
    sys.stdout = _nowhere()  # nothing more is tried at exit
    return _refuse(f"standard output: {error.strerror}")


def _refuse(reason: str) -> int:
    _complain(reason)
    return Verdict.COULD_NOT_TELL


def _complain(message: str) -> None:
    """Say it on standard error, unless nobody can hear it."""
    with suppress(OSError):
        print(f"client: {message}", file=sys.stderr)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="ascii")


def _closed() -> TextIO:
    """Return an output to which nothing can be written, as to the closed one in whose place it is."""
    return os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="ascii")
