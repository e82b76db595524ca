"""The Consul side, and the agent of pretence: the same tests hold it and the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import consul
import pytest
from docker.transport import UnixHTTPAdapter

from images.registrator.registrator.agent import Agent, connect
from images.registrator.registrator.checks import definition
from images.registrator.registrator.plan import Operation, Registered, main_check, own_check
from images.registrator.registrator.services import Service
from tests.registrator.conftest import eventually
from tests.registrator.fake_agent import FakeAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

META = {"registrator-host": "vm", "region": "eu"}


def service(
    check: dict[str, str] | None = None, state: str = "", tags: tuple[str, ...] = ("a", "b")
) -> Service:
    """Return a service."""
    return Service("vm:web:80", "web", "192.0.2.1", 8080, tags, META, check, state)


def operation(kind: str, wanted: Service | None) -> Operation:
    """Return an operation on that service."""
    return Operation(kind, "vm:web:80", "-", "test", wanted)


@pytest.fixture
def side(uri: str) -> Iterator[Agent]:
    """Return a client of an agent, which has no services of ours again in the end."""
    agent = Agent(uri)
    yield agent
    for key in agent.registered():
        agent.apply(Operation("deregister", key, "-", "clean"))
    agent.client.http.session.close()


def test_what_is_registered_is_read_back(side: Agent) -> None:
    """A service is told by the agent as it was registered, with the initial status of its check."""
    side.apply(operation("register", service({"TTL": "1h", "Status": "passing"})))

    found = side.registered()["vm:web:80"]

    checks = {main_check("vm:web:80"): "passing"}
    assert found == Registered("vm:web:80", "web", "192.0.2.1", 8080, ("a", "b"), META, checks)


def test_a_check_that_is_gone_from_the_definition_goes(side: Agent) -> None:
    """To register a service again without its check removes the check."""
    side.apply(operation("register", service({"TTL": "1h"})))
    side.apply(operation("register", service(tags=())))

    assert side.registered()["vm:web:80"].checks == {}
    assert side.registered()["vm:web:80"].tags == ()


def test_registration_carries_both_checks(side: Agent) -> None:
    """The container's own check appears together with the service, beside the one of SERVICE_CHECK_*."""
    side.apply(operation("register", service({"TTL": "1h"}, state="passing")))

    both = {main_check("vm:web:80"): "critical", own_check("vm:web:80"): "passing"}
    assert side.registered()["vm:web:80"].checks == both


def test_registering_again_keeps_a_status(side: Agent) -> None:
    """A new registration leaves the status of a check that stays: to set it takes the operation `check`."""
    side.apply(operation("register", service(state="critical")))
    side.apply(operation("register", service(state="passing")))

    assert side.registered()["vm:web:80"].checks == {own_check("vm:web:80"): "critical"}

    side.apply(operation("check", service(state="passing")))

    assert side.registered()["vm:web:80"].checks == {own_check("vm:web:80"): "passing"}


@pytest.mark.parametrize("state", ["passing", "warning", "critical"])
def test_a_state_comes_and_goes(side: Agent, state: str) -> None:
    """The container's own check is added with any status, and removed."""
    side.apply(operation("register", service()))
    side.apply(operation("check", service(state=state)))

    assert side.registered()["vm:web:80"].checks == {own_check("vm:web:80"): state}

    side.apply(operation("uncheck", service()))

    assert side.registered()["vm:web:80"].checks == {}


def test_removing_what_is_gone_is_no_error(side: Agent) -> None:
    """A service that somebody else has removed already is removed without complaint."""
    before = side.registered()

    side.apply(operation("deregister", None))

    assert side.registered() == before


def test_a_refusal_is_told(side: Agent) -> None:
    """A definition that Consul does not take raises its answer and leaves nothing."""
    with pytest.raises(consul.ConsulException, match='invalid duration "soon"'):
        side.apply(operation("register", service({"TCP": "192.0.2.1:1", "Interval": "soon"})))

    assert "vm:web:80" not in side.registered()


@pytest.mark.parametrize("kind", ["http", "https", "cmd", "script", "ttl", "tcp", "grpc"])
def test_consul_takes_every_kind_of_check(side: Agent, kind: str) -> None:
    """Each kind of check, with all that can be said of it, is one that Consul takes."""
    meta = {
        f"check_{kind}": "1h",
        "check_interval": "1h",
        "check_timeout": "2s",
        "check_initial_status": "passing",
    }
    meta |= {"check_http_method": "HEAD", "check_grpc_use_tls": "1", "check_tls_skip_verify": "1"}
    meta |= {"check_deregister_after": "90m"}

    side.apply(operation("register", service(definition(meta, "192.0.2.1", 80, "0" * 64, 80))))

    assert list(side.registered()["vm:web:80"].checks) == [main_check("vm:web:80")]


