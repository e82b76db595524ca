"""The Consul side: what the local agent holds, and the writes to it."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import consul
from docker.transport import UnixHTTPAdapter

from .plan import Operation, Registered, main_check, own_check
from .services import Service

LIMIT = 3  # seconds for one call
WAIT = "60s"  # for one blocking query
PROTOCOLS = {"consul-tls": "https", "https": "https", "http": "http", "consul-unix": "http", "unix": "http"}
FOREVER = "87600h"  # a check that others set needs a time to live; this one does not run out
NOTES = "The container's state as Docker tells it: paused and unhealthy are critical."


def connect(uri: str) -> consul.Consul:
    """Return a client of the agent that a registrator URI names, or without a place CONSUL_HTTP_ADDR.

    No call waits longer than LIMIT. Raise ValueError for a port that is none.
    """
    parts, variable = urlsplit(uri), os.environ.get("CONSUL_HTTP_ADDR", "")
    if variable and not parts.netloc + parts.path:
        parts = urlsplit(variable if "://" in variable else f"{parts.scheme}://{variable}")
    pair = os.environ.get("CONSUL_CLIENT_CERT"), os.environ.get("CONSUL_CLIENT_KEY")
    unix = parts.scheme in ("consul-unix", "unix")
    host = "127.0.0.1" if unix or not parts.hostname else parts.hostname
    client = consul.Consul(
        f"[{host}]" if ":" in host else host,
        8500 if unix else parts.port or 8500,
        scheme=PROTOCOLS.get(parts.scheme),
        verify=os.environ.get("CONSUL_CACERT"),
        cert=pair if all(pair) else None,
        connections_timeout=LIMIT,
    )
    session = client.http.session
    session.trust_env = False
    session.headers["Accept-Encoding"] = "identity"
    if client.token:  # the library forgets it in some calls
        session.headers["X-Consul-Token"] = client.token
    if unix:
        session.mount("http://", UnixHTTPAdapter(f"http+unix://{parts.netloc}{parts.path}", LIMIT))
    return client


class Agent:
    """A client of the agent, for one thread. All methods raise consul.ConsulException or OSError."""

    def __init__(self, uri: str) -> None:
        """Prepare; nothing is sent yet."""
        self.client = connect(uri)
        self.node = ""

    def leader(self) -> str:
        """Return the address of Consul's leader; empty without one."""
        return str(self.client.status.leader())

    def address(self) -> str:
        """Return the address that the agent advertises."""
        return str(self.client.agent.self()["Member"]["Addr"])

    def registered(self) -> dict[str, Registered]:
        """Return all services of the agent by ID, with their checks."""
        states: dict[str, dict[str, str]] = {}
        for check in self.client.agent.checks().values():
            states.setdefault(check["ServiceID"], {})[check["CheckID"]] = check["Status"]
        entries = self.client.agent.services()
        return {key: registered(entry, states.get(key, {})) for key, entry in entries.items()}

    def catalog(self, index: str | None) -> tuple[str, frozenset[str]]:
        """Return the catalog's index and the IDs it holds of this node, once the index is another."""
        if index is None:
            self.node = self.client.agent.self()["Config"]["NodeName"]
        index, found = self.client.catalog.node(self.node, index=index, wait=WAIT, consistency="stale")
        return index, frozenset((found or {}).get("Services") or ())

    def apply(self, operation: Operation) -> None:
        """Carry out one operation."""
        service = operation.service
        if service is None:
            self.client.agent.service.deregister(operation.id)
        elif operation.kind == "register":
            self.register(service)
        elif operation.kind == "uncheck":
            self.client.agent.check.deregister(own_check(service.id))
        else:
            self.set_state(service)

    def register(self, service: Service) -> None:
        """Register a service with its checks; those that it no longer has go."""
        checks = []
        if service.check:
            checks.append(service.check | {"CheckID": main_check(service.id)})
        if service.state:
            own = {"CheckID": own_check(service.id), "Name": "Docker", "Notes": NOTES}
            checks.append(own | {"TTL": FOREVER, "Status": service.state})
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

    def set_state(self, service: Service) -> None:
        """Set the check of the container's state; to register an old one anew leaves its status as it was."""
        checks = self.client.agent.check
        key, state = own_check(service.id), {"TTL": FOREVER, "Status": service.state}
        checks.register("Docker", check=state, check_id=key, notes=NOTES, service_id=service.id)
        set_status = {"passing": checks.ttl_pass, "warning": checks.ttl_warn, "critical": checks.ttl_fail}
        set_status[service.state](key, notes=NOTES)


def registered(entry: dict[str, Any], checks: dict[str, str]) -> Registered:
    """Return a service from the agent's answer."""
    name, tags, meta = entry["Service"], tuple(entry["Tags"] or ()), entry["Meta"] or {}
    return Registered(entry["ID"], name, entry["Address"], entry["Port"], tags, meta, checks)
