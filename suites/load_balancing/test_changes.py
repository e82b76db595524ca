"""Under load instances come, go and crash, and Consul itself is away: what it costs, and when it is over."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial

import pytest

from lab.errors import NotRunError
from lab.faults import Faults, Terminate
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.invariants import violations
from lab.load import Load, front
from lab.proof import Proof
from lab.waiting import lapse, wait_for

from .conftest import counts, serving

AT_ONCE = 8
STREAM = ("--churn", "--rate", "200", "--concurrency", str(AT_ONCE))
HELD = 60


def stream(lab: Lab) -> Load:
    """Return 200 short connections a second, to be used in a `with`."""
    return Load(lab.client, front(lab), *STREAM, seconds=120)


def flowing(lab: Lab, names: list[str]) -> None:
    """Wait until the services have got some hundred connections of a stream."""
    total = partial(counts, lab, names, "total")
    served = sum(total().values())
    wait_for(
        total, until=lambda now: sum(now.values()) > served + 300, within=20, what="300 more connections"
    )


def ages(lab: Lab, names: list[str]) -> list[float]:
    """Return for how many seconds each service has run, by the clock of its host."""
    inspect = "docker inspect --format '{{.State.StartedAt}}' " + " ".join(names)
    said = lab.docker.run("sh", "-c", f"{inspect} && date --utc +%FT%T.%NZ")
    *started, now = map(datetime.fromisoformat, said.split())
    return [(now - it).total_seconds() for it in started]


def reached(lab: Lab, names: list[str], proof: Proof) -> None:
    """Wait until each of the services, launched just now, has got a connection, and hold the times.

    Each one's begins with its container: launch.sh returns when the last of several runs.
    """
    within = lab.topology.deadlines.register + lab.topology.haproxy.wait_max
    first: dict[str, float] = {}

    def found() -> int:
        for name, total in counts(lab, names, "total").items():
            if total:
                first.setdefault(name, time.monotonic())
        return len(first)

    everyone = f"a connection to each of {len(names)} new instances"
    wait_for(found, until=lambda number: number == len(names), within=within, what=everyone)
    now = time.monotonic()
    times = [age - (now - first[name]) for name, age in zip(names, ages(lab, names), strict=True)]
    proof.within(f"slowest of {len(names)} new reached", max(times), within, "choice, N16")


def unlisted(lab: Lab, names: list[str], proof: Proof) -> None:
    """Wait until HAProxy has none of the services, whose removal has just begun, and hold the time."""
    begun, within = time.monotonic(), lab.topology.deadlines.register + lab.topology.haproxy.wait_max
    wait_for(
        lambda: {name.split(":")[1] for name in lab.haproxy.servers()},
        until=lambda listed: not listed & set(names),
        within=lab.topology.deadlines.loadbalancer + lab.topology.deadlines.removal,
        what=f"HAProxy without {', '.join(names)}",
    )
    proof.within(f"{len(names)} removed get nobody", time.monotonic() - begun, within, "choice, N16")


def shares_of_held(lab: Lab, names: list[str]) -> dict[str, int]:
    """Return how many held connections each service has, once all are there."""
    return wait_for(
        partial(counts, lab, names, "conns"),
        until=lambda now: sum(now.values()) == HELD,
        within=10,
        what=f"{HELD} held",
    )


def test_more_instances_are_reached_in_time(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """L3: From one instance to five under load: each new one gets connections in time, and none is lost."""
    first = fleet.serve()
    with stream(lab) as load:
        flowing(lab, first)
        reached(lab, fleet.launch(4), proof)

    proof.within("connections lost", load.summary["lost"], 0, "L3", "")
    assert load.summary["classes"]["ok"] > 300


def test_fewer_instances_cost_only_what_they_held(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """L3: From five instances to two under load: nobody new finds the removed, and no other suffers."""
    gone = fleet.serve(5)[:3]
    names = serving(fleet)
    with Load(lab.client, front(lab), "-c", str(HELD), seconds=120) as hold:
        shares = shares_of_held(lab, names)
        with stream(lab) as load:
            flowing(lab, names)
            begun = time.monotonic()
            with ThreadPoolExecutor(1) as pool:
                removal = pool.submit(fleet.remove, *gone)
                unlisted(lab, gone, proof)
                removal.result()
            fleet.settle()
            proof.note("three removed, told and drained", time.monotonic() - begun, "s")
            flowing(lab, serving(fleet))

    proof.note("held by the removed", sum(shares[name] for name in gone))
    others = abs(hold.summary["lost"] - sum(shares[name] for name in gone))
    proof.within("held by others and lost", others, 0, "L3", "")
    proof.within("new connections lost", load.summary["lost"], 0, "L3", "")


@contextmanager
def deaf(lab: Lab) -> Iterator[None]:
    """Freeze registrator on the docker host: Consul's and HAProxy's own checks are all that is left."""
    lab.docker.run("docker", "pause", "registrator")
    try:
        yield
    finally:
        lab.docker.run("docker", "unpause", "registrator")


def crash(lab: Lab, fleet: Fleet, victim: str, proof: Proof) -> None:
    """Kill a service and hold the time until HAProxy sends nobody there any more."""
    facts = lab.topology.haproxy
    within = (facts.check_fall + 1) * facts.check_interval + lab.topology.deadlines.answer
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(fleet.kill, victim)  # which also waits until nothing is left of the container
        wait_for(
            lambda: {name.split(":")[1] for name, server in lab.haproxy.servers().items() if server.up},
            until=lambda up: victim not in up,
            within=within,
            what=f"{victim} out of HAProxy",
        )
        took = time.monotonic() - begun
        killing.result()
    proof.within("crashed one out of HAProxy", took, within, "N14")


@pytest.mark.parametrize("told", [True, False], ids=["told by registrator", "told by nobody"])
def test_a_crash_costs_only_its_own_connections(lab: Lab, fleet: Fleet, proof: Proof, told: bool) -> None:
    """L4: A killed backend loses what it held and nothing else: nobody new is refused or waits in vain.

    Short connections may lose those that were under way on it, one for each that the client opens at once.
    """
    victim = fleet.serve(3)[0]
    names = serving(fleet)
    with Load(lab.client, front(lab), "-c", str(HELD), seconds=60) as hold:
        held = shares_of_held(lab, names)
        with stream(lab) as load:
            flowing(lab, names)
            if told:
                crash(lab, fleet, victim, proof)
            else:
                with deaf(lab):
                    crash(lab, fleet, victim, proof)
                    flowing(lab, [name for name in names if name != victim])
            fleet.settle()

    classes = load.summary["classes"]
    in_vain = classes["refused"] + classes["timeout_connect"] + classes["timeout_reply"]
    others = abs(hold.summary["lost"] - held[victim])
    proof.within("held by others and lost", others, 0, "L4", "")
    proof.within("under way on it and lost", load.summary["lost"], AT_ONCE, "what is opened at once", "")
    proof.within("refused or in vain", in_vain, 0, "N14", "")
    assert classes["ok"] > 300


def test_without_instances_a_connection_fails_at_once(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """L5: With the last backend gone nobody hangs, and the first one that is back is served in time."""
    last = fleet.serve()
    if serving(fleet) != last:
        raise NotRunError("echo services that are not the test's own run here: none of its own is the last")
    fleet.kill(*last)
    wait_for(
        lambda: [server for server in lab.haproxy.servers().values() if server.up],
        until=lambda up: not up,
        within=lab.topology.deadlines.loadbalancer,
        what="no server up",
    )
    with Load(lab.client, front(lab), "--churn", "--count", "50", "--concurrency", "5", seconds=30) as load:
        load.finish()
    with stream(lab):
        reached(lab, fleet.launch(), proof)

    slowest = max(loss["age"] for loss in load.summary["losses"]) / 1e9
    proof.within("slowest failure", slowest, lab.topology.haproxy.connect_timeout, "timeout connect")
    assert load.summary["lost"] == load.summary["attempts"] == 50


@pytest.mark.deepest
@pytest.mark.parametrize(
    "seconds", [10, pytest.param(305, marks=[pytest.mark.full, pytest.mark.timeout(600)])]
)
def test_haproxy_serves_on_without_consul(
    lab: Lab, fleet: Fleet, faults: Faults, proof: Proof, seconds: int
) -> None:
    """L6: Every agent of Consul away, in full depth for longer than consul-template's 304 s: none is lost.

    What changed meanwhile is right soon after Consul is back.
    """
    fleet.serve(2)
    words, limits = ("-c", "50", "--churn", "--rate", "100"), lab.topology.deadlines
    with Load(lab.client, front(lab), *words, seconds=seconds + 240) as load:
        with faults.under(Terminate(*lab.agents)):
            fleet.launch()
            lapse(seconds, "Consul away")
            begun = time.monotonic()
        within = limits.election + limits.reconverge
        wait_for(lambda: violations(lab), lambda found: not found, within=within, what="the change served")
        proof.within("agents started to the change is served", time.monotonic() - begun, within, "N2 + N16")

    proof.note("without Consul", seconds, "s")
    proof.note("attempts", load.summary["attempts"])
    proof.within("connections lost", load.summary["lost"], 0, "N16", "")
    assert load.summary["held"]["alive_at_end"] == 50
