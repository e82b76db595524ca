"""The loop: look at both sides, write the differences, wait for a reason to look again."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import requests
from consul import ConsulException
from docker.errors import DockerException

from .agent import Agent
from .engine import Engine
from .plan import Operation, Registered, plan
from .services import Desired, Host, desired

if TYPE_CHECKING:
    from .options import Options

log = logging.getLogger("registrator")
FAILURES = (ConsulException, DockerException, OSError, requests.RequestException)
FIRST, LONGEST, LONGEST_WRITE = 0.1, 2.0, 60.0  # seconds between attempts
PERIOD = 30
ENDING = {"2", "3", "9", "15", "SIGINT", "SIGQUIT", "SIGKILL", "SIGTERM"}


class Registrator:
    """Keeps the agent's services equal to the containers'."""

    def __init__(self, options: Options) -> None:
        """Prepare; nothing is contacted yet."""
        self.options = options
        self.agent = Agent(options.uri)
        self.engine: Engine | None = None
        self.host: Host | None = None
        self.events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.draining: dict[str, float] = {}
        self.retries: dict[str, tuple[float, float]] = {}
        self.remarks: set[str] = set()
        self.stopping = threading.Event()
        self.period = options.resync or PERIOD

    def run(self) -> None:
        """Reconcile until stopped."""
        threading.Thread(target=self.listen, daemon=True).start()
        touched: set[str] = set()
        delay = 0.0
        while not self.stopping.is_set():
            touched |= self.wait(delay)
            try:
                self.reconcile(touched)
            except FAILURES as error:
                delay = min(max(delay * 2, FIRST), LONGEST)
                self.remark({f"failed: {error}"})
                self.host = None
                self.stopping.wait(delay)
            else:
                touched, delay = set(), 0.0
        if self.options.deregister_on_exit and self.host:
            self.write(Desired({}), self.agent.registered(), self.host)

    def stop(self) -> None:
        """End the loop; may be called from a signal handler."""
        self.stopping.set()
        self.events.put({})

    def wait(self, delay: float) -> set[str]:
        """Return the containers touched by events: at once if there are any, else when it is time to look."""
        now = time.monotonic()
        due = [now + (0 if delay or not self.host else self.period)]
        due += list(self.draining.values()) + [at for at, _ in self.retries.values()]
        touched: set[str] = set()
        try:
            event = self.events.get(timeout=max(min(due) - now, 0.001))
            while True:
                touched |= self.take(event)
                event = self.events.get_nowait()
        except queue.Empty:
            return touched

    def take(self, event: dict[str, Any]) -> set[str]:
        """Return the containers that an event touches; one that is being ended starts to drain."""
        attributes = event.get("Actor", {}).get("Attributes", {})
        key = attributes.get("container") or event.get("Actor", {}).get("ID", "")
        if event.get("Action") == "kill" and attributes.get("signal") in ENDING and self.options.drain:
            self.draining[key] = time.monotonic() + self.options.drain
        elif event.get("Action") == "start":
            self.draining.pop(key, None)
        return {key} if key else set()

    def listen(self) -> None:
        """Read the daemon's events for ever: it drops those that are not taken within 100 ms."""
        delay = FIRST
        while not self.stopping.is_set():
            try:
                engine = Engine()
                log.info("Listening for Docker events ...")
                self.events.put({})
                for event in engine.events(int(time.time()) - self.options.drain):
                    delay = FIRST
                    self.events.put(event)
                log.warning("Docker event loop closed")
            except FAILURES as error:
                log.warning("Docker event loop failed: %s", error)
            self.stopping.wait(delay)
            delay = min(delay * 2, LONGEST)

    def reconcile(self, touched: set[str]) -> None:
        """Look at both sides and write the differences."""
        self.engine = self.engine or Engine(failed=self.options.deregister == "on-success")
        if self.host is None:
            self.host = Host(self.engine.host_name(), self.agent.address())
        now = time.monotonic()
        containers = self.engine.containers(touched)
        running = {container.id for container in containers}
        self.draining = {key: end for key, end in self.draining.items() if end > now and key in running}
        wanted = desired(
            [item for item in containers if item.id not in self.draining], self.options, self.host
        )
        self.write(wanted, self.agent.registered(), self.host)

    def write(self, wanted: Desired, actual: dict[str, Registered], host: Host) -> None:
        """Write the differences, each failure apart; a service that failed is tried again after a while."""
        operations, conflicts = plan(wanted, actual, host.name, cleanup=self.options.cleanup)
        self.remark({*wanted.remarks, *conflicts})
        keys = {operation.id for operation in operations}
        self.retries = {key: retry for key, retry in self.retries.items() if key in keys}
        for operation in operations:
            at, delay = self.retries.get(operation.id, (0.0, FIRST))
            if at > time.monotonic():
                continue
            try:
                self.perform(operation)
            except ConsulException as error:
                self.retries[operation.id] = (time.monotonic() + delay, min(delay * 2, LONGEST_WRITE))
                log.error("%s failed: %s %s", operation.kind, operation.id, error)  # noqa: TRY400
            else:
                self.retries.pop(operation.id, None)

    def perform(self, operation: Operation) -> None:
        """Carry out one operation and say so."""
        start = time.monotonic()
        self.agent.apply(operation)
        took = (time.monotonic() - start) * 1000
        word = {"register": "added", "deregister": "removed"}.get(operation.kind, operation.kind)
        log.info("%s: %s %s %s took=%.1fms", word, operation.container, operation.id, operation.reason, took)

    def remark(self, remarks: set[str]) -> None:
        """Say what is new since the last look."""
        for remark in sorted(remarks - self.remarks):
            log.warning(remark)
        self.remarks = remarks
