"""The command `client`."""

from __future__ import annotations

import sys

from .accounts import Verdict
from .live import Live
from .options import UsageError, parse
from .report import to_text
from .run import run, write
from .stop import SIGNALS, Stop


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    stop = Stop()
    try:
        options = parse(arguments)
        live = Live(sys.stderr)
        with stop.on_signals(*SIGNALS):
            report = run(options, stop, (lambda _: None) if options.quiet else live.show)
            live.finish()
            write(report)
    except UsageError as error:
        print(f"client: {error}", file=sys.stderr)
        return Verdict.COULD_NOT_TELL
    for warning in report.warnings:
        print(f"client: warning: {warning}", file=sys.stderr)
    try:
        print(to_text(report), flush=True)
    except OSError as error:
        print(f"client: standard output: {error.strerror}", file=sys.stderr)
        sys.stdout = None  # nothing more can be written there at exit
        return report.verdict() or Verdict.COULD_NOT_TELL
    return report.verdict()


if __name__ == "__main__":
    sys.exit(main())
