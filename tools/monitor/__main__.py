"""The command: `python3 -m tools.monitor` here, `python3 -m monitor` where the package was copied to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from aiohttp import web

from .collect import Collectors
from .fetch import reason, session
from .hub import Hub
from .options import Options, parse
from .server import Pages
from .state import State

FAREWELL = 0.2  # s that browsers are given when the monitor stops: their streams never end by themselves


async def serve(options: Options) -> None:
    """Collect and serve until cancelled; raises OSError when the address cannot be listened on."""
    state = State(tuple(options.host), tuple(options.consul), options.haproxy_address)
    hub = Hub(state, options.interval)
    runner = web.AppRunner(Pages(state, hub).application(), access_log=None, shutdown_timeout=FAREWELL)
    await runner.setup()
    try:
        await web.TCPSite(runner, *options.listen).start()
        print(f"monitor: http://{':'.join(map(str, runner.addresses[0]))}/", flush=True)
        async with session() as http, asyncio.TaskGroup() as group:
            for loop in Collectors(options, state, http, hub.changed).loops():
                group.create_task(loop)
            group.create_task(hub.heartbeat())
            group.create_task(hub.publish())
    finally:
        await runner.cleanup()


async def _until_stopped(options: Options) -> None:
    """Serve until SIGINT or SIGTERM."""
    serving = asyncio.create_task(serve(options))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()


def main() -> int:
    """Run the monitor; returns its exit code."""
    options = parse(sys.argv[1:], os.environ)
    try:
        asyncio.run(_until_stopped(options))
    except OSError as error:
        where = ":".join(map(str, options.listen))
        print(f"monitor: cannot listen on {where}: {reason(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
