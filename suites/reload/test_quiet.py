"""How often HAProxy reloads, and what a reload leaves behind: no more than the changes ask for."""

import time

import pytest

from lab.errors import LabError
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.load import Load, front
from lab.naive import BASE
from lab.proof import Proof
from lab.waiting import wait_for

from .conftest import Twins, held

RELOADS = 20
IDLE = 200
CHANGES, PACE = 100, 0.1
LEAST_PACE = 8  # changes a second


def test_old_processes_end_with_their_connections(lab: Lab, twins: Twins, proof: Proof) -> None:
    """H5: Of twenty reloads only the process that still holds a connection is left, and it ends with that.

    One whose connection never ends is bounded by `hard-stop-after`, which HAProxy was started with.
    """
    bound = f"hard-stop-after {lab.topology.haproxy.hard_stop_after:g}s"
    assert bound in lab.lb.run("docker", "exec", "haproxy", "cat", BASE)
    limit, left = lab.topology.deadlines.reload, 0
    longest = RELOADS * (lab.topology.deadlines.loadbalancer + limit)
    with Load(lab.client, front(lab), "-c", "1", seconds=int(longest) + 20) as load:
        wait_for(lambda: held(lab), lambda seen: seen == 1, within=10, what="the held connection")
        for _ in range(RELOADS):
            twins.reload()
            wait_for(
                lab.haproxy.old_workers, lambda pids: len(pids) == 1, within=limit, what="one old process"
            )
            left += 1

    begun = time.monotonic()
    wait_for(lab.haproxy.old_workers, lambda pids: not pids, within=limit, what="no old process")
    proof.within("old processes end after the connection", time.monotonic() - begun, limit, "choice")
    proof.note("reloads after each of which one old process was left", left)
    assert load.summary["lost"] == 0, load.summary["reasons"]


@pytest.mark.deepest
@pytest.mark.parametrize(
    "seconds",
    [
        30,
        pytest.param(300, marks=[pytest.mark.full, pytest.mark.timeout(600)]),
        pytest.param(1200, marks=[pytest.mark.soak, pytest.mark.timeout(1500)]),
    ],
)
def test_nothing_happens_while_nothing_changes(lab: Lab, fleet: Fleet, proof: Proof, seconds: int) -> None:
    """H7, L7: Without a change in Consul HAProxy never reloads, and idle connections live on.

    Each is used when it is opened, once in the first half of the time, and half of the time after that.
    """
    fleet.serve(2)
    before = lab.haproxy.reloads()
    words = ("-c", str(IDLE), "--interval", str(seconds / 2))
    with Load(lab.client, front(lab), *words, seconds=seconds + 5) as load:
        load.finish()

    proof.within("reloads", lab.haproxy.reloads() - before, 0, "consul-template#810", "")
    proof.within("idle connections lost", load.summary["lost"], 0, "the topology's idle_timeout", "")
    proof.note("each idle for", seconds / 2, "s")
    assert load.summary["held"]["alive_at_end"] == IDLE
    assert load.summary["held"]["pings_ok"] >= 3 * IDLE


def flap(twins: Twins) -> float:
    """Enter a twin and remove the elder in turn, ten changes a second; return how many seconds it took.

    No list comes twice, so that none can be taken for unchanged.
    """
    begun = time.monotonic()
    for number in range(CHANGES):
        while (early := begun + number * PACE - time.monotonic()) > 0:
            time.sleep(early)
        (twins.enter if number % 2 == 0 else twins.remove)()
    return time.monotonic() - begun


def test_a_flapping_service_does_not_make_haproxy_flap(lab: Lab, twins: Twins, proof: Proof) -> None:
    """H8: Ten changes a second make at most one reload for each quiet period, and the last one wins in time.

    The load meanwhile loses nothing.
    """
    facts, before = lab.topology.haproxy, lab.haproxy.reloads()
    twins.enter()
    with Load(lab.client, front(lab), "-c", "50", "--churn", "--rate", "100", seconds=120) as load:
        seconds, begun = flap(twins), time.monotonic()
        twins.settle()
        within = facts.wait_max + lab.topology.deadlines.answer
        proof.within("converged", time.monotonic() - begun, within, "N16")

    reloads = lab.haproxy.reloads() - before
    proof.note("changes a second", CHANGES / seconds)
    if CHANGES / seconds < LEAST_PACE:
        raise LabError(f"{CHANGES / seconds:.1f} changes a second: too few to test what ten do")
    proof.within("reloads", reloads, seconds / facts.wait_min + 1, "N16", "")
    proof.within("connections lost", load.summary["lost"], 0, "N15", "")
    if reloads < 2:
        raise LabError(f"the changes made {reloads} reloads: nothing was tested")
