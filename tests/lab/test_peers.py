"""peers.json is right when it is built, and every mistake that Consul would not notice is refused before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.peers import ANEW, PeersError, Survivor, build, refuse, unfit
from lab.topology import load

PORTS = load().ports
RPC = PORTS.consul_rpc
IDS = ("0f5a1111-aaaa-bbbb-cccc-000000000001", "0f5a2222-aaaa-bbbb-cccc-000000000002")
ONE, TWO = f"192.0.2.1:{RPC}", f"192.0.2.2:{RPC}"


def survivor(number: int = 1, **more: Any) -> Survivor:  # noqa: ANN401 - any of its fields
    """Return a stopped server with all its data, server1 or server2; `more` replaces."""
    facts = Survivor(
        name=f"server{number}",
        node_id=IDS[number - 1],
        address=f"192.0.2.{number}",
        rpc_port=RPC,
        peers_info=True,
        raft_state=True,
        peers_json=None,
        running=False,
    )
    return replace(facts, **more)


def entry(number: int = 1, **more: object) -> dict[str, object]:
    """Return the right entry of server1 or server2; `more` replaces."""
    return {"id": IDS[number - 1], "address": (ONE, TWO)[number - 1], "non_voter": False, **more}


def refused(*entries: object, **more: Any) -> list[str]:  # noqa: ANN401 - any field of the survivor
    """Return why server1, the only survivor, may not start with such a list."""
    return refuse([survivor(peers_json=json.dumps(entries), **more)])


def said(what: str) -> str:
    """Return the sentence with which server1's list is refused."""
    return f"server1: raft/peers.json {what} {ANEW}"


def test_the_sole_survivor_lists_itself() -> None:
    """Its id is its node-id, its address that of its RPC, and it votes."""
    assert json.loads(build([survivor()])) == [entry()]


def test_all_survivors_get_the_same_list_in_any_order() -> None:
    """Otherwise each would found a cluster of its own."""
    both = [survivor(1), survivor(2)]
    assert build(both) == build(both[::-1])
    assert json.loads(build(both)) == [entry(1), entry(2)]


def test_a_node_id_is_taken_without_its_line_end() -> None:
    """The file may end in a newline or be in capitals; raft knows neither."""
    assert json.loads(build([survivor(node_id=IDS[0].upper() + "\n")])) == [entry()]


def test_an_ipv6_address_is_put_into_brackets() -> None:
    """Its colons would hide the port."""
    assert json.loads(build([survivor(address="fd00::4")]))[0]["address"] == f"[fd00::4]:{RPC}"


def test_what_was_built_is_not_refused() -> None:
    """Once the list lies on all survivors they may start."""
    both = [survivor(1), survivor(2)]
    assert refuse([replace(it, peers_json=build(both)) for it in both]) == []


def test_strings_are_refused() -> None:
    """The form of raft protocol 2: Consul would refuse to start."""
    wanted = "where raft protocol 3 wants an object with id, address and non_voter."
    assert refused(ONE) == [said(f'lists "{ONE}" {wanted}')]


@pytest.mark.parametrize("text", ["", "[", '[{"id": "x",}]', "[]trailing", "\ufeff[]"])
def test_a_syntax_error_is_refused(text: str) -> None:
    """Consul would refuse to start or, with text after the list, overlook it."""
    (reason,) = refuse([survivor(peers_json=text)])
    assert reason.startswith("server1: raft/peers.json is no JSON (")
    assert reason.endswith(ANEW)


def test_something_else_than_a_list_is_refused() -> None:
    """A single object is no list of one."""
    assert refuse([survivor(peers_json=json.dumps(entry()))]) == [said("holds no array.")]


@pytest.mark.parametrize("key", ["id", "address"])
def test_an_empty_id_or_address_is_refused(key: str) -> None:
    """Empty or left out, Consul would refuse to start."""
    without = {name: value for name, value in entry().items() if name != key}
    assert refused({**entry(), key: ""}) == refused(without) == [said(f"has an entry without {key}.")]


