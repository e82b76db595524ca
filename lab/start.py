"""Servers that are started one after another, and when they have become a cluster that answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from lab.consul import Status
from lab.unit import Unit
from lab.waiting import lapse, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.hosts import Lab, Node

YOUNG = 200  # indexes, of which a new cluster takes some 40 until it lists a service
ROUND = 2.0  # seconds: gossip's few retransmits, every 200 ms each, and as much again
OUTGROWN = "consul-demo/outgrown"


def start(node: Node) -> float:
    """Start an agent, wait until it answers, and return when it was told to start, on the monotonic clock."""
    begun = time.monotonic()
    Unit(node).start()
    wait_for(node.agent.members, within=node.limits.fault, what=f"an answer of {node.name}, just started")
    return begun


def start_all(nodes: Sequence[Node]) -> list[float]:
    """Start agents, each after the one before it answers; return when each was told to start."""
    return [start(node) for node in nodes]


def seconds_until(question: Callable[[], object], begun: float, within: float, what: str) -> float:
    """Return how many seconds after `begun` the answer was true; `within` counts from now. Raises Unmet."""
    wait_for(question, within=within, what=what)
    return time.monotonic() - begun


class Member(Protocol):
    """Whoever gossip knows by a name: a host's agent, or a server that is no host of the lab's."""

    name: str


def await_death(nodes: Sequence[Member], watchers: Sequence[Node]) -> None:
    """Wait until each watcher's agent knows that the agents of all `nodes` are dead. Raises Unmet.

    A dead server is FAILED, and LEFT as soon as autopilot, which looks every 10 s (N7), has forced it out:
    that was seen 0.2 s later, too soon for every watcher to be asked between.
    """
    _await_status(nodes, watchers, {Status.FAILED, Status.LEFT})


def await_missed(lab: Lab, lost: Sequence[Node]) -> None:
    """Wait until every agent that is left knows some as dead, as the procedure wants to have it confirmed.

    A server that is back with another node-id before that is refused by the catalog for as long as it lives:
    "Node name X is reserved". One that is back while the news goes round that autopilot, which looks every
    10 s, has just forced it out may never be alive again for an agent that hears of it too late: if that has
    begun, it is waited for. Raises Unmet.
    """
    watchers = [node for node in lab.agents if node not in lost]
    await_death(lost, watchers)
    if Status.LEFT in _statuses(lost, watchers):
        await_departure(lost, watchers)
        lapse(ROUND, "the news of a forced leave to go round")


def await_departure(nodes: Sequence[Node], watchers: Sequence[Node]) -> None:
    """Wait until each watcher's agent knows that the agents of all `nodes` have left. Raises Unmet."""
    _await_status(nodes, watchers, {Status.LEFT})


def _await_status(nodes: Sequence[Member], watchers: Sequence[Node], wanted: set[Status]) -> None:
    names, words = [node.name for node in nodes], sorted(status.name for status in wanted)
    wait_for(
        lambda: _statuses(nodes, watchers),
        until=lambda seen: seen <= wanted,
        within=watchers[0].limits.members,
        what=f"{', '.join(names)} known as {' or '.join(words)}",
    )


def _statuses(nodes: Sequence[Member], watchers: Sequence[Node]) -> set[Status | None]:
    """Return what the watchers' agents have the agents of some nodes as; None for one they do not know."""
    names = [node.name for node in nodes]
    return {known.get(name) for known in (it.agent.members() for it in watchers) for name in names}


def outgrow(node: Node, times: int = 1) -> None:
    """Take a cluster's index, through the agent of a host, so many times beyond that of one just founded.

    consul-template takes an answer at the index it knows for no news (its watch/view.go); only a lower one
    tells it that the cluster is another. A new cluster that came to the very index of the one before, both at
    40, went unnoticed until the next change. Raises consul.ConsulException.
    """
    for _ in range(times * YOUNG // 2):
        node.agent.api.kv.put(OUTGROWN, "x")
        node.agent.api.kv.delete(OUTGROWN)


def leaders(servers: Sequence[Node]) -> set[str]:
    """Return the leaders' addresses that these name; an empty one means that there is none."""
    return {server.agent.leader() for server in servers}


def agreed(lab: Lab) -> bool:
    """Return whether every server names the same leader and lists the same voters: all servers.

    Each is asked for its own list.
    """
    named = leaders(lab.servers)
    if len(named) != 1 or "" in named:
        return False
    lists = {tuple(server.agent.peers(own=True)) for server in lab.servers}
    voters = {tuple(peer.node for peer in peers if peer.voter) for peers in lists}
    leading = [peer.leader for peers in lists for peer in peers]
    return voters == {tuple(sorted(server.name for server in lab.servers))} and leading.count(True) == 1
