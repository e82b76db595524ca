"""The parts of a small lab on loopback, as fixtures."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, sync_playwright

from .browser import FLAGS, Show, opened
from .rig import Fep, Handler, Loop, Network, binary
from .scene import Begin, Scene
from .stack import Cluster, Haproxy, Monitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Stage:
    """Three Consul servers in good health without any service, and whatever a test puts before them."""

    def __init__(
        self, network: Network, cluster: Cluster, loop: Loop, cleanup: ExitStack, folder: Path
    ) -> None:
        """Start nothing yet; what is started later, `cleanup` ends."""
        self.cluster = cluster
        self.cleanup = cleanup
        self._network = network
        self._loop = loop
        self._folder = folder
        self._launched = 0

    def launch(self, answer: Handler | None = None) -> Fep:
        """Start an instance, fep.1, fep.2 ..., with an answer of its own if one is given."""
        self._launched += 1
        fep = Fep(f"fep.{self._launched}", self._loop, answer)
        self.cleanup.callback(fep.stop)
        return fep

    def balance(self, *feps: Fep) -> Haproxy:
        """Start HAProxy before the instances."""
        haproxy = Haproxy(self._folder, self._network, feps)
        self.cleanup.callback(haproxy.stop)
        return haproxy

    def watch(self, *flags: str) -> Monitor:
        """Start a monitor of all this; further flags as arguments."""
        hosts = [f"--host={agent.name}={agent.address}=server" for agent in self.cluster.agents]
        hosts.append(f"--host=docker={self.cluster.docker}=docker")
        agents = [agent.endpoint for agent in self.cluster.agents]
        monitor = Monitor(self._folder, self._network, agents, *hosts, *flags)
        self.cleanup.callback(monitor.stop)
        return monitor


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Return the network of loopback that is this run's alone."""
    network = Network()
    yield network
    network.close()


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    """Return the event loop that the instances live in."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def servers(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return the Consul servers, as the last test left them."""
    cluster = Cluster(tmp_path_factory.mktemp("consul"), network)
    yield cluster
    cluster.stop()


@pytest.fixture
def stage(network: Network, servers: Cluster, loop: Loop, tmp_path: Path) -> Iterator[Stage]:
    """Return a stage, and clear it after the test."""
    with ExitStack() as cleanup:
        yield Stage(network, servers, loop, cleanup, tmp_path)
    servers.heal()
    servers.clear()


@pytest.fixture
def begin(loop: Loop) -> Iterator[Begin]:
    """Return what begins a scene, so many seconds ago."""
    with ExitStack() as cleanup:

        def start(seconds: int) -> Scene:
            scene = Scene(loop, seconds)
            cleanup.callback(scene.close)
            return scene

        yield start


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return the machine's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Browser) -> Iterator[Show]:
    """Return what opens the page at an address, with a colour scheme and a size."""
    with ExitStack() as pages:
        yield lambda url, **how: pages.enter_context(opened(browser, url, **how))
