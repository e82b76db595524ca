"""From containers to services: names, IDs, addresses, and properties that hold for any set of containers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from images.registrator.registrator.options import Options
from images.registrator.registrator.services import (
    MARK_CONTAINER,
    MARK_HOST,
    Container,
    Desired,
    Host,
    Port,
    Service,
    desired,
)
from tests.registrator.strategies import CONTAINERS, OPTIONS

HOST = Host("vm", "192.0.2.1")
WEB = Container("1" * 64, "web.1", "registry:5000/shop/web:2.1", ports=(Port(80, "tcp", "0.0.0.0", 8080),))
TWO = replace(WEB, ports=(*WEB.ports, Port(81, "udp", "0.0.0.0", 8081)))


def services(*containers: Container, **options: object) -> list[Service]:
    """Return the services of containers."""
    return list(desired(containers, Options(**options), HOST).services.values())  # type: ignore[arg-type]


def only(container: Container, **options: object) -> Service:
    """Return the one service of a container."""
    (service,) = services(container, **options)
    return service


def ignored(container: Container, **options: object) -> set[str]:
    """Return the remarks on a container that has no service."""
    found = desired([container], Options(**options), HOST)  # type: ignore[arg-type]
    assert not found.services
    return {remark.removeprefix("ignored: 111111111111 ") for remark in found.remarks}


def test_defaults() -> None:
    """A container without metadata becomes a service of its image's name at its host's port."""
    service = only(WEB)

    assert (service.id, service.name, service.address, service.port) == (
        "vm:web.1:80",
        "web",
        "192.0.2.1",
        8080,
    )
    assert (service.tags, service.check, service.state) == ((), None, "")
    assert service.meta[MARK_HOST] == "vm"
    assert service.meta[MARK_CONTAINER] == "111111111111"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("web", "web"),
        ("a/web:1", "web"),
        ("h:5000/web", "web"),
        ("web@sha256:00", "web"),
        ("sha256:00", "web.1"),
    ],
)
def test_name_from_image(image: str, name: str) -> None:
    """The name is the image's last path element without tag and digest, else the container's name."""
    assert only(replace(WEB, image=image)).name == name


def test_groups() -> None:
    """Of several published ports each gets a suffix, unless it has a name of its own; UDP is told."""
    named = replace(TWO, environment=("SERVICE_NAME=shop", "SERVICE_81_NAME=dns"))

    assert [(s.id, s.name, s.tags) for s in services(TWO)] == [
        ("vm:web.1:80", "web-80", ()),
        ("vm:web.1:81:udp", "web-81", ("udp",)),
    ]
    assert [s.name for s in services(named)] == ["shop-80", "dns"]


def test_an_ignored_port_still_makes_a_group() -> None:
    """A port that SERVICE_<port>_IGNORE hides counts for the suffix, as in the original."""
    assert only(replace(TWO, environment=("SERVICE_81_IGNORE=false",))).name == "web-80"


def test_an_unpublished_port_makes_no_group() -> None:
    """Only published ports count for the suffix."""
    assert only(replace(WEB, ports=(*WEB.ports, Port(81)))).name == "web"


def test_tags() -> None:
    """A container's tags come first, then those of -tags, then udp."""
    container = replace(TWO, labels={"SERVICE_TAGS": "b,a"})

    assert [s.tags for s in services(container, tags="z")] == [("b", "a", "z"), ("b", "a", "z", "udp")]


def test_custom_id() -> None:
    """SERVICE_ID replaces the ID; of two services with one ID the later counts, and a remark says so."""
    assert only(replace(WEB, environment=("SERVICE_ID=x",))).id == "x"

    both = desired([replace(TWO, environment=("SERVICE_ID=x",)), replace(WEB, id="2" * 64)], Options(), HOST)

    assert sorted(both.services) == ["vm:web.1:80", "x"]
    again = desired([WEB, replace(WEB, id="2" * 64)], Options(), HOST)
    assert again.services["vm:web.1:80"].meta[MARK_CONTAINER] == "2" * 12
    assert again.remarks == {"duplicate: 222222222222 takes vm:web.1:80"}


@pytest.mark.parametrize(
    ("container", "options", "remarks"),
    [
        (replace(WEB, ports=()), {}, {"no published ports"}),
        (replace(WEB, ports=(Port(80),)), {}, {"port 80 not published on host"}),
        (replace(WEB, environment=("SERVICE_IGNORE=false",)), {}, {"service on port 80: SERVICE_IGNORE"}),
        (WEB, {"explicit": True}, {"service on port 80: no name, and -explicit"}),
        (
            replace(WEB, ports=(Port(80, "tcp", "127.0.0.1", 80),)),
            {},
            {"service on port 80: 127.0.0.1 is a loopback address, use -ip"},
        ),
        (
            replace(WEB, network="none"),
            {"internal": True},
            {"service on port 80: the container has no address"},
        ),
        (
            replace(WEB, environment=("SERVICE_CHECK_SCRIPT='",)),
            {},
            {"service on port 80: No closing quotation"},
        ),
    ],
)
def test_ignored(container: Container, options: dict[str, object], remarks: set[str]) -> None:
    """What has no service is remarked upon, with the reason."""
    assert ignored(container, **options) == remarks


