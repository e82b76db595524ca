"""Unique values in Consul's KV store, by which it is recognised whether it is still the same one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from lab.waiting import wait_for

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lab.consul import Agent
    from lab.hosts import Node

COUNT = 10


class Marks:
    """Keys and values that are there, once written, while the body of a `with` goes on."""

    def __init__(self, agent: Agent) -> None:
        """Choose them; they are written and erased through an agent."""
        self._agent = agent
        self._prefix = f"consul-demo/marks-{uuid.uuid4()}/"
        self.wanted = {f"{self._prefix}{number}": uuid.uuid4().hex for number in range(COUNT)}

    def __enter__(self) -> Self:
        """Write them. Raises consul.ConsulException when one is not acknowledged."""
        for key, value in self.wanted.items():
            self._agent.api.kv.put(key, value)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Erase whatever of them is there."""
        self._agent.api.kv.delete(self._prefix, recurse=True)

    def arrive_on(self, node: Node) -> None:
        """Wait until a server's own copy has them all. Raises Unmet."""
        wait_for(
            lambda: self.found(node.agent, "stale"),
            until=lambda found: found == self.wanted,
            within=node.limits.answer,
            what=f"all marks on {node.name}",
        )

    def found(self, agent: Agent, consistency: str = "consistent") -> dict[str, str]:
        """Return the keys and values that are there, as one agent answers."""
        _, entries = agent.api.kv.get(self._prefix, recurse=True, consistency=consistency)
        return {entry["Key"]: entry["Value"].decode() for entry in entries or []}
