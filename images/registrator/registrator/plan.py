"""From what Consul should hold and what the agent holds to the writes between: a pure function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .services import MARK_CONTAINER, MARK_HOST, Desired, Service

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
    """One write and its reason: register, deregister, or check and uncheck for the container's own check."""

    kind: str
    id: str
    container: str
    reason: str
    service: Service | None = None


@dataclass(frozen=True)
class Plan:
    """The writes, removals first, and remarks on what is not written."""

    operations: tuple[Operation, ...]
    remarks: frozenset[str] = frozenset()


def own_check(service_id: str) -> str:
    """Return the ID of the check that shows the container's state."""
    return f"docker:{service_id}"


def main_check(service_id: str) -> str:
    """Return the ID of the check that SERVICE_CHECK_* defines: what Consul calls a service's only check."""
    return f"service:{service_id}"


def mine(service: Registered, host: str) -> bool:
    """Return whether a service bears this host's mark."""
    return service.meta.get(MARK_HOST) == host


def legacy(service: Registered, host: str) -> bool:
    """Return whether an unmarked service has an ID such as the original registrator gives on this host."""
    pattern = re.escape(host) + r":[a-zA-Z0-9][a-zA-Z0-9_.-]+:\d+(:udp)?"
    return MARK_HOST not in service.meta and re.fullmatch(pattern, service.id) is not None


def same_place(service: Service, there: Registered) -> bool:
    """Return whether an unmarked service has the same name, address and port."""
    place = (service.name, service.address, service.port)
    return MARK_HOST not in there.meta and place == (there.name, there.address, there.port)


def plan(desired: Desired, actual: Mapping[str, Registered], host: str, *, cleanup: bool = False) -> Plan:
    """Return the writes that bring the agent to what is desired.

    Somebody else's service is never written to: a desired ID that is taken is a conflict, unless it is what
    the original registrator left or describes the very same service.
    """
    removals = [removal(there, desired, host, cleanup=cleanup) for there in actual.values()]
    writes: list[Operation | None] = []
    remarks: set[str] = set()
    for service in desired.services.values():
        there = actual.get(service.id)
        if there and not (mine(there, host) or legacy(there, host) or same_place(service, there)):
            remarks.add(f"conflict: {service.id} is somebody else's")
        else:
            writes.append(difference(service, there))
    operations = tuple(operation for operation in removals + writes if operation)
    return Plan(operations, frozenset(remarks))


def removal(there: Registered, desired: Desired, host: str, *, cleanup: bool) -> Operation | None:
    """Return the removal of a service that is ours and no longer desired, or None."""
    container = there.meta.get(MARK_CONTAINER, "-")
    if there.id in desired.services or container in {key[:12] for key in desired.kept}:
        return None
    if mine(there, host):
        return Operation("deregister", there.id, container, "gone")
    if cleanup and legacy(there, host):
        return Operation("deregister", there.id, container, "dangling")
    return None


def difference(service: Service, there: Registered | None) -> Operation | None:
    """Return the one write that brings a service nearer to what is wanted, or None."""

    def operation(kind: str, reason: str) -> Operation:
        return Operation(kind, service.id, service.meta[MARK_CONTAINER], reason, service)

    if there is None:
        return operation("register", "missing")
    changed = [name for name in COMPARED if getattr(service, name) != getattr(there, name)]
    if (main_check(service.id) in there.checks) != bool(service.check):
        changed.append("check")
    if changed:
        return operation("register", ",".join(changed))
    state = there.checks.get(own_check(service.id), "")
    if state != service.state:
        return operation(
            "check" if service.state else "uncheck", f"{state or 'none'}->{service.state or 'none'}"
        )
    return None
