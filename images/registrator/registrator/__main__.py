"""The program: `python3 -m registrator [flags] consul://HOST:PORT`."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from urllib.parse import urlsplit

from . import __version__, health
from .loop import Registrator
from .options import Options, parse
from .reasons import AwayError

log = logging.getLogger("registrator")


def main() -> None:
    """Run until SIGTERM or SIGINT; exit 1 on what cannot be helped, 2 on a wrong command line."""
    options = parse(sys.argv[1:])
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%Y/%m/%d %H:%M:%S", level=logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    announce(options)
    gc.freeze()  # what was imported stays: without looking through it a look's worst case is a third shorter
    try:
        registrator = Registrator(options)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: registrator.reasons.stop())
        if options.health:
            health.serve(options.health, registrator)
        registrator.run()
    except (AwayError, OSError, ValueError) as error:
        sys.exit(f"registrator: {error}")


def announce(options: Options) -> None:
    """Say what is about to run."""
    log.info("Starting registrator %s ...", __version__)
    log.info("Using %s adapter: %s", urlsplit(options.uri).scheme, options.uri)
    if options.ip:
        log.info("Forcing host IP to %s", options.ip)
    if options.ttl:
        log.warning("-ttl has no effect: a service in Consul lives as long as its container")


if __name__ == "__main__":
    main()
