"""Compares the load client with others on the same work: `python3 -m tools.client.bench.compare`.

It runs in a network namespace of its own (so it must be root), the server on core 0 and the clients, one
after the other, on core 1. What is compared is the client's own CPU time, and the ratio is taken within a
round, because other work may run on the machine; times, that is latencies and the opening, need a quiet one.
Peers that cannot be installed from Debian's packages are quoted from earlier measurements on such a machine.
The result is Markdown on standard output; the exit code is 1 when a median misses its goal, 2 when a program
failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import timeit
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from socket import create_connection
from typing import TYPE_CHECKING

from tools.client.bench.programs import CLIENT_CORE, HOST, PORT, FailedError, Numbers, Programs
from tools.client.bench.tables import OURS, Comparison, Metric, Quoted, at_least, at_most
from tools.client.kernel import Connections, read_own_counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INSIDE = "CLIENT_BENCH_INSIDE"
SYSTEM = {
    "net.ipv4.ip_local_port_range": "10240 65535",
    "net.ipv4.tcp_max_tw_buckets": "4096",  # so that all rounds are alike
    "net.core.somaxconn": "65535",
}
PLAIN_C, SAME_C, C, GO, WRK = (
    "C, plain epoll",
    "C, the same design",
    "C",
    "Go, the original's shape",
    "wrk (HTTP, compares nothing)",
)
# Connections a CPU-second as shares of plain C's, 5 rounds of 3 s on a 2-core virtual machine, 2026-11-22.
QUOTED = {
    "h1load (HTTP)": Quoted(PLAIN_C, 0.67, 0.78, 0.86),
    "tcpkali (does not wait for the echo)": Quoted(PLAIN_C, 0.59, 0.77, 0.90),
    "fortio (HTTP)": Quoted(PLAIN_C, 0.33, 0.45, 0.60),
}
FEW, READINGS = 100, 200


@dataclass(frozen=True)
class Scale:
    """How much is done: rounds, seconds a run, connections held by one process and by several."""

    rounds: int
    seconds: float
    many: int = 10_000
    most: int = 49_998
    most_processes: int = 3


def churn(programs: Programs) -> Comparison:
    """Return the comparison of opening, pinging once and closing."""
    runners: dict[str, Callable[[], Numbers]] = {
        PLAIN_C: partial(programs.c_churn, "epoll"),
        SAME_C: partial(programs.c_churn, "sweep"),
        WRK: programs.wrk,
        OURS: programs.client_churn,
    }
    if programs.has_go:
        runners[GO] = programs.go_churn
    goals = {PLAIN_C: at_least(1.0), SAME_C: at_least(0.92), GO: at_least(1.35), WRK: at_least(1.2)}
    goals |= dict.fromkeys(QUOTED, at_least(1.2))
    metric = Metric("rate", "connections a CPU-second", 0, goals)
    return Comparison("Churn, 64 at a time", runners, (metric,), QUOTED)


def evidence(programs: Programs) -> Comparison:
    """Return the comparison of asking the kernel about every connection with asking about none."""
    without = "client without evidence"
    runners: dict[str, Callable[[], Numbers]] = {
        OURS: partial(programs.client_churn, "--tcp-info", "all"),
        without: partial(programs.client_churn, "--tcp-info", "none"),
    }
    metric = Metric("rate", "connections a CPU-second", 0, {without: at_least(0.95)})
    return Comparison("Churn with TCP_INFO of every connection", runners, (metric,))


def readings() -> Comparison:
    """Return what one reading of the evidence costs, measured in this process on the clients' core."""

    def measure() -> Numbers:
        connections = Connections()
        with create_connection((HOST, PORT)) as sock:
            info = timeit.timeit(partial(connections.read_from, sock), number=READINGS) / READINGS
        counters = timeit.timeit(read_own_counters, number=READINGS) / READINGS
        return {"info": info * 1e6, "counters": counters * 1e3}

    metrics = (
        Metric("info", "TCP_INFO of a connection, us", 2, {OURS: at_most(2.0)}),
        Metric("counters", "the kernel's counters, ms", 2, {OURS: at_most(0.5)}),
    )
    return Comparison("Evidence, one reading", {OURS: measure}, metrics)


