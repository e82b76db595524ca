"""The command `client`."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .accounts import Verdict
from .live import Live, Stream
from .options import Options, UsageError, parse
from .report import Report, to_text
from .run import run, write
from .stop import SIGNALS, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .timeline import Row


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    stop = Stop()
    try:
        options = parse(arguments)
        with stop.on_signals(*SIGNALS):
            with _showing(options, stop) as show:
                report = run(options, stop, show)
            write(report)
    except UsageError as error:
        print(f"client: {error}", file=sys.stderr)
        return Verdict.COULD_NOT_TELL
    for warning in report.warnings:
        print(f"client: warning: {warning}", file=sys.stderr)
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


def _tell(report: Report) -> Verdict:
    """Print the summary and return the verdict, which is not good when the summary cannot be printed."""
    summary = json.dumps(report.to_json()) if report.options.stream else to_text(report)
    try:
        print(summary, flush=True)
    except OSError as error:
        print(f"client: standard output: {error.strerror}", file=sys.stderr)
        sys.stdout = None  # nothing more can be written there at exit
        return report.verdict() or Verdict.COULD_NOT_TELL
    return report.verdict()


if __name__ == "__main__":
    sys.exit(main())