def test_a_value_of_the_wrong_type_is_refused() -> None:
    """A quoted false is a text and no mark of a voter."""
    assert refused(entry(non_voter="false")) == [said('has "false" for non_voter.')]


def test_a_misspelt_key_is_refused() -> None:
    """Consul would pass over it in silence."""
    reason = said("has the key 'nonvoter', which is none of id, address, non_voter.")
    assert refused(entry(nonvoter=True)) == [reason]


def test_a_duplicate_id_or_address_is_refused() -> None:
    """Consul would refuse to start."""
    twice = [said(f"lists the id {IDS[0]} twice."), said(f"lists the address {ONE} twice.")]
    assert refused(entry(), entry()) == twice


@pytest.mark.parametrize("entries", [[], [entry(non_voter=True)]], ids=["empty", "non-voter"])
def test_a_list_without_a_voter_is_refused(entries: list[object]) -> None:
    """Nobody could elect a leader; Consul would refuse to start."""
    assert said("lists no voter.") in refused(*entries)


def test_one_voter_is_enough() -> None:
    """A survivor may come back without a vote."""
    text = json.dumps([entry(1), entry(2, non_voter=True)])
    assert refuse([survivor(number, peers_json=text) for number in (1, 2)]) == []


@pytest.mark.parametrize(
    "address",
    [f"192.0.2.1:{PORTS.consul_http}", f"192.0.2.1:{PORTS.consul_serf}", f"192.0.2.9:{RPC}", "192.0.2.1"],
    ids=["HTTP port", "serf port", "other host", "no port"],
)
def test_a_wrong_port_or_address_is_refused(address: str) -> None:
    """Consul would accept it in silence."""
    reason = said(f"gives server1 the address {address}, but its raft is at {ONE}.")
    assert refused(entry(address=address)) == [reason]


def test_a_wrong_id_is_refused() -> None:
    """Consul would accept it in silence and never elect a leader."""
    reason = said(f"gives server1 the id {IDS[1]}, but its node-id is {IDS[0]}.")
    assert refused(entry(id=IDS[1])) == [reason]


def test_addresses_that_were_swapped_are_refused() -> None:
    """Each id and each address is a survivor's, but not the same one's."""
    text = json.dumps([entry(1, address=TWO), entry(2, address=ONE)])
    reasons = refuse([survivor(number, peers_json=text) for number in (1, 2)])
    assert said(f"gives server1 the address {TWO}, but its raft is at {ONE}.") in reasons
    assert said(f"gives server2 the address {ONE}, but its raft is at {TWO}.") in reasons


def test_a_lost_server_in_the_list_is_refused() -> None:
    """With it a sole survivor would wait for a majority of two for ever."""
    lost = f"lists {IDS[1]} at {TWO}, which did not survive: its vote would be waited for."
    assert refused(entry(1), entry(2)) == [said(lost)]


def test_a_wiped_server_is_refused() -> None:
    """Consul takes it for a fresh one and deletes the file unread; its data is gone anyhow."""
    unread, gone = refused(entry(), peers_info=False, raft_state=False)
    assert "deletes raft/peers.json unread" in unread
    assert "let it join afterwards as a new one" in gone


def test_a_removed_peers_info_is_refused() -> None:
    """It reads as if it could go; without it the list is deleted unread."""
    (reason,) = refused(entry(), peers_info=False)
    assert reason.startswith("server1: raft/peers.info is missing: Consul takes the server for a fresh one")
    assert "put raft/peers.info back" in reason


def test_a_server_without_raft_state_is_refused() -> None:
    """Consul would refuse to recover a cluster with no initial state."""
    (reason,) = refused(entry(), raft_state=False)
    assert reason.startswith("server1: raft/ holds neither log nor snapshot")
    assert reason.endswith("let it join afterwards as a new one.")


def test_a_running_server_is_refused() -> None:
    """The list is read at the start only: a reload, or a file placed too late, changes nothing."""
    (reason,) = refused(entry(), running=True)
    assert reason.startswith("server1: Consul is running and reads raft/peers.json only when it starts.")
    assert reason.endswith("Stop Consul on every survivor first.")


