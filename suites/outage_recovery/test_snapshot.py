"""A snapshot taken while the store is written holds one moment of it."""

from __future__ import annotations

from contextlib import ExitStack

from lab.checks import consistent_cut
from lab.history import History
from lab.hosts import Lab
from lab.ledger import Ledger, read
from lab.proof import Proof
from lab.snapshot import Snapshot
from lab.spare import Spare
from lab.trial import await_writes
from lab.waiting import wait_for

from .conftest import acknowledged

SNAPSHOTS = 3


def test_a_snapshot_under_load_is_the_store_of_one_moment(lab: Lab, history: History, proof: Proof) -> None:
    """O8: A snapshot taken under load and restored into a fresh cluster holds every write up to one moment.

    No acknowledged write is missing while a later one is there, none is there that began after the snapshot,
    and all that were acknowledged before it are. The fresh cluster is one server on the client's host.
    """
    with ExitStack() as stack:
        snapshots = [stack.enter_context(Snapshot(lab.lb)) for _ in range(SNAPSHOTS)]
        with Ledger(lab, history, lab.agents) as ledger:
            taken = []
            for snapshot in snapshots:
                await_writes(lab, history)
                taken.append(snapshot.save(history))
            await_writes(lab, history)
        lab.docker.agent.api.kv.delete(ledger.prefix, recurse=True)

        stack.enter_context(Spare(lab, bootstrap_expect=1, retry_join=[]))
        wait_for(lab.client.agent.leader, within=lab.topology.deadlines.election, what="the fresh cluster")
        for snapshot, operation in zip(snapshots, taken, strict=True):
            snapshot.send(lab.client.url())
            found = wait_for(
                lambda: read(lab.client, ledger.prefix),
                within=lab.topology.deadlines.election,
                what="the restored store",
            )
            proof.judge(consistent_cut(history, operation, found))
            assert int(snapshot.inspect()["Index"]) >= newest(history, found)


def newest(history: History, found: dict[str, str]) -> int:
    """Return the highest index of what was found."""
    return max(index for key, (_, index) in acknowledged(history).items() if key in found)