def test_the_catalog_answers_when_it_changes(side: Agent) -> None:
    """The catalog is told at once without an index, and with one as soon as a service has come."""
    index, before = side.catalog(None)
    side.apply(operation("register", service()))
    later, after = side.catalog(index)

    assert "vm:web:80" not in before
    assert later != index
    eventually(True, lambda: "vm:web:80" in side.catalog(None)[1])
    assert before < side.catalog(None)[1]
    assert after >= before


def test_leader_and_address(side: Agent) -> None:
    """The agent tells the cluster's leader and the address that it advertises."""
    assert side.leader()
    assert side.address() in ("192.0.2.7", "127.0.0.1")


def test_the_token_is_shown_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ACLs every call is allowed that the token of Consul's own variable allows."""
    fake = FakeAgent()
    fake.token = "secret"
    fake.start()
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", fake.token)
    side = Agent(fake.uri)
    for kind in ("register", "check", "uncheck"):
        side.apply(operation(kind, service(state="passing" if kind == "check" else "")))

    assert side.address() == "192.0.2.7"
    assert "vm:web:80" in side.registered()
    assert side.catalog(None)[1] == {"vm:web:80"}
    side.apply(operation("deregister", None))
    assert fake.services == {}
    side.client.http.session.close()
    fake.stop()


@pytest.mark.parametrize(
    ("uri", "variable", "base"),
    [
        ("consul:", "192.0.2.9:99", "http://192.0.2.9:99"),
        ("consul://", "192.0.2.9", "http://192.0.2.9:8500"),
        ("consul:", "http://192.0.2.9:99", "http://192.0.2.9:99"),
        ("consul:", "https://192.0.2.9:99", "https://192.0.2.9:99"),
        ("consul-tls://", "192.0.2.9:99", "https://192.0.2.9:99"),
        ("consul://192.0.2.1:85", "192.0.2.9:99", "http://192.0.2.1:85"),
        ("consul:", "unix:///run/consul.sock", "http://127.0.0.1:8500"),
        ("consul-unix:///run/consul.sock", "https://192.0.2.9:99", "http://127.0.0.1:8500"),
    ],
)
def test_the_address_in_consul_s_own_variable(
    monkeypatch: pytest.MonkeyPatch, uri: str, variable: str, base: str
) -> None:
    """CONSUL_HTTP_ADDR counts, in each of its forms, where the URI names no place; a socket needs neither."""
    monkeypatch.setenv("CONSUL_HTTP_ADDR", variable)

    client = connect(uri).http

    assert client.base_uri == base
    socket = "unix" in uri + variable
    assert isinstance(client.session.get_adapter("http://127.0.0.1:8500"), UnixHTTPAdapter) == socket


def test_uris(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every form of URI leads to the place it names."""
    monkeypatch.delenv("CONSUL_HTTP_ADDR", raising=False)
    monkeypatch.setenv("CONSUL_CLIENT_CERT", "cert.pem")
    monkeypatch.setenv("CONSUL_CLIENT_KEY", "key.pem")
    monkeypatch.setenv("CONSUL_CACERT", "ca.pem")

    tls = connect("consul-tls://consul.example:8501").http

    assert connect("consul:").http.base_uri == "http://127.0.0.1:8500"
    assert connect("consul://").http.base_uri == "http://127.0.0.1:8500"
    assert connect("consul://192.0.2.1:85").http.base_uri == "http://192.0.2.1:85"
    assert connect("consul://[2001:db8::1]").http.base_uri == "http://[2001:db8::1]:8500"
    assert (tls.base_uri, tls.verify, tls.cert) == (
        "https://consul.example:8501",
        "ca.pem",
        ("cert.pem", "key.pem"),
    )


def test_unix_socket(tmp_path: Path) -> None:
    """An agent is reached through a UNIX socket."""
    fake = FakeAgent()
    fake.place = tmp_path / "consul.sock"
    fake.start()
    side = Agent(f"consul-unix://{fake.place}")

    side.apply(operation("register", service()))

    assert list(fake.services) == ["vm:web:80"]
    side.client.http.session.close()
    fake.stop()
