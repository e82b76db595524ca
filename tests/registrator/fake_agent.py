"""A Consul agent of pretence, as far as registrator needs one; test_agent.py holds it to the real one."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.registrator.fakes import LONGEST, Fake, Handler, recorded

Json = dict[str, Any]
NODE = "vm"
SERVICE_FIELDS = {"name", "id", "address", "port", "tags", "meta", "checks"}
CHECK_FIELDS = {
    "checkid", "name", "notes", "status", "http", "method", "args", "ttl", "tcp", "grpc", "grpcusetls",
    "tlsskipverify", "interval", "timeout", "deregistercriticalserviceafter",
}  # fmt: skip
DURATION = r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+"
STATES = {"pass": "passing", "warn": "warning", "fail": "critical"}


class FakeAgent(Fake):
    """The agent and, at once equal to it, the catalog.

    writes: the path of each write that it took; token: what it asks for, as the real one does with ACLs.
    """

    def __init__(self) -> None:
        """Prepare on a port of its own choice, empty."""
        super().__init__(0)
        self.services: dict[str, Json] = {}
        self.checks: dict[str, Json] = {}
        self.writes: list[str] = []
        self.index = 10
        self.token = ""

    @property
    def uri(self) -> str:
        """Return what registrator is to be given."""
        return f"consul://127.0.0.1:{self.place}"

    def wipe(self) -> None:
        """Lose everything, as an agent that restarts without its data."""
        self.services.clear()
        self.checks.clear()

    def serve(self, request: Handler, body: Json | None) -> None:
        """Answer one request."""
        parts = urlsplit(request.path)
        path = unquote(parts.path).removeprefix("/v1/")
        if path != "status/leader" and request.headers.get("X-Consul-Token", "") != self.token:
            request.answer("Permission denied: anonymous token lacks permission", 403)
        elif request.command == "PUT":
            refusal = self.write(
                path.removeprefix("agent/"), body or {}, replace="replace-existing" in parts.query
            )
            request.answer(*(refusal or ("",)))
        elif path == f"catalog/node/{NODE}":
            index = int(parse_qs(parts.query).get("index", ["0"])[0])
            with self.changed:
                self.changed.wait_for(lambda: self.index > index or self.listener is None, LONGEST)
            node = recorded("node") | {"Services": dict(self.services)}
            request.answer(node, X_Consul_Index=str(self.index))
        else:
            answers = {
                "agent/self": recorded("self"),
                "agent/services": self.services,
                "agent/checks": self.checks,
            }
            answers["agent/self"]["Member"]["Addr"] = "192.0.2.7"
            request.answer('"127.0.0.1:8300"' if path == "status/leader" else answers[path])

    def write(self, path: str, body: Json, *, replace: bool = False) -> tuple[str, int] | None:
        """Carry out a write; return the refusal, if it is one."""
        action, _, key = path.rpartition("/")
        if path == "service/register":
            refusal = self.register(body, replace=replace)
        elif path == "check/register":
            refusal = self.register_check(body)
        elif action == "service/deregister":
            refusal = self.deregister(key)
        elif key not in self.checks:
            refusal = (
                f'Unknown check ID "{key}". Ensure that the check ID is passed, not the check name.',
                404,
            )
        elif action == "check/deregister":
            refusal = None
            del self.checks[key]
        else:
            refusal = None
            self.checks[key]["Status"] = STATES[action.removeprefix("check/")]
        if refusal is None:
            self.writes.append(path)
            with self.changed:
                self.index += 1
                self.changed.notify_all()
        return refusal

    def deregister(self, key: str) -> tuple[str, int] | None:
        """Remove a service and its checks."""
        if self.services.pop(key, None) is None:
            return (
                f'Unknown service ID "{key}". Ensure that the service ID is passed, not the service name.',
                404,
            )
        self.checks = {name: check for name, check in self.checks.items() if check["ServiceID"] != key}
        return None

    def register(self, body: Json, *, replace: bool) -> tuple[str, int] | None:
        """Put a service in the place of its ID; old checks keep their status, or go if they are replaced."""
        fields, checks = {name.lower() for name in body}, body.get("checks", [])
        unknown = (fields - SERVICE_FIELDS) | {
            name for check in checks for name in check if name.lower() not in CHECK_FIELDS
        }
        key: str = body["id"]
        if unknown:
            return f'Request decode failed: json: unknown field "{unknown.pop()}"', 400
        for check in checks:
            if not re.fullmatch(DURATION, check.get("Interval", "0s")):
                return f'Request decode failed: time: invalid duration "{check["Interval"]}"', 400
        self.services[key] = recorded("service") | {
            "ID": key,
            "Service": body["name"],
            "Address": body.get("address", ""),
            "Port": body.get("port", 0),
            "Tags": body.get("tags", []),
            "Meta": body.get("meta", {}),
        }
        old = {name: check for name, check in self.checks.items() if check["ServiceID"] == key}
        self.checks = {name: check for name, check in self.checks.items() if not (replace and name in old)}
        for check in checks:
            name = check.get("CheckID", f"service:{key}")
            status = old[name]["Status"] if name in old else check.get("Status", "critical")
            self.checks[name] = recorded("check") | {"CheckID": name, "Status": status, "ServiceID": key}
        return None

    def register_check(self, body: Json) -> tuple[str, int] | None:
        """Add a check to a service; one that is there keeps its status."""
        if "CheckID" in body:
            return 'Request decode failed: json: unknown field "CheckID"', 400
        name, service = body["id"], body["serviceid"]
        if service not in self.services:
            return f'ServiceID "{service}" does not exist', 404
        status = self.checks[name]["Status"] if name in self.checks else body.get("Status", "critical")
        self.checks[name] = recorded("check") | {"CheckID": name, "Status": status, "ServiceID": service}
        return None
