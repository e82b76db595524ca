"""Locust drives the load client, on several workers or alone."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.client import behaviours as b
from tests.client.commands import LIMIT, ROOT

if TYPE_CHECKING:
    import socket
    import threading

LOCUST = [sys.executable, "-m", "locust", "-f", "tools/client/locustfile.py"]
RUN = slice(8, 11)  # the bytes of a ping that tell one run of the client from another


@dataclass
class Told:
    """What Locust said: exit code, (requests, failures) by kind, and its report."""

    code: int
    counts: dict[str, tuple[int, int]]
    report: str


def drive(port: int, options: str, workers: int) -> Told:
    """Return what Locust said after a user on each of `workers` did `options`; without any, one in Locust."""
    master_port = str(b.closed_port())
    helpers = [
        subprocess.Popen(
            [*LOCUST, "--worker", "--master-port", master_port], cwd=ROOT, stderr=subprocess.DEVNULL
        )
        for _ in range(workers)
    ]
    master = ["--master", "--master-bind-port", master_port, "--expect-workers", str(workers)]
    users = str(max(workers, 1))
    command = [*LOCUST, *(master if workers else []), "--headless", "-u", users, "-r", users]
    command += ["--host", f"{b.HOST}:{port}", "--client", options]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3 * LIMIT,
            check=False,
        )  # fmt: skip
    finally:
        for helper in helpers:
            helper.terminate()
            helper.wait()
    said = done.stdout.rpartition("Shutting down")[2]
    rows = re.findall(r"^(open|ping) +\S+ +(\d+) +(\d+)\(", said, re.MULTILINE)
    counts = {kind: (int(requests), int(failures)) for kind, requests, failures in rows}
    return Told(done.returncode, counts, " ".join(said.split()))


def test_two_workers() -> None:
    """A master with a user on each of two workers counts exactly what the server saw of both."""
    pings: list[bytes] = []

    def echo(connection: socket.socket, _over: threading.Event) -> None:
        while data := connection.recv(b.PING):
            pings.append(data)
            connection.sendall(data)

    with b.Server(echo) as server:
        told = drive(server.port, "-c 5 --interval 0.2 --churn --rate 30 --duration 1", 2)
    opens = len(server.peers)

    assert told.code == 0, told.report
    assert len({ping[RUN] for ping in pings}) == 2
    assert opens > 10
    assert told.counts == {"open": (opens, 0), "ping": (len(pings) - opens, 0)}


def test_losses_are_failures() -> None:
    """What the client loses fails Locust's run: an open before the proof, a ping after it, by class."""
    behaviours = (b.reset_after_echo, b.reset_after_echo, b.reset_after_ping)
    options = "-c 2 --interval 0.2 --churn --count 10 --concurrency 1 --duration 10"
    with b.Server(*behaviours) as server:
        told = drive(server.port, options, 0)
    target = f"{b.HOST}:{server.port}"

    assert told.code == 1
    assert told.counts == {"open": (12, 10), "ping": (2, 2)}
    assert f"10 open {target}: reset_before_data" in told.report
    assert f"2 ping {target}: reset_after_data" in told.report


def test_a_client_that_cannot_tell_fails() -> None:
    """Locust knows two verdicts: what the client could not tell, or refused to do, is a failure in words."""
    told = drive(b.closed_port(), "--rate 5", 0)

    assert told.code == 1
    assert told.counts == {"open": (0, 1)}
    assert "could not tell: the client did not start" in told.report
