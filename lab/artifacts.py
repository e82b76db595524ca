"""What each host can tell after a failed test, in one folder a test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.hosts import Node

SECONDS = 15.0
COMMON = ("journalctl --no-pager --since -5min", "ss -tanp | head -200", "ps aux", "nstat -asz | head -120")
OF_ROLE = {
    "client": (),
    "lb": (
        "docker ps -a", "docker logs --tail 300 haproxy", "docker exec haproxy cat /run/lb/base.cfg",
        "docker exec haproxy cat /var/lib/haproxy-servers/servers.cfg",
        "docker exec haproxy ls -l --full-time /run/lb", "docker exec haproxy cat /run/lb/candidate.cfg",
        "docker top haproxy", "docker logs --tail 200 registrator",
    ),
    "docker": ("docker ps -a", "docker logs --tail 300 registrator"),
    "server": ("consul operator raft list-peers -stale", "consul members -detailed"),
}  # fmt: skip


def folder_of(base: Path, test: str) -> Path:
    """Return the folder of one test below `base`; `test` is pytest's node id."""
    return base / re.sub(r"[^A-Za-z0-9_.-]+", "_", test.removeprefix("suites/")).strip("_")


def collect(folder: Path, nodes: Iterable[Node]) -> list[str]:
    """Write NAME.log of every host into `folder`; return the names of the hosts that answered nothing at all.

    Raises OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        asked = {node.name: pool.submit(_collect_one, folder / f"{node.name}.log", node) for node in nodes}
    return [name for name, answers in asked.items() if not answers.result()]


def _collect_one(file: Path, node: Node) -> int:
    """Write what a host says, up to its first silence; return how many of the questions it answered."""
    with file.open("w") as log:
        for count, command in enumerate((*COMMON, *OF_ROLE[node.role])):
            log.write(f"$ {command}\n")
            try:
                # Both streams in one, read to a bound: a host in trouble may have a lot to say.
                said = node.shell.run(
                    f"sudo sh -c '({command}) 2>&1' | tail -c 1000000", deadline=SECONDS
                ).stdout
            except Exception as error:  # noqa: BLE001 - one silent host must not cost the others' logs
                log.write(f"not collected: {type(error).__name__}: {error}\n")
                return count
            log.write(said)
    return len(COMMON) + len(OF_ROLE[node.role])
