"""An echo server that misbehaves on purpose: each behaviour is what one connection meets."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

Behaviour = Callable[[socket.socket, threading.Event], None]
PING = 16
HOST = "127.0.0.1"
# Below every port range that kernels give to connections: no connection can connect to itself there.
PORTS = range(7100, 7900)
_NO_LINGER = struct.pack("ii", 1, 0)


def listen(backlog: int = 128, host: str = HOST) -> socket.socket:
    """Return a listening socket on the first free port of PORTS."""
    for port in PORTS:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(backlog)
        except OSError:
            listener.close()
        else:
            return listener
    raise AssertionError(f"no free port in {PORTS}")


def closed_port() -> int:
    """Return a port at which nobody listens."""
    with listen() as listener:
        port: int = listener.getsockname()[1]
    return port


class Server:
    """Serves the i-th connection with the i-th behaviour, and all later ones with the last."""

    def __init__(self, *behaviours: Behaviour, backlog: int = 128, host: str = HOST) -> None:
        """Listen at once; serve inside `with`."""
        self._behaviours = behaviours
        self._listener = listen(backlog, host)
        self.port: int = self._listener.getsockname()[1]
        self.peers: list[str] = []
        self._over = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close all that is open and wait for those who served."""
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                connection, (peer, *_) = self._listener.accept()
                self.peers.append(peer)
                behaviour = self._behaviours[min(len(self._open), len(self._behaviours) - 1)]
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(behaviour, connection))
                self._threads.append(thread)
                thread.start()

    def _serve(self, behaviour: Behaviour, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            behaviour(connection, self._over)


def echo(connection: socket.socket, _over: threading.Event) -> None:
    """Do what is right."""
    while data := connection.recv(65536):
        connection.sendall(data)


def reset_at_once(connection: socket.socket, _over: threading.Event) -> None:
    """Reset before anything is read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def reset_after_ping(connection: socket.socket, over: threading.Event) -> None:
    """Reset when the ping has been read."""
    connection.recv(PING)
    reset_at_once(connection, over)


def reset_after_half(connection: socket.socket, over: threading.Event) -> None:
    """Answer half, then reset."""
    connection.sendall(connection.recv(PING)[: PING // 2])
    reset_at_once(connection, over)


def reset_after_echo(connection: socket.socket, over: threading.Event) -> None:
    """Answer the first ping, reset at the second."""
    connection.sendall(connection.recv(PING))
    connection.recv(PING)
    reset_at_once(connection, over)


def silent(connection: socket.socket, over: threading.Event) -> None:
    """Read, and never answer."""
    connection.recv(PING)
    over.wait()


def silent_after_echo(connection: socket.socket, over: threading.Event) -> None:
    """Answer the first ping and none after it."""
    connection.sendall(connection.recv(PING))
    over.wait()


def close_unanswered(connection: socket.socket, _over: threading.Event) -> None:
    """Close where the answer is due."""
    connection.recv(PING)


def close_after_half(connection: socket.socket, _over: threading.Event) -> None:
    """Answer half, then close."""
    connection.sendall(connection.recv(PING)[: PING // 2])


def half_close(connection: socket.socket, over: threading.Event) -> None:
    """Say that nothing more will come, but stay."""
    connection.recv(PING)
    connection.shutdown(socket.SHUT_WR)
    over.wait()


def half_close_after_echo(connection: socket.socket, over: threading.Event) -> None:
    """Answer the first ping, then say that nothing more will come."""
    connection.sendall(connection.recv(PING))
    connection.shutdown(socket.SHUT_WR)
    over.wait()


def echo_and_end(connection: socket.socket, _over: threading.Event) -> None:
    """Answer the first ping, and the second together with the end, in one segment."""
    connection.sendall(connection.recv(PING))
    data = connection.recv(PING)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    connection.sendall(data)


def echo_twice(connection: socket.socket, over: threading.Event) -> None:
    """Answer until nothing comes for a while, then give the last answer once more."""
    connection.settimeout(0.05)
    data = b""
    with suppress(TimeoutError):
        while data := connection.recv(PING) or data:
            connection.sendall(data)
    connection.sendall(data)
    over.wait()


def late_after_echo(connection: socket.socket, over: threading.Event) -> None:
    """Answer the second ping after half a second, all others at once."""
    connection.sendall(connection.recv(PING))
    data = connection.recv(PING)
    over.wait(0.5)
    connection.sendall(data)
    echo(connection, over)


def drip(connection: socket.socket, over: threading.Event) -> None:
    """Answer byte by byte, a little later each."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(65536):
        for byte in data:
            connection.sendall(bytes([byte]))
            over.wait(0.001)


def altered(connection: socket.socket, over: threading.Event) -> None:
    """Change one bit of the answer."""
    data = bytearray(connection.recv(PING))
    data[9] ^= 4
    connection.sendall(data)
    over.wait()


def surplus(connection: socket.socket, over: threading.Event) -> None:
    """Answer with a byte more."""
    connection.sendall(connection.recv(PING) + b"!")
    over.wait()


def repeated(connection: socket.socket, over: threading.Event) -> None:
    """Answer each ping with the first one."""
    first = connection.recv(PING)
    connection.sendall(first)
    while connection.recv(PING):
        connection.sendall(first)
    over.wait()


def unasked(connection: socket.socket, over: threading.Event) -> None:
    """Answer until nothing comes for a while, then talk unasked."""
    connection.settimeout(0.05)
    with suppress(TimeoutError):
        echo(connection, over)
    connection.sendall(b"hello")
    over.wait()


def late(seconds: float) -> Behaviour:
    """Return the behaviour that answers each ping after `seconds`."""

    def answer(connection: socket.socket, over: threading.Event) -> None:
        while data := connection.recv(65536):
            over.wait(seconds)
            connection.sendall(data)

    return answer


def swapped() -> Behaviour:
    """Return a behaviour for two connections, each of which gets the other's answer."""
    seen: list[tuple[socket.socket, bytes]] = []
    lock = threading.Lock()

    def answer(connection: socket.socket, over: threading.Event) -> None:
        data = connection.recv(PING)
        with lock:
            seen.append((connection, data))
            if len(seen) == 2:
                (one, its), (other, others) = seen
                one.sendall(others)
                other.sendall(its)
        over.wait()

    return answer
