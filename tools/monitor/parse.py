"""What others answer, turned into values. Nothing is trusted: what is not understood is an AnswerError."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from .answer import AnswerError
from .names import LENGTH, identity, printable

Check = Literal["passing", "warning", "critical"]
Value = TypeVar("Value")

MEMBER_STATUS = {0: "unknown", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}  # serf's MemberStatus
MOST_CONNECTIONS = 10**9
_SEVERITY: tuple[Check, ...] = get_args(Check)
_WORKER = re.compile(  # bounded in every part: a page of rubbish is read as fast as any other
    r"<b>pid = </b> (\d{1,9}) .{0,300}?<b>uptime = </b> (\d{1,9})d (\d\d?)h(\d\d)m(\d\d)s", re.DOTALL
)


@dataclass(frozen=True)
class Service:
    """One service instance in Consul; `key` is the same for all services of one container."""

    key: str
    name: str
    node: str
    address: str
    port: int
    check: Check


@dataclass(frozen=True)
class Member:
    """One Consul agent as gossip sees it."""

    name: str
    address: str
    status: str
    server: bool


@dataclass(frozen=True)
class Peer:
    """One server of the raft configuration; `address` is address:port of its RPC."""

    name: str
    address: str
    voter: bool


@dataclass(frozen=True)
class Server:
    """One server line of HAProxy's statistics, as its current worker counts."""

    sessions: int
    total: int
    status: str


@dataclass(frozen=True)
class Worker:
    """HAProxy's worker process; uptime in seconds."""

    pid: int
    uptime: int


def services(document: object) -> list[Service]:
    """Return the instances in an answer of Consul's /v1/health/service/NAME."""
    return [_service(_as(dict, entry, "an entry")) for entry in _as(list, document, "the list of services")]


def members(document: object) -> list[Member]:
    """Return the agents in an answer of Consul's /v1/agent/members."""
    return [_member(_as(dict, entry, "a member")) for entry in _as(list, document, "the list of members")]


def peers(document: object) -> list[Peer]:
    """Return the servers in an answer of Consul's /v1/operator/raft/configuration."""
    entries = _field(_as(dict, document, "the raft configuration"), "Servers", list)
    return [_peer(_as(dict, entry, "a raft server")) for entry in entries]


def leader(document: object) -> str:
    """Return the leader's RPC address:port in an answer of /v1/status/leader; empty without a leader."""
    return _as(str, document, "the leader")


def connections(body: bytes) -> int:
    """Return the number in an instance's answer to /conns."""
    text = body.strip()
    if not text.isdigit() or int(text) > MOST_CONNECTIONS:
        raise AnswerError(f"answered {body[:20]!r}, not a number of connections")
    return int(text)


def haproxy_servers(text: str, backend: str) -> dict[str, Server]:
    """Return the servers of `backend` in HAProxy's statistics as CSV.

    A server is named by its service ID there; here it has the key of its instance.
    """
    if not text.startswith("# pxname,"):
        raise AnswerError("answered something else than HAProxy's statistics")
    try:
        rows = [row for row in csv.DictReader(text[2:].splitlines()) if row["pxname"] == backend]
        servers = [row for row in rows if row["svname"] not in {"FRONTEND", "BACKEND"}]
        return {identity(row["svname"])[0]: _server(row) for row in servers}
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise AnswerError(f"answered statistics that cannot be read: {error}") from error


def haproxy_worker(html: str) -> Worker:
    """Return the worker that wrote HAProxy's statistics page: the CSV does not name it."""
    match = _WORKER.search(html)
    if match is None:
        raise AnswerError("answered a statistics page without pid and uptime")
    pid, days, hours, minutes, seconds = map(int, match.groups())
    return Worker(pid, ((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _as(kind: type[Value], value: object, what: str) -> Value:
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise AnswerError(f"{what} is not a {kind.__name__}: {value!r:.40}")


def _field(entry: dict[str, object], name: str, kind: type[Value]) -> Value:
    return _as(kind, entry.get(name), name)


def _service(entry: dict[str, object]) -> Service:
    service, node = _field(entry, "Service", dict), _field(entry, "Node", dict)
    key, name = identity(_field(service, "ID", str))
    address = _field(service, "Address", str) or _field(node, "Address", str)
    checks = [_field(_as(dict, check, "a check"), "Status", str) for check in _field(entry, "Checks", list)]
    port = _as(int, service.get("Port", 0), "Port")  # Consul leaves away a port that is 0
    return Service(key, name, printable(_field(node, "Node", str)), address, port, _worst(checks))


def _worst(checks: list[str]) -> Check:
    """Return the most severe status; one that Consul does not document counts as critical."""
    ranks = [_SEVERITY.index(check) if check in _SEVERITY else len(_SEVERITY) - 1 for check in checks]
    return _SEVERITY[max(ranks, default=0)]


def _member(entry: dict[str, object]) -> Member:
    status = MEMBER_STATUS.get(_field(entry, "Status", int), "unknown")
    is_server = _field(entry, "Tags", dict).get("role") == "consul"
    return Member(printable(_field(entry, "Name", str)), _field(entry, "Addr", str), status, is_server)


def _peer(entry: dict[str, object]) -> Peer:
    return Peer(
        printable(_field(entry, "Node", str)), _field(entry, "Address", str), _field(entry, "Voter", bool)
    )


def _server(row: dict[str, str]) -> Server:
    return Server(int(row["scur"]), int(row["stot"]), row["status"][:LENGTH])
