"""What the tests stand on keeps them apart from each other, and says what went wrong."""

from __future__ import annotations

import socket
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from .rig import Network, Process
from .stack import served

if TYPE_CHECKING:
    from pathlib import Path


def test_two_runs_have_networks_of_their_own(network: Network) -> None:
    """While a run has its network no other one gets it."""
    with closing(Network()) as other:
        assert other.prefix != network.prefix


def test_a_port_is_kept_until_it_is_used(network: Network) -> None:
    """No port that the kernel gives out by itself is one of the network's, and each is given once."""
    endpoints = [network.endpoint() for _ in range(100)]
    assert len(set(endpoints)) == 100
    with closing(socket.create_server((network.prefix + ".1", 0))) as server:
        assert server.getsockname()[1] > max(port for _, port in endpoints)


def test_a_leftover_keeps_its_port(network: Network) -> None:
    """A port on which a program of a former run still listens is left out."""
    address, port = network.endpoint()
    with closing(socket.create_server((address, port + 1))):
        assert network.endpoint() == (address, port + 2)


def test_a_program_that_ends_is_told_with_its_words(tmp_path: Path, network: Network) -> None:
    """Who waits for a program that has ended hears at once what it said, though another one answers there."""
    address, port = network.endpoint()
    with closing(socket.create_server((address, port))):
        process = Process(tmp_path / "log", sys.executable, "-c", "raise SystemExit('taken')")
        process.wait()
        with pytest.raises(AssertionError, match="taken"):
            served(process, f"http://{address}:{port}/")
