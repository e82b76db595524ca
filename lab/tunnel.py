"""A port on this machine's loopback that leads, over SSH, to an address a host can reach."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Callable

import paramiko

CHUNK = 65536


class Tunnel:
    """Forwards connections to 127.0.0.1:`port` to `target` as seen from the far end of an SSH transport."""

    def __init__(
        self, transport: Callable[[], paramiko.Transport], target: tuple[str, int], connect: float
    ) -> None:
        """Listen at once; `transport` is asked for each connection, `connect` is the seconds to open one."""
        forward = _forwarder(transport, target, connect)
        self._server = _Server(("127.0.0.1", 0), forward)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening; connections that are open end with their peers."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the client sees its connection end, which is the message."""


def _forwarder(
    transport: Callable[[], paramiko.Transport], target: tuple[str, int], connect: float
) -> type[socketserver.BaseRequestHandler]:
    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            near: socket.socket = self.request
            far = transport().open_channel("direct-tcpip", target, near.getpeername(), timeout=connect)
            with contextlib.closing(far):
                _pump(near, far)

    return Forward


def _pump(near: socket.socket, far: paramiko.Channel) -> None:
    """Copy both ways until one side ends."""
    while True:
        ready, _, _ = select.select([near.fileno(), far.fileno()], [], [])
        for side, other in ((near, far), (far, near)):
            if side.fileno() in ready:
                data = side.recv(CHUNK)
                if not data:
                    return
                other.sendall(data)
