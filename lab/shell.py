"""Commands on hosts that end: testinfra's SSH backends, each command with a deadline.

testinfra's `run()` waits for ever, and its paramiko backend reads all of stdout before stderr, so that a
command with much to say on stderr never ends (pytest-dev/pytest-testinfra#716). `install()` puts these two
in the places of testinfra's own, for whoever asks it for a `paramiko://` or `ssh://` host.
"""

from __future__ import annotations

import functools
import logging
import select
import socket
import time
from typing import Any

import paramiko
import testinfra.backend
from testinfra.backend.paramiko import ParamikoBackend
from testinfra.backend.ssh import SshBackend

from lab.errors import CommandError, CommandTimeoutError

CHUNK = 65536


class DeadlineParamiko(ParamikoBackend):  # type: ignore[misc]
    """paramiko, where a command has a deadline in seconds and both of its streams are read as they come."""

    deadline = 30.0

    @functools.cached_property
    def client(self) -> paramiko.SSHClient:
        """The connection, on which small messages do not wait for each other: 5 ms a command, not 48.

        paramiko leaves Nagle's algorithm on, which holds each message back until the far end has confirmed
        the one before, as it does after 40 ms (RFC 896, RFC 1122 4.2.3.2).
        """
        client: paramiko.SSHClient = super().client
        transport = client.get_transport()
        if transport and isinstance(transport.sock, socket.socket):  # and not a channel through a jump host
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def run(self, command: str, *args: str, deadline: float | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run a command and return testinfra's result. Raises CommandTimeoutError."""
        self._end = time.monotonic() + (deadline or self.deadline)
        return super().run(command, *args, **kwargs)

    def _exec_command(self, command: bytes) -> tuple[int, bytes, bytes]:
        end = self._end
        channel = self._open(command, end)
        try:
            channel.settimeout(_left(end))
            channel.exec_command(command)
            streams = _drain(channel, end)
        except (TimeoutError, paramiko.SSHException) as error:
            self._hang_up()
            raise CommandTimeoutError(f"{self.hostname}: not done in time: {command!r}") from error
        code = channel.recv_exit_status()
        if code < 0:
            raise CommandError(f"{self.hostname}: the connection was lost under: {command!r}")
        return code, *streams

    def _open(self, command: bytes, end: float) -> paramiko.Channel:
        """Return a channel. A dead connection raises SSHException, after which `run` makes a new one."""
        transport = self.client.get_transport()
        assert transport is not None
        try:
            return transport.open_session(timeout=_left(end))
        except (TimeoutError, paramiko.SSHException) as error:
            if not transport.is_active():
                raise paramiko.SSHException("the connection is gone") from error
            self._hang_up()
            raise CommandTimeoutError(f"{self.hostname}: no answer in time: {command!r}") from error

    def _hang_up(self) -> None:
        """Drop a connection that is of no use any more; the next command makes a new one."""
        self.client.close()
        del self.client


class DeadlineSsh(SshBackend):  # type: ignore[misc]
    """The ssh command, where the far end stops a command at its deadline and a dead connection is noticed."""

    deadline = 30.0

    def run(self, command: str, *args: str, deadline: float | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run a command and return testinfra's result. Raises CommandTimeoutError."""
        self.ssh_extra_args = "-o BatchMode=yes -o ServerAliveInterval=5 -o ServerAliveCountMax=2"
        limit = str(deadline or self.deadline)
        result = super().run(
            "timeout --kill-after=1 %s sh -c %s", limit, self.quote(command, *args), **kwargs
        )
        if result.rc in {124, 137, 255}:
            raise CommandTimeoutError(f"{self.hostname}: not done in {limit} s: {command}: {result.stderr}")
        return result


def install(deadline: float) -> None:
    """Make testinfra use these backends, each command with so many seconds unless it is given others."""
    # A refused channel is an answer, not an incident, and comes back to whoever asked as an error.
    logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)
    for backend in (DeadlineParamiko, DeadlineSsh):
        backend.deadline = deadline
        testinfra.backend.BACKENDS[backend.NAME] = f"{backend.__module__}.{backend.__name__}"


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _drain(channel: paramiko.Channel, end: float) -> tuple[bytes, bytes]:
    """Return all of stdout and stderr; raises TimeoutError at `end`."""
    out, err = bytearray(), bytearray()
    while True:
        while channel.recv_ready():
            out += channel.recv(CHUNK)
        while channel.recv_stderr_ready():
            err += channel.recv_stderr(CHUNK)
        ended = channel.eof_received and channel.exit_status_ready()
        if (ended or channel.closed) and not (channel.recv_ready() or channel.recv_stderr_ready()):
            return bytes(out), bytes(err)
        if not channel.eof_received:
            select.select([channel], [], [], _left(end))
        else:
            channel.status_event.wait(_left(end))
