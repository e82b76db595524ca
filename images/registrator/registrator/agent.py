"""The Consul side: what the local agent holds, and the writes to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import consul
from docker.transport import UnixHTTPAdapter

from .plan import Operation, Registered, main_check, own_check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .services import Service

LIMIT = 5  # seconds for one call
FOREVER = "87600h"  # Consul wants a time for a check that others set; this one does not run out
NOTES = "set by registrator: paused and unhealthy containers are critical"


def connect(uri: str) -> consul.Consul:
    """Return a client of the agent that a registrator URI names; no call of it waits longer than LIMIT."""
    parts = urlsplit(uri)
    given: dict[str, Any] = {"connections_timeout": LIMIT}
    if parts.scheme == "consul-tls":
        given |= {"scheme": "https", "verify": os.environ.get("CONSUL_CACERT") or True}
        given["cert"] = (os.environ["CONSUL_CLIENT_CERT"], os.environ["CONSUL_CLIENT_KEY"])
    if parts.hostname and parts.scheme != "consul-unix":
        given |= {"host": parts.hostname, "port": parts.port or 8500}
    client = consul.Consul(**given)
    client.http.session.trust_env = False
    if parts.scheme == "consul-unix":
        client.http.session.mount(
            "http://", UnixHTTPAdapter(f"http+unix://{parts.netloc}{parts.path}", LIMIT)
        )
    return client


class Agent:
    """One client of the agent, for one thread. All methods raise consul.ConsulException or OSError."""

    def __init__(self, uri: str) -> None:
        """Prepare; nothing is sent yet."""
        self.client = connect(uri)

    def address(self) -> str:
        """Return the address that the agent advertises to the others."""
        return str(self.client.agent.self()["Member"]["Addr"])

    def registered(self) -> dict[str, Registered]:
        """Return all services of the agent by ID, with their checks."""
        states: dict[str, dict[str, str]] = {}
        for check in self.client.agent.checks().values():
            states.setdefault(check["ServiceID"], {})[check["CheckID"]] = check["Status"]
        return {
            key: Registered(
                key,
                entry["Service"],
                entry["Address"],
                entry["Port"],
                tuple(entry["Tags"] or ()),
                entry["Meta"] or {},
                states.get(key, {}),
            )
            for key, entry in self.client.agent.services().items()
        }

    def apply(self, operation: Operation) -> None:
        """Carry out one operation."""
        service = operation.service
        if operation.kind == "register" and service:
            self.register(service)
        elif operation.kind == "check" and service:
            self.client.agent.check.register(**state_check(service), service_id=service.id)
        elif operation.kind == "uncheck":
            self.client.agent.check.deregister(own_check(operation.id))
        else:
            self.client.agent.service.deregister(operation.id)

    def register(self, service: Service) -> None:
        """Register a service with its checks; checks that it no longer has go."""
        checks: list[Mapping[str, Any]] = []
        if service.check:
            checks.append(service.check | {"checkid": main_check(service.id)})
        if service.state:
            own = state_check(service)
            checks.append(
                own["check"] | {"checkid": own["check_id"], "name": own["name"], "notes": own["notes"]}
            )
        self.client.agent.service.register(
            service.name,
            service_id=service.id,
            address=service.address,
            port=service.port,
            tags=list(service.tags),
            meta=dict(service.meta),
            check=checks[0] if checks else None,
            extra_checks=checks[1:],
            replace_existing_checks=True,
        )


def state_check(service: Service) -> dict[str, Any]:
    """Return the check that shows the container's state."""
    check = {"ttl": FOREVER, "status": service.state}
    return {"name": "Docker", "check": check, "check_id": own_check(service.id), "notes": NOTES}
