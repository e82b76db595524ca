"""The loop: wait for a reason, look at Docker and at the agent, write the differences."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from consul import ConsulException
from docker.errors import DockerException
from urllib3.exceptions import HTTPError, ReadTimeoutError

from .agent import Agent
from .engine import Engine
from .plan import Operation, Registered, plan
from .services import Container, Desired, Host, desired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .options import Options

log = logging.getLogger("registrator")
ERRORS = (ConsulException, DockerException, HTTPError, OSError, ValueError)
PERIOD = 30.0  # seconds between looks without a reason
AGAIN = 1.0  # seconds after a look that wrote, to see whether the writes held
FIRST, LONGEST = 0.1, 1.0  # seconds between attempts to reach Docker or Consul
LONGEST_WRITE = 60.0  # seconds between attempts at a write that Consul refuses
ENDING = {signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM}
TOUCHING = {"start", "die", "pause", "unpause", "rename", "connect", "disconnect"}
WORDS = {"register": "added", "deregister": "removed"}

Event = dict[str, Any]
LOOK: Event = {}
AGENT: Event = {"Action": "agent"}


class AwayError(Exception):
    """Docker or Consul did not answer as it should."""


@contextmanager
def calling(side: str) -> Iterator[None]:
    """Turn what calls of one side raise into AwayError, which names it."""
    try:
        yield
    except ERRORS as error:
        raise AwayError(f"{side} failed: {error}") from error


class Registrator:
    """Keeps the services of the agent equal to those of the containers."""

    def __init__(self, options: Options) -> None:
        """Prepare; nothing is contacted yet."""
        self.options = options
        self.agent = Agent(options.uri)
        self.engine: Engine | None = None
        self.host: Host | None = None
        self.inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.stopping = False
        self.touched: set[str] = set()
        self.draining: dict[str, float] = {}
        self.retries: dict[str, tuple[Operation, float, float]] = {}
        self.due = self.patience = self.delay = 0.0
        self.failure = ""
        self.remarks: frozenset[str] = frozenset()
        self.counts: Counter[str] = Counter()
        self.success = time.monotonic()
        self.services = self.in_catalog = frozenset[str]()

    def run(self) -> None:
        """Reconcile until stopped; raise AwayError if Consul is to be there at the start and is not."""
        self.greet()
        for reader in (self.listen, self.watch):
            threading.Thread(target=reader, daemon=True).start()
        while not self.stopping:
            self.look()
            self.wait()
        if self.options.deregister_on_exit and self.host:
            with calling("Consul"):
                self.write(Desired({}), self.agent.registered(), self.host)

    def stop(self) -> None:
        """End the loop; may be called from a signal handler, since SimpleQueue allows it."""
        self.stopping = True
        self.inbox.put(LOOK)

    def greet(self) -> None:
        """Meet Consul; raise AwayError if it stays away for as many retries as were asked for."""
        retries = self.options.retry_attempts
        for attempt in range(max(retries, 0) + 1):
            log.info("Connecting to backend (%d/%d)", attempt, retries)
            try:
                with calling("Consul"):
                    log.info("consul: current leader %s", self.agent.leader())
                    return
            except AwayError:
                if attempt == retries:
                    raise
            if self.stopping:
                return
            self.patience = time.monotonic() + self.options.retry_interval / 1000 * (retries > 0)
            self.wait()

    def wait(self) -> None:
        """Return at the first event, when all that are there are taken, or when a look is due.

        After a failure events do not shorten the wait.
        """
        due = min([self.due, *self.draining.values(), *(at for _, at, _ in self.retries.values())])
        due = max(due, self.patience)
        with suppress(queue.Empty):
            while not self.stopping:
                self.take(self.inbox.get(timeout=max(due - time.monotonic(), 0)))
                due = self.patience

    def take(self, event: Event) -> None:
        """Note what an event means for the next look."""
        action, actor = event.get("Action", ""), event.get("Actor", {})
        attributes = actor.get("Attributes", {})
        key = attributes.get("container") or actor.get("ID", "")
        self.counts["events"] += 1
        if action in TOUCHING:
            self.touched.add(key)
        if action == "agent":
            self.host = None
        elif action == "start":
            self.draining.pop(key, None)
        elif action == "kill" and self.ends(key, attributes.get("signal", "")):
            age = min(max(time.time() - event["timeNano"] / 1e9, 0), self.options.drain)
            self.draining[key] = time.monotonic() + self.options.drain - age

    def ends(self, key: str, sent: str) -> bool:
        """Return whether a signal is meant to end a container: one of ENDING, or its own stop signal."""
        fixed = self.engine.fixed.get(key) if self.engine else None
        return signal_number(sent) in ENDING | {signal_number(fixed.stop_signal if fixed else "TERM")}

    def listen(self) -> None:
        """Read Docker's events for ever: the daemon drops those that nobody takes within 100 ms."""
        pause = FIRST
        while True:
            with suppress(*ERRORS):
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
        """Follow what the catalog holds of this node for ever: changes and an agent that restarts show."""
        agent, index, news, pause = Agent(self.options.uri), None, LOOK, FIRST
        while True:
            try:
                index, self.in_catalog = agent.catalog(index)
                self.inbox.put(news)
                news, pause = LOOK, FIRST
                time.sleep(AGAIN)
            except ERRORS:
                index, news = None, AGENT
                time.sleep(pause)
                pause = min(pause * 2, LONGEST)

    def look(self) -> None:
        """Reconcile once; say so when it begins to fail and when it works again."""
        try:
            self.reconcile()
        except AwayError as error:
            self.counts["failures"] += 1
            self.delay = min(max(self.delay * 2, FIRST), LONGEST)
            self.due = self.patience = time.monotonic() + self.delay
            self.host = None
            if not self.failure:
                log.error(error)  # noqa: TRY400 - the message says it all
            self.failure = str(error)
        else:
            self.success = time.monotonic()
            self.delay = self.patience = 0.0
            self.failure = ""

    def reconcile(self) -> None:
        """Look at both sides and write the differences; raise AwayError."""
        with calling("Consul"):
            address = self.host.address if self.host else self.agent.address()
            actual = self.agent.registered()
        try:
            with calling("Docker"):
                containers, host = self.look_at_docker(address)
        except AwayError:
            self.engine = None
            raise
        self.counts["reconciliations"] += 1
        running, now = {container.id for container in containers}, time.monotonic()
        self.draining = {key: end for key, end in self.draining.items() if key in running and end > now}
        wanted = desired([item for item in containers if item.id not in self.draining], self.options, host)
        self.services = frozenset(wanted.services)
        with calling("Consul"):
            wrote = self.write(wanted, actual, host)
        self.due = time.monotonic() + (AGAIN if wrote else self.options.resync or PERIOD)

    def look_at_docker(self, address: str) -> tuple[list[Container], Host]:
        """Return the containers, and who we are."""
        failed = self.options.deregister == "on-success"
        self.engine = self.engine or Engine(failed=failed)
        containers = self.engine.containers(self.touched)
        self.touched.clear()
        if self.host is None:
            log.info("Syncing services on %d containers", len(containers))
            self.host = Host(self.engine.host_name(), address)
        return containers, self.host

    def write(self, wanted: Desired, actual: dict[str, Registered], host: Host) -> int:
        """Write the differences; return how many. What Consul refuses is tried again after a while."""
        todo = plan(wanted, actual, host.name, cleanup=self.options.cleanup)
        for remark in sorted((wanted.remarks | todo.remarks) - self.remarks):
            log.warning(remark)
        self.remarks = wanted.remarks | todo.remarks
        waiting = {key: retry for key, retry in self.retries.items() if retry[0] in todo.operations}
        self.retries = {}
        for operation in todo.operations:
            _, at, delay = waiting.get(operation.id, (operation, 0.0, FIRST))
            if at > time.monotonic() or not self.perform(operation):
                at = max(at, time.monotonic() + delay)
                self.retries[operation.id] = operation, at, min(delay * 2, LONGEST_WRITE)
        return len(todo.operations) - len(self.retries)

    def perform(self, operation: Operation) -> bool:
        """Carry out one operation and say so; return whether Consul took it."""
        service, start = operation.service, time.monotonic()
        self.counts[operation.kind] += 1
        try:
            self.agent.apply(operation)
        except ConsulException as error:
            self.counts["refused"] += 1
            log.error("%s failed: %s %s", operation.kind, operation.id, error)  # noqa: TRY400
            return False
        word = WORDS.get(operation.kind, operation.kind)
        place = f" name={service.name} address={service.address}:{service.port}" if service else ""
        took = (time.monotonic() - start) * 1000
        text = f"reason={operation.reason}{place} took={took:.1f}ms"
        log.info("%s: %s %s %s", word, operation.container, operation.id, text)
        return True


def signal_number(text: str) -> int:
    """Return the number of a signal such as 15, TERM, SIGTERM or SIGRTMIN+3; 0 for anything else."""
    name, _, offset = text.upper().removeprefix("SIG").partition("+")
    number = signal.Signals.__members__.get(f"SIG{name}", 0)
    return int(name) if name.isdecimal() else int(number) + int(offset or 0)
