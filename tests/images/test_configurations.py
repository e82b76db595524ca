"""The configurations that programs write from the facts."""

import importlib.util
import json
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.topology import ROOT

FACTS = {
    "ADDRESS": "a", "NAME": "n", "SERVERS": "a b c", "CONSUL_DATACENTER": "d", "CONSUL_DATA_DIR": "/data",
    "CONSUL_RETRY_INTERVAL": "2", "CONSUL_RAFT_MULTIPLIER": "1", "CONSUL_BOOTSTRAP_EXPECT": "3",
    "PORTS_CONSUL_RPC": "1", "PORTS_CONSUL_SERF": "2", "PORTS_CONSUL_HTTP": "3", "PORTS_CONSUL_DNS": "4",
    "HAPROXY_WAIT_MIN": "0.2", "HAPROXY_WAIT_MAX": "2",
    "HAPROXY_QUERY_WAIT": "2",
}  # fmt: skip


def script(path: str) -> ModuleType:
    """Return a script that is copied to a host, as a module."""
    spec = importlib.util.spec_from_file_location("script", ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def configure() -> ModuleType:
    """The load balancer's configure.py."""
    return script("images/haproxy/configure.py")


@given(descriptors=st.integers(1000, 10**7), limit=st.integers(1, 10**6))
def test_maxconn_fits_into_the_descriptors(descriptors: int, limit: int) -> None:
    """Two descriptors a connection and HAProxy's own fit into the limit, and none is given away."""
    maxconn = script("images/haproxy/configure.py").maxconn(descriptors, limit)

    assert 2 * maxconn + 200 <= descriptors
    assert maxconn == limit or 2 * (maxconn + 1) + 200 > descriptors


def test_consul_template_never_gives_up(configure: ModuleType) -> None:
    """It asks Consul for ever and waits for no answer for long, and runs its command without a shell."""
    written = json.loads(configure.consul_template(FACTS, "/run/lb"))

    assert written["consul"]["retry"]["attempts"] == 0
    assert written["template"][0]["command"] == ["/usr/local/lib/lb/install-servers", "/run/lb"]
    assert written["wait"] == {"min": "200ms", "max": "2000ms"}
    assert written["block_query_wait"] == "2000ms"


@pytest.mark.parametrize(("mode", "server"), [("server", True), ("client", False)])
def test_agents_stay_members_when_they_are_stopped(mode: str, server: bool) -> None:
    """Neither servers nor clients leave on a signal, and both ask all servers to join."""
    written = script("provision/consul.py").configuration(mode, FACTS)

    assert written["leave_on_terminate"] is False
    assert written["skip_leave_on_interrupt"] is True
    assert written["retry_join"] == ["a", "b", "c"]
    assert ("bootstrap_expect" in written) is server
