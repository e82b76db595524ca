"""What shows only after a long time; all are opt-in. K3 is in failover/."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterable

import pytest

from lab.errors import NotRunError
from lab.faults import Faults, Kill, Terminate
from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import violations
from lab.kv import KvLoad
from lab.load import Load, front
from lab.proof import Proof
from lab.trial import hold_outages, judge
from lab.unit import Unit
from lab.waiting import wait_for

ROUNDS = 100
CHURN_SECONDS = 3600
MOST = 5
GROWTH = 1.2  # of the second half's median over the first's: what noise may make of a flat line (our choice)

pytestmark = pytest.mark.soak


def test_the_gate_says_the_same_twenty_times() -> None:
    """K4: The whole gate says the same of an unchanged lab twenty times."""
    raise NotRunError("a run cannot repeat itself: it is `make repeat N=20`")


@pytest.mark.timeout(3600)
def test_no_stale_read_over_a_hundred_restarts(lab: Lab, faults: Faults, proof: Proof) -> None:
    """K1: A hundred servers killed or restarted, one at a time: no read is stale, no write lost (#2644)."""
    dice = random.Random(len(lab.nodes))
    with KvLoad(lab, faults.history, [lab.lb, lab.docker]):
        for _ in range(ROUNDS):
            fault = dice.choice([Kill, Terminate])
            with faults.under(fault(dice.choice(lab.servers))):
                pass

    hold_outages(proof, faults.history, lab.topology.deadlines.election, "N2")
    judge(proof, faults.history)


def weight(lab: Lab, elder: str) -> dict[str, float]:
    """Return what an hour of churn must not make grow: descriptors, memory, processes, raft's files.

    `elder` is a service that was there from the beginning.
    """
    weights: dict[str, float] = {}
    for node in lab.agents:
        weights |= load_of(node, "agent", [Unit(node).pid()])
    for node, container in [
        (lab.lb, "haproxy"), (lab.lb, "registrator"), (lab.docker, "registrator"), (lab.docker, elder)
    ]:  # fmt: skip
        listed = node.run("docker", "top", container, "-eo", "pid").split()[1:]
        weights |= load_of(node, container, map(int, listed))
    for server in lab.servers:
        size = server.run("sudo", "du", "--summarize", f"{Unit(server).data}/raft")
        weights[f"{server.name}: KiB of raft"] = float(size.split()[0])
    return weights


def load_of(node: Node, what: str, pids: Iterable[int]) -> dict[str, float]:
    """Return how many some processes of a host are, their open descriptors and their memory."""
    ask = "for pid; do echo $(ls /proc/$pid/fd | wc -l) $(ps -o rss= -p $pid || echo 0); done"
    lines = node.run("sudo", "sh", "-c", ask, "-", *map(str, pids)).splitlines()
    descriptors, memory = zip(*(map(float, line.split()) for line in lines), strict=True)
    return {
        f"{node.name}: processes of {what}": float(len(lines)),
        f"{node.name}: descriptors of {what}": sum(descriptors),
        f"{node.name}: KiB of {what}": sum(memory),
    }


@pytest.mark.timeout(CHURN_SECONDS + 600)
def test_an_hour_of_churn_leaves_nothing_behind(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """K2: Services come and go for an hour under connections: all lists agree at every turn.

    No connection is lost, and nothing grows.
    """
    dice = random.Random(CHURN_SECONDS)
    samples: dict[str, list[float]] = {}
    names: list[str] = []
    (elder,) = fleet.serve()
    end = time.monotonic() + CHURN_SECONDS
    words = ("--churn", "--rate", "20")
    with Load(lab.client, front(lab), *words, seconds=CHURN_SECONDS + 300) as load:
        while time.monotonic() < end:
            names = turn(fleet, names, dice)
            wait_for(
                lambda: violations(lab),
                until=lambda found: not found,
                within=lab.topology.deadlines.loadbalancer,
                what="agreement",
            )
            for what, value in weight(lab, elder).items():
                samples.setdefault(what, []).append(value)

    proof.within("connections lost", load.summary["lost"], 0, "N15", "")
    for what, values in samples.items():
        half = len(values) // 2
        growth = statistics.median(values[half:]) / statistics.median(values[:half])
        proof.within(f"growth, {what}", growth, GROWTH, "choice", "")


def turn(fleet: Fleet, names: list[str], dice: random.Random) -> list[str]:
    """Launch or remove a few services and return the names that are left."""
    if names and dice.random() < len(names) / (2 * MOST):
        gone = dice.sample(names, dice.randint(1, len(names)))
        fleet.remove(*gone)
        return [name for name in names if name not in gone]
    return names + fleet.launch(dice.randint(1, MOST))
