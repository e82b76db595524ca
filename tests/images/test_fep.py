"""fep: echoes every byte, counts connections that speak, and serves on after SIGTERM."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.topology import ROOT
from lab.waiting import wait_for

DRAIN = 0.5


@dataclass
class Service:
    """A running fep."""

    process: subprocess.Popen[bytes]
    echo: int
    info: int

    def ask(self, path: str) -> str:
        """Return the answer of the HTTP side."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.info}/{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def connect(self) -> socket.socket:
        """Return a connection to the echo."""
        return socket.create_connection(("127.0.0.1", self.echo), timeout=5)


def free_ports() -> tuple[int, int]:
    """Return two ports that nobody uses."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
def fep() -> Iterator[Service]:
    """A fep of the test's own."""
    echo, info = free_ports()
    words = [sys.executable, ROOT / "images/fep/fep.py", "--echo", echo, "--info", info, "--drain", DRAIN]
    process = subprocess.Popen(list(map(str, words)))
    service = Service(process, echo, info)
    wait_for(lambda: service.ask("conns"), within=10)
    yield service
    process.kill()
    process.wait()


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_bytes_come_back(fep: Service, size: int) -> None:
    """What is sent comes back, byte for byte, also when it is more than any buffer."""
    sent = bytes(n % 251 for n in range(size))
    with fep.connect() as connection:
        for start in range(0, size, 4096):
            connection.sendall(sent[start : start + 4096])
            piece = sent[start : start + 4096]
            received = b""
            while len(received) < len(piece):
                received += connection.recv(65536)
            assert piece == received


def test_a_connection_counts_from_its_first_byte_to_its_end(fep: Service) -> None:
    """A silent connection, as a health check's, is not counted; one that speaks is, until it closes."""
    with fep.connect(), fep.connect() as speaking:
        speaking.sendall(b"x")
        assert speaking.recv(1) == b"x"
        assert fep.ask("conns") == "1\n"
    wait_for(lambda: fep.ask("conns"), lambda said: said == "0\n", within=5)

    assert fep.ask("total") == "1\n"


def test_it_tells_its_name(fep: Service) -> None:
    """GET /name answers the host's name."""
    assert fep.ask("name") == f"{socket.gethostname()}\n"


def test_an_unknown_path_is_not_found(fep: Service) -> None:
    """Anything else is a 404."""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fep.ask("nothing")


def test_it_serves_on_after_sigterm_and_then_ends(fep: Service) -> None:
    """For the time of its drain new connections are served, then it ends with exit code 0."""
    begun = time.monotonic()
    fep.process.send_signal(signal.SIGTERM)
    with fep.connect() as late:
        late.sendall(b"late")
        assert late.recv(4) == b"late"

    assert fep.process.wait(timeout=10) == 0
    assert time.monotonic() - begun >= DRAIN


def test_newcomers_keep_a_leaving_service_up(fep: Service) -> None:
    """While connections still arrive, whoever sends them does not know yet: the service does not end."""
    fep.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + 3 * DRAIN
    while time.monotonic() < end:
        with fep.connect() as late:
            late.sendall(b"late")
            assert late.recv(4) == b"late"
        assert fep.process.poll() is None
        time.sleep(DRAIN / 5)

    assert fep.process.wait(timeout=10) == 0
