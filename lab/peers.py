"""Outage recovery: the raft/peers.json for the servers that survived, and what is wrong before they restart.

Consul compares that file with nothing: it accepts a wrong id or port in silence, and on a server that it
takes for a fresh one it deletes the file unread. So all of it is compared here, and before the restart, with
facts gathered on the servers. The format is that of raft protocol 3.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILE = "raft/peers.json"
FIELDS = {"id": str, "address": str, "non_voter": bool}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ANEW = f"Write {FILE} anew, the same on every survivor."


class PeersError(Exception):
    """The servers cannot be recovered as they are: one line for each reason, with its remedy."""


@dataclass(frozen=True)
class Survivor:
    """What was found on one server that is to come back; paths are below its data directory."""

    name: str
    node_id: str  # the content of node-id, empty if the file is missing
    address: str  # the IP that the other servers know it by
    rpc_port: int
    peers_info: bool  # raft/peers.info is there
    raft_state: bool  # raft/ holds a log (wal/ or raft.db) or a snapshot
    peers_json: str | None  # the content of raft/peers.json, None if the file is missing
    running: bool

    @property
    def id(self) -> str:
        """Return the id that raft knows this server by."""
        return self.node_id.strip().lower()

    @property
    def peer(self) -> str:
        """Return the address that raft knows this server by."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.rpc_port}"


@dataclass(frozen=True)
class Peer:
    """One entry of peers.json."""

    id: str
    address: str
    non_voter: bool = False


def build(survivors: Sequence[Survivor]) -> str:
    """Return the peers.json that makes `survivors`, and nobody else, the voters of the cluster.

    Raises PeersError when they are unfit for it.
    """
    reasons = unfit(survivors)
    if reasons:
        raise PeersError("\n".join(reasons))
    peers = sorted((Peer(it.id, it.peer) for it in survivors), key=lambda it: it.address)
    return json.dumps([asdict(it) for it in peers], indent=2) + "\n"


def unfit(survivors: Sequence[Survivor]) -> list[str]:
    """Return why no peers.json can help these servers: for each reason a sentence and its remedy."""
    if not survivors:
        return ["No server survived with its data. Deploy new ones and restore a snapshot."]
    reasons = [f"{it.name}: {reason}" for it in survivors for reason in _unfit(it)]
    for what, owners in (
        ("node-id", [it.id for it in survivors]),
        ("address", [it.peer for it in survivors]),
    ):
        reasons += [
            f"{count} survivors have the {what} {value}, which must be unique. Leave the cloned server out."
            for value, count in Counter(owners).items()
            if count > 1
        ]
    return reasons


def refuse(survivors: Sequence[Survivor]) -> list[str]:
    """Return why these servers must not be started now: for each reason a sentence and its remedy.

    Every survivor must be fit and have the same peers.json, which lists all of them and nobody else.
    """
    reasons = unfit(survivors)
    lists = []
    for survivor in survivors:
        try:
            peers = _parse(survivor.peers_json)
        except PeersError as error:
            reasons.append(f"{survivor.name}: {error}")
        else:
            lists.append(frozenset(peers))
            reasons += (f"{survivor.name}: {FILE} {why} {ANEW}" for why in _wrong(peers, survivors))
    if len(set(lists)) > 1:
        reasons.append(f"The survivors' {FILE} differ: each list would found a cluster of its own. {ANEW}")
    return reasons


def _unfit(survivor: Survivor) -> Iterator[str]:
    """Yield what prevents a single server from being recovered by peers.json."""
    if survivor.running:
        yield f"Consul is running and reads {FILE} only when it starts. Stop Consul on every survivor first."
    if not survivor.peers_info:
        yield (
            f"raft/peers.info is missing: Consul takes the server for a fresh one and deletes {FILE} unread. "
            "If the data is complete, put raft/peers.info back (an empty file will do)."
        )
    if not survivor.raft_state:
        yield (
            "raft/ holds neither log nor snapshot: with nothing to recover Consul would refuse to start. "
            "Leave the server out, empty its data directory and let it join afterwards as a new one."
        )
    if not UUID.fullmatch(survivor.id):
        yield f"node-id holds {survivor.id!r}, which is no UUID. Put the server's own node-id back."
    try:
        ipaddress.ip_address(survivor.address)
    except ValueError:
        yield f"{survivor.address!r} is no IP address. Name the one that it advertises to the other servers."


def _parse(text: str | None) -> list[Peer]:
    """Return the entries of a peers.json. Raises PeersError at the first that is malformed."""
    if text is None:
        raise PeersError(f"{FILE} is missing: the server would start with the old list of peers. {ANEW}")
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise PeersError(f"{FILE} is no JSON ({error}). {ANEW}") from error
    if not isinstance(entries, list):
        raise PeersError(f"{FILE} holds no array. {ANEW}")
    return [_entry(it) for it in entries]


def _entry(entry: object) -> Peer:
    if not isinstance(entry, dict):
        raise PeersError(
            f"{FILE} lists {json.dumps(entry)} where raft protocol 3 wants an object with id, address and "
            f"non_voter. {ANEW}"
        )
    for key, value in entry.items():
        if key not in FIELDS:
            raise PeersError(f"{FILE} has the key {key!r}, which is none of {', '.join(FIELDS)}. {ANEW}")
        if not isinstance(value, FIELDS[key]):
            raise PeersError(f"{FILE} has {json.dumps(value)} for {key}. {ANEW}")
    for key in ("id", "address"):
        if not entry.get(key):
            raise PeersError(f"{FILE} has an entry without {key}. {ANEW}")
    return Peer(**entry)


def _wrong(peers: Sequence[Peer], survivors: Sequence[Survivor]) -> Iterator[str]:
    """Yield where a well-formed list is not that of the survivors."""
    if all(peer.non_voter for peer in peers):
        yield "lists no voter."
    for key, values in (("id", [it.id for it in peers]), ("address", [it.address for it in peers])):
        twice = [value for value, count in Counter(values).items() if count > 1]
        yield from (f"lists the {key} {value} twice." for value in twice)
    for peer in peers:
        yield from _mismatch(peer, survivors)
    listed = {it.id for it in peers} | {it.address for it in peers}
    for survivor in survivors:
        if not listed & {survivor.id, survivor.peer}:
            yield f"does not list {survivor.name} ({survivor.id}, {survivor.peer}), which survived."


def _mismatch(peer: Peer, survivors: Sequence[Survivor]) -> Iterator[str]:
    """Yield how an entry contradicts the server that it seems to mean."""
    by_id = next((it for it in survivors if it.id == peer.id), None)
    by_address = next((it for it in survivors if it.peer == peer.address), None)
    if by_id is not None and by_id is not by_address:
        yield f"gives {by_id.name} the address {peer.address}, but its raft is at {by_id.peer}."
    elif by_id is None and by_address is not None:
        yield f"gives {by_address.name} the id {peer.id}, but its node-id is {by_address.id}."
    elif by_id is None:
        yield f"lists {peer.id} at {peer.address}, which did not survive: its vote would be waited for."
