"""Snapshots of a cluster's store, by the operator's own commands."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

import requests

from lab.errors import LabError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lab.history import History, Operation
    from lab.hosts import Node

SNAPSHOT = "snapshot"  # the action by which a history knows that one was taken


class Snapshot:
    """A snapshot, in a file on the host it was taken from, until the `with` ends."""

    def __init__(self, node: Node) -> None:
        """Take the host whose agent is asked; it needs not be a server."""
        self.node = node
        self._file = f"snapshot-{uuid.uuid4().hex[:8]}.snap"

    def __enter__(self) -> Self:
        """Begin without a file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file."""
        self.node.shell.run(f"rm -f {self._file}")

    def save(self, history: History) -> Operation:
        """Take it, with the operation in the history, and return that. Raises CommandError."""
        number = history.invoke(SNAPSHOT, self._file, target=self.node.name)
        self.node.run("consul", "snapshot", "save", self._file)
        history.ok(number)
        return next(it for it in history.operations() if it.action == SNAPSHOT and it.key == self._file)

    def inspect(self) -> dict[str, str]:
        """Return what `consul snapshot inspect` says of it: ID, Size, Index ... Raises CommandError."""
        said = self.node.run("consul", "snapshot", "inspect", self._file)
        rows = (line.split() for line in said.partition("\n\n")[0].splitlines())
        return {row[0]: row[1] for row in rows if len(row) == 2}

    def restore(self) -> None:
        """Replace the store of the cluster that the host's agent belongs to. Raises CommandError."""
        self.node.run("consul", "snapshot", "restore", self._file)

    def send(self, url: str) -> None:
        """Replace the store of another cluster, whose API is at `url`. Raises LabError when it refuses."""
        content = base64.b64decode(self.node.run("base64", self._file))
        answer = requests.put(f"{url}/v1/snapshot", data=content, timeout=self.node.limits.command)
        if not answer.ok:
            raise LabError(f"{url}: the snapshot was not restored: {answer.status_code} {answer.text}")
