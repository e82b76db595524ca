"""What each host can tell after a failed test, in one folder a test."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from lab.hosts import Lab, Node

SECONDS = 15.0
COMMON = ("ss -tanp | head -200", "ps aux", "nstat -asz | head -120", "journalctl --no-pager --since -15min")
# The last, each with a limit of its own: an agent may hang.
AGENT = (
    "timeout 5 consul members -detailed",
    "curl -sS --max-time 5 'http://127.0.0.1:{consul_http}/v1/health/state/any?stale'",
    "curl -sS --max-time 5 'http://127.0.0.1:{consul_http}/v1/agent/self'",
)
OF_ROLE = {
    "client": (),
    "lb": (
        "curl -sS --max-time 5 'http://127.0.0.1:{haproxy_stats}/;csv'",
        "docker ps -a",
        "docker logs --tail 300 haproxy",
        "docker exec haproxy cat /run/lb/base.cfg",
        "docker exec haproxy cat /var/lib/haproxy-servers/servers.cfg",
        "docker exec haproxy ls -l --full-time /run/lb",
        "docker exec haproxy cat /run/lb/candidate.cfg",
        "docker top haproxy",
        "docker logs --tail 200 registrator",
        *AGENT,
    ),
    "docker": ("docker ps -a", "docker logs --tail 300 registrator", *AGENT),
    "server": (*AGENT, "timeout 5 consul operator raft list-peers -stale"),
}


def folder_of(base: Path, test: str) -> Path:
    """Return the folder of one test below `base`; `test` is pytest's node id."""
    return base / re.sub(r"[^A-Za-z0-9_.-]+", "_", test.removeprefix("suites/")).strip("_")


def collect(folder: Path, lab: Lab) -> list[str]:
    """Write NAME.log of every host into `folder`; return the names of the hosts that answered nothing at all.

    Raises OSError when a log cannot be written.
    """
    ports = asdict(lab.topology.ports)
    with ThreadPoolExecutor() as pool:
        asked = {
            node.name: pool.submit(_collect_one, folder / f"{node.name}.log", node, ports)
            for node in lab.nodes.values()
        }
    return [name for name, answers in asked.items() if not answers.result()]


def _collect_one(file: Path, node: Node, ports: Mapping[str, int]) -> int:
    """Write what a host says, up to its first silence; return how many of the questions it answered."""
    with file.open("w") as log:
        try:
            node.reach()
        except Exception as error:  # noqa: BLE001 - as below
            log.write(f"no login: {type(error).__name__}: {error}\n")
            return 0
        for count, question in enumerate((*COMMON, *OF_ROLE[node.role])):
            command = question.format(**ports)
            log.write(f"$ {command}\n")
            try:
                # Both streams in one, read to a bound: a host in trouble may have a lot to say.
                said = node.shell.run(
                    f"sudo sh -c {shlex.quote(f'({command}) 2>&1')} | tail -c 1000000", deadline=SECONDS
                ).stdout
            except Exception as error:  # noqa: BLE001 - one silent host must not cost the others' logs
                log.write(f"not collected: {type(error).__name__}: {error}\n")
                return count
            log.write(said)
    return len(COMMON) + len(OF_ROLE[node.role])
