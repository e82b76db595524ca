"""What shows only after a long time. K3 is in failover/, K4 is `tools/lab repeat`; all are opt-in."""

from __future__ import annotations

import random
import statistics
import time

import pytest

from lab.faults import Faults, Kill, Terminate
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.invariants import violations
from lab.kv import KvLoad
from lab.proof import Proof
from lab.trial import hold_outages, judge
from lab.unit import Unit
from lab.waiting import wait_for

ROUNDS = 100
CHURN_SECONDS = 3600
MOST = 5
GROWTH = 1.2  # of the second half's median over the first's: what noise may make of a flat line (our choice)

pytestmark = pytest.mark.soak


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


def weight(lab: Lab, unit: Unit) -> dict[str, float]:
    """Return what an hour of churn must not make grow: descriptors, memory in KiB, processes."""
    pid = unit.pid()
    descriptors = unit.node.run("sudo", "sh", "-c", f"ls /proc/{pid}/fd | wc -l")
    memory = unit.node.run("ps", "-o", "rss=", "-p", str(pid))
    processes = lab.lb.run("sh", "-c", "ps -C haproxy -o pid= | wc -l")
    return {
        f"{unit.name}: descriptors of the agent": float(descriptors),
        f"{unit.name}: KiB of the agent": float(memory),
        "HAProxy processes": float(processes),
    }


@pytest.mark.timeout(CHURN_SECONDS + 600)
def test_an_hour_of_churn_leaves_nothing_behind(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """K2: Services come and go for an hour: all lists agree at every turn, and nothing grows."""
    dice = random.Random(CHURN_SECONDS)
    samples: dict[str, list[float]] = {}
    names: list[str] = []
    end = time.monotonic() + CHURN_SECONDS
    while time.monotonic() < end:
        names = turn(fleet, names, dice)
        wait_for(
            lambda: violations(lab),
            until=lambda found: not found,
            within=lab.topology.deadlines.loadbalancer,
            what="agreement",
        )
        for node in [*lab.servers, lab.lb, lab.docker]:
            for what, value in weight(lab, Unit(node)).items():
                samples.setdefault(what, []).append(value)

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
