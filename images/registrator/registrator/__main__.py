"""The program: `python3 -m registrator [flags] consul://HOST:PORT`."""

from __future__ import annotations

import logging
import signal
import sys

from . import __version__
from .loop import Registrator
from .options import parse


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    options = parse(sys.argv[1:])
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%Y/%m/%d %H:%M:%S", level=logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    log = logging.getLogger("registrator")
    log.info("Starting registrator %s ...", __version__)
    registrator = Registrator(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: registrator.stop())
    registrator.run()


if __name__ == "__main__":
    main()
