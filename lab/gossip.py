"""What the agents' gossip still holds against a member that is well."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lab.consul import Status

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


def leaving(lab: Lab) -> set[str]:
    """Return the names of those whom some agent has as leaving: as a rule for a moment, or else by mistake.

    Who starts again while the news goes round that it was forced out may stay so, though it is back: an agent
    that hears of the return first takes the late leave for a new one.
    """
    seen = [node.agent.members() for node in lab.agents]
    return {name for members in seen for name, status in members.items() if status is Status.LEAVING}


def _join(node: Node, others: list[Node]) -> None:
    for other in others:
        if other is not node:
            node.agent.api.agent.join(other.address)
