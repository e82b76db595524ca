#!/usr/bin/env python3
"""Measure registrator, and print a table.

load    memory, CPU and looks with many services: a real Consul agent, and the Docker daemon of the tests.
launch  from `docker start` to the catalog of another agent, and from `docker kill` to out of it, each beside
        the same for a bare registration: in a stack where registrator runs, with its image's libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WITHIN = 60.0  # seconds; what takes longer is an error
Rows = list[tuple[str, list[float]]]


def main() -> None:
    """Run the command that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("load")
    command.set_defaults(run=load)
    command.add_argument("--consul", default="consul", help="the agent's program")
    command.add_argument("-n", type=int, default=500, help="services")
    command.add_argument("--rest", type=int, default=60, help="seconds at rest for the CPU's share")
    command = commands.add_parser("launch")
    command.set_defaults(run=launch)
    command.add_argument("--image", required=True, help="image to start; its command must run on")
    command.add_argument("--port", type=int, default=5000, help="port to publish")
    command.add_argument("--agent", default="127.0.0.1:8500", help="registrator's agent")
    command.add_argument("--watch", default="127.0.0.1:8500", help="agent whose answers count")
    command.add_argument("-n", type=int, default=100, help="launches")
    options = parser.parse_args()
    show(options.run(options))


def show(rows: Rows) -> None:
    """Print a table: median, p99 and largest of each row's values."""
    print(f"| {'':48} | {'median':>8} | {'p99':>8} | {'max':>8} |")
    print(f"|{'-' * 50}|{'-' * 9}:|{'-' * 9}:|{'-' * 9}:|")
    for name, values in rows:
        ordered = sorted(values)
        p99 = ordered[max(round(len(ordered) * 0.99) - 1, 0)]
        print(f"| {name:48} | {statistics.median(ordered):8.1f} | {p99:8.1f} | {ordered[-1]:8.1f} |")


def until(question: Callable[[], Any]) -> Any:  # noqa: ANN401 - of the question's type
    """Ask until the answer is true; return it."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        with suppress(OSError):
            if answer := question():
                return answer
        time.sleep(0.05)
    raise TimeoutError(f"no answer within {WITHIN:.0f} s")


def get(address: str, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the answer to a GET."""
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return json.load(answer)


def free_address() -> str:
    """Return a HOST:PORT on the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def load(options: argparse.Namespace) -> Rows:
    """Measure with many services on one agent."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((folder / "log").open("w"))

        def start(command: list[str], **environment: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                command, env=os.environ | environment, stdout=log, stderr=log, cwd=ROOT
            )
            stack.callback(process.kill)
            return process

        agent, health, docker = free_address(), free_address(), folder / "docker.sock"
        start(consul(options.consul, agent))
        start([sys.executable, "-m", "tests.registrator.fake_docker", str(docker), str(options.n)])
        until(lambda: get(agent, "/v1/status/leader") and docker.exists())
        registrator = [sys.executable, "-m", "registrator", "-ip=192.0.2.1", f"-health={health}"]
        environment = {"PYTHONPATH": str(HERE), "DOCKER_HOST": f"unix://{docker}"}
        began = time.monotonic()
        process = start([*registrator, f"consul://{agent}"], **environment)
        until(lambda: get(health, "/health").get("register") == options.n)
        rows: Rows = [(f"first registration of {options.n} services, s", [time.monotonic() - began])]
        rows += at_rest(process.pid, options.rest)
        process.kill()
        process = start([*registrator, "-resync=1", f"consul://{agent}"], **environment)
        rows.append(("look without a difference, ms", looks(health, 30)))
        rows.append(("memory (resident), MiB", [resident(process.pid)]))
        return rows


def consul(program: str, address: str) -> list[str]:
    """Return the command of an agent that keeps to the loopback address and asks nobody for updates."""
    ports = [free_address().rpartition(":")[2] for _ in range(3)]
    http = address.rpartition(":")[2]
    command = [
        program,
        "agent",
        "-dev",
        "-log-level=warn",
        "-bind=127.0.0.1",
        "-hcl=disable_update_check = true",
    ]
    command += [f"-http-port={http}", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1"]
    command += [f"-server-port={ports[0]}", f"-serf-lan-port={ports[1]}", f"-serf-wan-port={ports[2]}"]
    return command


def looks(health: str, count: int) -> list[float]:
    """Return the duration of some looks, in ms."""
    found: dict[int, float] = {}
    while len(found) < count:
        answer = until(lambda: get(health, "/health"))
        if answer["services"]:
            found[answer["reconciliations"]] = answer["last_look_ms"]
        time.sleep(0.2)
    return list(found.values())[1:]


def at_rest(pid: int, seconds: int) -> Rows:
    """Return the share of one CPU that a process uses with nothing to do, in percent."""
    time.sleep(5)
    before = spent(pid)
    time.sleep(seconds)
    return [("CPU at rest, %", [(spent(pid) - before) / seconds * 100])]


def spent(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Return a process's resident memory in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def launch(options: argparse.Namespace) -> Rows:
    """Measure launches and ends of real containers, one after the other."""
    import docker  # noqa: PLC0415 - only here, so that `load` runs without it
    from consul import Consul  # noqa: PLC0415

    engine = docker.APIClient(os.environ.get("DOCKER_HOST", "unix:///tmp/docker.sock"))
    watcher, local = (Consul(*address.split(":")) for address in (options.watch, options.agent))
    add, remove = local.agent.service.register, local.agent.service.deregister
    host = engine.create_host_config(port_bindings={options.port: None})
    rows: dict[str, list[float]] = {}
    for number in range(options.n):
        name, bare = f"bench.{number}", f"bare.{number}"
        variables, service = {"SERVICE_NAME": "bench"}, f":{name}:{options.port}"
        key = engine.create_container(
            options.image, name=name, environment=variables, ports=[options.port], host_config=host
        )["Id"]
        steps: list[tuple[str, Callable[[], object], str, bool]] = [
            ("docker start to the catalog, ms", partial(engine.start, key), service, True),
            ("docker kill to out of it, ms", partial(engine.kill, key), service, False),
            ("bare registration, ms", partial(add, "bench", service_id=bare), bare, True),
            ("bare removal, ms", partial(remove, bare), bare, False),
        ]
        try:
            for row, action, ending, present in steps:
                action()
                rows.setdefault(row, []).append(seen(watcher, ending, present=present))
        finally:
            engine.remove_container(key, force=True)
    return list(rows.items())


def seen(watcher: Any, ending: str, *, present: bool) -> float:  # noqa: ANN401 - py-consul has no types
    """Return the ms until the service `bench` has an instance whose ID ends so, or has none any more."""
    began, index = time.monotonic(), None
    while time.monotonic() - began < WITHIN:
        index, found = watcher.health.service("bench", index=index, wait="1s")
        if any(entry["Service"]["ID"].endswith(ending) for entry in found) == present:
            return (time.monotonic() - began) * 1000
    raise TimeoutError(ending)


if __name__ == "__main__":
    main()
