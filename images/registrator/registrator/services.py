"""From running containers to the services that Consul should hold: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from . import checks, metadata
from .options import Options

EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - to compare with, not to bind to
KEPT = {"failed", "unknown"}
MARK_HOST, MARK_CONTAINER, MARK_CHECK = "registrator-host", "registrator-container", "registrator-check"


@dataclass(frozen=True)
class Port:
    """An exposed port and where it is published; host_port 0: nowhere."""

    number: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0


@dataclass(frozen=True)
class Container:
    """What Docker says about one container; health: HEALTHCHECK's word.

    state: running, paused, failed, or unknown: that it runs is all that is known.
    """

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
    """One service as it is to be registered; state: the status of the container's own check, or nothing."""

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
    """What Consul should hold: services by ID; containers whose services are to stay as they are; remarks."""

    services: Mapping[str, Service]
    kept: frozenset[str] = frozenset()
    remarks: frozenset[str] = frozenset()


def desired(containers: Iterable[Container], options: Options, host: Host) -> Desired:
    """Return the services of these containers; of two with one ID the later container's counts."""
    known = {container.id: container for container in containers}
    kept = frozenset(container.id for container in known.values() if container.state in KEPT)
    services: dict[str, Service] = {}
    remarks: list[str] = []
    for container in (container for container in known.values() if container.id not in kept):
        found, ignored = services_of(at_home(container, known), options, host)
        remarks += [f"ignored: {container.id[:12]} {reason}" for reason in ignored]
        remarks += [
            f"duplicate: {container.id[:12]} takes {item.id}" for item in found if item.id in services
        ]
        services |= {service.id: service for service in found}
    return Desired(services, kept, frozenset(remarks))


def services_of(container: Container, options: Options, host: Host) -> tuple[list[Service], list[str]]:
    """Return the services of one container, and why its other ports have none."""
    ports = sorted(container.ports, key=lambda port: (port.number, port.protocol))
    ignored = [] if ports else ["no published ports"]
    if not options.internal:
        ignored += [f"port {port.number} not published on host" for port in ports if not port.host_port]
        ports = [port for port in ports if port.host_port]
    services = []
    for port in ports:
        try:
            services.append(service(container, port, options, host, grouped=len(ports) > 1))
        except ValueError as reason:
            ignored.append(f"service on port {port.number}: {reason}")
    return services, ignored


def at_home(container: Container, known: Mapping[str, Container]) -> Container:
    """Return a container with address and published ports of the network it uses: its own or another's."""
    home = known.get(container.network.removeprefix("container:"), container)
    if home is container and home.network != "host":
        return container
    bindings = {(port.number, port.protocol): port for port in home.ports}
    if home.network == "host":
        ports = [replace(port, host_port=port.number) for port in container.ports]
    else:
        ports = [bindings.get((port.number, port.protocol), port) for port in container.ports]
    return replace(container, ports=tuple(ports), network=home.network, addresses=home.addresses)


def service(container: Container, port: Port, options: Options, host: Host, *, grouped: bool) -> Service:
    """Return the service of one port; raise ValueError, which says why, if it is to have none."""
    meta, special = metadata.metadata(container.environment, container.labels, port.number)
    if "ignore" in meta:
        raise ValueError("SERVICE_IGNORE")
    if options.explicit and "name" not in meta:
        raise ValueError("no name, and -explicit")
    address = meta.get("ip") or address_of(container, port, options, host)
    number = port.number if options.internal else port.host_port
    udp = port.protocol == "udp"
    check = checks.definition(meta, address, number, container.id, port.number)
    tags = metadata.split_tags(meta.get("tags", "")) + metadata.split_tags(options.tags) + ["udp"] * udp
    suffix = f"-{port.number}" if grouped and "name" not in special else ""
    marks = {MARK_HOST: host.name, MARK_CONTAINER: container.id[:12], MARK_CHECK: checks.digest(check)}
    return Service(
        id=meta.get("id") or f"{host.name}:{container.name}:{port.number}" + ":udp" * udp,
        name=(meta.get("name") or image_name(container)) + suffix,
        address=address,
        port=number,
        tags=tuple(tags),
        meta=metadata.attributes(meta) | marks,
        check=check,
        state=state_of(container, meta.get("check_initial_status", "")) if options.docker_checks else "",
    )


def state_of(container: Container, initial: str) -> str:
    """Return the status that pause and HEALTHCHECK stand for; nothing without either."""
    if container.state == "paused" or container.health == "unhealthy":
        return "critical"
    if container.health == "starting":
        return initial if initial in checks.STATUSES else "critical"
    return "passing" if container.health == "healthy" else ""


def image_name(container: Container) -> str:
    """Return the last path element of the image without tag and digest; without one, the container's name."""
    name = container.image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return container.name if name in ("", "sha256") else name


def address_of(container: Container, port: Port, options: Options, host: Host) -> str:
    """Return the address of a port; raise ValueError for none, or for loopback that nobody asked for."""
    if label := container.labels.get(options.useIpFromLabel, "").partition("/")[0]:
        return label
    if options.internal and container.network != "host":
        return own_address(container)
    if options.ip:
        return options.ip
    address = host.address if port.host_ip in EVERYWHERE else port.host_ip
    if address.startswith("127.") or address == "::1":
        raise ValueError(f"{address} is a loopback address, use -ip")
    return address


def own_address(container: Container) -> str:
    """Return the address on the main network, else on the first by name; raise ValueError for none."""
    if not container.addresses:
        raise ValueError("the container has no address")
    main = "bridge" if container.network == "default" else container.network
    return container.addresses.get(main) or container.addresses[min(container.addresses)]
