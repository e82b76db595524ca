"""Benchmark: `python3 -m tools.monitor.bench` holds a monitor to many instances and many browsers.

All of it is real and on loopback: a Consul agent with every instance registered, each instance a port that
answers as fep does, the monitor as a process of its own, browsers that read its event stream. For its count
an instance answers the milliseconds since the start: so a browser knows how old a number is when it comes.
Consul's program is the one that CONSUL_BINARY names, or `consul` on PATH.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from .collect import ticks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPBACK = "127.0.0.1"
HEAD = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
STEADY = 5.0  # s that the monitor and the browsers run before anything is measured


@dataclass
class Measured:
    """What all browsers saw: times in ms between two signs of life, ages of numbers in ms, bytes."""

    gaps: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    bytes: int = 0

    def clear(self) -> None:
        """Forget it all."""
        self.gaps.clear()
        self.ages.clear()
        self.bytes = 0


class Clock:
    """The milliseconds since the start."""

    def __init__(self) -> None:
        """Start now."""
        self._start = time.monotonic()

    def now(self) -> float:
        """Return the time in ms."""
        return (time.monotonic() - self._start) * 1000


class Instance(asyncio.Protocol):
    """The HTTP side of one instance: one request a connection, answered with the time."""

    def __init__(self, clock: Clock) -> None:
        """Answer what `clock` says."""
        self._clock = clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; a request of the monitor's comes in one piece."""
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(f"{HEAD}{self._clock.now():.0f}".encode())
            self._transport.close()


@contextlib.asynccontextmanager
async def instances(count: int, clock: Clock) -> AsyncIterator[list[int]]:
    """Run instances; yields their ports."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        servers = [await loop.create_server(lambda: Instance(clock), LOOPBACK, 0) for _ in range(count)]
        for server in servers:
            await stack.enter_async_context(server)
        yield [server.sockets[0].getsockname()[1] for server in servers]


@contextlib.asynccontextmanager
async def program(*command: str) -> AsyncIterator[int]:
    """Run a program, without its standard output; yields its process id, and ends it."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
    return port


def consul_command(folder: str, http: int) -> list[str]:
    """Return the command of an agent that serves its API on one port; without Consul the program ends."""
    binary = os.environ.get("CONSUL_BINARY") or shutil.which("consul")
    if binary is None:
        sys.exit("bench: needs a real consul: put it on PATH, or name it in CONSUL_BINARY")
    off = dict.fromkeys(("dns", "grpc", "grpc_tls", "serf_wan"), -1)
    ports = {"http": http, "server": free_port(), "serf_lan": free_port(), **off}
    Path(folder, "ports.json").write_text(json.dumps({"ports": ports}))
    return [binary, "agent", "-dev", f"-bind={LOOPBACK}", f"-config-dir={folder}"]


async def until(http: aiohttp.ClientSession, url: str, wanted: bytes) -> None:
    """Wait until what is at `url` contains `wanted`; raises TimeoutError after 30 s."""
    async with asyncio.timeout(30):
        async for _ in ticks(0.1):
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(url) as response:
                    if wanted in await response.read():
                        return


async def register(http: aiohttp.ClientSession, agent: str, ports: list[int]) -> None:
    """Wait for Consul and register both services of every instance, as registrator names them."""
    await until(http, f"http://{agent}/v1/status/leader", b":")
    for number, port in enumerate(ports, start=1):
        for service, inner in (("fep", 32768), ("fepinfo", 5000)):
            name = f"docker:fep.{number}:{inner}"
            body = {"ID": name, "Name": service, "Address": LOOPBACK, "Port": port}
            url = f"http://{agent}/v1/agent/service/register"
            async with http.put(url, json=body, raise_for_status=True):
                pass


async def browse(http: aiohttp.ClientSession, url: str, clock: Clock, measured: Measured) -> None:
    """Read the event stream as a browser does, for ever."""
    async with http.get(url) as response:
        tick = 0.0
        async for line in response.content:
            measured.bytes += len(line)
            if not line.startswith(b"data:"):
                continue
            now, patch = clock.now(), json.loads(line[5:])
            changed = patch.get("instances", {}).values()
            measured.ages += [now - i["connections"] for i in changed if "connections" in i]
            if "tick" in patch:
                measured.gaps += [now - tick]
                tick = now


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, what: str) -> float:
    """Return a size from a process' status: VmRSS is its resident memory, VmHWM the most that ever was."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def spread(values: list[float]) -> str:
    """Return median, 99th percentile and maximum."""
    ranked = sorted(values)
    return (
        f"p50 {ranked[len(ranked) // 2]:.0f}  p99 {ranked[len(ranked) * 99 // 100]:.0f}  max {ranked[-1]:.0f}"
    )


async def observe(options: argparse.Namespace, pid: int, clock: Clock, measured: Measured) -> None:
    """Let everything run in, then for the time to measure; print the numbers."""
    await asyncio.sleep(STEADY)
    measured.clear()
    began, used = clock.now(), processor_seconds(pid)
    await asyncio.sleep(options.seconds)
    seconds = (clock.now() - began) / 1000
    used = processor_seconds(pid) - used
    each = measured.bytes / 1024 / seconds / options.browsers
    print(f"monitor with {options.instances} instances and {options.browsers} browsers, {seconds:.0f} s")
    print(f"  processor            {100 * used / seconds:.0f} % of one core")
    print(f"  memory, MiB          {memory_mib(pid, 'VmRSS'):.0f}  (most: {memory_mib(pid, 'VmHWM'):.0f})")
    print(f"  refresh, ms          {spread(measured.gaps)}")
    print(f"  age of numbers, ms   {spread(measured.ages)}")
    print(f"  to each browser      {each:.0f} KiB/s")


async def benchmark(options: argparse.Namespace, folder: str) -> None:
    """Put everything up, observe it, take it down."""
    clock, measured = Clock(), Measured()
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ports = await enter(instances(options.instances, clock))
        agent, listen = (f"{LOOPBACK}:{free_port()}" for _ in range(2))
        await enter(program(*consul_command(folder, int(agent.rpartition(":")[2]))))
        http = await enter(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), read_bufsize=2**22))
        await register(http, agent, ports)
        flags = (f"--listen={listen}", f"--consul={agent}", "--echo=fep", "--info=fepinfo")
        pid = await enter(program(sys.executable, "-m", str(__package__), *flags))
        await until(http, f"http://{listen}/api/state", b"fep.")
        url = f"http://{listen}/events"
        browsers = [asyncio.create_task(browse(http, url, clock, measured)) for _ in range(options.browsers)]
        await observe(options, pid, clock, measured)
        for browser in browsers:
            browser.cancel()
        await asyncio.wait(browsers)


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--instances", type=int, default=500)
    parser.add_argument("--browsers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20, help="to measure (default: 20)")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(benchmark(parser.parse_args(), folder))


if __name__ == "__main__":
    main()