@pytest.mark.parametrize(
    ("changes", "options", "address"),
    [
        ({}, {}, "192.0.2.1"),
        ({"ports": (Port(80, "tcp", "::", 8080),)}, {}, "192.0.2.1"),
        ({"ports": (Port(80, "tcp", "192.0.2.5", 8080),)}, {}, "192.0.2.5"),
        ({"ports": (Port(80, "tcp", "192.0.2.5", 8080),)}, {"ip": "192.0.2.6"}, "192.0.2.6"),
        ({"labels": {"net": "192.0.2.7/24"}}, {"ip": "192.0.2.6", "useIpFromLabel": "net"}, "192.0.2.7"),
        ({"labels": {"SERVICE_IP": "192.0.2.8"}}, {"ip": "192.0.2.6"}, "192.0.2.8"),
        ({"network": "net", "addresses": {"net": "10.0.0.9"}}, {}, "192.0.2.1"),
        ({}, {"ip": "127.0.0.1"}, "127.0.0.1"),
    ],
)
def test_addresses(changes: dict[str, object], options: dict[str, object], address: str) -> None:
    """The most explicit address counts; a container's own is never mixed with the host's port."""
    service = only(replace(WEB, **changes), **options)  # type: ignore[arg-type]

    assert (service.address, service.port) == (address, 8080)


@pytest.mark.parametrize(
    ("network", "addresses", "address"),
    [
        ("default", {"bridge": "10.0.0.1", "a": "10.0.0.2"}, "10.0.0.1"),
        ("net", {"a": "10.0.0.2", "net": "10.0.0.3"}, "10.0.0.3"),
        ("gone", {"b": "10.0.0.3", "a": "10.0.0.2"}, "10.0.0.2"),
        ("host", {}, "192.0.2.1"),
    ],
)
def test_internal(network: str, addresses: dict[str, str], address: str) -> None:
    """With -internal it is the exposed port at the container's address on its main network."""
    container = replace(WEB, ports=(Port(80),), network=network, addresses=addresses)
    service = only(container, internal=True)

    assert (service.address, service.port) == (address, 80)


def test_host_network() -> None:
    """On the host's network every exposed port is published as itself."""
    container = replace(WEB, network="host", ports=(Port(80), Port(81)))

    assert [(s.address, s.port) for s in services(container)] == [("192.0.2.1", 80), ("192.0.2.1", 81)]


def test_network_of_another_container() -> None:
    """A container in another's network is reached where the other publishes its port."""
    joined = Container("2" * 64, "side", "side", ports=(Port(80), Port(82)), network=f"container:{WEB.id}")

    found = desired([WEB, joined], Options(), HOST)

    assert found.services["vm:side:80"].port == 8080
    assert found.remarks == {"ignored: 222222222222 port 82 not published on host"}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, ""),
        ({"state": "paused"}, "critical"),
        ({"state": "paused", "health": "healthy"}, "critical"),
        ({"health": "healthy"}, "passing"),
        ({"health": "unhealthy"}, "critical"),
        ({"health": "starting"}, "critical"),
        ({"health": "starting", "environment": ("SERVICE_CHECK_INITIAL_STATUS=passing",)}, "passing"),
    ],
)
def test_states(changes: dict[str, object], state: str) -> None:
    """Pause and HEALTHCHECK become a status; a container without either has none; a flag switches it off."""
    container = replace(WEB, **changes)  # type: ignore[arg-type]

    assert only(container).state == state
    assert only(container, docker_checks=False).state == ""


@pytest.mark.parametrize("state", ["failed", "unknown"])
def test_failed_and_unknown_containers_are_kept(state: str) -> None:
    """A container that failed or does not tell has no new service, but what it has is to stay."""
    assert desired([replace(WEB, state=state)], Options(), HOST) == Desired({}, frozenset({WEB.id}))


@given(CONTAINERS, OPTIONS)
def test_every_service_has_its_container(containers: list[Container], options: Options) -> None:
    """Each service bears the mark of this host and of one of the containers, and is listed under its ID."""
    known = {container.id[:12] for container in containers}

    for key, service in desired(containers, options, HOST).services.items():
        assert key == service.id
        assert service.meta[MARK_HOST] == "vm"
        assert service.meta[MARK_CONTAINER] in known
        assert 0 < service.port < 65536
        assert service.name


@given(CONTAINERS, OPTIONS)
def test_every_port_is_accounted_for(containers: list[Container], options: Options) -> None:
    """A running container has a service or a remark."""
    found = desired(containers, options, HOST)

    spoken = {service.meta[MARK_CONTAINER] for service in found.services.values()}
    spoken |= {remark.split()[1] for remark in found.remarks}
    taken = bool([remark for remark in found.remarks if remark.startswith("duplicate")])
    silent = {
        container.id[:12] for container in containers if container.state in ("running", "paused")
    } - spoken
    assert not silent or taken


@given(CONTAINERS, OPTIONS)
def test_a_container_that_goes_takes_only_its_own(containers: list[Container], options: Options) -> None:
    """Without one container the others' services stay, but for those that shared its IDs or network."""
    before = desired(containers, options, HOST)
    if not containers or any(remark.startswith("duplicate") for remark in before.remarks):
        return
    gone = containers[0]

    after = desired(containers[1:], options, HOST)

    sharing = {item.id[:12] for item in containers if item.network == f"container:{gone.id}"} | {gone.id[:12]}
    others = {key: item for key, item in before.services.items() if item.meta[MARK_CONTAINER] not in sharing}
    assert {
        key: item for key, item in after.services.items() if item.meta[MARK_CONTAINER] not in sharing
    } == others
