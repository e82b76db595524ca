"""HAProxy takes new lists of servers without losing one connection."""

import re

from lab.fleet import Fleet
from lab.hosts import Lab
from lab.load import Load
from lab.waiting import wait_for

HELD = 200
CYCLES = 10
RELOADS = 2 * CYCLES
BURST = ("--churn", "--concurrency", "256")


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


def test_no_connection_is_lost_over_twenty_reloads(lab: Lab, fleet: Fleet) -> None:
    """Held connections live and 256 opens at a time succeed through 20 reloads, each with a new worker.

    The opens come in bursts without pause, because what a lossy reload loses is what waits in the accept
    queue: a smooth load is blind to it.
    """
    fleet.serve(3)
    workers = [lab.haproxy.worker()]
    with Load(lab.client, front(lab), "-c", str(HELD), *BURST, seconds=240) as load:
        for _ in range(CYCLES):
            worker, launched = reload_by(lab, fleet, workers[-1])
            workers.append(worker)
            worker, _ = reload_by(lab, fleet, worker, *launched)
            workers.append(worker)

    assert len(set(workers)) > RELOADS
    assert load.summary["lost"] == 0, load.summary["reasons"]
    assert load.summary["verdict"] == "nothing_lost"
    assert load.summary["held"]["alive_at_end"] == HELD
    assert load.summary["slow_connects"] == 0
    assert load.summary["by_kind"]["churn"]["ok"] > 1000


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
