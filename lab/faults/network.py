"""Packets that do not arrive, dropped by nftables on the host that should receive them.

A rule catches every packet of the wanted kind: TCP and UDP, new connections and established ones, those for
the host and those for its containers. The gate's own way to the hosts is never cut.
"""

from __future__ import annotations

import itertools
import json
import shlex
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from lab.errors import LabError, NotRunError
from lab.faults.cycle import Fault, on_each
from lab.hosts import Node

TABLES = "consul_demo_fault"  # begins the names of all tables: one a fault, so that none undoes another
NOBODY = 9  # the port of RFC 863, at which nothing listens
NO_NETEM = "qdisc kind is unknown"  # so says tc
PROBES = 40  # of a rule that drops one packet in five, all but 0.8 ** 40 of such rows see one dropped


@dataclass(frozen=True)
class Way:
    """From one host to another."""

    source: Node
    target: Node


def both(one: Node, other: Node) -> tuple[Way, Way]:
    """Return the two ways between two hosts."""
    return Way(one, other), Way(other, one)


class _Rules(Fault):
    """Ways on which packets get lost; in nftables' words `matches` say which, `chance` how many."""

    matches: tuple[str, ...] = ("",)
    chance = ""

    def __init__(self, ways: Iterable[Way]) -> None:
        # One rule a way: two that drop one packet in five would drop nine of twenty-five.
        self.ways = tuple(dict.fromkeys(way for way in ways if way.source is not way.target))
        self._table = f"{TABLES}_{uuid.uuid4().hex[:8]}"
        super().__init__(*dict.fromkeys(way.target for way in self.ways))

    def inject(self) -> None:
        """Install the rules, all of a host at once."""
        for node in self.nodes:
            rules = " ".join(
                f"ip saddr {way.source.address} {match} {self.chance} counter drop;"
                for way in self.ways if way.target is node
                for match in self.matches
            )  # fmt: skip
            hook = f"chain inbound {{ type filter hook prerouting priority -300; {rules} }};"
            table = shlex.quote(f"table inet {self._table} {{ {hook} }}")
            node.run("sudo", "sh", "-c", f"echo {table} | nft -f -")

    def seen(self) -> bool:
        """Return whether every rule has dropped something; each way is tried, so that it has reason to."""
        for way in self.ways:
            self.probe(way)
        return all(all(self._dropped(node)) for node in self.nodes)

    def probe(self, way: Way) -> None:
        """Send datagrams that nobody waits for."""
        script = f"for i in {{1..{PROBES}}}; do echo > /dev/udp/{way.target.address}/{NOBODY}; done"
        way.source.run("bash", "-c", script)

    def heal(self) -> None:
        """Remove the rules."""
        on_each(self.nodes, self._remove)

    def healed(self) -> bool:
        """Return whether no host has the rules any more."""
        return not any(self._table in node.run("sudo", "nft", "list", "tables") for node in self.nodes)

    def _remove(self, node: Node) -> None:
        node.run("sudo", "sh", "-c", f"nft delete table inet {self._table} 2>/dev/null || true")

    def _dropped(self, node: Node) -> list[int]:
        """Return how many packets each rule of a host has dropped."""
        said = json.loads(node.run("sudo", "nft", "--json", "list", "table", "inet", self._table))
        rules = [it["rule"] for it in said["nftables"] if "rule" in it]
        return [part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part]


class Cut(_Rules):
    """No packet arrives on these ways."""

    name = "cut"


class PortCut(_Rules):
    """Nothing arrives on these ways at one port, by the protocols named: "udp", "tcp" or both."""

    name = "port cut"

    def __init__(self, ways: Iterable[Way], port: int, *protocols: str) -> None:
        """Take the ways, the port and the protocols."""
        super().__init__(ways)
        self.matches = tuple(f"{protocol} dport {port}" for protocol in protocols)
        self._port = port
        self._protocols = protocols

    def probe(self, way: Way) -> None:
        """Try the port: with an empty datagram, which gossip passes over, or a connection."""
        for protocol in self._protocols:
            options = {"udp": "-u -q0", "tcp": "-z"}[protocol]
            way.source.shell.run(f"nc {options} -w1 {way.target.address} {self._port} < /dev/null")


class Loss(_Rules):
    """A share of all packets, each by chance, does not arrive on these ways."""

    name = "loss"

    def __init__(self, ways: Iterable[Way], percent: int) -> None:
        """Take the ways and how many packets of a hundred are dropped."""
        super().__init__(ways)
        self.chance = f"numgen random mod 100 < {percent}"


def between(some: Iterable[Node], others: Iterable[Node]) -> list[Way]:
    """Return every way, in both directions, between two groups of hosts."""
    return [way for one, other in itertools.product(some, list(others)) for way in both(one, other)]


def isolate(node: Node, others: Iterable[Node]) -> Cut:
    """Return the fault that one host and all others have no way to each other."""
    return Cut(between([node], [other for other in others if other is not node]))


def bridge(one: Node, other: Node) -> Cut:
    """Return the fault that two hosts have no way to each other; whoever else there is sees both."""
    return Cut(both(one, other))


def one_way(sources: Iterable[Node], targets: Iterable[Node]) -> Cut:
    """Return the fault that nothing arrives from `sources` at `targets`, while the other direction works."""
    return Cut(Way(one, other) for one, other in itertools.product(sources, list(targets)))


def apart(nodes: Iterable[Node]) -> Cut:
    """Return the fault that no two of these hosts have a way to each other."""
    return Cut(way for pair in itertools.combinations(nodes, 2) for way in both(*pair))


class Delay(Fault):
    """Every packet that these hosts send takes so many milliseconds longer; needs the kernel's netem."""

    name = "delay"
    _DEVICE = "$(ip -oneline route get {gateway} | sed 's/.* dev \\([^ ]*\\).*/\\1/')"

    def __init__(self, nodes: Iterable[Node], milliseconds: int, gateway: str) -> None:
        """Take the hosts, how late, and an address by whose route the network's device is found."""
        super().__init__(*nodes)
        self._milliseconds = milliseconds
        self._gateway = gateway
        self._device = self._DEVICE.format(gateway=gateway)

    def inject(self) -> None:
        """Delay. Raises NotRunError where the kernel has no netem, LabError for what else goes wrong."""
        command = f"tc qdisc add dev {self._device} root netem delay {self._milliseconds}ms"
        for node in self.nodes:
            said = node.shell.run(f"sudo sh -c {shlex.quote(f'modprobe sch_netem 2>/dev/null; {command}')}")
            if said.rc and NO_NETEM in said.stderr:
                raise NotRunError(f"latency: the kernel of {node.name} has no sch_netem")
            if said.rc:
                raise LabError(f"latency on {node.name}: {said.stderr.strip()}")

    def seen(self) -> bool:
        """Return whether an echo takes so long."""
        answers = [node.run("ping", "-c", "1", self._gateway) for node in self.nodes]
        return all(float(it.rpartition("time=")[2].split()[0]) >= self._milliseconds for it in answers)

    def heal(self) -> None:
        """Remove the delay."""
        remove = f"tc qdisc del dev {self._device} root netem 2>/dev/null || true"
        on_each(self.nodes, lambda node: node.run("sudo", "sh", "-c", remove))

    def healed(self) -> bool:
        """Return whether no host delays anything."""
        return not any("netem" in node.run("sudo", "tc", "qdisc", "show") for node in self.nodes)
