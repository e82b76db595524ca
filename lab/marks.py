"""Unique values in Consul's KV store, by which it is recognised whether it is still the same one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.consul import Agent

COUNT = 10


class Marks:
    """Keys of one test and the values that were written to them."""

    def __init__(self) -> None:
        """Choose them; nothing is written yet."""
        self._prefix = f"consul-demo/marks-{uuid.uuid4()}/"
        self.wanted = {f"{self._prefix}{number}": uuid.uuid4().hex for number in range(COUNT)}

    def write(self, agent: Agent) -> None:
        """Write all of them. Raises consul.ConsulException when one was not acknowledged."""
        for key, value in self.wanted.items():
            agent.api.kv.put(key, value)

    def found(self, agent: Agent, consistency: str = "consistent") -> dict[str, str]:
        """Return the keys and values that are there, as one agent answers."""
        _, entries = agent.api.kv.get(self._prefix, recurse=True, consistency=consistency)
        return {entry["Key"]: entry["Value"].decode() for entry in entries or []}

    def erase(self, agent: Agent) -> None:
        """Delete whatever of them is there."""
        agent.api.kv.delete(self._prefix, recurse=True)
