"""fep, the demo's echo service: a TCP echo, and HTTP that tells how many connections it holds.

`GET /conns` answers the number of open connections, `GET /total` the number ever seen, `GET /name` the
host's name, each as plain text. A connection counts from its first byte, so that the health checks of a
load balancer, which send none, do not. After SIGTERM the service goes on until `--drain` seconds have passed
without a new connection: whoever sends them has then learnt that it leaves. It ends with those it still has.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import time

BACKLOG = 4096
ANSWER = b"HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"


class Counters:
    """How many connections are open, how many there ever were, and when the last one began to speak."""

    def __init__(self) -> None:
        self.open = 0
        self.total = 0
        self.latest = 0.0

    def begin(self) -> None:
        """Count one in."""
        self.open += 1
        self.total += 1
        self.latest = time.monotonic()


class Echo(asyncio.Protocol):
    """Sends back every byte as it came; stops reading from a peer that does not read."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._counted = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection; nothing is counted yet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back, and count the connection with its first data."""
        if not self._counted:
            self._counted = True
            self._counters.begin()
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Count it out; a peer's reset is not worth a word."""
        self._counters.open -= self._counted

    def pause_writing(self) -> None:
        """Stop reading: the peer takes its echo more slowly than it sends."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again: the peer has taken its echo."""
        self._transport.resume_reading()


class Info(asyncio.Protocol):
    """The HTTP side: one request a connection, of which only the first line matters."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._request = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer as soon as the request's head is complete; refuse one without an end."""
        self._request += data
        if b"\r\n\r\n" in self._request or b"\n\n" in self._request:
            self._answer(*self._result(self._request.split(maxsplit=2)))
        elif len(self._request) > 8192:
            self._answer(b"431 Request Header Fields Too Large", b"")

    def _result(self, words: list[bytes]) -> tuple[bytes, bytes]:
        if words[:1] != [b"GET"]:
            return b"405 Method Not Allowed", b""
        values = {
            b"/conns": str(self._counters.open),
            b"/total": str(self._counters.total),
            b"/name": socket.gethostname(),
        }
        value = values.get(words[1]) if len(words) > 1 else None
        return (b"404 Not Found", b"") if value is None else (b"200 OK", f"{value}\n".encode())

    def _answer(self, status: bytes, body: bytes) -> None:
        self._transport.write(ANSWER % (status, len(body), body))
        self._transport.close()


async def serve(echo: int, info: int, drain: float, address: str = "0.0.0.0") -> None:  # noqa: S104
    """Serve on both ports until SIGTERM or SIGINT, and then until `drain` seconds pass with nobody new.

    Raises OSError when a port is taken.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    counters = Counters()
    await loop.create_server(lambda: Echo(counters), address, echo, backlog=BACKLOG)
    await loop.create_server(lambda: Info(counters), address, info, backlog=BACKLOG)
    await stop.wait()
    quiet_since = time.monotonic()
    while (left := max(quiet_since, counters.latest) + drain - time.monotonic()) > 0:  # noqa: ASYNC110 - till nobody comes
        await asyncio.sleep(left)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="fep", description="TCP echo with an HTTP count of its connections."
    )
    parser.add_argument("--echo", type=int, required=True, metavar="PORT", help="port of the echo")
    parser.add_argument(
        "--info", type=int, required=True, metavar="PORT", help="port of /conns, /total, /name"
    )
    parser.add_argument("--drain", type=float, default=0, metavar="SECONDS", help="of quiet, after SIGTERM")
    options = parser.parse_args()
    asyncio.run(serve(options.echo, options.info, options.drain))


if __name__ == "__main__":
    main()
