"""What every outage starts from, and ways to ask whether the cluster is whole again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.history import OK, WRITE, History
from lab.hosts import Lab, Node
from lab.plugin import WANTED
from lab.proof import Proof
from lab.topology import ROOT
from lab.waiting import wait_for


@pytest.fixture
def all_vote(lab: Lab, proof: Proof) -> Callable[[str, float], None]:
    """Wait until each server is a healthy voter with all data, and hold the time since `begun` to the limit.

    N2 for an election, N5 for a failure to be seen, N7 for autopilot's patience with a new server.
    """
    limits = lab.topology.deadlines
    allowed = limits.election + limits.members + limits.stabilisation

    def wait(what: str, begun: float) -> None:
        wait_for(lambda: lacking(lab), until=lambda found: not found, within=limits.recovery, what=what)
        proof.within(what, time.monotonic() - begun, allowed, "N2 + N5 + N7")

    return wait


def lacking(lab: Lab) -> list[str]:
    """Return what keeps the servers from being three healthy voters with all that was written so far.

    Those with a node-id of their own that is not a healthy voter's, or is not the catalog's for their name,
    and those that have not applied yet what the leader had committed.
    """
    leader = lab.leader()
    raft = leader.agent.raft()
    committed = int(raft["commit_index"])
    health = leader.agent.api.operator.autopilot_health()["Servers"]
    votes = {it["Name"]: it["ID"] for it in health if it["Voter"] and it["Healthy"]}
    catalog = leader.agent.catalog_ids()
    said = {it.name: it.agent.api.agent.self() for it in lab.servers}
    own = {name: it["Config"]["NodeID"] for name, it in said.items()}
    behind = [name for name, it in said.items() if int(it["Stats"]["raft"]["applied_index"]) < committed]
    return [
        *(f"{it.name} hears of no leader" for it in lab.servers if not it.agent.follows(raft["term"])),
        *(f"{name} is behind" for name in behind),
        *(f"{name} does not vote" for name, number in own.items() if votes.get(name) != number),
        *(f"{name} has another id in the catalog" for name, number in own.items() if catalog[name] != number),
    ]


def follower(lab: Lab) -> Node:
    """Return a server that does not lead."""
    leader = lab.leader()
    return next(server for server in lab.servers if server is not leader)


def acknowledged(history: History) -> dict[str, tuple[str | None, int]]:
    """Return the value and index of each key whose write was acknowledged so far."""
    return {
        it.key: (it.value, it.index) for it in history.operations() if it.action == WRITE and it.result is OK
    }


Recover = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def recover(pytestconfig: pytest.Config) -> Recover:
    """Run `tools/lab recover` for some survivors, with further words, as an operator does."""
    options = {name: pytestconfig.getoption(name) for name in ("--topology", "--ssh-config")}
    given = {name: [name, str(Path(file).resolve())] if file else [] for name, file in options.items()}

    def run(survivors: list[Node], *words: str) -> subprocess.CompletedProcess[str]:
        specs = ",".join(pytestconfig.stash[WANTED][survivor.name] for survivor in survivors)
        command = [*given["--topology"], "recover", "--servers", specs, *given["--ssh-config"], *words]
        return subprocess.run(
            [sys.executable, "-m", "tools.operate", *command],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run
