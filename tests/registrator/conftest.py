"""Fixtures: a daemon and an agent of pretence, a real agent where there is one, and the program."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.registrator.fake_agent import FakeAgent
from tests.registrator.fake_docker import FakeDocker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONSUL = os.environ.get("CONSUL_BINARY") or shutil.which("consul")
IMAGE = Path(__file__).parents[2] / "images" / "registrator"
WITHIN = 10.0  # seconds; what takes longer is broken, also on a busy machine


def free_port() -> int:
    """Return a port of the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(wanted: Any, question: Callable[[], Any], within: float = WITHIN) -> None:  # noqa: ANN401
    """Ask until the answer is as wanted; fail with the last answer when the time is over."""
    deadline = time.monotonic() + within
    while (answer := question()) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    assert answer == wanted


class Program:
    """registrator as a process of its own, with its log and its /health."""

    def __init__(self, docker: FakeDocker, agent: FakeAgent, log: Path) -> None:
        """Prepare."""
        self.docker, self.agent, self.log = docker, agent, log
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        """Start the program."""
        command = [
            sys.executable,
            "-m",
            "registrator",
            f"-health=127.0.0.1:{self.port}",
            *flags,
            self.agent.uri,
        ]
        environment = os.environ | {"PYTHONPATH": str(IMAGE), "DOCKER_HOST": f"unix://{self.docker.place}"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal; return the exit code."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(WITHIN)

    def health(self) -> dict[str, Any]:
        """Return what /health says, with its status; empty while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=WITHIN) as answer:
                return {"status": answer.status, **json.load(answer)}
        except urllib.error.HTTPError as error:
            with error:
                return {"status": error.code, **json.load(error)}
        except OSError:
            return {}

    def settle(self, looks: int = 2) -> None:
        """Return after some more looks."""
        wanted = self.health().get("reconciliations", 0) + looks
        eventually(True, lambda: self.health().get("reconciliations", 0) >= wanted)

    def rest(self) -> None:
        """Return when the program has no reason to look for the time being."""
        eventually(True, lambda: self.health().get("seconds_since_success", 0) > 1.5)


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[FakeDocker]:
    """Return a running daemon of pretence, without containers."""
    fake = FakeDocker(tmp_path / "docker.sock")
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    """Return a running agent of pretence, empty."""
    fake = FakeAgent()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def program(docker: FakeDocker, agent: FakeAgent, tmp_path: Path) -> Iterator[Program]:
    """Return the program, not yet started; it is killed in the end."""
    program = Program(docker, agent, tmp_path / "log")
    yield program
    if program.process and program.process.poll() is None:
        program.end()


def real_agent(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a real agent on the loopback address; return it, once it has a leader, and its URI."""
    port = free_port()
    command = [CONSUL or "consul", "agent", "-dev", "-bind=127.0.0.1", f"-http-port={port}"]
    command += ["-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1", f"-server-port={free_port()}"]
    command += [f"-serf-lan-port={free_port()}", f"-serf-wan-port={free_port()}"]
    command += ["-hcl=disable_update_check = true", "-hcl=enable_script_checks = true"]
    with (folder / "consul.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    eventually(True, lambda: has_leader(port), within=30)
    return process, f"consul://127.0.0.1:{port}"


def has_leader(port: int) -> bool:
    """Return whether an agent says that it has a leader."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/status/leader", timeout=1) as answer:
            return bool(json.load(answer))
    except OSError:
        return False


@pytest.fixture(scope="module", params=["fake", "real"] if CONSUL else ["fake"])
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URI of an agent: one of pretence, and a real one if PATH or CONSUL_BINARY has a consul."""
    if request.param == "real":
        process, uri = real_agent(tmp_path_factory.mktemp("consul"))
        yield uri
        process.kill()
        process.wait()
    else:
        fake = FakeAgent()
        fake.start()
        yield fake.uri
        fake.stop()
