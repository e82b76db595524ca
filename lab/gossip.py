"""What the agents' gossip still holds against a member that is well."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.hosts import Lab, Node


def exchange(lab: Lab) -> None:
    """Let every agent exchange with every other one all that it knows of the members, and again.

    Who was silenced by a fault may be suspected long after it was healed, because its denial was lost with
    the rest: it is called alive by all, then dead by one, up to 24 s after the suspicion (memberlist: probes
    each second, SuspicionMult 4, SuspicionMaxTimeoutMult 6), and a server that is called dead is taken out
    of raft's configuration. Nobody can ask an agent whom it suspects. The first exchange (memberlist's
    push/pull, which a join is) tells the suspect, and the second brings its denial back. Who was called
    "leaving" by mistake is called alive again, too. Raises consul.ConsulException.
    """
    for _ in range(2):
        with ThreadPoolExecutor(len(lab.agents)) as pool:
            list(pool.map(lambda node: _join(node, lab.agents), lab.agents))


def _join(node: Node, others: list[Node]) -> None:
    for other in others:
        if other is not node:
            node.agent.api.agent.join(other.address)
