"""Observations of Consul and HAProxy change the state, and the audience is told of it."""

from __future__ import annotations

import pytest

from tools.monitor import cluster
from tools.monitor.answer import AnswerError
from tools.monitor.parse import Member, Peer, Server, Worker
from tools.monitor.state import Host, State

AGENTS = ("192.0.2.4:8500", "192.0.2.5:8500", "192.0.2.6:8500")
ONE, TWO, THREE = AGENTS


def lab() -> State:
    """Return the state of a monitor that has just started in a lab of three servers."""
    hosts = tuple(Host(f"server{number}", f"192.0.2.{3 + number}", "server") for number in (1, 2, 3))
    return State(hosts=hosts, agents=AGENTS, haproxy_address="192.0.2.2")


def led() -> State:
    """Return a lab whose three agents know server1 as leader; the log is empty."""
    state = lab()
    for agent in AGENTS:
        cluster.see_leader(state, agent, "192.0.2.4:8300", now=100)
    state.events.clear()
    return state


def texts(state: State) -> list[str]:
    """Return the lines of the event log."""
    return [event.text for event in state.events]


def member(name: str, status: str) -> Member:
    """Return a server in gossip."""
    return Member(name, "192.0.2.4", status, server=True)


def test_the_first_leader_is_told_once() -> None:
    """Three agents that know the same leader make one line."""
    state = lab()
    for agent in AGENTS:
        cluster.see_leader(state, agent, "192.0.2.4:8300", now=100)
    assert texts(state) == ["leader is server1"]


def test_a_leader_dies() -> None:
    """Its agent is gone, then nobody leads, then another does: with the time between."""
    state = led()
    cluster.miss_agent(state, ONE, AnswerError("refused"), now=101)
    cluster.see_leader(state, TWO, "", now=102)
    cluster.see_leader(state, THREE, "", now=102.1)
    cluster.see_leader(state, TWO, "192.0.2.5:8300", now=104.5)
    assert texts(state) == [
        "Consul's agent at server1 is unreachable: refused",
        "Consul has no leader",
        "leader is now server2, after 2.4 s without",
    ]


def test_most_agents_name_the_leader() -> None:
    """A server cut off that still believes in the old leader is outvoted."""
    state = led()
    cluster.see_leader(state, TWO, "192.0.2.5:8300", now=101)
    assert state.leader == "192.0.2.4:8300"
    cluster.see_leader(state, THREE, "192.0.2.5:8300", now=101)
    assert (state.leader, texts(state)) == ("192.0.2.5:8300", ["leader is now server2"])


def test_consul_is_lost_when_no_agent_answers() -> None:
    """One agent is enough; without any Consul is lost, and the first answer ends it."""
    state = led()
    for agent in (ONE, TWO):
        cluster.miss_agent(state, agent, AnswerError("refused"), now=101)
    assert not cluster.consul_lost(state)
    cluster.miss_agent(state, THREE, AnswerError("refused"), now=102)
    assert cluster.consul_lost(state)
    assert texts(state)[-1] == "Consul is lost: none of its agents answers"
    cluster.see_leader(state, TWO, "192.0.2.4:8300", now=103)
    assert not cluster.consul_lost(state)
    assert texts(state)[-2:] == ["Consul's agent at server2 answers again", "Consul is back"]


def test_consul_is_not_lost_before_it_was_asked() -> None:
    """A monitor that has just started claims nothing."""
    state = lab()
    assert not cluster.consul_lost(state)
    cluster.miss_agent(state, ONE, AnswerError("refused"), now=100)
    assert not cluster.consul_lost(state)


def test_a_leader_has_its_hosts_name() -> None:
    """Raft knows the name; else the host of that address; else the address stands for itself."""
    state = lab()
    assert cluster.name_of(state, "192.0.2.5:8300") == "server2"
    assert cluster.name_of(state, "192.0.2.77:8300") == "192.0.2.77:8300"
    cluster.see_peers(state, [Peer("alpha", "192.0.2.5:8300", voter=True)], now=100)
    assert cluster.name_of(state, "192.0.2.5:8300") == "alpha"


def test_members_come_change_and_go() -> None:
    """The first list is no news; after it, each difference is a line."""
    state = lab()
    cluster.see_members(state, [member("server1", "alive"), member("server2", "alive")], now=100)
    cluster.see_members(state, [member("server1", "failed"), member("server4", "alive")], now=101)
    assert texts(state) == [
        "server1 is now failed in Consul",
        "server4 joined Consul",
        "server2 is no longer a member of Consul",
    ]


def test_raft_peers_come_and_go() -> None:
    """A server added to or removed from the raft configuration is told."""
    state = lab()
    cluster.see_peers(state, [Peer("server1", "", voter=True), Peer("server2", "", voter=True)], now=100)
    cluster.see_peers(state, [Peer("server1", "", voter=True), Peer("server4", "", voter=False)], now=101)
    assert texts(state) == ["server4 is now a raft peer", "server2 is no longer a raft peer"]


def test_a_new_worker_is_a_reload() -> None:
    """Each worker not seen before counts once; the first one counts as none."""
    state = lab()
    for worker in (Worker(10, 500), Worker(10, 501), Worker(12, 0), Worker(12, 1), Worker(14, 0)):
        cluster.see_worker(state, worker, now=100)
    assert state.haproxy.reloads == 2
    assert texts(state) == [
        f"HAProxy reloaded: worker {old} handed over to {new}" for old, new in ((10, 12), (12, 14))
    ]


def test_an_old_workers_last_answer_is_no_reload() -> None:
    """A connection that the old worker had accepted before it handed over does not count."""
    state = lab()
    for worker in (Worker(10, 500), Worker(12, 0), Worker(10, 501), Worker(12, 1)):
        cluster.see_worker(state, worker, now=100)
    assert (state.haproxy.reloads, state.haproxy.worker) == (1, Worker(12, 0))


@pytest.mark.parametrize("pid", [10, 12])
def test_a_restart_is_no_reload(pid: int) -> None:
    """An HAProxy that was away and came back with a new worker restarted, whatever its pid."""
    state = lab()
    cluster.see_worker(state, Worker(10, 500), now=100)
    cluster.miss_haproxy(state, AnswerError("refused"), now=101)
    cluster.see_worker(state, Worker(pid, 0), now=102)
    assert state.haproxy.reloads == 0
    assert texts(state) == ["HAProxy is unreachable: refused", "HAProxy restarted"]


def test_an_unseen_restart_is_no_reload() -> None:
    """A worker with the old pid and a shorter uptime is another one; no reload gives a pid twice."""
    state = lab()
    cluster.see_worker(state, Worker(8, 500), now=100)
    cluster.see_worker(state, Worker(8, 0), now=101)
    assert (state.haproxy.reloads, texts(state)) == (0, ["HAProxy restarted"])


def test_haproxy_comes_back_as_it_was() -> None:
    """The same worker after a silence is neither a reload nor a restart."""
    state = lab()
    cluster.see_worker(state, Worker(8, 500), now=100)
    cluster.miss_haproxy(state, AnswerError("no answer"), now=101)
    cluster.see_worker(state, Worker(8, 502), now=102)
    assert texts(state)[-1] == "HAProxy answers again"


def test_a_servers_sessions_are_kept() -> None:
    """HAProxy's counts are there for the instance's key."""
    state = lab()
    cluster.see_servers(state, {"docker:fep.1": Server(3, 9, "UP")}, now=100)
    assert state.haproxy.servers["docker:fep.1"].sessions == 3
