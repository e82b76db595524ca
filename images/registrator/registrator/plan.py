"""From what Consul should hold and what the agent holds to the operations between: a pure function."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .services import MARK_CONTAINER, MARK_HOST, Desired, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPARED = ("name", "address", "port", "tags", "meta")


@dataclass(frozen=True)
class Registered:
    """One service as the agent tells it; checks: status by check ID."""

    id: str
    name: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    checks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One write: register, deregister, check or uncheck (the container's own check), and the reason."""

    kind: str
    id: str
    service: Service | None
    container: str
    reason: str


def own_check(service_id: str) -> str:
    """Return the ID of the check that shows the container's state."""
    return f"docker:{service_id}"


def main_check(service_id: str) -> str:
    """Return the ID of the check that SERVICE_CHECK_* defines: what Consul calls a single check."""
    return f"service:{service_id}"


def mine(service: Registered, host: str) -> bool:
    """Return whether a service bears this host's mark."""
    return service.meta.get(MARK_HOST) == host


def legacy(service: Registered, host: str) -> bool:
    """Return whether an unmarked service has an ID such as the original registrator gives on this host."""
    pattern = re.escape(host) + r":[a-zA-Z0-9][a-zA-Z0-9_.-]+:\d+(:udp)?"
    return MARK_HOST not in service.meta and re.fullmatch(pattern, service.id) is not None


def plan(
    desired: Desired, actual: Mapping[str, Registered], host: str, *, cleanup: bool = False
) -> tuple[list[Operation], list[str]]:
    """Return the writes that make the agent hold what is desired, removals first, and remarks.

    A service that is not this host's own is never written to: one whose ID is desired is a conflict, unless
    it is what the original registrator left or describes the very same service.
    """
    kept = {container[:12] for container in desired.kept}
    removals = [
        Operation("deregister", service.id, None, service.meta.get(MARK_CONTAINER, "-"), "gone")
        for service in actual.values()
        if service.id not in desired.services
        and (mine(service, host) or (cleanup and legacy(service, host)))
        and service.meta.get(MARK_CONTAINER) not in kept
    ]
    writes: list[Operation] = []
    remarks: list[str] = []
    for service in desired.services.values():
        there = actual.get(service.id)
        if there and not (mine(there, host) or legacy(there, host) or same_place(service, there)):
            remarks.append(f"conflict: {service.id} is somebody else's")
        elif operation := difference(service, there):
            writes.append(operation)
    return removals + writes, remarks


def same_place(service: Service, there: Registered) -> bool:
    """Return whether an unmarked service has the same name, address and port."""
    place = (service.name, service.address, service.port)
    return MARK_HOST not in there.meta and place == (there.name, there.address, there.port)


def difference(service: Service, there: Registered | None) -> Operation | None:
    """Return the one write that brings a service nearer to what is wanted, or None."""

    def operation(kind: str, reason: str) -> Operation:
        return Operation(kind, service.id, service, service.meta[MARK_CONTAINER], reason)

    if there is None:
        return operation("register", "missing")
    changed = [name for name in COMPARED if getattr(service, name) != getattr(there, name)]
    if service.check and main_check(service.id) not in there.checks:
        changed.append("check")
    if changed:
        return operation("register", f"changed:{','.join(changed)}")
    state = there.checks.get(own_check(service.id), "")
    if state != service.state:
        return operation(
            "check" if service.state else "uncheck", f"state:{state or '-'}>{service.state or '-'}"
        )
    return None
