"""Compares the load client with C, Go and wrk on the same work: `python3 -m tools.client.bench.compare`.

It runs in a network namespace of its own (so it must be root), the server on core 0 and the clients, one
after the other, on core 1. Other work may run on the machine: what is compared is the client's own CPU time,
and the ratio is taken within a round. The result is Markdown on standard output.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import timeit
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import create_connection
from typing import TYPE_CHECKING

from tools.client.bench.programs import HOST, PORT, Numbers, Programs
from tools.client.kernel import Connections, read_own_counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INSIDE = "CLIENT_BENCH_INSIDE"
SYSTEM = {
    "net.ipv4.ip_local_port_range": "10240 65535",
    "net.ipv4.tcp_max_tw_buckets": "4096",  # so that all rounds are alike
    "net.core.somaxconn": "65535",
}
OURS = "client"
FEW, MANY, MOST, MOST_PROCESSES = 100, 10_000, 49_998, 3
READINGS = 200


@dataclass(frozen=True)
class Metric:
    """A number that runners return, how it is shown, and the goal for it as a multiple of the others'."""

    key: str
    title: str
    places: int
    goal: str


@dataclass(frozen=True)
class Comparison:
    """Runners that do the same work, the load client among them under the name OURS."""

    title: str
    runners: dict[str, Callable[[], Numbers]]
    metrics: tuple[Metric, ...]

    def run(self, rounds: int) -> list[str]:
        """Return the lines of a Markdown table of `rounds` rounds, whose order turns."""
        names = list(self.runners)
        found: dict[str, list[Numbers]] = {name: [] for name in names}
        for number in range(rounds):
            for name in names if number % 2 else reversed(names):
                found[name].append(self.runners[name]())
        return [f"\n### {self.title}", *self._lines(found)]

    def _lines(self, found: dict[str, list[Numbers]]) -> Iterable[str]:
        for metric in self.metrics:
            yield f"\n| {metric.title} | min / median / max | {OURS} / this | goal |"
            yield "|---|---|---|---|"
            ours = [numbers[metric.key] for numbers in found[OURS]]
            for name, runs in found.items():
                values = [numbers[metric.key] for numbers in runs if metric.key in numbers]
                if not values:
                    continue
                ratios = [mine / other for mine, other in zip(ours, values, strict=True) if other]
                ratio, goal = ("", "") if name == OURS else (_spread(ratios, 2), metric.goal)
                yield f"| {name} | {_spread(values, metric.places)} | {ratio} | {goal} |"


def _spread(values: list[float], places: int) -> str:
    if not values:
        return ""
    numbers = (min(values), statistics.median(values), max(values))
    return " / ".join(f"{number:,.{places}f}" for number in numbers)


def churn(programs: Programs) -> Comparison:
    """Return the comparison of opening, pinging once and closing."""
    runners: dict[str, Callable[[], Numbers]] = {
        "C, plain epoll": partial(programs.c_churn, "epoll"),
        "C, the same design": partial(programs.c_churn, "sweep"),
        OURS: programs.client_churn,
    }
    if programs.has_go:
        runners["Go, the original's shape"] = programs.go_churn
    if programs.has_wrk:
        runners["wrk (HTTP, compares nothing)"] = programs.wrk
    goal = ">= 1.0 plain C; 0.92 same design; 1.35 Go; 1.2 wrk"
    return Comparison("Churn, 64 at a time", runners, (Metric("rate", "connections a CPU-second", 0, goal),))


def evidence(programs: Programs) -> Comparison:
    """Return the comparison of asking the kernel about every connection with asking about none."""
    runners: dict[str, Callable[[], Numbers]] = {
        OURS: partial(programs.client_churn, "--tcp-info", "all"),
        "without evidence": partial(programs.client_churn, "--tcp-info", "none"),
    }
    metric = Metric("rate", "connections a CPU-second", 0, ">= 0.95")
    return Comparison("Churn with TCP_INFO of every connection", runners, (metric,))


def hold(programs: Programs, connections: int, processes: int) -> Comparison:
    """Return the comparison of holding connections with a verified ping a second each."""
    metrics = (
        Metric("cpu_per_ping", "CPU a ping, us", 1, "<= 1.2"),
        Metric("p99", "p99 of the reply, ms", 2, "<= 1.2"),
        Metric("setup_cpu", "open and prove all, CPU s", 2, "<= 1.2"),
        Metric("setup", "open and prove all, s", 2, "<= 1.2"),
        Metric("kept", "share of the pings sent and answered", 3, "1.0"),
    )
    runners: dict[str, Callable[[], Numbers]] = {
        "C": partial(programs.c_hold, connections, processes),
        OURS: partial(programs.client_hold, connections, processes),
    }
    return Comparison(f"Hold {connections:,} on one core, processes: {processes}", runners, metrics)


def memory(programs: Programs) -> Comparison:
    """Return the comparison of a held connection's memory, beyond what the program itself takes."""

    def each(run: Callable[[int], Numbers]) -> Numbers:
        few, many = run(FEW)["memory"], run(MANY)["memory"]
        return {"memory": (many - few) / (MANY - FEW)}

    runners: dict[str, Callable[[], Numbers]] = {
        "C": partial(each, programs.c_hold),
        OURS: partial(each, programs.client_hold),
    }
    if programs.has_go:
        runners["Go, the original's shape"] = partial(each, programs.go_hold)
    metric = Metric("memory", "bytes a held connection", 0, "<= 64 bytes")
    return Comparison("Memory", runners, (metric,))


def readings() -> list[str]:
    """Return what one reading of the evidence costs, measured in this process."""
    connections = Connections()
    with create_connection((HOST, PORT)) as sock:
        info = min(timeit.repeat(partial(connections.read_from, sock), number=READINGS, repeat=5)) / READINGS
    counters = min(timeit.repeat(read_own_counters, number=READINGS, repeat=5)) / READINGS
    return [
        "\n### Evidence, one reading\n",
        "| what | cost | goal |",
        "|---|---|---|",
        f"| TCP_INFO of a connection | {info * 1e6:.2f} us | <= 2 us |",
        f"| the kernel's counters | {counters * 1e3:.2f} ms | <= 0.5 ms |",
    ]


def main() -> None:
    """Run the comparisons that were asked for, inside a network namespace of their own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one program's run (3)")
    parser.add_argument("--most", action="store_true", help="also hold 50,000")
    options = parser.parse_args()
    if not os.environ.get(INSIDE):
        command = ["unshare", "--net", sys.executable, "-m", "tools.client.bench.compare", *sys.argv[1:]]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, value in SYSTEM.items():
        subprocess.run(["sysctl", "-qw", f"{name}={value}"], check=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        compare(Programs(Path(folder), options.seconds), options.rounds, options.most)


def compare(programs: Programs, rounds: int, most: bool) -> None:
    """Print all tables, each as soon as it is known."""
    with programs.servers(1):
        for comparison in (
            churn(programs),
            evidence(programs),
            hold(programs, MANY, 1),
            memory(programs),
        ):
            print("\n".join(comparison.run(rounds)), flush=True)
        print("\n".join(readings()), flush=True)
    if most:
        with programs.servers(MOST_PROCESSES):
            print("\n".join(hold(programs, MOST, MOST_PROCESSES).run(rounds)), flush=True)


if __name__ == "__main__":
    main()
