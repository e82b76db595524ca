"""Connections that are not ready at once: judged by their age, and read as soon as they can be."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.client import behaviours as b
from tools.client.accounts import Kind, Verdict
from tools.client.kernel import read_own_counters
from tools.client.opener import Opener, _close
from tools.client.options import Options
from tools.client.run import run
from tools.client.stamp import Stamp
from tools.client.stop import Stop
from tools.client.wire import Target, Wire, clock

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 0.3


class Narrow(socket.socket):
    """A socket of which the kernel takes five bytes at once."""

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401 - bytes of any type
        """Send the first five of `data`."""
        return super().send(data[:5], flags)


class Delayed:
    """One open of a churn whose first SYN is dropped: its connection is made a second later."""

    def __init__(self, listener: socket.socket, kind: type[socket.socket], timeout: float) -> None:
        target = Target(socket.AF_INET, listener.getsockname())
        options = Options(b.HOST, target.address[1], connect_timeout=timeout)
        make = partial(kind, socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.wire = Wire(options, target, Stamp(1, 0, b.PING), make)
        self.opener = Opener(self.wire, lambda *_: None)
        drops = _listen_drops()
        self.opener.open(Kind.CHURN, range(1))
        deadline = time.monotonic() + 5
        while _listen_drops() == drops and time.monotonic() < deadline:
            time.sleep(0.01)

    def follow(self) -> dict[str, int]:
        """Do what epoll says, until it says nothing more; return what became of the attempt."""
        self.wire.turn = clock()
        while events := self.wire.epoll.poll(0.2):
            for descriptor, _ in events:
                self.opener.advance(descriptor)
        return dict(self.wire.accounts.reasons)


def _listen_drops() -> int:
    return read_own_counters()["TcpExt.ListenDrops"]


@contextmanager
def delayed(
    kind: type[socket.socket] = socket.socket, timeout: float = 5.0
) -> Iterator[tuple[Delayed, socket.socket]]:
    """Give an open that has just been connected, of which nobody has been told yet, and its other end."""
    with b.listen(backlog=0) as listener, socket.create_connection(listener.getsockname()):
        attempt = Delayed(listener, kind, timeout)
        listener.accept()[0].close()
        connection, _ = listener.accept()
        with connection:
            yield attempt, connection


def test_connected_too_late() -> None:
    """A connection that is made after its time limit is lost, though nobody has given it up before.

    Nothing is sent on it: the history says that it was not served.
    """
    with delayed(timeout=0.5) as (attempt, connection):
        assert attempt.follow() == {"timeout_connect: no connection in time": 1}
        assert connection.recv(1) == b""


@pytest.mark.parametrize("talk", [b"hello", b""])
def test_server_that_speaks_first(talk: bytes) -> None:
    """What a server says, or that it ends, is read also when epoll tells of it with the connection."""
    with delayed() as (attempt, connection):
        if talk:
            connection.sendall(talk)
        else:
            connection.shutdown(socket.SHUT_WR)
        reasons = attempt.follow()

    assert reasons == {"wrong_bytes: altered" if talk else "closed_early: end of stream": 1}


def test_ping_that_is_not_taken_whole() -> None:
    """A ping of which the kernel takes a part only is this machine's trouble."""
    with delayed(Narrow) as (attempt, _):
        assert attempt.follow() == {"local_error: ENOBUFS": 1}


@pytest.mark.parametrize("others", [0, 1])
def test_descriptors_of_others_stay_open(others: int) -> None:
    """Sockets are closed together only where nothing else lies between their descriptors."""
    sockets = [socket.socket() for _ in range(6)]
    kept = sockets[3 : 3 + others]
    closed = [sock for sock in sockets if sock not in kept]
    descriptors = [sock.fileno() for sock in closed]

    _close(closed)

    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    for sock in kept:
        os.fstat(sock.fileno())
        sock.close()


@pytest.mark.parametrize("kind", ["hold", "churn"])
def test_answered_a_little_too_late(kind: str) -> None:
    """An answer is lost that comes less than a nap of the client after its time limit."""
    load: dict[str, Any] = {"connections": 1} if kind == "hold" else {"churn": True, "count": 1}
    with b.Server(b.late(LIMIT + 0.05)) as server:
        options = Options(b.HOST, server.port, duration=2.0, reply_timeout=LIMIT, **load)
        report = run(options, Stop(), lambda _: None)

    assert report.result.accounts.reasons == {"timeout_reply: no whole answer in time": 1}
    assert report.verdict() is Verdict.LOST


def test_answer_that_is_read_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is late also when the client looks for it only then."""
    with b.Server(b.echo) as server:
        options = Options(b.HOST, server.port, churn=True, reply_timeout=LIMIT)
        target = Target(socket.AF_INET, (b.HOST, server.port))
        wire = Wire(options, target, Stamp(1, 0, b.PING), target.socket_maker(0))
        opener = Opener(wire, lambda *_: None)
        opener.open(Kind.CHURN, range(1))
        threading.Event().wait(LIMIT + 0.05)
        opener.read(1)

    assert wire.accounts.reasons == {"timeout_reply: no whole answer in time": 1}
