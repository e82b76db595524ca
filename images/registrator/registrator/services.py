"""From running containers to the services that Consul should hold: pure functions."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from . import checks, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .options import Options

MARK_HOST, MARK_CONTAINER, MARK_CHECK = "registrator-host", "registrator-container", "registrator-check"


@dataclass(frozen=True)
class Port:
    """An exposed port and where it is published; host_port 0: not published."""

    number: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0


@dataclass(frozen=True)
class Container:
    """What Docker says about one container."""

    id: str
    name: str
    image: str = ""
    environment: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    network: str = "bridge"
    addresses: Mapping[str, str] = field(default_factory=dict)
    state: str = "running"
    health: str = ""


@dataclass(frozen=True)
class Host:
    """Who we are: Docker's name of the host, and the address that others reach it by."""

    name: str
    address: str


@dataclass(frozen=True)
class Service:
    """One service as it is to be registered; state is the container's own check: a status, or nothing."""

    id: str
    name: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    check: checks.Definition | None
    state: str


@dataclass(frozen=True)
class Desired:
    """What Consul should hold: services by ID, containers whose services stay as they are, and remarks."""

    services: Mapping[str, Service]
    kept: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


class IgnoredError(Exception):
    """A port is not to be registered; says why."""


def desired(containers: Iterable[Container], options: Options, host: Host) -> Desired:
    """Return the services of these containers; of two with one ID the later container's counts."""
    services: dict[str, Service] = {}
    remarks: list[str] = []
    kept: set[str] = set()
    known = {container.id: container for container in containers}
    for container in known.values():
        if container.state not in ("running", "paused"):
            kept.add(container.id)
            continue
        found, ignored = services_of(container, known, options, host)
        doubles = [f"duplicate: {container.id[:12]} takes over {s.id}" for s in found if s.id in services]
        remarks += [f"ignored: {container.id[:12]} {reason}" for reason in ignored] + doubles
        services |= {service.id: service for service in found}
    return Desired(services, frozenset(kept), tuple(remarks))


def services_of(
    container: Container, known: Mapping[str, Container], options: Options, host: Host
) -> tuple[list[Service], list[str]]:
    """Return the services of one container and why its other ports have none."""
    if container.network.startswith("container:"):
        container = joined(container, known)
    ports = container.ports
    ignored = [] if ports else ["no published ports"]
    if not options.internal:
        ignored += [f"port {port.number} not published on host" for port in ports if not port.host_port]
        ports = tuple(port for port in ports if port.host_port)
    services = []
    for port in sorted(ports, key=lambda port: (port.number, port.protocol)):
        try:
            services.append(service(container, port, options, host, grouped=len(ports) > 1))
        except IgnoredError as reason:
            ignored.append(str(reason))
    return services, ignored


def joined(container: Container, known: Mapping[str, Container]) -> Container:
    """Return a container with the published ports and addresses of the one whose network it has joined."""
    prefix = container.network.removeprefix("container:")
    other = known.get(prefix, container)
    bindings = {(port.number, port.protocol): port for port in other.ports}
    ports = tuple(bindings.get((port.number, port.protocol), port) for port in container.ports)
    return replace(container, ports=ports, addresses=other.addresses, network=other.network)


def service(container: Container, port: Port, options: Options, host: Host, *, grouped: bool) -> Service:
    """Return the service of one port; raise IgnoredError if it is to have none."""
    meta, special = metadata.metadata(container.environment, container.labels, port.number)
    if meta.get("ignore") or (options.explicit and not meta.get("name")):
        raise IgnoredError(f"service on port {port.number}")
    address = address_of(container, port, options, host, meta.get("ip", ""))
    number = port.number if options.internal else port.host_port
    udp = port.protocol == "udp"
    check = checks.definition(meta, address, number, container.id, port.number)
    attributes, _ = metadata.attributes(meta)
    suffix = f"-{port.number}" if grouped and "name" not in special else ""
    return Service(
        id=meta.get("id") or f"{host.name}:{container.name}:{port.number}" + ":udp" * udp,
        name=(meta.get("name") or image_name(container)) + suffix,
        address=address,
        port=number,
        tags=tuple(
            metadata.split_tags(meta.get("tags", "")) + metadata.split_tags(options.tags) + ["udp"] * udp
        ),
        meta=attributes
        | {
            MARK_HOST: host.name,
            MARK_CONTAINER: container.id[:12],
            MARK_CHECK: checks.digest(check),
        },
        check=check,
        state=state_of(container, meta) if options.docker_checks else "",
    )


def state_of(container: Container, meta: Mapping[str, str]) -> str:
    """Return the status that pause and HEALTHCHECK stand for; nothing without either."""
    if container.state == "paused" or container.health == "unhealthy":
        return "critical"
    if container.health == "starting":
        return meta.get("check_initial_status", "critical")
    return "passing" if container.health == "healthy" else ""


def image_name(container: Container) -> str:
    """Return the last path element of the image without tag and digest; without one, the container's name."""
    name = container.image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return container.name if name in ("", "sha256") else name


def address_of(container: Container, port: Port, options: Options, host: Host, wanted: str) -> str:
    """Return the service's address; raise IgnoredError for a loopback address that nobody asked for."""
    label = container.labels.get(options.use_ip_from_label, "") if options.use_ip_from_label else ""
    explicit = wanted or label.partition("/")[0]
    if explicit:
        return explicit
    if options.internal and (inner := container_address(container)):
        return inner
    if options.ip:
        return options.ip
    published = ipaddress.ip_address(port.host_ip or 0)
    address = host.address if published.is_unspecified else port.host_ip
    if ipaddress.ip_address(address).is_loopback:
        raise IgnoredError(f"port {port.number}: {address} is loopback, give -ip")
    return address


def container_address(container: Container) -> str:
    """Return the container's own address: on its main network, else on the first by name that has one."""
    addresses = dict(sorted(container.addresses.items()))
    return addresses.get(container.network, "") or next(filter(None, addresses.values()), "")
