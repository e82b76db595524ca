"""The load client on its host, run beside a test."""

from __future__ import annotations

import json
import shlex
import threading
import time
import uuid
from types import TracebackType
from typing import Any, Self

from lab.errors import LabError
from lab.hosts import Lab, Node
from lab.waiting import LOG

INTERRUPTED_GRACE = 15.0


def front(lab: Lab) -> str:
    """Return where the load goes: HOST:PORT of the load balancer's front."""
    return f"{lab.lb.address}:{lab.topology.ports.haproxy_front}"


class Load:
    """A run of `client` while the body of a `with` goes on; `summary` is its JSON afterwards.

    The client is bounded by its `--count` or else by `seconds`, and is stopped when the body ends. Its keys
    and classes are described in tools/client/README.md. Raises LabError when it left no summary, could not
    tell, or ended before the body did although it lost nothing.
    """

    def __init__(self, node: Node, target: str, *words: str, seconds: int) -> None:
        """Prepare; `target` is HOST:PORT, `words` are the client's options."""
        self._node = node
        self._file = f"load-{uuid.uuid4().hex[:8]}"
        # A counted load ends by itself; every other one by the clock.
        self._counted = "--count" in words
        bound = "" if self._counted else f"--duration {seconds}"
        options = f"--quiet --json {self._file}.json {bound}"
        inner = f'echo $$ > {self._file}.pid; exec client {options} "$@"'
        self._command = ("sh", "-c", inner, "client", *words, target)
        self._deadline = seconds + INTERRUPTED_GRACE
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.said = ""
        self.summary: dict[str, Any] = {}

    def _run(self) -> None:
        result = self._node.shell.run(shlex.join(self._command), deadline=self._deadline)
        self.said = f"exit code {result.rc}: {result.stderr}{result.stdout}"

    def __enter__(self) -> Self:
        """Start the client."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the client and read what it counted."""
        if self.summary:
            return
        over = not self._thread.is_alive()
        if not over:
            self._node.shell.run(f"kill -INT $(cat {self._file}.pid)")
        lost = self.finish()["lost"]
        # A load that has lost all that it held ends as well, and tells that.
        if over and not (lost or self._counted or kind):
            raise LabError(f"the load ended before the test did: {self.said}")

    def finish(self) -> dict[str, Any]:
        """Wait for the client's own end and return its summary."""
        begun = time.monotonic()
        self._thread.join(self._deadline)
        LOG.debug("the load's own end", extra={"seconds": time.monotonic() - begun})
        result = self._node.shell.run(f"cat {self._file}.json; rm -f {self._file}.json {self._file}.pid")
        try:
            self.summary = json.loads(result.stdout)
        except ValueError as error:
            raise LabError(f"the load client left no summary: {self.said}") from error
        if self.summary["verdict"] == "could_not_tell":
            raise LabError(f"the load client could not tell: {'; '.join(self.summary['doubts'])}")
        return self.summary
