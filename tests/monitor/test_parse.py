"""Answers of Consul, HAProxy and instances, understood or refused."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.monitor import names, parse
from tools.monitor.answer import AnswerError
from tools.monitor.parse import Member, Peer, Server, Service, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
PAGE = (
    "<h2>Statistics Report for pid 41</h2><b>pid = </b> 41 (process #1)<br>\n<b>uptime = </b> 1d 2h03m04s<br>"
)


def entry(service_id: str = "docker:fep.1:5000", **service: object) -> dict[str, Any]:
    """Return one entry of /v1/health/service as Consul 1.22 answers it, without what the monitor ignores."""
    registration = {"ID": service_id, "Address": "192.0.2.3", "Port": 5001, **service}
    checks = [{"CheckID": "serfHealth", "Status": "passing"}]
    return {"Node": {"Node": "docker", "Address": "192.0.2.9"}, "Service": registration, "Checks": checks}


def test_the_audience_sees_the_containers_name() -> None:
    """A service ID of registrator's form gives the container's name; both services share one key."""
    assert names.identity("docker:fep.1:5000") == ("docker:fep.1", "fep.1")
    assert names.identity("docker:fep.1:32768") == ("docker:fep.1", "fep.1")
    assert names.identity("docker:fep.1:53:udp") == ("docker:fep.1", "fep.1")


def test_an_id_of_another_form_is_its_own_name() -> None:
    """A service registered by hand is shown under its ID."""
    assert names.identity("by-hand") == ("by-hand", "by-hand")


def test_a_name_is_one_word_on_one_line() -> None:
    """A name cannot forge a line of the plain text or turn the direction of writing; HTML stays."""
    assert names.printable("fep 1\nfep.2 7\u202e") == "fep?1?fep.2?7?"
    assert names.printable("<b>fep</b>") == "<b>fep</b>"
    assert len(names.printable("x" * 1000)) == names.LENGTH


def test_services_are_read() -> None:
    """An entry of Consul's health answer becomes a service."""
    expected = Service("docker:fep.1", "fep.1", "docker", "192.0.2.3", 5001, "passing")
    assert parse.services([entry()]) == [expected]


def test_a_service_without_address_is_at_its_node() -> None:
    """Consul leaves a service's address empty when it is the node's."""
    assert parse.services([entry(Address="")])[0].address == "192.0.2.9"


def test_a_service_without_port_hides_no_other() -> None:
    """Consul leaves away a port that is 0: such an instance is there, and so are the others."""
    portless = entry("docker:fep.2:5000")
    del portless["Service"]["Port"]
    assert [service.port for service in parse.services([entry(), portless])] == [5001, 0]


@pytest.mark.parametrize(
    ("checks", "worst"),
    [
        ([], "passing"),
        (["passing", "warning"], "warning"),
        (["critical", "warning"], "critical"),
        (["?"], "critical"),
    ],
)
def test_the_worst_check_counts(checks: list[str], worst: str) -> None:
    """An instance is as healthy as its worst check; an unknown status counts as critical."""
    document = entry() | {"Checks": [{"Status": status} for status in checks]}
    assert parse.services([document])[0].check == worst


def test_members_are_read() -> None:
    """An agent's role is in its tags, its status a number of serf's."""
    document = [
        {"Name": "server1", "Addr": "192.0.2.4", "Status": 1, "Tags": {"role": "consul"}},
        {"Name": "lb", "Addr": "192.0.2.2", "Status": 4, "Tags": {"role": "node"}},
    ]
    expected = [
        Member("server1", "192.0.2.4", "alive", server=True),
        Member("lb", "192.0.2.2", "failed", server=False),
    ]
    assert parse.members(document) == expected


def test_peers_are_read() -> None:
    """The raft configuration lists the servers and who votes."""
    document = {"Servers": [{"Node": "server1", "Address": "192.0.2.4:8300", "Voter": True, "Leader": True}]}
    assert parse.peers(document) == [Peer("server1", "192.0.2.4:8300", voter=True)]


