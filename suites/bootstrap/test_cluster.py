"""The servers form one cluster, and every agent sees the same one."""

import uuid
from collections.abc import Iterator

import pytest

from lab.consul import Status
from lab.faults import Faults, Terminate
from lab.hosts import Lab
from lab.invariants import violations
from lab.waiting import wait_for


@pytest.mark.quick
def test_three_voters_and_one_leader(lab: Lab) -> None:
    """Every server lists the same peers: all of them voters, exactly one of them the leader."""
    answers = {server.name: server.agent.peers(own=True) for server in lab.servers}
    peers = answers[lab.servers[0].name]

    assert {tuple(peers)} == {tuple(answer) for answer in answers.values()}
    assert [server.name for server in lab.servers] == [peer.node for peer in peers if peer.voter]
    assert [peer.leader for peer in peers].count(True) == 1


def test_all_agents_name_the_same_leader(lab: Lab) -> None:
    """Servers and clients alike name one leader, and it is one of the servers."""
    leaders = {node.agent.leader() for node in lab.agents}

    assert {f"{lab.leader().address}:{lab.topology.ports.consul_rpc}"} == leaders


def test_five_members_alive(lab: Lab) -> None:
    """Each agent sees every agent alive: three servers and two clients."""
    expected = dict.fromkeys((node.name for node in lab.agents), Status.ALIVE)

    for node in lab.agents:
        assert expected == node.agent.members(), node.name


@pytest.fixture
def key(lab: Lab) -> Iterator[str]:
    """A key of the test's own, deleted at its end."""
    name = f"consul-demo/{uuid.uuid4()}"
    yield name
    lab.servers[0].agent.api.kv.delete(name)


def test_a_write_anywhere_is_read_everywhere(lab: Lab, key: str) -> None:
    """A value written through any agent is what a consistent read through every other agent returns."""
    for writer in lab.agents:
        assert writer.agent.api.kv.put(key, writer.name)
        for reader in lab.agents:
            _, entry = reader.agent.api.kv.get(key, consistency="consistent")
            assert writer.name == entry["Value"].decode(), f"written on {writer.name}, read on {reader.name}"


def test_control_a_stopped_server_is_noticed(lab: Lab, faults: Faults) -> None:
    """The check of a healthy lab can fail: it names a server whose agent is stopped, until it is back."""
    server = lab.servers[-1]
    others = [node for node in lab.agents if node is not server]

    with faults.under(Terminate(server)):
        wait_for(
            lambda: {node.name: node.agent.members()[server.name] for node in others},
            until=lambda seen: Status.ALIVE not in seen.values(),
            within=lab.topology.deadlines.members,
            what=f"{server.name} seen as not alive",
        )
        rest = Lab(lab.topology, {node.name: node for node in [lab.client, *others]})
        wait_for(
            lambda: [it for it in violations(rest) if server.name in it],
            within=lab.topology.deadlines.fault,
            what=f"{server.name} named by who checks the others",
        )
