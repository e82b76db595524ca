"""Outage recovery: the servers that survived found the cluster again, with their data and without the lost.

For a cluster that has lost its majority for good. What Consul itself does not compare, lab.peers compares,
with facts from the servers, before anything is stopped and once more before anything is started. A restart
with peers.json commits whatever the survivors' logs hold, also what was never acknowledged.
"""

from __future__ import annotations

import ipaddress
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import consul

from lab.consul import Status
from lab.peers import FILE, PeersError, Survivor, build, refuse, unfit
from lab.unit import NAME, Unit
from lab.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lab.hosts import Lab, Node

# What Consul logs (agent/consul/server.go and leader.go): the first two on each survivor, the last one on
# the leader.
FOUND = "found peers.json file, recovering Raft configuration..."
DELETED = "deleted peers.json file after successful recovery"
LEADS = "cluster leadership acquired"
NODE_ID = "node-id"
PEERS_INFO = "raft/peers.info"
RAFT_STATE = ("raft/wal/*", "raft/raft.db", "raft/snapshots/*")
# A server that was last seen too long ago refuses to start; without this file it does not ask.
LAST_SEEN = "server_metadata.json"
DAY = 86400


@dataclass(frozen=True)
class Recovered:
    """A cluster that was founded again: its leader, and the seconds from the restart until all knew it."""

    leader: Node
    seconds: float


class Recovery:
    """The recovery of one cluster by the servers that survived; `say` is told of each step.

    `lab` is the servers' own, `survivors` are all servers that still have their data and are to be the
    cluster from now on. `run` does it all; the steps by themselves are for who wants to look in between.
    """

    def __init__(self, lab: Lab, survivors: Iterable[Node], say: Callable[[str], None]) -> None:
        """Ask and change nothing yet."""
        self._lab = lab
        self._say = say
        self.units = [Unit(node) for node in survivors]

    def run(self) -> Recovered:
        """Examine, stop, place and start. Raises what these raise."""
        self.examine()
        self.stop()
        self.place()
        return self.start()

    def survey(self) -> list[Survivor]:
        """Return what is found on the survivors now. Raises LabError when one cannot be asked."""
        return [survey(unit, self._lab.topology.ports.consul_rpc) for unit in self.units]

    def examine(self) -> None:
        """Say what was found and what would be written; nothing is changed.

        Raises PeersError, a line for each reason, when these servers must not or cannot be recovered so.
        """
        found = self.survey()
        for it in found:
            self._say(_told(it))
        stopped = [replace(it, running=False) for it in found]
        reasons = [*self._not_lost(), *self._overdue(), *unfit(stopped)]
        if reasons:
            raise PeersError("\n".join(reasons))
        if 2 * len(found) > len(self._lab.topology.with_role("server")):
            self._say("a majority survived: to start them may be all that is needed, without any file")
        if any(it.peers_json is not None for it in found):
            verdict = refuse(stopped) or ["It is right."]
            self._say(f"there is a {FILE} already, which will be replaced. {' '.join(verdict)}")
        self._say(f"{FILE} for {', '.join(it.name for it in found)}:\n{build(stopped).rstrip()}")

    def stop(self) -> None:
        """Stop Consul on every survivor: the file is read at a start only."""
        for unit in self.units:
            unit.stop()
            self._say(f"{unit.name}: Consul stopped")

    def place(self) -> None:
        """Write the same peers.json to every survivor. Raises PeersError when they are unfit for it."""
        text = build(self.survey())
        for unit in self.units:
            unit.write(FILE, text)
            self._say(f"{unit.name}: {FILE} written")

    def start(self) -> Recovered:
        """Compare what lies on the survivors, start them, and wait until the cluster is there.

        It is when all know one leader, raft's configuration is the survivors, and each has logged that it
        took the file and deleted it. Raises PeersError, before anything is started, when any survivor's
        peers.json is wrong; Unmet when the cluster is not there within the deadline `recovery`.
        """
        found = self.survey()
        reasons = refuse(found)
        if reasons:
            raise PeersError("\n".join(reasons))
        self._say(f"read {FILE} again: ids, addresses and ports are the servers' own, all lists are equal")
        since = {unit: unit.now() for unit in self.units}
        begun = time.monotonic()
        for unit in self.units:
            unit.start()
        leader = self._leader()
        recovered = Recovered(leader, time.monotonic() - begun)
        self._say(f"{leader.name}: leads, {recovered.seconds:.1f} s after the restart")
        self._confirm(since, leader)
        self._await(lambda: _strangers(leader, found), "raft's configuration")
        self._say("raft's configuration: the survivors, nobody else")
        return recovered

    def _leader(self) -> Node:
        leaders = wait_for(
            lambda: {self._lab.leader([unit.node]) for unit in self.units},
            until=lambda answers: len(answers) == 1,
            within=self._lab.topology.deadlines.recovery,
            what="a leader that all survivors know",
        )
        return leaders.pop()

    def _confirm(self, since: Mapping[Unit, str], leader: Node) -> None:
        """Wait for the log lines of the recovery and for the end of the file; each line is said."""
        for unit, time_of_start in since.items():
            wanted = [FOUND, DELETED, *([LEADS] if unit.node is leader else [])]
            self._await(lambda: _missing(unit, time_of_start, wanted), f"{unit.name}: the recovery's log")  # noqa: B023 - asked before the next turn
            for line in wanted:
                self._say(f"{unit.name}: logged: {line}")
            self._say(f"{unit.name}: {FILE} is gone")

    def _await(self, question: Callable[[], list[str]], what: str) -> None:
        within = self._lab.topology.deadlines.recovery
        wait_for(question, until=lambda lacking: not lacking, within=within, what=what)

    def _overdue(self) -> list[str]:
        limit = self._lab.topology.deadlines.rejoin_age
        return [reason for unit in self.units if (reason := overdue(unit, limit))]

    def _not_lost(self) -> Iterator[str]:
        """Yield why the cluster is not lost, as far as the survivors that still run can tell."""
        addresses = {unit.node.address for unit in self.units}
        for unit in self.units:
            try:
                leader = unit.node.agent.leader()
                members = unit.node.agent.api.agent.members()
            except (OSError, consul.ConsulException):
                self._say(
                    f"{unit.name}: Consul does not answer; whether the others are dead is yours to know"
                )
                continue
            if leader:
                yield (
                    f"{unit.name} knows a leader, {leader}: a majority is there and nothing to recover. "
                    "Let lost servers be forgotten (consul force-leave NAME) and new ones join."
                )
                return
            for name in alive(members, addresses):
                yield (
                    f"{unit.name} sees the server {name} alive, which is not among the survivors: beside "
                    "them it could be a second cluster. Name it as a survivor, or stop it for good and wait "
                    "until `consul members` says that it failed."
                )


