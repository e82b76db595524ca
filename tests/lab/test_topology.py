"""The facts: merged in order, typed, and refused in one line when they are wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import topology
from lab.topology import TopologyError


def written(folder: Path, text: str) -> Path:
    """Return a file with an override."""
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def test_the_project_s_own_facts_are_valid() -> None:
    """topology.yaml itself loads: six hosts, three of them servers."""
    facts = topology.load()

    assert len(facts.hosts) == 6
    assert len(facts.with_role("server")) == 3


def test_an_override_replaces_only_what_it_names(tmp_path: Path) -> None:
    """One value changes, and its neighbours stay."""
    facts = topology.load(written(tmp_path, "hosts: {lb: {memory: 1234}}"))

    assert facts.hosts["lb"].memory == 1234
    assert facts.hosts["lb"].address == topology.load().hosts["lb"].address


def test_null_takes_a_host_away(tmp_path: Path) -> None:
    """As in a merge patch, null removes a key."""
    facts = topology.load(written(tmp_path, "hosts: {server3: null}"))

    assert "server3" not in facts.hosts


def test_the_variable_names_an_override_and_the_option_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONSUL_DEMO_TOPOLOGY is used when no file is given, and not when one is."""
    monkeypatch.setenv(topology.VARIABLE, str(written(tmp_path, "consul: {raft_multiplier: 5}")))
    assert topology.load().consul.raft_multiplier == 5

    other = tmp_path / "other.yaml"
    other.write_text("consul: {raft_multiplier: 7}")
    assert topology.load(other).consul.raft_multiplier == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ports: {monitor: 70000}", "ports.monitor: found 70000, wanted a port, 1 to 65535"),
        ("ports: {monitor: http}", "ports.monitor: found 'http', wanted a whole number above 0"),
        ("ports: {monitor: yes}", "ports.monitor: found True, wanted a whole number above 0"),
        ("deadlines: {election: 0}", "deadlines.election: found 0, wanted a number above 0"),
        ("deadlines: {election: null}", "deadlines.election: found nothing, wanted a value"),
        ("versions: {consul: 1.2}", "versions.consul: found 1.2, wanted a text"),
        ("port: {}", "port: found {}, wanted no such key; known are network, hosts"),
        ("hosts: {lb: {adress: 192.168.0.2}}", "hosts.lb.adress: found '192.168.0.2', wanted no such key"),
        ("hosts: {lb: {address: 10.0.0.2}}", "hosts.lb.address: found '10.0.0.2', wanted an address in"),
        ("hosts: {lb: {address: 192.168.0.3}}", "wanted an address of its own; hosts."),
        ("hosts: {lb: {role: balancer}}", "hosts.lb.role: found 'balancer', wanted one of client, lb"),
        ("hosts: [lb]", "hosts: found ['lb'], wanted a mapping of host names"),
        ("network: {cidr: home}", "network.cidr: found 'home', wanted a network like"),
        ("- a list", "found ['a list'], wanted a mapping of sections"),
        ("{", "cannot be read: "),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    """The message names the file, the key, what was found and what is wanted, on one line."""
    file = written(tmp_path, text)

    with pytest.raises(TopologyError) as refused:
        topology.load(file)

    assert str(refused.value).startswith(f"{file}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is named but not there is an error, not an empty override."""
    with pytest.raises(TopologyError, match="cannot be read"):
        topology.load(tmp_path / "nowhere.yaml")


trees = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(base=st.dictionaries(st.text(max_size=3), trees), over=st.dictionaries(st.text(max_size=3), trees))
def test_a_patch_applied_twice_is_applied_once(base: dict[str, object], over: dict[str, object]) -> None:
    """Merging an override is idempotent, whatever the two trees hold."""
    topology._overlay(base, over, {}, "file")
    once = repr(base)
    topology._overlay(base, over, {}, "file")

    assert once == repr(base)