def test_connections_are_a_number() -> None:
    """An instance answers its count, with or without a line end."""
    assert parse.connections(b"17\n") == 17
    assert parse.connections(b"0") == 0


@pytest.mark.parametrize(
    "body", [b"", b"-1", b"1.5", b"<html>", b"9" * 30, b"1 2", "\u0661".encode(), b"\xff"]
)
def test_rubbish_is_no_number_of_connections(body: bytes) -> None:
    """Whatever is not a plain number is refused, and quoted in the reason."""
    with pytest.raises(AnswerError, match="not a number of connections"):
        parse.connections(body)


def test_haproxys_servers_are_read() -> None:
    """The servers of the backend are found under their instance's key; its own totals are left out."""
    text = (
        "# pxname,svname,scur,stot,status,\n"
        "front,FRONTEND,7,9,OPEN,\nfep,docker:fep.1:32768,3,5,UP 1/2,\nfep,BACKEND,3,5,UP,\nother,x,1,1,UP,\n"
    )
    assert parse.haproxy_servers(text, "fep") == {"docker:fep.1": Server(3, 5, "UP 1/2")}


@pytest.mark.parametrize("text", ["", "<html>", "# pxname,svname\nfep,a\n", "# pxname,scur,stot\nfep,x"])
def test_other_statistics_are_refused(text: str) -> None:
    """A page that is not HAProxy's CSV is an error, not an empty list of servers."""
    with pytest.raises(AnswerError, match="statistics"):
        parse.haproxy_servers(text, "fep")


def test_haproxys_worker_is_read() -> None:
    """The statistics page tells the worker's pid and how long it runs."""
    assert parse.haproxy_worker(PAGE) == Worker(41, ((24 + 2) * 60 + 3) * 60 + 4)
    with pytest.raises(AnswerError, match="without pid"):
        parse.haproxy_worker("<html>")


@pytest.mark.parametrize("html", ["<b>pid = </b> 1 " * 50_000, PAGE.replace("41", "9" * 5000)])
@pytest.mark.timeout(5)
def test_a_huge_page_of_rubbish_is_refused_at_once(html: str) -> None:
    """Neither a long page nor a long number holds the monitor up: either is an error, within 5 s."""
    with pytest.raises(AnswerError, match="without pid"):
        parse.haproxy_worker(html)


@pytest.mark.parametrize("parser", [parse.services, parse.members, parse.peers, parse.leader])
@given(document=JSON)
def test_any_json_is_read_or_refused(parser: Callable[[object], object], document: object) -> None:
    """Whatever JSON comes in Consul's place, the only error is AnswerError."""
    with contextlib.suppress(AnswerError):
        parser(document)


@given(field=st.sampled_from(["ID", "Address", "Port"]), value=JSON)
def test_a_service_with_a_strange_field_is_read_or_refused(field: str, value: object) -> None:
    """An entry of the right shape with one wrong value is refused, or yields text and numbers only."""
    with contextlib.suppress(AnswerError):
        (service,) = parse.services([entry(**{field: value})] if field != "ID" else [entry(value)])  # type: ignore[arg-type]
        assert isinstance(service.name, str)
        assert type(service.port) is int


@given(body=st.binary(max_size=64))
def test_any_body_is_a_count_or_refused(body: bytes) -> None:
    """Whatever bytes an instance answers, they are a count in range or a AnswerError."""
    with contextlib.suppress(AnswerError):
        assert 0 <= parse.connections(body) <= parse.MOST_CONNECTIONS


@given(text=st.text())
def test_any_text_is_statistics_or_refused(text: str) -> None:
    """Whatever text comes in the place of HAProxy's answers, the only error is AnswerError."""
    for answer in (text, f"# pxname,svname,scur,stot,status\nfep,{text}"):
        with contextlib.suppress(AnswerError):
            parse.haproxy_servers(answer, "fep")
    with contextlib.suppress(AnswerError):
        parse.haproxy_worker(text)
