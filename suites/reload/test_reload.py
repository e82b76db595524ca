"""HAProxy takes new lists of servers without losing one connection."""

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.checks import accounts
from lab.errors import LabError
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.load import Load, front
from lab.naive import NaiveHaproxy
from lab.proof import Proof
from lab.waiting import lapse, wait_for

from .conftest import LISTEN_QUEUE, RESETS, Twins, counters, next_worker

LOG = logging.getLogger(__name__)

BURST = ("--churn", "--concurrency", "256")
# Naive reloads under such bursts lose thousands; fewer than this, and the load or the control is not right.
VISIBLE = 100
NAIVE_RELOADS = 8  # 4 lost 181 to 700
RELOADS_OF_CYCLE = 4
# A first packet that was lost is sent again after a second.
SLOW_CONNECT = 0.9
CALM, MORE = 5.0, 2  # seconds without a reload, and how many times as many resets reloads may cost
SILENT = ("Tcp.RetransSegs", "TcpExt.TCPSynRetrans", "Tcp.EstabResets", "Tcp.AttemptFails")
SOAK_OPENS = 1000  # for each reload
OPENS = "TcpActiveOpens"


def inode(lab: Lab) -> str:
    """Return the kernel's number of the listening socket of HAProxy's front port."""
    listing = lab.lb.run("sudo", "ss", "-ltneH", f"sport = :{lab.topology.ports.haproxy_front}")
    found = re.findall(r"\bino:(\d+)", listing)
    assert len(found) == 1, listing
    return str(found[0])


def sessions(lab: Lab) -> int:
    """Return how many connections the current worker ever sent to the servers it has now."""
    return sum(server.sessions for server in lab.haproxy.servers().values())


def opened(lab: Lab) -> int:
    """Return how many connections the client's host ever opened."""
    return counters(lab.client, OPENS)[OPENS]


def await_opens(lab: Lab, enough: int) -> None:
    """Wait until the client's host has opened so many connections since it started. Raises Unmet."""
    wait_for(lambda: opened(lab) >= enough, within=20, what=f"{SOAK_OPENS} opens more")


@contextlib.contextmanager
def resets_sent(lab: Lab) -> Iterator[list[float]]:
    """Yield a list that has, after the body of a `with`, how many resets a second the load balancer sent."""
    rate: list[float] = []
    before, begun = counters(lab.lb, RESETS)[RESETS], time.monotonic()
    yield rate
    rate.append((counters(lab.lb, RESETS)[RESETS] - before) / (time.monotonic() - begun))


def sighted(lab: Lab, proof: Proof) -> None:
    """Show that the load sees a loss: the same bursts lose connections over a few naive reloads.

    Raises LabError when they lose fewer than VISIBLE: then no loss of the real one says nothing.
    """
    with NaiveHaproxy(lab) as naive, Load(lab.client, naive.target, *BURST, seconds=90) as load:
        naive.await_load(100, within=20)
        for _ in range(NAIVE_RELOADS):
            naive.reload()

    lost, tried = load.summary["lost"], load.summary["attempts"]
    proof.note(f"lost over {NAIVE_RELOADS} naive reloads", lost)
    if lost < VISIBLE:
        raise LabError(
            f"the control is blind: {NAIVE_RELOADS} naive reloads lost only {lost} of {tried} connections"
        )


def nothing_lost(proof: Proof, summary: dict[str, Any]) -> None:
    """Hold a load's accounts and its kernel to it that no connection and no packet was lost.

    TCP sends a lost packet again and no account shows it, but the counters and the slowest connect do.
    """
    moved = {name: summary["counters"]["client"][name] for name in SILENT}
    LOG.info("%s, kernel %s, losses %s", summary["reasons"], moved, summary["losses"])
    proof.note("attempts", summary["attempts"])
    proof.note("opens a second", round(summary["attempts"] / summary["seconds"]))
    proof.within("connections lost", summary["lost"], 0, "N15", "")
    proof.judge(accounts(summary["attempts"], summary["classes"]), "N15")
    for name, value in moved.items():
        proof.within(f"client: {name}", value, 0, "nothing lost", "")
    slowest = summary["latency_ms"]["connect"]["max"] / 1000
    proof.within("slowest connect", slowest, SLOW_CONNECT, "a lost SYN is sent again after 1 s")


