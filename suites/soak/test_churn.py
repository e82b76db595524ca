"""An hour in which services come and go: what is left behind would show."""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

import pytest

from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import violations
from lab.load import Load, front
from lab.proof import Proof
from lab.unit import Unit
from lab.waiting import wait_for

HOUR = 3600
MOST = 5  # services that are launched in one turn
TURNS = HOUR / 10  # at least: one took 4 to 5 s
RATE = 20  # connections a second
OPENED = 0.9 * RATE * HOUR  # at least
WARM = 0.25  # of the hour: caches fill before anything can be flat
GROWTH = 0.2  # over the hour, as a part of the median: what noise may make of a flat line (our choice)

pytestmark = pytest.mark.soak


Part = tuple[Node, str]  # of the stack: a host, and what runs there
Weights = dict[str, dict[Part, int]]  # by their kind


def processes(lab: Lab, elder: str) -> dict[Part, list[int]]:
    """Return the processes that outlive all churn, and HAProxy's workers, the eldest of each part first.

    `elder` is a service that was there from the beginning.
    """
    found: dict[Part, list[int]] = defaultdict(list)
    for node in lab.agents:
        found[node, "consul"] = [Unit(node).pid()]
    for node, container, commands in [
        (lab.lb, "haproxy", {"haproxy", "consul-template"}),
        (lab.lb, "registrator", {"python3"}),
        (lab.docker, "registrator", {"python3"}),
        (lab.docker, elder, {"python3"}),
    ]:
        listing = node.run("docker", "top", container, "-eo", "pid,comm", "--sort=start_time")
        for line in listing.splitlines()[1:]:
            pid, command = line.split(maxsplit=1)
            if command in commands:
                found[node, f"{command} of {container}"].append(int(pid))
    return found


def eldest(found: dict[Part, list[int]]) -> dict[str, int]:
    """Return the eldest process of each part, named: HAProxy's is the master, which outlives its workers."""
    return {f"{what} on {node.name}": pids[0] for (node, what), pids in found.items()}


def weigh(lab: Lab, elder: str) -> Weights:
    """Return what must not grow: how many processes, their descriptors and their memory that is no file's."""
    weights: Weights = defaultdict(dict)
    for part, pids in processes(lab, elder).items():
        weights["processes"][part] = len(pids)
        weights["descriptors"][part], weights["KiB"][part] = load_of(part[0], pids)
    return weights


def load_of(node: Node, pids: Sequence[int]) -> tuple[int, int]:
    """Return the open descriptors and the KiB of anonymous memory of processes; who has ended has none."""
    ask = (
        "for pid; do echo $(ls /proc/$pid/fd 2>/dev/null | wc -l)"
        " $(sed -n 's/^RssAnon:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$pid/status 2>/dev/null) 0; done"
    )
    lines = node.run("sudo", "sh", "-c", ask, "-", *map(str, pids)).splitlines()
    each = [line.split()[:2] for line in lines]
    return sum(int(count) for count, _ in each), sum(int(kib) for _, kib in each)


def behind(server: Node) -> tuple[int, int]:
    """Return how many entries raft has logged since its last snapshot, and after how many it takes one."""
    said = server.agent.api.agent.self()
    raft, threshold = said["Stats"]["raft"], said["DebugConfig"]["RaftSnapshotThreshold"]
    return int(raft["last_log_index"]) - int(raft["last_snapshot_index"]), int(threshold)


def growth(times: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much a line through the values rises in an hour, as a part of their median."""
    return statistics.linear_regression(times, values).slope * HOUR / statistics.median(values)


@pytest.mark.timeout(HOUR + 600)
def test_an_hour_of_churn_leaves_nothing_behind(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """K2: Services come and go for an hour under connections: all lists agree at every turn.

    No connection is lost, no process begins anew but HAProxy's workers, none grows, raft's log is compacted,
    and of what is gone neither a container nor an entry in the catalog stays.
    """
    limits = lab.topology.deadlines
    names: list[str] = []
    samples: list[tuple[float, Weights]] = []
    agreed: list[float] = []
    (elder,) = fleet.serve()
    before, end = eldest(processes(lab, elder)), time.monotonic() + HOUR
    with Load(lab.client, front(lab), "--churn", "--rate", str(RATE), seconds=HOUR + 300) as load:
        while time.monotonic() < end:
            names, begun = turn(fleet, names), time.monotonic()
            # Longer than it takes the lists: an election beside it is not what is asked here.
            wait_for(
                lambda: violations(lab), lambda found: not found, within=limits.recovery, what="agreement"
            )
            agreed.append(time.monotonic() - begun)
            samples.append((time.monotonic() - end + HOUR, weigh(lab, elder)))

    proof.note("turns", len(agreed))
    proof.note("all lists agree, longest", max(agreed), "s")
    allowed = limits.discovery + limits.loadbalancer
    proof.within("all lists agree, median", statistics.median(agreed), allowed, "N14, N16")
    proof.note("connections", load.summary["attempts"])
    proof.within("connections lost", load.summary["lost"], 0, "N15", "")
    hold_growth(proof, [sample for sample in samples if sample[0] > WARM * HOUR])
    for server in lab.servers:
        entries, threshold = behind(server)
        proof.within(f"{server.name}: entries since the last snapshot", entries, 2 * threshold, "choice", "")
    assert eldest(processes(lab, elder)) == before
    assert leftovers(lab) == []
    assert len(agreed) >= TURNS
    assert load.summary["attempts"] >= OPENED


def turn(fleet: Fleet, names: list[str]) -> list[str]:
    """Launch or remove a few services and return the names that are left."""
    if names and random.random() < len(names) / (2 * MOST):
        gone = random.sample(names, random.randint(1, len(names)))
        fleet.remove(*gone)
        return [name for name in names if name not in gone]
    return names + fleet.launch(random.randint(1, MOST))


def hold_growth(proof: Proof, samples: Sequence[tuple[float, Weights]]) -> None:
    """Tell what grew most of each kind of weight, and hold that to GROWTH. Raises AssertionError."""
    times = [moment for moment, _ in samples]
    most: dict[str, float] = {}
    for kind, parts in samples[0][1].items():
        rises = {part: growth(times, [weights[kind][part] for _, weights in samples]) for part in parts}
        node, what = part = max(rises, key=lambda it: rises[it])
        most[kind] = rises[part]
        proof.note(f"{kind}, an hour's growth of {what} on {node.name}, the most", most[kind])
    for kind, rise in most.items():
        proof.within(f"{kind}, most growth", rise, GROWTH, "choice", "")


def leftovers(lab: Lab) -> list[str]:
    """Return, in words, ended containers of services and information services that nothing runs for."""
    services = lab.topology.services
    words = f"docker ps --all --filter name=^{services.echo}\\. --format".split()
    listing = lab.docker.run(*words, "{{.Names}} {{.State}}")
    ended = [line for line in listing.splitlines() if not line.endswith(" running")]
    agent = lab.docker.agent
    more = len(agent.catalog(services.info)) - len(agent.catalog(services.echo))
    return [*ended, *([f"{more} more of {services.info} than of {services.echo}"] if more else [])]
