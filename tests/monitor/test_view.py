"""The state as JSON, as a merge patch, as plain text and as Prometheus metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tools.monitor import cluster, metrics, names, patch, view
from tools.monitor import state as states
from tools.monitor.answer import AnswerError
from tools.monitor.parse import Member, Peer, Server, Service, Worker
from tools.monitor.state import Host, State

AGENT = "192.0.2.4:8500"
RPC = "192.0.2.4:8300"
HOSTS = (
    Host("client", "192.0.2.1", "client"),
    Host("lb", "192.0.2.2", "lb"),
    Host("docker", "192.0.2.3", "docker"),
    Host("server1", "192.0.2.4", "server"),
)
TREES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | st.booleans() | st.lists(st.integers(0, 1))),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
)


def services(*containers: str) -> list[Service]:
    """Return one service a container, all on the docker host."""
    return [Service(f"docker:{name}", name, "docker", "192.0.2.3", 5001, "passing") for name in containers]


def busy() -> State:
    """Return a state with everything in it: three instances of which one is silent, a leader, HAProxy."""
    state = State(HOSTS, (AGENT,), "192.0.2.2")
    states.see_services(state, "info", services("fep.1", "fep.2", "fep.10", "<i>"), now=100)
    for name, number in (("fep.10", 5), ("fep.2", 7), ("fep.1", 1)):
        instance = state.instances[f"docker:{name}"]
        states.see_connections(state, instance, instance.services["info"], number, now=101)
    states.miss_connections(state, instance, instance.services["info"], AnswerError("no answer"), now=102)
    cluster.see_leader(state, AGENT, RPC, now=103)
    cluster.see_peers(state, [Peer("server1", RPC, voter=True)], now=104)
    found = [
        Member("server1", "192.0.2.4", "alive", server=True),
        Member("x", "192.0.2.9", "left", server=False),
    ]
    cluster.see_members(state, found, now=104)
    cluster.see_worker(state, Worker(7, 5), now=105)
    cluster.see_worker(state, Worker(9, 0), now=106)
    cluster.see_servers(state, {"docker:fep.2": Server(3, 9, "UP")}, now=106)
    return state


def apply(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `tree` with a merge patch applied, as RFC 7386 says."""
    result = dict(tree)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = apply(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result


@given(old=TREES, new=TREES)
def test_a_patch_turns_the_old_into_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Applied by the rules of RFC 7386, the patch between any two snapshots gives the second, types too."""
    assert repr(sorted_tree(apply(old, patch.diff(old, new)))) == repr(sorted_tree(new))


def sorted_tree(tree: object) -> object:
    """Return the same tree with its keys in order."""
    return {k: sorted_tree(v) for k, v in sorted(tree.items())} if isinstance(tree, dict) else tree


@given(tree=TREES)
def test_nothing_changed_is_an_empty_patch(tree: dict[str, Any]) -> None:
    """Two equal snapshots differ in nothing."""
    assert patch.diff(tree, tree) == {}


def test_the_total_counts_who_answers() -> None:
    """A silent instance is counted among the instances, and adds nothing to the connections."""
    assert view.snapshot(busy(), 0, now=110)["total"] == {"connections": 12, "answering": 2, "instances": 4}


def test_plain_text_is_sorted_as_people_count() -> None:
    """One line an instance, fep.2 before fep.10; silence and waiting are words, not numbers."""
    assert view.text(busy()) == "<i> waiting\nfep.1 unreachable\nfep.2 7\nfep.10 5\n"


def test_a_snapshot_tells_of_an_instance() -> None:
    """An instance has its status, since when, its checks, and HAProxy's view of it where there is one."""
    instances = view.snapshot(busy(), 0, now=110)["instances"]
    assert instances["fep.2"] == {
        "node": "docker",
        "address": "192.0.2.3:5001",
        "status": "ok",
        "since": 101,
        "checks": {"info": "passing"},
        "connections": 7,
        "haproxy": {"sessions": 3, "total": 9, "status": "UP"},
    }
    silent = instances["fep.1"]
    assert (silent["status"], silent["since"], silent["error"]) == ("unreachable", 102, "no answer")
    assert "connections" not in instances["<i>"]


def test_an_instance_that_nobody_can_ask_says_so() -> None:
    """A container with only its echo service has no count to wait for, nor in plain text."""
    state = State((), (), "")
    states.see_services(state, "echo", services("fep.1"), now=100)
    assert view.snapshot(state, 0, now=101)["instances"]["fep.1"]["status"] == "no info"
    assert view.text(state) == "fep.1 no-info\n"


def test_a_snapshot_tells_of_the_hosts() -> None:
    """Each named host has its role and what is known of it; agents that nobody named are listed too."""
    hosts = view.snapshot(busy(), 0, now=110)["hosts"]
    assert hosts["client"] == {"role": "client", "address": "192.0.2.1"}
    assert hosts["lb"]["haproxy"] == "ok"
    assert hosts["docker"]["instances"] == 4
    assert hosts["x"] == {"role": "client agent", "address": "192.0.2.9", "member": "left"}
    assert hosts["server1"] == {
        "role": "server",
        "address": "192.0.2.4",
        "member": "alive",
        "agent": "ok",
        "peer": "voter",
        "leader": True,
    }


def test_a_snapshot_tells_of_consul_and_haproxy() -> None:
    """The leader by name since when, the raft peers, the reloads."""
    tree = view.snapshot(busy(), 0, now=110)
    assert tree["consul"] == {
        "status": "ok",
        "since": 103,
        "leader": "server1",
        "peers": {"server1": "voter"},
    }
    assert tree["haproxy"] == {"status": "ok", "reloads": 1, "worker": 9, "last_reload": 106}


def test_consuls_states() -> None:
    """Consul is waited for, led, without leader, lost: each since its own moment."""
    state = State(HOSTS, (AGENT,), "")
    seen = [view.snapshot(state, 0, now=1)["consul"]]
    for step, leader in enumerate((RPC, "", None)):
        if leader is None:
            cluster.miss_agent(state, AGENT, AnswerError("refused"), now=100 + step)
        else:
            cluster.see_leader(state, AGENT, leader, now=100 + step)
        seen.append(view.snapshot(state, 0, now=110)["consul"])
    assert [tree["status"] for tree in seen] == ["waiting", "ok", "no leader", "unreachable"]
    assert [tree.get("since") for tree in seen] == [None, 100, 101, 102]


def test_what_does_not_answer_is_a_problem() -> None:
    """Every source without usable answers is listed with its reason."""
    state = busy()
    cluster.failed(state, "service fep", AnswerError("answered 500"), now=109)
    expected = {"service fep": {"since": 109, "error": "answered 500"}}
    assert view.snapshot(state, 0, now=110)["problems"] == expected


def test_a_snapshot_is_json_without_null() -> None:
    """What is not known is absent, so that a merge patch can say so."""
    assert "null" not in json.dumps(view.snapshot(busy(), 0, now=110), allow_nan=False)


def test_the_history_is_one_series_an_instance() -> None:
    """Who came later, left or was silent has null there; all series are as long as the time line."""
    state = State((), (), "")
    for tick, containers in enumerate((["fep.1"], ["fep.1", "fep.2"], ["fep.2"])):
        states.see_services(state, "info", services(*containers), now=tick)
        for instance in state.instances.values():
            states.see_connections(state, instance, instance.services["info"], tick, now=tick)
        states.sample(state, tick, now=tick)
    series = {"fep.1": [0, 1, None], "fep.2": [None, 1, 2]}
    assert view.history(state) == {"ticks": [0, 1, 2], "times": [0, 1, 2], "series": series}


def test_the_metrics_name_everything_once() -> None:
    """Each metric is described once, and no two samples are of the same thing: Prometheus refuses those."""
    state = busy()
    strange = ["a b", "a\tb", 'quote"', "back\\slash", "{le=}", "#"]
    found = [replace(service, name=names.printable(service.name)) for service in services(*strange)]
    states.see_services(state, "info", found, now=107)
    for instance in state.instances.values():
        states.see_connections(state, instance, instance.services["info"], 1, now=108)
    text = metrics.exposition(state, browsers=3).decode()
    families = list(text_string_to_metric_families(text))
    samples = [(s.name, *sorted(s.labels.items())) for family in families for s in family.samples]
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation and family.type in {"gauge", "counter"} for family in families)
    assert len(set(samples)) == len(samples)
    told = {s.labels["instance"] for f in families for s in f.samples if s.name == "monitor_instance_up"}
    assert told == {instance.name for instance in state.instances.values()}
    assert {'quote"', "back\\slash", "{le=}", "#"} < told


def test_the_metrics_are_prometheus_text() -> None:
    """Prometheus' own parser reads every metric, also of an instance with HTML for a name."""
    families = text_string_to_metric_families(metrics.exposition(busy(), browsers=3).decode())
    samples = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    assert samples["monitor_instance_connections", "fep.2", "docker"] == 7
    assert ("monitor_instance_connections", "fep.1", "docker") not in samples
    assert samples["monitor_instance_up", "fep.1", "docker"] == 0
    assert samples["monitor_instance_up", "<i>", "docker"] == 0
    assert samples["monitor_haproxy_sessions", "fep.2"] == 3
    assert samples["monitor_haproxy_reloads_total",] == 1
    assert samples["monitor_consul_leader", "server1"] == 1
    assert samples["monitor_consul_member_alive", "x"] == 0
    assert samples["monitor_consul_raft_peer", "server1", "true"] == 1
    assert samples["monitor_source_up", AGENT] == 1
    assert samples["monitor_browsers",] == 3
