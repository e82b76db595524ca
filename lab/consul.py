"""What one Consul agent says, over HTTP and DNS, asked through SSH."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import consul
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import requests

from lab.errors import ForeignAnswerError
from lab.topology import Topology
from lab.tunnel import Tunnel

Place = tuple[str, int]  # address and port
SHORT = re.compile(r"0|[\d.]+(ns|µs|ms)")  # a time below a second as Go words it


class Status(enum.IntEnum):
    """What gossip holds of a member (hashicorp/serf, MemberStatus)."""

    NONE = 0
    ALIVE = 1
    LEAVING = 2
    LEFT = 3
    FAILED = 4


@dataclass(frozen=True, order=True)
class Instance:
    """One instance of a service: its ID in Consul and where it is reached."""

    id: str
    address: str
    port: int

    @property
    def place(self) -> Place:
        """Return where it is reached."""
        return self.address, self.port

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.id} at {self.address}:{self.port}"


@dataclass(frozen=True)
class Peer:
    """A server as raft's configuration lists it; `address` is host:port."""

    node: str
    address: str
    leader: bool
    voter: bool


class Agent:
    """The Consul agent of one host; `api` is the py-consul client of its HTTP API."""

    def __init__(self, name: str, http: Tunnel, dns_tcp: Tunnel, topology: Topology) -> None:
        """Ask through two tunnels; nothing is sent yet."""
        self.name = name
        self._dns = dns_tcp
        self._topology = topology
        self._http = f"http://127.0.0.1:{http.port}/v1/"
        within = topology.deadlines.command
        self.api = consul.Consul(host="127.0.0.1", port=http.port, connections_timeout=within)
        self.api.http.session.hooks["response"].append(_vet)

    def get(self, path: str, **query: str) -> requests.Response:
        """Return the raw answer, whatever it is, to a GET of the HTTP API: `path` is what follows /v1/.

        `api` gives neither the headers nor the modes of consistency of every endpoint. As with `api`,
        ForeignAnswerError is raised when it was not Consul that answered.
        """
        within = self._topology.deadlines.command
        return requests.get(self._http + path, params=query, timeout=within, hooks={"response": _vet})

    def leader(self) -> str:
        """Return the leader's address host:port as this agent knows it, empty when there is none."""
        return str(self.api.status.leader())

    def peers(self, *, own: bool = False) -> list[Peer]:
        """Return raft's configuration, by node name, as the leader has it, or else this server's `own`.

        Only the latter is answered without a leader.
        """
        answer = self.get("operator/raft/configuration", **({"stale": ""} if own else {}))
        answer.raise_for_status()
        servers = answer.json()["Servers"] or ()  # null while a fresh server has none
        peers = [Peer(s["Node"], s["Address"], s["Leader"], s["Voter"]) for s in servers]
        return sorted(peers, key=lambda peer: peer.node)

    def health(self) -> dict[str, bool]:
        """Return autopilot's view, asked of the leader: voter's name -> healthy. Non-voters are left out.

        Raises LookupError in the first seconds of a leader, whose autopilot has not looked at any server yet.
        """
        return {server["Name"]: server["Healthy"] for server in self._autopilot() if server["Voter"]}

    def stable_since(self) -> float:
        """Return since when no server's health has changed in the leader's eyes, in seconds since 1970.

        It is never before the leader began to lead. Raises LookupError as `health` does.
        """
        times = [datetime.fromisoformat(server["StableSince"]) for server in self._autopilot()]
        return max(times).timestamp()

    def _autopilot(self) -> list[dict[str, Any]]:
        servers: list[dict[str, Any]] | None = self.api.operator.autopilot_health()["Servers"]
        if not servers:
            raise LookupError("autopilot has not looked at the servers yet")
        return servers

    def raft(self) -> dict[str, str]:
        """Return what this server's raft says of itself, in its words: state, term, last_log_index ..."""
        return dict(self.api.agent.self()["Stats"]["raft"])

    def last_entry(self) -> int:
        """Return the index of the last entry in this server's log."""
        return int(self.raft()["last_log_index"])

    def follows(self, term: str) -> bool:
        """Return whether this server leads in a term, or has heard of its leader within the last second.

        Asked of the server itself: what autopilot says of its health may be as old as 2 s (N7).
        """
        raft = self.raft()
        just_now = SHORT.fullmatch(raft["last_contact"]) is not None
        return raft["term"] == term and (raft["state"] == "Leader" or just_now)

    def members(self) -> dict[str, Status]:
        """Return gossip's members as this agent sees them, by name."""
        return {member["Name"]: Status(member["Status"]) for member in self.api.agent.members()}

    def node_ids(self) -> dict[str, str]:
        """Return the node-id of each member as gossip brought it to this agent, by the member's name."""
        return {member["Name"]: member["Tags"]["id"] for member in self.api.agent.members()}

    def catalog_ids(self) -> dict[str, str]:
        """Return the node-id that the catalog has for each node's name."""
        return {node["Node"]: str(node["ID"]) for node in self.api.catalog.nodes()[1]}

    def instances(self, service: str, *, passing: bool = True) -> set[Instance]:
        """Return the instances of a service from the health endpoint, only the healthy ones if `passing`."""
        _, entries = self.api.health.service(service, passing=passing)
        return instances_of(entries)

    def awaited(self, service: str) -> set[Instance]:
        """Return the healthy instances of a service as whoever waits for news is told, like consul-template.

        A client agent answers a query with an index from what a server streams to it. When that server goes
        without a word, as a host without power does, it learns of that after 30 s, by gRPC's keepalive
        (agent/grpc-internal/client.go), and has no news for those who wait meanwhile; `instances` has.
        """
        _, entries = self.api.health.service(service, passing=True, index=1, wait="1s")
        return instances_of(entries)

    def catalog(self, service: str) -> set[Instance]:
        """Return the instances of a service in the catalog, healthy or not."""
        _, entries = self.api.catalog.service(service)
        return {
            Instance(e["ServiceID"], e["ServiceAddress"] or e["Address"], e["ServicePort"]) for e in entries
        }

    def resolve(self, service: str) -> set[Place]:
        """Return where each healthy instance is reached as DNS tells: SRV with its A records, over TCP.

        Consul answers at most 3 records to plain UDP, so that counting by UDP would count wrongly. Raises
        LookupError, as `addresses` does, when the answer is an error: one without instances is none.
        """
        return places(self._look_up(service, dns.rdatatype.SRV))

    def addresses(self, service: str) -> set[str]:
        """Return the addresses of the healthy instances as DNS tells: A, over TCP."""
        answer = self._look_up(service, dns.rdatatype.A)
        return {record.address for rrset in answer.answer for record in rrset}

    def _look_up(self, service: str, kind: dns.rdatatype.RdataType) -> dns.message.Message:
        query = dns.message.make_query(f"{service}.service.consul", kind)
        within = self._topology.deadlines.command
        answer = dns.query.tcp(query, "127.0.0.1", timeout=within, port=self._dns.port)
        if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            raise LookupError(f"{self.name}: DNS says {dns.rcode.to_text(answer.rcode())} of {service}")
        return answer


def _vet(answer: requests.Response, *_: object, **__: object) -> None:
    """Raise ForeignAnswerError for what Consul never says: a page, or a success that is no JSON."""
    kind = answer.headers.get("Content-Type", "no type")
    if "html" in kind or (answer.ok and answer.content and "json" not in kind):
        raise ForeignAnswerError(f"not Consul's: {answer.url} answered {answer.status_code}, {kind}")


def places(answer: dns.message.Message) -> set[Place]:
    """Return where each SRV record of an answer leads, by the A records that the answer brings along."""
    addresses = {
        rrset.name: record.address
        for rrset in answer.additional if rrset.rdtype == dns.rdatatype.A
        for record in rrset
    }  # fmt: skip
    return {(addresses[record.target], record.port) for rrset in answer.answer for record in rrset}


def instances_of(entries: list[dict[str, Any]]) -> set[Instance]:
    """Return the instances in an answer of the health endpoint."""
    services = [(entry["Service"], entry["Node"]["Address"]) for entry in entries]
    return {Instance(it["ID"], it["Address"] or node_address, it["Port"]) for it, node_address in services}
