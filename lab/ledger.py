"""Writers that never write a key twice: what a store holds afterwards tells which of their writes it has."""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Self

import requests

from lab.errors import LabError
from lab.history import WRITE, History
from lab.hosts import Lab, Node
from lab.kv import ERROR, NEVER_DONE

PAUSE = 0.005  # of each writer, between two writes
MOST = 20_000  # writes of one writer
START = 5.0


class Ledger:
    """The writers, one for each of `agents`, while the body of a `with` goes on.

    Each begins its next write when it has the answer to the last; all are in the history. The keys stay.
    """

    def __init__(self, lab: Lab, history: History, agents: Iterable[Node], pause: float = PAUSE) -> None:
        """Take the agents that are written through."""
        self.history = history
        self.prefix = f"consul-demo/ledger-{uuid.uuid4().hex[:8]}"
        self._within = lab.topology.deadlines.operation
        self._pause = pause
        self._over = threading.Event()
        self._written = threading.Semaphore(0)
        self._writers = [threading.Thread(target=self._write, args=(node,), daemon=True) for node in agents]

    def __enter__(self) -> Self:
        """Start, and wait for as many writes as there are writers. Raises LabError when they do not come."""
        for writer in self._writers:
            writer.start()
        if not all(self._written.acquire(timeout=START) for _ in self._writers):
            self._over.set()
            raise LabError(f"the writers could not write within {START:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and wait for what is under way."""
        self._over.set()
        for writer in self._writers:
            writer.join(2 * self._within)

    def _write(self, node: Node) -> None:
        url = f"{node.url()}/v1/txn"
        with requests.Session() as session:
            for number in range(MOST):
                if self._over.wait(self._pause):
                    return
                self._operate(session, url, f"{self.prefix}/{node.name}/{number}", node.name)

    def _operate(self, session: requests.Session, url: str, key: str, target: str) -> None:
        """Write one key, and write down how that began and ended."""
        value = uuid.uuid4().hex
        number = self.history.invoke(WRITE, key, value, target)
        try:
            index = self._put(session, url, key, value)
        except (OSError, ValueError) as error:
            undone = any(words in str(error) for words in NEVER_DONE)
            (self.history.fail if undone else self.history.unknown)(number, str(error)[:ERROR])
        else:
            self.history.ok(number, value, index)
            self._written.release()

    def _put(self, session: requests.Session, url: str, key: str, value: str) -> int:
        """Write, and return the index of the write. Raises OSError, or ValueError with what Consul said."""
        change = {"Verb": "set", "Key": key, "Value": base64.b64encode(value.encode()).decode()}
        answer = session.put(url, json=[{"KV": change}], timeout=self._within)
        if answer.status_code != HTTPStatus.OK:
            raise ValueError(f"{answer.status_code} {answer.text.strip()}")
        return int(answer.json()["Results"][0]["KV"]["ModifyIndex"])


def read(node: Node, prefix: str, mode: str = "consistent") -> dict[str, str]:
    """Return every key below a prefix and its value, by one `?consistent` or `?stale` read."""
    _, entries = node.agent.api.kv.get(prefix, recurse=True, consistency=mode)
    return {entry["Key"]: entry["Value"].decode() for entry in entries or ()}