def survey(unit: Unit, rpc_port: int) -> Survivor:
    """Return what is found on the host of one server; `rpc_port` is that of a configuration without one.

    Raises LabError when the host cannot be asked.
    """
    configuration = unit.configuration()
    there = unit.files(NODE_ID, PEERS_INFO, FILE, *RAFT_STATE)
    return Survivor(
        name=unit.name,
        node_id=unit.read(NODE_ID) if NODE_ID in there else "",
        address=advertised(configuration, unit.node.address),
        rpc_port=configuration.get("ports", {}).get("server", rpc_port),
        peers_info=PEERS_INFO in there,
        raft_state=bool(there - {NODE_ID, PEERS_INFO, FILE}),
        peers_json=unit.read(FILE) if FILE in there else None,
        running=bool(unit.pid()),
    )


def advertised(configuration: Mapping[str, Any], known: str) -> str:
    """Return the address that a server tells the others, `known` where its configuration leaves it open."""
    for key in ("advertise_addr", "bind_addr"):
        try:
            address = ipaddress.ip_address(configuration.get(key, ""))
        except ValueError:
            continue
        if not address.is_unspecified:
            return str(address)
    return known


def alive(members: Iterable[Mapping[str, Any]], addresses: Iterable[str]) -> list[str]:
    """Return the names of the servers that gossip believes alive at none of these addresses."""
    return [
        str(it["Name"])
        for it in members
        if it["Tags"].get("role") == "consul" and it["Status"] == Status.ALIVE and it["Addr"] not in addresses
    ]


def overdue(unit: Unit, limit: float) -> str:
    """Return why a server that was away for more than `limit` seconds does not start, empty if it does.

    Raises LabError when its host cannot be asked.
    """
    if not unit.files(LAST_SEEN):
        return ""
    away = float(unit.now()) - json.loads(unit.read(LAST_SEEN))["last_seen_unix"]
    return refusal(unit.name, f"{unit.data}/{LAST_SEEN}", away, limit)


def refusal(name: str, file: str, away: float, limit: float) -> str:
    """Return why a server last seen `away` seconds ago does not start, and the remedy; empty if it does."""
    if away <= limit:
        return ""
    return (
        f"{name}: was last seen {away / DAY:.1f} days ago and refuses to start after {limit / DAY:g} "
        f"(server_rejoin_age_max). If its whole cluster was off as long, on {name}: sudo rm {file}; "
        f"sudo systemctl kill --signal=KILL {NAME}; sudo systemctl restart {NAME} (for a minute it heeds no "
        "other signal). "
        "If the others went on without it, empty its data directory instead."
    )


def _told(it: Survivor) -> str:
    """Return the facts of a survivor in words."""
    files = {
        "raft/peers.info": it.peers_info,
        "log or snapshot": it.raft_state,
        FILE: it.peers_json is not None,
    }
    there = ", ".join(f"{'' if is_there else 'no '}{name}" for name, is_there in files.items())
    runs = "runs" if it.running else "is stopped"
    return f"{it.name}: node-id {it.id or 'missing'}, raft at {it.peer}, {there}; Consul {runs}"


def _missing(unit: Unit, since: str, wanted: Sequence[str]) -> list[str]:
    """Return what is lacking of a recovery that is done."""
    said = unit.journal(since)
    return [line for line in wanted if line not in said] + ([f"{FILE} is there"] if unit.files(FILE) else [])


def _strangers(leader: Node, survivors: Iterable[Survivor]) -> list[str]:
    """Return the addresses by which raft's configuration and the survivors differ."""
    return sorted({peer.address for peer in leader.agent.peers()} ^ {it.peer for it in survivors})
