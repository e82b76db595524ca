"""The programs under comparison: built, pinned to their cores, run, and measured."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
HOST, PORT, HTTP_PORT = "127.0.0.1", 7000, 7001
SERVER_CORE, CLIENT_CORE = "0", "1"
CONCURRENCY = 64
KIB = 1024
GLANCE = 0.05
PATIENCE = 5.0

Numbers = dict[str, float]


class FailedError(Exception):
    """A program did not do what it should; the message has its command and its last words."""


def _memory(pid: int) -> float:
    """Return the resident memory in bytes of a running process, 0 when it is about to end."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) * KIB
    return 0.0


def percentile(latencies: Counter[int], share: float) -> float:
    """Return in milliseconds the latency below or at which `share` of all lie; they are counted in us."""
    values, counts = zip(*sorted(latencies.items()), strict=True)
    return float(values[bisect_left(list(accumulate(counts)), share * latencies.total())]) / 1000


def _await(port: int) -> None:
    """Wait until somebody listens on `port`. Raises FailedError."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection((HOST, port)):
            return
        time.sleep(GLANCE)
    raise FailedError(f"no server listens on port {port}")


class Running:
    """A program on the clients' core."""

    def __init__(self, *command: object) -> None:
        """Start it."""
        self._command = ["taskset", "-c", CLIENT_CORE, *map(str, command)]
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by finish
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdout=self._output, stderr=subprocess.STDOUT
        )

    def finish(self) -> tuple[str, Numbers]:
        """Return its output, its CPU seconds and its memory in bytes at work. Raises FailedError.

        The memory is the median of many looks: it leaves out the start, and the summary at the end.
        """
        looks, pid = [0.0], self._process.pid
        while not (ended := os.wait4(pid, os.WNOHANG))[0]:
            looks.append(_memory(pid))
            time.sleep(GLANCE)
        _, status, usage = ended
        self._process.returncode = os.waitstatus_to_exitcode(status)
        with self._output as file:
            file.seek(0)
            output = file.read()
        if self._process.returncode:
            raise FailedError(f"{' '.join(self._command)}: {output[-500:]}")
        return output, {"cpu": usage.ru_utime + usage.ru_stime, "memory": statistics.median(looks)}


