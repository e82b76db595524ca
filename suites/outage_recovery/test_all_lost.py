"""All servers are lost with their disks: a snapshot brings the store back, and the agents bring the rest."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import pytest
import requests

from lab.faults import Faults, Wipe
from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import violations
from lab.proof import Proof
from lab.snapshot import Snapshot
from lab.start import await_death, outgrow
from lab.stored import Stored
from lab.unit import Unit, stopped
from lab.waiting import wait_for

from .conftest import lacking

WAIT = 10  # seconds that a blocking query may block
LONGEST = WAIT * (1 + 1 / 16)  # Consul adds up to a sixteenth
RETRY = 0.2


class Follower:
    """A client that follows a key by blocking queries through one agent, while the body of a `with` goes on.

    As Consul's documentation wants it: an index that went back is forgotten (N17).
    """

    def __init__(self, node: Node, key: str) -> None:
        """Take the agent's host and the key."""
        self._url = f"{node.url()}/v1/kv/{key}"
        self._limit = WAIT + node.limits.operation
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.value = ""
        self.resets = 0

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, at the latest when the query that is under way has."""
        self._over.set()
        self._thread.join(self._limit)

    def _follow(self) -> None:
        index = 0
        while not self._over.is_set():
            try:
                answer = requests.get(
                    self._url, {"index": str(index), "wait": f"{WAIT}s", "raw": ""}, timeout=self._limit
                )
                shown = int(answer.headers["X-Consul-Index"])
            except (OSError, LookupError):
                self._over.wait(RETRY)
                continue
            self.resets += shown < index
            index = 0 if shown < index else shown
            self.value = answer.text if answer.ok else ""


@pytest.mark.full
@pytest.mark.destructive
def test_everything_lost_is_restored_from_a_snapshot(
    lab: Lab, faults: Faults, fleet: Fleet, proof: Proof, stored: Stored
) -> None:
    """O5: With every server and disk lost, new servers and a snapshot have the store again, exactly.

    The services in the catalog are those that run now, not those of the snapshot; a client that follows a key
    by blocking queries, and HAProxy through consul-template, go on.
    """
    limits = lab.topology.deadlines
    first, *_ = fleet.serve(2)
    key = stored.add(lab.docker, "followed")

    with Snapshot(lab.lb) as snapshot, Follower(lab.docker, key) as follower:
        before = everything(lab.docker)
        snapshot.save(faults.history)
        lab.docker.agent.api.kv.put(key, "after the snapshot")
        fleet.serve(1)
        fleet.remove(first)
        fleet.settle()
        wait_for(
            lambda: follower.value == "after the snapshot", within=limits.answer, what="the followed key"
        )

        with faults.under(Wipe(*lab.servers)), stopped(lab.lb, lab.docker):
            # They would tell the new servers of the old ones, which had the same addresses.
            redeploy(lab, proof)
            snapshot.send(lab.leader().url())
            outgrow(lab.servers[0])  # what comes now is not at an index that the lost cluster had
            assert everything(lab.servers[0]) == before
            for server in lab.servers:
                rejoin(lab, server)
            begun = time.monotonic()
        wait_for(
            lambda: violations(lab),
            until=lambda found: not found,
            within=limits.recovery + limits.anti_entropy,
            what="the services that run, everywhere",
        )
        proof.within("services are those that run", time.monotonic() - begun, limits.anti_entropy, "N9")
        assert everything(lab.docker) == before
        # Its index is one that only the lost cluster had: it learns that when its query's time is up.
        begun = time.monotonic()
        wait_for(lambda: follower.value == stored.values[key], within=WAIT + limits.recovery, what=key)
        proof.within(
            "a client sees the store go back", time.monotonic() - begun, LONGEST + 3 * limits.answer, "N17"
        )
        assert follower.resets

        lab.docker.agent.api.kv.put(key, "after the restore")
        begun = time.monotonic()
        wait_for(lambda: follower.value == "after the restore", within=WAIT + limits.recovery, what=key)
        proof.within("a client sees a change", time.monotonic() - begun, limits.answer, "our choice")

    fleet.launch(1)
    begun = time.monotonic()
    fleet.settle()
    allowed = limits.discovery + limits.loadbalancer
    proof.within("HAProxy follows a change", time.monotonic() - begun, allowed, "N14 + N16")


def redeploy(lab: Lab, proof: Proof) -> None:
    """Start servers that have nothing, and write something that the snapshot does not hold."""
    limit, begun = lab.topology.deadlines.recovery, time.monotonic()
    for server in lab.servers:
        Unit(server).start()
    leader = wait_for(lab.leader, within=limit, what="a leader of new servers")
    proof.note("leader of new servers", time.monotonic() - begun, "s")
    wait_for(
        lambda: leader.agent.api.kv.put("consul-demo/of the new servers", "x"), within=limit, what="a write"
    )


def rejoin(lab: Lab, server: Node) -> None:
    """Let a server be missed and come back: the catalog of the snapshot has its name for another node-id."""
    Unit(server).stop()
    await_death([server], [it for it in lab.servers if it is not server])
    Unit(server).start()
    wait_for(
        lambda: lacking(lab),
        until=lambda found: not [it for it in found if it.startswith(server.name)],
        within=lab.topology.deadlines.recovery,
        what=f"{server.name} a voter, under its own id",
    )


def everything(node: Node) -> list[dict[str, Any]]:
    """Return all entries of the store, with their indexes and flags."""
    _, entries = node.agent.api.kv.get("", recurse=True, consistency="consistent")
    return list(entries or ())
