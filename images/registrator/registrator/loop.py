"""The loop: wait for a reason, look at Docker and at the agent, write the differences."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import NamedTuple

from consul import ConsulException

from .agent import Agent
from .engine import Engine
from .options import Options
from .plan import Operation, Registered, plan
from .reasons import FIRST, LONGEST, AwayError, Reasons, calling
from .services import Desired, Host, desired

log = logging.getLogger("registrator")
GATHER = 0.3  # seconds before the first look, in which Docker tells who has been told to end
PERIOD = 30.0  # seconds between looks without a reason
AGAIN = 1.0  # seconds after a look with a reason, to see whether all is as it should be
LONGEST_REFUSED = 60.0  # seconds between attempts at a write that Consul refuses
COUNTED = ("reconciliations", "failures", "refused", "register", "deregister", "check", "uncheck")
WORDS = {"register": "added", "deregister": "removed"}


class Refused(NamedTuple):
    """A write that Consul refused: not before a monotonic time again; the delay if it is refused then."""

    operation: Operation
    at: float
    delay: float


class Registrator:
    """Keeps the services of the agent equal to those of the containers."""

    def __init__(self, options: Options) -> None:
        """Prepare; nothing is contacted yet."""
        self.options = options
        self.agent = Agent(options.uri)
        self.engine: Engine | None = None
        self.host: Host | None = None
        self.reasons = Reasons(options, self.stop_signal)
        self.due = self.patience = self.delay = 0.0
        self.failure: AwayError | None = None
        self.refused: dict[str, Refused] = {}
        self.remarks: frozenset[str] = frozenset()
        self.services: frozenset[str] = frozenset()
        self.counts = Counter(dict.fromkeys(COUNTED, 0))
        self.success = time.monotonic()
        self.took = 0.0

    def run(self) -> None:
        """Reconcile until stopped; raise AwayError for a Consul that had to be there and was not."""
        self.greet()
        self.reasons.start()
        ready = time.monotonic() + GATHER
        self.reasons.wait(ready, ready)
        while not self.reasons.stopping:
            self.look()
            due = min([self.due, *(refused.at for refused in self.refused.values())])
            self.reasons.wait(due, self.patience)
        if self.options.deregister_on_exit and self.host:
            with calling("Consul"):
                self.write(Desired({}), self.agent.registered(), self.host)

    def stop_signal(self, key: str) -> str:
        """Return the signal by which a container wants to be stopped; nothing if it does not say."""
        fixed = self.engine.fixed.get(key) if self.engine else None
        return fixed.stop_signal if fixed else ""

    def greet(self) -> None:
        """Meet Consul; raise AwayError if it stays away for as many retries as were asked for."""
        retries = self.options.retry_attempts
        for attempt in range(max(retries, 0) + 1):
            if self.reasons.stopping:
                return
            log.info("Connecting to backend (%d/%d)", attempt, retries)
            try:
                with calling("Consul"):
                    log.info("consul: current leader %s", self.agent.leader())
                    return
            except AwayError:
                if attempt == retries:
                    raise
            due = time.monotonic() + self.options.retry_interval / 1000 * (retries > 0)
            self.reasons.wait(due, due)

    def look(self) -> None:
        """Reconcile once; after a failure be patient, and say so if it is one of another kind."""
        started = time.monotonic()
        try:
            self.reconcile()
        except AwayError as error:
            self.counts["failures"] += 1
            if self.failure is None or self.failure.kind != error.kind:
                log.error(error)  # noqa: TRY400 - the message says it all
            self.failure, self.reasons.new_agent = error, True
            self.engine = None if error.side == "Docker" else self.engine
            self.delay = min(max(self.delay * 2, FIRST), LONGEST)
            self.due = self.patience = time.monotonic() + self.delay
        else:
            self.success = time.monotonic()
            self.took = self.success - started
            self.failure, self.delay, self.patience = None, 0.0, 0.0

    def reconcile(self) -> None:
        """Look at both sides and write the differences; raise AwayError."""
        host = None if self.reasons.new_agent else self.host
        with calling("Consul"):
            address = host.address if host else self.agent.address()
            actual = self.agent.registered()
        with calling("Docker"):
            busy = bool(self.reasons.touched)
            self.engine = self.engine or Engine(failed=self.options.deregister == "on-success")
            containers = self.engine.containers(self.reasons.touched)
            if host is None:
                host = self.host = Host(self.engine.host_name(), address)
                log.info("Syncing services on %d containers", len(containers))
        self.reasons.touched.clear()
        self.reasons.new_agent = False
        wanted = desired(self.reasons.without_leaving(containers), self.options, host)
        with calling("Consul"):
            busy |= self.write(wanted, actual, host)
        self.counts["reconciliations"] += 1
        self.services = frozenset(wanted.services)
        self.due = time.monotonic() + (AGAIN if busy else self.options.resync or PERIOD)

    def write(self, wanted: Desired, actual: dict[str, Registered], host: Host) -> bool:
        """Write the differences; return whether there were any. What Consul refuses is tried again later."""
        todo = plan(wanted, actual, host.name, cleanup=self.options.cleanup)
        remarks = wanted.remarks | todo.remarks
        for remark in sorted(remarks - self.remarks):
            log.warning(remark)
        self.remarks = remarks
        refused = {key: item for key, item in self.refused.items() if item.operation in todo.operations}
        self.refused = {}
        for operation in todo.operations:
            item = refused.get(operation.id, Refused(operation, 0.0, FIRST))
            if item.at > time.monotonic():
                self.refused[operation.id] = item
            elif not self.perform(operation):
                longer = min(item.delay * 2, LONGEST_REFUSED)
                self.refused[operation.id] = Refused(operation, time.monotonic() + item.delay, longer)
        return len(todo.operations) > len(self.refused)

    def perform(self, operation: Operation) -> bool:
        """Carry out one operation and say so; return whether Consul took it."""
        started, service = time.monotonic(), operation.service
        if operation.reason == "dangling":
            log.info("dangling: %s", operation.id)
        self.counts[operation.kind] += 1
        try:
            self.agent.apply(operation)
        except ConsulException as error:
            self.counts["refused"] += 1
            log.error("%s failed: %s %s", operation.kind, operation.id, error)  # noqa: TRY400
            return False
        place = f" name={service.name} address={service.address}:{service.port}" if service else ""
        took = f"took={(time.monotonic() - started) * 1000:.1f}ms"
        word = WORDS.get(operation.kind, operation.kind)
        log.info(
            "%s: %s %s reason=%s%s %s", word, operation.container, operation.id, operation.reason, place, took
        )
        return True
