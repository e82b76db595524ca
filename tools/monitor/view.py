"""What the state looks like from outside: the JSON snapshot, the history, plain text. Pure functions.

A value that is not known is absent: there is no null in any of them but in the history's series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cluster import HAPROXY, consul_lost, host_of, name_of
from .names import natural

if TYPE_CHECKING:
    from .parse import Member, Server
    from .state import Host, Instance, State

Tree = dict[str, Any]


def snapshot(state: State, tick: int, now: float) -> Tree:
    """Return everything that the page shows, ready for JSON; /api/state's form is described in the README."""
    return {
        "time": round(now, 3),
        "tick": tick,
        "total": total(state),
        "instances": {
            i.name: _instance(i, state.haproxy.servers.get(i.key)) for i in state.instances.values()
        },
        "consul": _consul(state),
        "haproxy": _haproxy(state),
        "hosts": {**_members(state), **{host.name: _host(state, host) for host in state.hosts}},
        "problems": _problems(state),
        "events": {
            str(event.number): {"time": round(event.time, 3), "kind": event.kind, "text": event.text}
            for event in state.events
        },
    }


def total(state: State) -> dict[str, int]:
    """Return the connections of the instances that answer, how many those are, and how many there are."""
    answering = [i.connections or 0 for i in state.instances.values() if i.reach.status == "ok"]
    return {"connections": sum(answering), "answering": len(answering), "instances": len(state.instances)}


def history(state: State) -> Tree:
    """Return the recorded connections: a time line, and a series an instance, with null where unknown."""
    counts = (item for kept in state.samples for item in kept.connections.items())
    names = dict.fromkeys(name for name, number in counts if number is not None)
    return {
        "ticks": [kept.tick for kept in state.samples],
        "times": [round(kept.time, 3) for kept in state.samples],
        "series": {name: [kept.connections.get(name) for kept in state.samples] for name in names},
    }


def text(state: State) -> str:
    """Return a line `name count` an instance, in natural order; without a count its status is one word."""
    instances = sorted(state.instances.values(), key=lambda instance: natural(instance.name))
    return "".join(f"{instance.name} {_count(instance)}\n" for instance in instances)


def _count(instance: Instance) -> str:
    status = _status(instance)
    return str(instance.connections) if status == "ok" else status.replace(" ", "-")


def _status(instance: Instance) -> str:
    return instance.reach.status if "info" in instance.services else "no info"


def _instance(instance: Instance, server: Server | None) -> Tree:
    service = instance.service
    tree: Tree = {
        "node": service.node,
        "address": f"{service.address}:{service.port}",
        "status": _status(instance),
        "since": round(instance.reach.since, 3),
        "checks": {kind: registered.check for kind, registered in instance.services.items()},
    }
    if instance.connections is not None:
        tree["connections"] = instance.connections
    if instance.reach.error:
        tree["error"] = instance.reach.error
    if server is not None:
        tree["haproxy"] = {"sessions": server.sessions, "total": server.total, "status": server.status}
    return tree


def _consul(state: State) -> Tree:
    tree: Tree = {"status": _consul_status(state)}
    if state.leader_since is not None:
        tree["since"] = round(state.leader_since, 3)
    if consul_lost(state):
        tree["since"] = round(max(state.sources[agent].since for agent in state.agents), 3)
    if state.leader:
        tree["leader"] = name_of(state, state.leader)
    if state.peers is not None:
        tree["peers"] = {peer.name: "voter" if peer.voter else "non-voter" for peer in state.peers.values()}
    return tree


def _consul_status(state: State) -> str:
    if consul_lost(state):
        return "unreachable"
    if state.leader_since is None:
        return "waiting"
    return "ok" if state.leader else "no leader"


def _haproxy(state: State) -> Tree:
    haproxy, reach = state.haproxy, state.sources.get(HAPROXY)
    status = reach.status if reach else "waiting" if state.haproxy_address else "none"
    tree: Tree = {"status": status, "reloads": haproxy.reloads}
    if haproxy.worker is not None:
        tree["worker"] = haproxy.worker.pid
    if haproxy.last_reload is not None:
        tree["last_reload"] = round(haproxy.last_reload, 3)
    return tree


def _host(state: State, host: Host) -> Tree:
    tree: Tree = {"role": host.role, "address": host.address, **_membership(state, _member(state, host))}
    for agent in state.agents:
        if agent.rpartition(":")[0] == host.address and agent in state.sources:
            tree["agent"] = state.sources[agent].status
    if state.haproxy_address == host.address:
        tree["haproxy"] = _haproxy(state)["status"]
    here = [i for i in state.instances.values() if host.name == i.service.node]
    if here:
        tree["instances"] = len(here)
    return tree


def _members(state: State) -> Tree:
    """Return the agents in Consul that nobody named as hosts of the lab."""
    known = {member.name for host in state.hosts if (member := _member(state, host))}
    strangers = [member for name, member in (state.members or {}).items() if name not in known]
    return {
        member.name: {
            "role": "server" if member.server else "client agent",
            "address": member.address,
            **_membership(state, member),
        }
        for member in strangers
    }


def _member(state: State, host: Host) -> Member | None:
    members = state.members or {}
    same_address = (member for member in members.values() if member.address == host.address)
    return members.get(host.name) or next(same_address, None)


def _membership(state: State, member: Member | None) -> Tree:
    if member is None:
        return {}
    tree: Tree = {"member": member.status}
    peer = (state.peers or {}).get(member.name)
    if peer is not None:
        tree["peer"] = "voter" if peer.voter else "non-voter"
        tree["leader"] = bool(state.leader) and peer.address == state.leader
    return tree


def _problems(state: State) -> Tree:
    """Return what does not answer, but for agents on known hosts: those show it themselves."""
    shown = {agent for agent in state.agents if host_of(state, agent) != agent}
    return {
        source: {"since": round(reach.since, 3), "error": reach.error}
        for source, reach in state.sources.items()
        if reach.status == "unreachable" and source not in shown
    }