class Programs:
    """All of them; each method runs one once and returns its numbers, rates by the client's CPU-second."""

    def __init__(self, folder: Path, seconds: float) -> None:
        """Build the C and Go programs in `folder`; each run takes `seconds`. Raises FailedError."""
        self._folder = folder
        self._seconds = seconds
        for needed in ("cc", "taskset", "wrk"):
            if not shutil.which(needed):
                raise FailedError(f"{needed} is missing: install it (wrk: tools/setup --dev does)")
        for name in ("server", "client"):
            command = ["cc", "-O2", "-o", str(folder / name), str(HERE / f"{name}.c")]
            subprocess.run(command, check=True)
        if self.has_go:
            subprocess.run(["go", "build", "-o", str(folder / "go"), "."], cwd=HERE / "go", check=True)

    @property
    def has_go(self) -> bool:
        """Return whether the Go client can be built."""
        return shutil.which("go") is not None

    @contextmanager
    def servers(self, count: int) -> Iterator[None]:
        """Run `count` echo servers on one port, and one that speaks HTTP."""
        server = ["taskset", "-c", SERVER_CORE, str(self._folder / "server"), HOST]
        commands = [[*server, str(PORT)]] * count + [[*server, str(HTTP_PORT), "http"]]
        processes = [subprocess.Popen(command) for command in commands]
        try:
            for port in (PORT, HTTP_PORT):
                _await(port)
            yield
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def c_churn(self, mode: str) -> Numbers:
        """Run the C client, `mode` epoll or sweep."""
        output, _ = Running(*self._c(mode)).finish()
        found: Numbers = json.loads(output)
        return {"rate": found["done"] / found["cpu"]}

    def c_hold(self, connections: int, processes: int = 1) -> Numbers:
        """Hold with C, shared among `processes` with a source address each."""
        share = connections // processes
        running = [Running(*self._c("hold"), share, f"127.0.0.{2 + number}") for number in range(processes)]
        ends = [one.finish() for one in running]
        found = [json.loads(output) for output, _ in ends]
        done = sum(one["done"] for one in found)
        return {
            "cpu_per_ping": sum(one["cpu"] for one in found) / done * 1e6,
            "p99": percentile(sum((Counter(dict(one["latencies"])) for one in found), Counter()), 0.99),
            "setup": max(one["setup"] for one in found),
            "setup_cpu": sum(one["setup_cpu"] for one in found),
            "memory": sum(numbers["memory"] for _, numbers in ends),
        }

    def go_churn(self) -> Numbers:
        """Run the client in the shape of the original's."""
        output, _ = Running(*self._go("churn", CONCURRENCY)).finish()
        found: Numbers = json.loads(output)
        return {"rate": found["done"] / found["cpu"]}

    def go_hold(self, connections: int) -> Numbers:
        """Hold with it."""
        _, numbers = Running(*self._go("hold", connections)).finish()
        return {"memory": numbers["memory"]}

    def wrk(self) -> Numbers:
        """Run wrk, which does not compare what it gets."""
        options = ["-t1", f"-c{CONCURRENCY}", f"-d{self._seconds:.0f}s", "-H", "Connection: close"]
        output, numbers = Running("wrk", *options, f"http://{HOST}:{HTTP_PORT}/").finish()
        done = next(int(line.split()[0]) for line in output.splitlines() if "requests in" in line)
        return {"rate": done / numbers["cpu"]}

    def client_churn(self, *options: object) -> Numbers:
        """Run the load client; its CPU is counted from the first open to the last answer."""
        options = ("--churn", "--concurrency", CONCURRENCY, "--duration", self._seconds, *options)
        summary, _ = self._client(options)
        return {"rate": summary["attempts"] / summary["cpu_seconds"]}

    def client_hold(self, connections: int, processes: int = 1) -> Numbers:
        """Hold with the load client; pings are counted when all connections are held."""
        sources = f"127.0.0.2-127.0.0.{1 + processes}"
        duration = self._seconds + 2 + connections / 5000  # the opening takes a third of that, or less
        options = ("-c", connections, "--procs", processes, "--source", sources, "--duration", duration)
        summary, memory = self._client(options)
        rows = [row for row in summary["timeline"] if row["held"] == connections]
        if len(rows) < 2:
            raise FailedError(f"{connections} connections were not held: {summary['doubts']}")
        held = summary["held"]
        pings = rows[-1]["pings_ok"] - rows[0]["pings_ok"]
        return {
            "cpu_per_ping": (rows[-1]["cpu"] - rows[0]["cpu"]) / pings * 1e6,
            "p99": summary["latency_ms"]["steady"]["p99"],
            "setup": held["seconds_to_open"],
            "setup_cpu": rows[0]["cpu"],
            "missed": held["skipped"] + held["unsent"] + held["pings_sent"] - held["pings_ok"],
            "memory": memory,
        }

    def _c(self, mode: str) -> list[object]:
        return [self._folder / "client", mode, HOST, PORT, CONCURRENCY, self._seconds]

    def _go(self, mode: str, connections: int) -> list[object]:
        return [self._folder / "go", mode, f"{HOST}:{PORT}", connections, self._seconds]

    def _client(self, options: Sequence[object]) -> tuple[dict[str, Any], float]:
        out = self._folder / "summary.json"
        program = (sys.executable, "-m", "tools.client", "-q", "--json", out)
        _, numbers = Running(*program, *options, f"{HOST}:{PORT}").finish()
        return json.loads(out.read_text(encoding="utf-8")), numbers["memory"]
