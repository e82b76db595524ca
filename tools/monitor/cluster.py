"""How observations of Consul and HAProxy change the state: leader, members, raft peers, workers. No I/O."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .state import WORKERS, Haproxy, Reach, State, log, missed, reached

if TYPE_CHECKING:
    from .answer import AnswerError
    from .parse import Member, Peer, Server, Worker

HAPROXY = "HAProxy"
SERVERS = "HAProxy's servers"


def answered(state: State, source: str, now: float) -> bool:
    """Note that a source answered; returns whether it had been unreachable."""
    return reached(state.sources.setdefault(source, Reach(now)), now)


def failed(state: State, source: str, error: AnswerError, now: float) -> bool:
    """Note that a source did not answer; returns whether it has become unreachable by that."""
    return missed(state.sources.setdefault(source, Reach(now)), error, now)


def see_leader(state: State, agent: str, leader: str, now: float) -> None:
    """Note which leader one agent knows (its RPC address:port, empty without one)."""
    was_lost = consul_lost(state)
    state.leaders[agent] = leader
    if answered(state, agent, now):
        log(state, now, "answers", f"Consul's agent at {host_of(state, agent)} answers again")
    if was_lost:
        log(state, now, "answers", "Consul is back")
    _elect(state, now)


def miss_agent(state: State, agent: str, error: AnswerError, now: float) -> None:
    """Note that one agent did not say who leads."""
    if not failed(state, agent, error, now):
        return
    state.leaders.pop(agent, None)
    log(state, now, "unreachable", f"Consul's agent at {host_of(state, agent)} is unreachable: {error}")
    if consul_lost(state):
        log(state, now, "lost", "Consul is lost: none of its agents answers")
    else:
        _elect(state, now)


def consul_lost(state: State) -> bool:
    """Return whether every agent was found not to answer."""
    reaches = [state.sources.get(agent) for agent in state.agents]
    return bool(reaches) and all(reach is not None and reach.status == "unreachable" for reach in reaches)


def see_members(state: State, found: list[Member], now: float) -> None:
    """Note all agents that gossip knows, and tell of those whose status changed."""
    before, state.members = state.members, {member.name: member for member in found}
    if before is None:
        return
    for name, member in state.members.items():
        if name not in before:
            log(state, now, "member", f"{name} joined Consul")
        elif before[name].status != member.status:
            log(state, now, "member", f"{name} is now {member.status} in Consul")
    for name in sorted(before.keys() - state.members.keys()):
        log(state, now, "member", f"{name} is no longer a member of Consul")


def see_peers(state: State, found: list[Peer], now: float) -> None:
    """Note the servers of the raft configuration, and tell who came and went."""
    before, state.peers = state.peers, {peer.name: peer for peer in found}
    if before is None:
        return
    for name in sorted(state.peers.keys() - before.keys()):
        log(state, now, "peer", f"{name} is now a raft peer")
    for name in sorted(before.keys() - state.peers.keys()):
        log(state, now, "peer", f"{name} is no longer a raft peer")


def see_servers(state: State, servers: dict[str, Server], now: float) -> None:
    """Note what HAProxy counts for each of its servers, by instance key."""
    state.haproxy.servers = servers
    answered(state, SERVERS, now)


def see_worker(state: State, worker: Worker, now: float) -> None:
    """Note the worker that answered; a new one is a reload, or a restart if HAProxy had been away.

    New is a pid not seen before, or one with a shorter uptime than it had: a container that started
    again gives out the same pids. An old worker that answers once more after a reload is neither.
    """
    haproxy, before = state.haproxy, state.haproxy.worker
    was_lost = answered(state, HAPROXY, now)
    is_new = worker.uptime < haproxy.workers.get(worker.pid, worker.uptime + 1)
    _remember(haproxy, worker)
    if is_new:
        haproxy.worker = worker
    if before is None:
        return
    if is_new and worker.pid != before.pid and not was_lost:
        haproxy.reloads, haproxy.last_reload = haproxy.reloads + 1, now
        log(state, now, "reload", f"HAProxy reloaded: worker {before.pid} handed over to {worker.pid}")
    elif is_new or was_lost:
        log(state, now, "answers", "HAProxy restarted" if is_new else "HAProxy answers again")


def miss_haproxy(state: State, error: AnswerError, now: float) -> None:
    """Note that HAProxy's statistics page could not be had."""
    if failed(state, HAPROXY, error, now):
        log(state, now, "unreachable", f"HAProxy is unreachable: {error}")


def name_of(state: State, rpc: str) -> str:
    """Return the name of the server with this RPC address:port, or the address when nobody knows it."""
    for peer in (state.peers or {}).values():
        if peer.address == rpc:
            return peer.name
    return host_of(state, rpc)


def host_of(state: State, endpoint: str) -> str:
    """Return the name of the host that an address:port belongs to, or the endpoint itself."""
    address = endpoint.rpartition(":")[0]
    return next((host.name for host in state.hosts if host.address == address), endpoint)


def _remember(haproxy: Haproxy, worker: Worker) -> None:
    haproxy.workers.pop(worker.pid, None)
    haproxy.workers[worker.pid] = worker.uptime
    if len(haproxy.workers) > WORKERS:
        del haproxy.workers[next(iter(haproxy.workers))]


def _elect(state: State, now: float) -> None:
    """Take for the leader whom most of the answering agents name, and tell when it changed."""
    named = Counter(leader for leader in state.leaders.values() if leader)
    leader = named.most_common(1)[0][0] if named else ""
    before, since = state.leader, state.leader_since
    if not state.leaders or (leader == before and since is not None):
        return
    state.leader, state.leader_since = leader, now
    if not leader:
        log(state, now, "leader", "Consul has no leader")
    elif since is None or before:
        log(state, now, "leader", f"leader is {'' if since is None else 'now '}{name_of(state, leader)}")
    else:
        log(
            state, now, "leader", f"leader is now {name_of(state, leader)}, after {now - since:.1f} s without"
        )
