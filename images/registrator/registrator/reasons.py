"""Why and when to look again: Docker's events, news from the catalog, and what is due."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from consul import ConsulException
from docker.errors import DockerException
from urllib3.exceptions import HTTPError, ReadTimeoutError

from .agent import Agent
from .engine import Engine
from .options import Options
from .services import Container

log = logging.getLogger("registrator")
ERRORS = (ConsulException, DockerException, HTTPError, OSError, ValueError, LookupError)
FIRST, LONGEST = 0.1, 1.0  # seconds between attempts to reach Docker or Consul
CALM = 0.5  # seconds between two wake-ups by the catalog
LAG = 5.0  # seconds that a container which has died may still be listed as running
ENDING = {signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM}
TOUCHING = {"start", "pause", "unpause", "rename", "connect", "disconnect"}

Event = dict[str, Any]
LOOK: Event = {}
NEW_AGENT: Event = {"Action": "new agent"}


class AwayError(Exception):
    """Docker or Consul did not answer as it should; kind tells failures of different sorts apart."""

    def __init__(self, side: str, cause: Exception) -> None:
        """Say which side failed, and how."""
        super().__init__(f"{side} failed: {cause}")
        self.side = side
        self.kind = side, type(cause)


@contextmanager
def calling(side: str) -> Iterator[None]:
    """Turn what calls of one side raise into AwayError."""
    try:
        yield
    except ERRORS as error:
        raise AwayError(side, error) from error


class Reasons:
    """Collects reasons to look in two threads, and what they mean for the next look in the caller's.

    touched: containers that events have changed; leaving: containers to be left out, until a monotonic time;
    new_agent: the agent may be another one; in_catalog: the IDs that the catalog holds of this node.
    """

    def __init__(self, options: Options, stop_signal: Callable[[str], str]) -> None:
        """Prepare; stop_signal returns the signal by which a container wants to be stopped."""
        self.options = options
        self.stop_signal = stop_signal
        self.inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.stopping = self.new_agent = False
        self.events = 0
        self.touched: set[str] = set()
        self.leaving: dict[str, float] = {}
        self.in_catalog: frozenset[str] = frozenset()

    def start(self) -> None:
        """Begin to collect."""
        for reader in (self.listen, self.watch):
            threading.Thread(target=reader, daemon=True).start()

    def stop(self) -> None:
        """End all waiting; may be called from a signal handler, since SimpleQueue allows it."""
        self.stopping = True
        self.inbox.put(LOOK)

    def wait(self, due: float, patience: float) -> None:
        """Return at the first event, with all that are there taken, or when it is due; not before patience.

        Both are monotonic times.
        """
        due = max(min([due, *self.leaving.values()]), patience)
        with suppress(queue.Empty):
            while not self.stopping:
                self.take(self.inbox.get(timeout=max(due - time.monotonic(), 0)))
                due = patience

    def take(self, event: Event) -> None:
        """Note what an event means for the next look."""
        action, actor = event.get("Action", ""), event.get("Actor", {})
        attributes = actor.get("Attributes", {})
        key = attributes.get("container") if event.get("Type") == "network" else actor.get("ID")
        self.events += 1
        self.new_agent |= event is NEW_AGENT
        if not key:
            return
        if action in TOUCHING:
            self.touched.add(key)
        if action == "start":
            self.leaving.pop(key, None)
        elif action == "die" and self.options.deregister == "always":
            self.leaving[key] = time.monotonic() + LAG
        elif action == "die":
            self.touched.add(key)
        elif action == "kill" and self.ends(key, attributes.get("signal", "")):
            age = min(max(time.time() - event["timeNano"] / 1e9, 0), self.options.drain)
            self.leaving[key] = time.monotonic() + self.options.drain - age

    def without_leaving(self, containers: list[Container]) -> list[Container]:
        """Return the containers that stay, and forget those that are gone or have stayed after all."""
        listed, now = {container.id for container in containers}, time.monotonic()
        self.leaving = {key: until for key, until in self.leaving.items() if key in listed and until > now}
        return [container for container in containers if container.id not in self.leaving]

    def ends(self, key: str, sent: str) -> bool:
        """Return whether a signal is meant to end a container: one of ENDING, or the container's own."""
        return signal_number(sent) in ENDING | {signal_number(self.stop_signal(key) or "TERM")}

    def listen(self) -> None:
        """Read Docker's events, whatever happens: the daemon drops those that nobody takes within 100 ms."""
        pause = FIRST
        while not self.stopping:
            with suppress(Exception):
                stream = Engine(internal=self.options.internal).events(int(time.time()) - self.options.drain)
                log.info("Listening for Docker events ...")
                pause = FIRST
                self.inbox.put(LOOK)
                with suppress(ReadTimeoutError):
                    for event in stream:
                        self.inbox.put(event)
                    log.warning("Docker event loop closed")
                    self.inbox.put(LOOK)
            time.sleep(pause)
            pause = min(pause * 2, LONGEST)

    def watch(self) -> None:
        """Follow what the catalog holds of this node: changes by others and an agent that restarts show."""
        agent, index, news, pause = Agent(self.options.uri), None, LOOK, FIRST
        while not self.stopping:
            try:
                before = index
                index, self.in_catalog = agent.catalog(before)
                if index != before:
                    self.inbox.put(news)
                news, pause = LOOK, FIRST
                time.sleep(CALM)
            except Exception:  # noqa: BLE001 - nobody would miss a thread that has ended
                index, news = None, NEW_AGENT
                time.sleep(pause)
                pause = min(pause * 2, LONGEST)


def signal_number(text: str) -> int:
    """Return the number of a signal such as 15, TERM, SIGTERM or SIGRTMIN+3; 0 for anything else."""
    name, _, offset = text.upper().removeprefix("SIG").partition("+")
    number = signal.Signals.__members__.get(f"SIG{name}", 0)
    return int(name) if name.isdecimal() else int(number) + int(offset or 0)