def hold(programs: Programs, scale: Scale) -> Comparison:
    """Return the comparison of holding connections in one process, with a verified ping a second each."""
    goals = {C: at_most(1.2)}
    metrics = (
        Metric("cpu_per_ping", "CPU a ping, us", 1, goals),
        Metric("p99", "p99 of the reply, ms", 2, goals),
        Metric("setup_cpu", "open and prove all, CPU s", 2, goals),
        Metric("setup", "open and prove all, s", 2, goals),
        Metric("missed", "pings not sent or not answered", 0, {OURS: at_most(0)}),
    )
    return _held(programs, scale.many, 1, metrics)


def hold_most(programs: Programs, scale: Scale) -> Comparison:
    """Return the comparison of holding more connections than one process may have, still on one core."""
    metrics = (
        Metric("missed", "pings not sent or not answered", 0, {OURS: at_most(0)}),
        Metric("p99", "p99 of the reply, ms", 2, {C: at_most(1.2)}),
        Metric("cpu_per_ping", "CPU a ping, us", 1),
        Metric("setup", "open and prove all, s", 2),
    )
    return _held(programs, scale.most, scale.most_processes, metrics)


def _held(programs: Programs, connections: int, processes: int, metrics: tuple[Metric, ...]) -> Comparison:
    runners: dict[str, Callable[[], Numbers]] = {
        C: partial(programs.c_hold, connections, processes),
        OURS: partial(programs.client_hold, connections, processes),
    }
    return Comparison(f"Hold {connections:,} on one core, processes: {processes}", runners, metrics)


def memory(programs: Programs, scale: Scale) -> Comparison:
    """Return the comparison of a held connection's memory, beyond what the program itself takes."""

    def each(run: Callable[[int], Numbers]) -> Numbers:
        few, many = run(FEW)["memory"], run(scale.many)["memory"]
        return {"memory": (many - few) / (scale.many - FEW)}

    runners: dict[str, Callable[[], Numbers]] = {
        C: partial(each, programs.c_hold),
        OURS: partial(each, programs.client_hold),
    }
    if programs.has_go:
        runners[GO] = partial(each, programs.go_hold)
    metric = Metric("memory", "bytes a held connection", 0, {OURS: at_most(64)})
    return Comparison("Memory", runners, (metric,))


def compare(programs: Programs, scale: Scale) -> Iterator[list[str]]:
    """Print all tables, each as soon as it is known; yield the goals each of them misses."""
    with programs.servers(1):
        for comparison in (
            churn(programs),
            evidence(programs),
            readings(),
            hold(programs, scale),
            memory(programs, scale),
        ):
            yield show(comparison, scale.rounds)
    with programs.servers(scale.most_processes):
        yield show(hold_most(programs, scale), scale.rounds)


def show(comparison: Comparison, rounds: int) -> list[str]:
    """Run a comparison, print its table with the machine's load meanwhile, return the goals it misses."""
    before = os.getloadavg()[0]
    table = comparison.run(rounds)
    print("\n".join(table.lines()))
    print(f"\nLoad average of the machine: {before:.1f} before, {os.getloadavg()[0]:.1f} after.", flush=True)
    return table.missed()


def prepare() -> None:
    """Make the namespace fit, raise the limit of descriptors, and stay on the clients' core."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, value in SYSTEM.items():
        subprocess.run(["sysctl", "-qw", f"{name}={value}"], check=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {int(CLIENT_CORE)})


def main() -> int:
    """Run all comparisons inside a network namespace of their own; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one program's run (3)")
    parser.add_argument("--quick", action="store_true", help="a round of small ones: does all of it work?")
    options = parser.parse_args()
    if not os.environ.get(INSIDE):
        command = ["unshare", "--net", sys.executable, "-m", "tools.client.bench.compare", *sys.argv[1:]]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    scale = Scale(1, 1.0, 1000, 3000) if options.quick else Scale(options.rounds, options.seconds)
    prepare()
    where = f"{platform.platform()}, Python {platform.python_version()}"
    print(f"Rounds: {scale.rounds}, each program {scale.seconds:g} s; {where}.")
    try:
        with tempfile.TemporaryDirectory() as folder:
            missed = list(chain.from_iterable(compare(Programs(Path(folder), scale.seconds), scale)))
    except FailedError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    print("\n" + "\n".join(f"MISSED {goal}" for goal in missed) if missed else "\nAll goals are met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
