"""The state as Prometheus metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from .cluster import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

    from .state import State

Rows = list[tuple[list[str], float]]


class StateCollector(Collector):
    """Reads the metrics from the state when they are asked for."""

    def __init__(self, state: State, browsers: int) -> None:
        """Keep what is to be told: the state, and the number of browsers that listen."""
        self.state = state
        self.browsers = browsers

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the monitor."""
        yield from _instances(self.state)
        yield from _consul(self.state)
        yield from _haproxy(self.state)
        up: Rows = [([source], reach.status == "ok") for source, reach in self.state.sources.items()]
        yield _gauge("source_up", "Whether what the monitor asks gives usable answers", ["source"], up)
        yield _gauge("browsers", "Browsers that listen to /events", [], [([], self.browsers)])


def exposition(state: State, browsers: int) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(StateCollector(state, browsers))
    return generate_latest(registry)


def _gauge(name: str, documentation: str, labels: list[str], rows: Rows) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"monitor_{name}", documentation, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _instances(state: State) -> Iterator[Metric]:
    instances, labels = state.instances.values(), ["instance", "node"]
    known: Rows = [
        ([i.name, i.service.node], i.connections)
        for i in instances
        if i.reach.status == "ok" and i.connections is not None
    ]
    up: Rows = [([i.name, i.service.node], i.reach.status == "ok") for i in instances]
    yield _gauge(
        "instance_connections", "Open connections; absent while an instance is silent", labels, known
    )
    yield _gauge("instance_up", "Whether the instance tells its connections", labels, up)


def _consul(state: State) -> Iterator[Metric]:
    members: Rows = [([m.name], m.status == "alive") for m in (state.members or {}).values()]
    peers: Rows = [([p.name, str(p.voter).lower()], 1) for p in (state.peers or {}).values()]
    leader: Rows = [([name_of(state, state.leader)], 1)] if state.leader else []
    yield _gauge("consul_member_alive", "Whether gossip calls the agent alive", ["member"], members)
    yield _gauge("consul_raft_peer", "Servers of the raft configuration", ["server", "voter"], peers)
    yield _gauge("consul_leader", "The leader; absent while there is none", ["server"], leader)


def _haproxy(state: State) -> Iterator[Metric]:
    named = [(i.name, state.haproxy.servers.get(i.key)) for i in state.instances.values()]
    sessions: Rows = [([name], server.sessions) for name, server in named if server is not None]
    yield _gauge("haproxy_sessions", "Sessions of HAProxy's current worker", ["instance"], sessions)
    reloads = CounterMetricFamily("monitor_haproxy_reloads", "Reloads since the monitor started")
    reloads.add_metric([], state.haproxy.reloads)
    yield reloads
