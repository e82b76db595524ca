"""The Consul agent of a host as a unit of systemd: its process, its data and what it logged."""

from __future__ import annotations

import contextlib
import functools
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.hosts import Node

NAME = "consul"
CONFIGURATION = "/etc/consul.d/consul.json"


class Unit:
    """Start, stop, kill and wipe the agent of one host; everything waits until systemd has done it."""

    def __init__(self, node: Node) -> None:
        """Ask nothing yet."""
        self.node = node
        self.name = node.name

    def pid(self) -> int:
        """Return the agent's process, 0 when there is none."""
        return int(self.node.run("systemctl", "show", "--property=MainPID", "--value", NAME))

    def frozen(self) -> bool:
        """Return whether the agent's process exists and is stopped by a signal."""
        said = self.node.shell.run(f"ps -o stat= -p {self.pid()}")
        return str(said.stdout).startswith("T")

    def start(self) -> None:
        """Start the agent, though systemd gave it up; it may need seconds until it answers."""
        self._root(f"systemctl reset-failed {NAME} 2>/dev/null; systemctl start {NAME}")

    def stop(self) -> None:
        """End the agent by SIGTERM, which is no leave: its data and its place in the cluster stay."""
        self.node.run("sudo", "systemctl", "stop", NAME)

    def kill(self) -> None:
        """End the agent by SIGKILL, and keep systemd from starting it again."""
        self._root(
            f"systemctl kill --signal=KILL {NAME}; systemctl stop {NAME}; systemctl reset-failed {NAME}"
        )

    def signal(self, name: str) -> None:
        """Send a signal to the agent's process."""
        self.node.run("sudo", "systemctl", "kill", f"--signal={name}", NAME)

    def leave(self) -> None:
        """Let the agent leave the cluster for good, after which it ends."""
        self.node.run("consul", "leave")
        self.stop()

    def wipe(self) -> None:
        """Remove all that the agent, which must not run, ever stored: node-id, raft, snapshots, services."""
        if self.pid():
            raise CommandError(f"{self.name}: the agent runs; its data is not wiped under it")
        self._root(f"find {shlex.quote(self.data)} -mindepth 1 -delete")

    @functools.cached_property
    def data(self) -> str:
        """The agent's data directory."""
        return str(self.configuration()["data_dir"])

    def configuration(self) -> dict[str, Any]:
        """Return the configuration that the agent is started with."""
        return dict(json.loads(self.node.run("sudo", "cat", CONFIGURATION)))

    def read(self, path: str) -> str:
        """Return a file below the data directory. Raises CommandError when there is none."""
        return self.node.run("sudo", "cat", f"{self.data}/{path}")

    def files(self, *patterns: str) -> set[str]:
        """Return the files below the data directory that fit patterns of the shell."""
        script = f"cd {shlex.quote(self.data)} && {{ ls -d {' '.join(patterns)} 2>/dev/null || true; }}"
        return set(self.node.run("sudo", "sh", "-c", script).splitlines())

    def remove(self, path: str) -> None:
        """Remove a file below the data directory, if it is there."""
        self._root(f"rm -f {shlex.quote(f'{self.data}/{path}')}")

    def write(self, path: str, text: str) -> None:
        """Write a file below the data directory, owned by the agent; so is the directory it lies in."""
        target = Path(self.data, path)
        there, file = shlex.quote(str(target.parent)), shlex.quote(str(target))
        self._root(
            f"mkdir -p {there} && printf %s {shlex.quote(text)} > {file} && chown {NAME}: {there} {file}"
        )

    def move(self, path: str, to: str) -> None:
        """Give another name to a file or directory below the data directory."""
        self._root(f"cd {shlex.quote(self.data)} && mv {shlex.quote(path)} {shlex.quote(to)}")

    def now(self) -> str:
        """Return the host's time, from which `journal` can be read."""
        return self.node.run("date", "+%s.%N").strip()

    def journal(self, since: str) -> str:
        """Return what the agent logged since a time that `now` returned."""
        return self.node.run("sudo", "journalctl", "--no-pager", f"--unit={NAME}", f"--since=@{since}")

    def logged(self, since: str, words: str) -> float:
        """Return when (Unix time) the agent first logged some words. Raises LookupError if it did not."""
        command = f"journalctl --no-pager --output=short-unix --unit={NAME} --since=@{since}"
        lines = self.node.run("sudo", *command.split()).splitlines()
        times = [float(line.split()[0]) for line in lines if words in line]
        if not times:
            raise LookupError(f"{self.name}: not logged: {words}")
        return times[0]

    def _root(self, script: str) -> None:
        self.node.run("sudo", "sh", "-c", script)


@contextlib.contextmanager
def stopped(*nodes: Node) -> Iterator[None]:
    """Keep the agents of some hosts stopped while the body of a `with` goes on."""
    units = [Unit(node) for node in nodes]
    with contextlib.ExitStack() as stack:
        for unit in units:
            stack.callback(unit.start)
            unit.stop()
        yield