def test_differing_lists_are_refused() -> None:
    """Each survivor alone in its own list would found a cluster of its own."""
    reasons = refuse([survivor(number, peers_json=json.dumps([entry(number)])) for number in (1, 2)])
    assert said(f"does not list server2 ({IDS[1]}, {TWO}), which survived.") in reasons
    differ = "The survivors' raft/peers.json differ: each list would found a cluster of its own."
    assert reasons[-1] == f"{differ} {ANEW}"


def test_lists_that_differ_in_their_voters_are_refused() -> None:
    """All must agree on who votes, too."""
    lists = [json.dumps([entry(1), entry(2, non_voter=vote)]) for vote in (True, False)]
    (reason,) = refuse([survivor(1, peers_json=lists[0]), survivor(2, peers_json=lists[1])])
    assert reason.startswith("The survivors' raft/peers.json differ")


def test_lists_that_differ_in_order_only_are_the_same() -> None:
    """Raft does not care for the order."""
    there, back = json.dumps([entry(1), entry(2)]), json.dumps([entry(2), entry(1)])
    assert refuse([survivor(1, peers_json=there), survivor(2, peers_json=back)]) == []


def test_a_missing_list_is_refused() -> None:
    """A survivor without it would keep asking the lost ones."""
    both = [survivor(1), survivor(2)]
    (reason,) = refuse([replace(both[0], peers_json=build(both)), both[1]])
    missing = "server2: raft/peers.json is missing: the server would start with the old list of peers."
    assert reason == f"{missing} {ANEW}"


def test_nobody_left_is_refused() -> None:
    """Without a disk there is nothing to recover from; the remedy is a snapshot."""
    reason = "No server survived with its data. Deploy new ones and restore a snapshot."
    assert refuse([]) == unfit([]) == [reason]


def test_a_cloned_server_is_refused() -> None:
    """Two hosts of one node-id, or of one address, cannot both be voters."""
    (cloned,) = unfit([survivor(1), survivor(2, node_id=IDS[0])])
    remedy = "which must be unique. Leave the cloned server out."
    assert cloned == f"2 survivors have the node-id {IDS[0]}, {remedy}"
    (same,) = unfit([survivor(1), survivor(2, address="192.0.2.1")])
    assert same == f"2 survivors have the address {ONE}, {remedy}"


@pytest.mark.parametrize("node_id", ["", "server1", IDS[0][:-1], IDS[0] + "0"])
def test_a_broken_node_id_is_refused(node_id: str) -> None:
    """Without its id nobody can name the server."""
    (reason,) = unfit([survivor(node_id=node_id)])
    what = f"server1: node-id holds {node_id!r}, which is no UUID."
    assert reason == f"{what} Put the server's own node-id back."


@pytest.mark.parametrize("address", ["", "server1", "192.0.2"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """Raft dials it as it stands."""
    (reason,) = unfit([survivor(address=address)])
    assert reason.startswith(f"server1: {address!r} is no IP address.")


def test_nothing_is_built_for_servers_that_are_unfit() -> None:
    """The error holds every reason, a line each."""
    with pytest.raises(
        PeersError, match=r"server1: Consul is running.*\nserver1: raft/peers.info is missing"
    ):
        build([survivor(running=True, peers_info=False)])


@given(data=st.data())
def test_any_other_list_is_refused(data: st.DataObject) -> None:
    """Whatever value of the right list is replaced, on one survivor or on both, they may not start."""
    both = [survivor(1), survivor(2)]
    peers = json.loads(build(both))
    place, key = data.draw(st.sampled_from([0, 1])), data.draw(st.sampled_from(["id", "address"]))
    other = data.draw(st.sampled_from([*IDS, ONE, TWO]) | st.text() | st.none() | st.booleans())
    right, peers[place][key] = peers[place][key], other
    wrong = [replace(it, peers_json=json.dumps(peers)) for it in both]
    half = [wrong[0], replace(both[1], peers_json=build(both))]
    assert bool(refuse(wrong)) is bool(refuse(half)) is (other != right)
