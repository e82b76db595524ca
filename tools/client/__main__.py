"""The command `client`: signals come first, so that one during the start leaves no stack trace."""

from __future__ import annotations

import sys
from importlib import import_module

from .stop import SIGNALS, Stop


def main() -> int:
    """Run the command line; return the exit code. From here on no signal ends the program."""
    stop = Stop()
    stop.heed(*SIGNALS)
    try:
        command = import_module(".command", __package__)
    except ImportError as error:
        print(f"client: {error}: it needs Python 3.11 and the packages of its README", file=sys.stderr)
        return 2
    code: int = command.main(stop)
    return code


if __name__ == "__main__":
    sys.exit(main())
