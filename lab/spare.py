"""A fourth Consul server, with an address of its own, on a host that has no agent: the client's."""

from __future__ import annotations

import json
import shlex
import uuid
from typing import TYPE_CHECKING, Any

from lab.consul import Agent
from lab.errors import NotRunError
from lab.unit import Unit
from lab.waiting import AWAY, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from lab.hosts import Lab, Node

UNIT = "consul-spare"
PREFIX = "spare-"
DATA = "/var/lib/consul-spare"
CONFIGURATION = "/run/consul-spare.json"
BINARY = "/opt/consul-demo/artifacts/bin/consul"
STOP = f"systemctl kill --signal=KILL {UNIT} 2>/dev/null; systemctl stop {UNIT} 2>/dev/null; true"
UNDO = f"{STOP}; rm -rf {DATA} {CONFIGURATION}"


class Spare:
    """A server that joins the cluster as a new machine would, while the body of a `with` goes on.

    At its end it leaves the cluster and nothing of it stays. `changes` are merged into the configuration of
    the servers: another's node-id, say. No two have one name: who comes under that of a member which was
    pruned a short while ago may be held for one that is leaving, and is never let into raft.
    """

    def __init__(self, lab: Lab, **changes: Any) -> None:  # noqa: ANN401 - JSON
        """Prepare nothing yet."""
        self._lab = lab
        self._node = lab.client
        self._changes = changes
        self.name = f"{PREFIX}{uuid.uuid4().hex[:8]}"
        self.address = self._node.address

    def __enter__(self) -> Self:
        """Start it, and wait until it answers; if that fails nothing of it stays.

        Raises NotRunError where the host has an agent already, which would answer, and leave, in its place.
        """
        self._root(UNDO)
        if self._answers():
            raise NotRunError(
                f"{self._node.name} has an agent of its own: a further server needs a host without"
            )
        try:
            self.start()
        except BaseException:
            self._root(UNDO)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it leave, remove what is left, and have every agent forget it."""
        try:
            self._node.shell.run(f"timeout 20 {BINARY} leave")
        finally:
            self._root(UNDO)
        forget(self._lab)

    def start(self) -> None:
        """Start it with what it has stored, if anything."""
        text = shlex.quote(json.dumps(self.configuration()))
        self._root(
            f"printf %s {text} > {CONFIGURATION}; systemd-run --quiet --unit={UNIT} --collect"
            f" --property=LimitNOFILE=65536 {BINARY} agent -config-file={CONFIGURATION}"
        )
        within = self._lab.topology.deadlines.fault
        wait_for(
            lambda: self.agent.api.agent.self()["Config"]["NodeName"],
            until=lambda name: name == self.name,
            within=within,
            what=f"the answer of {self.name}",
        )

    def stop(self) -> None:
        """End it at once; it keeps its data."""
        self._root(STOP)

    def configuration(self) -> dict[str, Any]:
        """Return what it is started with: a server's configuration, under its own name and address."""
        servers = self._lab.servers
        settings: dict[str, Any] = json.loads(servers[0].run("sudo", "cat", "/etc/consul.d/consul.json"))
        del settings["bootstrap_expect"]
        own = {"node_name": self.name, "bind_addr": self.address, "data_dir": DATA}
        return settings | own | self._changes

    @property
    def agent(self) -> Agent:
        """Its API."""
        return self._node.agent

    def journal(self) -> str:
        """Return what it logged."""
        return self._node.run("sudo", "journalctl", "--no-pager", f"--unit={UNIT}")

    def _answers(self) -> bool:
        """Return whether an agent answers at the host."""
        try:
            return bool(self.agent.members())
        except AWAY:
            return False

    def _root(self, script: str) -> None:
        self._node.run("sudo", "sh", "-c", script)


def forget(lab: Lab) -> None:
    """Have every agent forget all spares that ever were: else they are listed for a day and more.

    Other members that the lab does not know are somebody's own, and left alone. Raises Unmet when some agent
    still knows one after the deadline for dead members.
    """
    wait_for(
        lambda: _listed(lab),
        until=lambda spares: not spares,
        within=lab.topology.deadlines.members,
        what="no spare among the members",
    )


def _listed(lab: Lab) -> set[str]:
    """Return the spares among the members; each agent that lists one is told to forget it.

    An agent that does not run, as a test's lost server, is passed over.
    """
    known = [(node, name) for node in lab.agents for name in _members(node) if name.startswith(PREFIX)]
    for node, name in known:
        node.agent.api.agent.force_leave(name, prune=True)
    return {name for _, name in known}


def _members(node: Node) -> Iterable[str]:
    """Return the members that an agent lists, none if there is no agent."""
    return node.agent.members() if Unit(node).pid() else ()
