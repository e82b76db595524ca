"""What the fakes share: recorded answers, and a server that can be cut off, frozen and started again."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
LONGEST = 60  # seconds that a frozen server or a blocking query keeps a client at most


def recorded(name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a new copy of a recorded answer."""
    return json.loads((RECORDED / f"{name}.json").read_text())


class Listener(ThreadingHTTPServer):
    """Listens on a UNIX socket, or on a port of the loopback address, and remembers its connections."""

    daemon_threads = True

    def __init__(self, place: Path | int, fake: Fake) -> None:
        """Listen at once."""
        self.fake = fake
        self.connections: list[socket.socket] = []
        if isinstance(place, Path):
            place.unlink(missing_ok=True)
            self.address_family = socket.AF_UNIX
        super().__init__(("127.0.0.1", place) if isinstance(place, int) else str(place), Handler)  # type: ignore[arg-type]

    def server_bind(self) -> None:
        """Bind without asking for a host name, which a UNIX socket does not have."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and remember it."""
        connection, _ = super().get_request()
        self.connections.append(connection)
        return connection, ("fake", 0)

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the fake."""

    protocol_version = "HTTP/1.1"
    server: Listener

    def do_GET(self) -> None:
        """Answer a GET."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.fake.thawed.wait(LONGEST)
        self.server.fake.serve(self, json.loads(body) if body else None)

    do_PUT = do_GET  # noqa: N815 - the name that BaseHTTPRequestHandler looks for

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:  # noqa: ANN401 - JSON
        """Send an answer; text as it is, all else as JSON."""
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Fake:
    """A server with a life: start, stop (as by kill -9), freeze, thaw. Subclasses answer in serve."""

    def __init__(self, place: Path | int) -> None:
        """Prepare; a port of 0 is replaced by a free one at the first start."""
        self.place = place
        self.thawed = threading.Event()
        self.thawed.set()
        self.changed = threading.Condition()
        self.listener: Listener | None = None

    def start(self) -> None:
        """Listen."""
        self.listener = Listener(self.place, self)
        if isinstance(self.place, int):
            self.place = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Cut all connections and listen no more."""
        listener, self.listener = self.listener, None
        if listener is None:
            return
        listener.shutdown()
        listener.server_close()
        for connection in listener.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with self.changed:
            self.changed.notify_all()

    def serve(self, request: Handler, body: dict[str, Any] | None) -> None:
        """Answer one request."""
        raise NotImplementedError
