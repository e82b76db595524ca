"""HAProxy takes new lists of servers without losing one connection."""

import logging
import re
from typing import Any

import pytest

from lab.errors import LabError
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.load import Load
from lab.naive import NaiveHaproxy
from lab.waiting import wait_for

LOG = logging.getLogger(__name__)

HELD = 5000
CYCLES = 10
RELOADS = 2 * CYCLES
BURST = ("--churn", "--concurrency", "256")
# Naive reloads of so many bursts lose thousands; fewer than this, and the load or the control is not right.
VISIBLE = 100
# A first packet that was lost is sent again after a second.
SLOW_CONNECT = 900
SILENT = ("Tcp.RetransSegs", "TcpExt.TCPSynRetrans", "Tcp.EstabResets", "Tcp.AttemptFails")


def front(lab: Lab) -> str:
    """Return where the load goes."""
    return f"{lab.lb.address}:{lab.topology.ports.haproxy_front}"


def inode(lab: Lab) -> str:
    """Return the kernel's number of the listening socket of HAProxy's front port."""
    listing = lab.lb.run("sudo", "ss", "-ltneH", f"sport = :{lab.topology.ports.haproxy_front}")
    found = re.findall(r"\bino:(\d+)", listing)
    assert len(found) == 1, listing
    return str(found[0])


def sessions(lab: Lab) -> int:
    """Return how many connections the current worker ever sent to the servers it has now."""
    return sum(server.sessions for server in lab.haproxy.servers().values())


def moved(summary: dict[str, Any]) -> dict[str, int]:
    """Return the counters of lost packets and connections that rose in the client's kernel."""
    counters = summary["counters"]["client"]
    return {name: counters[name] for name in SILENT if counters[name]}


def reload_by(lab: Lab, fleet: Fleet, worker: int, *removed: str) -> tuple[int, list[str]]:
    """Launch a service, or remove those named, and return the new worker's pid and what was launched."""
    launched: list[str] = []
    if removed:
        fleet.remove(*removed)
    else:
        launched = fleet.launch()
    fleet.settle()
    limit = lab.topology.deadlines.reload
    fresh = wait_for(lab.haproxy.worker, until=lambda pid: pid != worker, within=limit, what="a new worker")
    return fresh, launched


@pytest.fixture
def sighted(lab: Lab, fleet: Fleet) -> None:
    """Show that the load sees a loss: the same bursts lose connections over as many naive reloads.

    Raises LabError when they lose fewer than VISIBLE: then no loss of the real one says nothing.
    """
    fleet.serve(3)
    with NaiveHaproxy(lab) as naive, Load(lab.client, naive.target, *BURST, seconds=90) as load:
        naive.await_load(100, within=20)
        for _ in range(RELOADS):
            naive.reload()

    lost, tried = load.summary["lost"], load.summary["attempts"]
    LOG.info("naive: lost %d of %d in %.1f s", lost, tried, load.summary["seconds"])
    if lost < VISIBLE:
        raise LabError(
            f"the control is blind: {RELOADS} naive reloads lost only {lost} of {tried} connections"
        )


@pytest.mark.usefixtures("sighted", "quiet_client")
def test_no_connection_is_lost_over_twenty_reloads(lab: Lab, fleet: Fleet) -> None:
    """5,000 held connections live and 256 opens at a time succeed through 20 reloads, each a new worker.

    The opens come in bursts without pause, because what a lossy reload loses is what waits in the accept
    queue: a smooth load is blind to it. The client's kernel must say the same as its accounts: TCP sends a
    lost packet again and no account shows it, but the counters and the slowest connect do.
    """
    workers = [lab.haproxy.worker()]
    with Load(lab.client, front(lab), "-c", str(HELD), *BURST, seconds=240) as load:
        under_way = HELD + 1000
        wait_for(
            lambda: sessions(lab), lambda seen: seen >= under_way, within=30, what="all held and a burst"
        )
        for _ in range(CYCLES):
            worker, launched = reload_by(lab, fleet, workers[-1])
            workers.append(worker)
            worker, _ = reload_by(lab, fleet, worker, *launched)
            workers.append(worker)

    churn, connect = load.summary["by_kind"]["churn"], load.summary["latency_ms"]["connect"]
    LOG.info(
        "%d opened in %.1f s, slowest in %g ms", churn["attempts"], load.summary["seconds"], connect["max"]
    )
    assert len(set(workers)) > RELOADS
    assert load.summary["lost"] == 0, (load.summary["reasons"], load.summary["losses"], moved(load.summary))
    assert load.summary["verdict"] == "nothing_lost", load.summary["doubts"]
    assert load.summary["held"]["alive_at_end"] == HELD
    assert churn["ok"] > 1000
    assert moved(load.summary) == {}
    assert connect["max"] < SLOW_CONNECT


def test_the_listening_socket_is_handed_over(lab: Lab, fleet: Fleet) -> None:
    """After a reload the front port is the same socket of the kernel: nothing in its queue could be lost."""
    fleet.serve()
    before, worker = inode(lab), lab.haproxy.worker()

    reload_by(lab, fleet, worker)

    assert before == inode(lab)


def test_control_a_restart_loses_connections(lab: Lab, fleet: Fleet) -> None:
    """The proof can fail: stop and start in place of a reload loses connections and makes a new socket."""
    fleet.serve(2)
    before = inode(lab)
    limit = lab.topology.deadlines.container
    with Load(lab.client, front(lab), "-c", "20", seconds=60) as hold:
        wait_for(lambda: sessions(lab), lambda seen: seen >= 20, within=10, what="20 held connections")
        with Load(lab.client, front(lab), *BURST, seconds=60) as burst:
            wait_for(lambda: sessions(lab), lambda seen: seen >= 1000, within=20, what="a burst under way")
            lab.lb.run("docker", "restart", "--time", "0", "haproxy", deadline=limit)
            fleet.settle()

    assert hold.summary["lost"] == 20
    assert burst.summary["verdict"] == "lost"
    assert before != inode(lab)
