"""Unique values in Consul's KV store, which tell whether a store, or a server's copy, is still whole."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from lab.ledger import read
from lab.waiting import wait_for

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lab.hosts import Node

KEYS = 100  # as many as Consul's own tests of a restored snapshot have


class Stored:
    """KEYS keys below `prefix` with their `values`, written while the body of a `with` goes on."""

    def __init__(self, node: Node) -> None:
        """Choose where; they are written and erased through a host's agent."""
        self._node = node
        self.prefix = f"consul-demo/stored-{uuid.uuid4().hex[:8]}/"
        self.values: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Write them. Raises consul.ConsulException when one is not acknowledged."""
        for number in range(KEYS):
            self.add(self._node, str(number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Erase whatever of them is there."""
        self._node.agent.api.kv.delete(self.prefix, recurse=True)

    def add(self, node: Node, name: str) -> str:
        """Write another key through a host's agent, and return it. Raises consul.ConsulException."""
        key = f"{self.prefix}{name}"
        value = uuid.uuid4().hex
        node.agent.api.kv.put(key, value)
        self.values[key] = value
        return key

    def found(self, node: Node, mode: str = "consistent") -> dict[str, str]:
        """Return the keys and values that are there, as a host's agent answers a read of that mode."""
        return read(node, self.prefix, mode)

    def lacking(self, node: Node) -> dict[str, str]:
        """Return the keys and values that a `consistent` read through a host's agent does not find."""
        return dict(self.values.items() - self.found(node).items())

    def arrive_on(self, node: Node) -> None:
        """Wait until a server's own copy has just these: raft counts an entry as applied a moment too early.

        Raises Unmet.
        """
        wait_for(
            lambda: self.found(node, "stale"),
            until=lambda found: found == self.values,
            within=node.limits.answer,
            what=f"all keys on {node.name}",
        )
