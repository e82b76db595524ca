"""What the tests of the monitor stand on: processes, an event loop beside the test, instances of fep."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web

ROOT = Path(__file__).parents[2]
DEADLINE = 15.0  # s
CLAIM = 20000  # the first of the ports: below all that the kernel gives out by itself
Value = TypeVar("Value")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def wait_for(question: Callable[[], Value], within: float = DEADLINE) -> Value:
    """Return the first answer that is true; fails with the last answer or error when none comes in time."""
    deadline, last = time.monotonic() + within, "never asked"
    while time.monotonic() < deadline:
        try:
            if answer := question():
                return answer
            last = repr(answer)
        except (OSError, LookupError) as error:
            last = repr(error)
        time.sleep(0.02)
    pytest.fail(f"not within {within} s; the last answer was {last}")


class Network:
    """A network of loopback that no other run of the tests has, with ports that the kernel gives to nobody.

    A free port that was only looked for is anybody's until it is listened on; these stay one's own.
    """

    def __init__(self) -> None:
        """Take a network that nobody else has taken: the first one from this run's own number on."""
        self._claim = next(filter(None, map(_claim, range(os.getpid() % 2**15 + 2**8, 2**16))))
        self.prefix: str = self._claim.getsockname()[0].rpartition(".")[0]
        self._ports = itertools.count(CLAIM + 1)

    def endpoint(self) -> tuple[str, int]:
        """Return an address and port that were not given out before, and that no leftover listens on."""
        return next(filter(_is_free, ((f"{self.prefix}.1", port) for port in self._ports)))

    def close(self) -> None:
        """Leave the network to others."""
        self._claim.close()


def _claim(number: int) -> socket.socket | None:
    """Return what keeps the network of this number, or None where somebody else has it."""
    with contextlib.suppress(OSError):
        return socket.create_server((f"127.{number // 256}.{number % 256}.1", CLAIM))
    return None


def _is_free(at: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_server(at):
        return True
    return False


def binary(name: str) -> str:
    """Return the path of a program, from NAME_BINARY or PATH; the test fails when there is none."""
    variable = f"{name.upper()}_BINARY"
    path = os.environ.get(variable) or shutil.which(name)
    if path is None or not os.access(path, os.X_OK):
        pytest.fail(f"this test needs a real {name}: put it on PATH, or name it in {variable}")
    return path


class Process:
    """A program that runs until it is ended; its output goes to a file."""

    def __init__(self, log: Path, *command: str, folder: Path = ROOT) -> None:
        """Start it."""
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return its exit code; one that does not end is killed, and the test fails."""
        try:
            return self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal that ends it, unless it has ended; returns its exit code."""
        self.send(number)
        return self.wait()

    def output(self) -> str:
        """Return what it has written so far."""
        return self._log.read_text()


class Loop:
    """An event loop in a thread of its own, where the instances live while a test does something else."""

    def __init__(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Value]) -> Value:
        """Run a coroutine there and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)

    def close(self) -> None:
        """Cancel what still runs there, stop the loop and its thread."""
        self.call(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Fep:
    """One instance: a TCP echo, and HTTP whose every answer can be replaced: `answer`."""

    def __init__(self, name: str, loop: Loop, answer: Handler | None = None) -> None:
        """Start it on two free ports."""
        self.name = name
        self.connections = 0
        self.asked = 0
        self.answer = answer or self._count
        self._loop = loop
        self._writers: set[asyncio.StreamWriter] = set()
        loop.call(self._start())

    async def _start(self) -> None:
        self._echo = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        app = web.Application()
        app.router.add_get("/{path:.*}", self._info)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.echo_port: int = self._echo.sockets[0].getsockname()[1]
        self.info_port: int = self._runner.addresses[0][1]

    async def _info(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        return await self.answer(request)

    async def _count(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=str(self.connections))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Echo; a connection counts from its first byte, so that HAProxy's checks do not."""
        self._writers.add(writer)
        counted = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                self.connections += 1 - counted
                counted = 1
                writer.write(data)
        self.connections -= counted
        self._writers.discard(writer)
        writer.close()

    def stop(self) -> None:
        """Close both ports and all connections."""
        self._loop.call(self._stop())

    async def _stop(self) -> None:
        self._echo.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._echo.wait_closed()
        await self._runner.cleanup()


@contextlib.contextmanager
def speaking(loop: Loop, talk: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]) -> Iterator[int]:
    """Listen on a port, which is yielded; `talk` answers the first bytes of each connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            await talk(await reader.read(1000), writer)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0)

    async def stop() -> None:
        server.close()

    server = loop.call(start())
    yield server.sockets[0].getsockname()[1]
    loop.call(stop())