def cycle(lab: Lab, fleet: Fleet, twins: Twins) -> list[int]:
    """Launch a service, enter and remove a twin, remove the service; return the four new workers' pids."""
    first = lab.haproxy.worker()
    launched = fleet.serve()
    workers = [next_worker(lab, first)]
    workers += [twins.reload() for _ in range(2)]
    fleet.remove(*launched)
    fleet.settle()
    return [*workers, next_worker(lab, workers[-1])]


@pytest.mark.deepest
@pytest.mark.usefixtures("quiet_client")
@pytest.mark.parametrize(
    "size", [pytest.param((500, 1), marks=pytest.mark.quick), (5000, 5)], ids=["4 reloads", "20 reloads"]
)
def test_no_connection_is_lost(
    lab: Lab, fleet: Fleet, twins: Twins, proof: Proof, size: tuple[int, int]
) -> None:
    """H1, H2, H4: Held connections live and 256 opens at a time succeed through every reload.

    It shows in three ways: by the client's accounts, by the listening socket, which stays the same one of the
    kernel (nothing in its queue is lost), and by the kernel's counters.

    The opens come in bursts without pause, because what a lossy reload loses is what waits in the accept
    queue: a smooth load is blind to it. The load balancer's kernel resets connections that both sides have
    already closed, and those of health checks, a few each second: with reloads they may not become many more
    than the same load has without. A reset that strikes anybody is one of the client's EstabResets.
    """
    held, cycles = size
    sighted(lab, proof)
    workers, before = [lab.haproxy.worker()], counters(lab.lb, *LISTEN_QUEUE)
    listening = inode(lab)
    with Load(lab.client, front(lab), "-c", str(held), *BURST, seconds=240) as load:
        under_way = held + 1000
        wait_for(
            lambda: sessions(lab), lambda seen: seen >= under_way, within=30, what="all held and a burst"
        )
        with resets_sent(lab) as calm:
            lapse(CALM, "resets without a reload")
        with resets_sent(lab) as under_reloads:
            for _ in range(cycles):
                workers += cycle(lab, fleet, twins)
    after = counters(lab.lb, *LISTEN_QUEUE)

    proof.note("reloads, each a new worker", len(set(workers)) - 1)
    proof.note("resets a second of the load balancer's host, without a reload", calm[0])
    allowed = MORE * calm[0] + 1
    proof.within("the same with reloads", under_reloads[0], allowed, "twice as many and one: choice", "")
    nothing_lost(proof, load.summary)
    for name in LISTEN_QUEUE:
        proof.within(f"load balancer: {name}", after[name] - before[name], 0, "nothing lost", "")
    proof.within("listening sockets, but the first", len({listening, inode(lab)}) - 1, 0, "H3", "")
    assert len(set(workers)) == 1 + cycles * RELOADS_OF_CYCLE
    assert load.summary["held"]["alive_at_end"] == held
    assert load.summary["by_kind"]["churn"]["ok"] > 1000


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("quiet_client")
@pytest.mark.parametrize("reloads", [50, 1000])
def test_no_connection_is_lost_in_a_long_time(lab: Lab, twins: Twins, proof: Proof, reloads: int) -> None:
    """H1: Of a thousand opens for each reload, over a thousand reloads, not one is lost."""
    sighted(lab, proof)
    listening, before = inode(lab), counters(lab.lb, *LISTEN_QUEUE)
    first, workers = opened(lab), []
    with Load(lab.client, front(lab), "-c", "200", *BURST, seconds=3000) as load:
        for number in range(1, reloads + 1):
            workers.append(twins.reload())
            await_opens(lab, first + number * SOAK_OPENS)
    after = counters(lab.lb, *LISTEN_QUEUE)

    proof.note("reloads, each a new worker", len(set(workers)))
    proof.within("listening sockets, but the first", len({listening, inode(lab)}) - 1, 0, "H3", "")
    nothing_lost(proof, load.summary)
    for name in LISTEN_QUEUE:
        proof.within(f"load balancer: {name}", after[name] - before[name], 0, "nothing lost", "")
    assert len(set(workers)) == reloads
    assert load.summary["attempts"] >= reloads * SOAK_OPENS


def test_the_listening_socket_is_handed_over(lab: Lab, twins: Twins, proof: Proof) -> None:
    """H3: After a reload the front port is the same socket of the kernel: nothing in its queue is lost."""
    before = inode(lab)

    twins.reload()

    after = inode(lab)
    proof.note("inode before", int(before))
    proof.note("inode after", int(after))
    proof.within("listening sockets that are another", int(before != after), 0, "H3", "")


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
