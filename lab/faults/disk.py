"""What can happen to the disk of a Consul server."""

from __future__ import annotations

from lab.faults.cycle import Fault
from lab.faults.process import Kill
from lab.hosts import Node
from lab.unit import Unit

FILLER = "consul-demo-filler"
BELOW = ".below"  # where what the small file system hides is still to be had
MEBIBYTES = 64
FILL = f"head -c {MEBIBYTES}M /dev/zero > {FILLER} 2>/dev/null; true"


class FullDisk(Fault):
    """No byte more can be written into the data directory of a server.

    For that the directory is moved, before the fault, to a small file system of its own, which restarts the
    agent: use it as `with faults.on(disk), faults.under(disk)`. The copy is sparse, so that what raft's log
    has reserved but not yet written needs room as well.
    """

    name = "full disk"
    restarts = True  # it may end for want of room, and systemd starts it again

    def __init__(self, node: Node) -> None:
        """Take the server's host."""
        super().__init__(node)
        self.unit = Unit(node)
        self._data = self.unit.data

    def prepare(self) -> None:
        """Put the data on a small file system in memory; the agent is restarted on it."""
        data = self._data
        self.unit.stop()
        self._root(
            f"mkdir -p {data}{BELOW} && mount --bind --make-private {data} {data}{BELOW} &&"
            f" mount -t tmpfs -o size={MEBIBYTES}M,mode=750 tmpfs {data} &&"
            f" cp -a --sparse=always {data}{BELOW}/. {data}/"
        )
        self.unit.start()

    def restore(self) -> None:
        """Put the data back to where it was."""
        self.unit.stop()
        self._root(restoration(self._data))
        self.unit.start()

    def inject(self) -> None:
        """Fill the disk."""
        self._root(f"cd {self._data} && {FILL}")

    def seen(self) -> bool:
        """Return whether another byte finds no room."""
        said = self.node.shell.run(f"sudo sh -c 'echo x > {self._data}/{FILLER}.probe'")
        return bool(said.rc)

    def heal(self) -> None:
        """Make room, and start the agent if it ended for want of it."""
        self._root(f"rm -f {self._data}/{FILLER} {self._data}/{FILLER}.probe; systemctl start consul")

    def healed(self) -> bool:
        """Return whether what filled it is gone, and the agent runs."""
        return not self.unit.files(FILLER) and bool(self.unit.pid())

    @property
    def node(self) -> Node:
        """The server's host."""
        return self.nodes[0]

    def _root(self, script: str) -> None:
        self.node.run("sudo", "sh", "-c", script)


def restoration(data: str) -> str:
    """Return a shell command that brings data back from a file system of its own; the agent must not run."""
    return (
        f"! mountpoint --quiet {data} || {{ rm -f {data}/{FILLER}*; find {data}{BELOW} -mindepth 1 -delete;"
        f" cp -a {data}/. {data}{BELOW}/ && umount {data} && umount {data}{BELOW} && rmdir {data}{BELOW}; }}"
    )


class Wipe(Kill):
    """SIGKILL, and the data directory is gone."""

    name = "kill -9 and wiped disk"

    def inject(self) -> None:
        """Kill the agents and wipe their data."""
        super().inject()
        self.strike(Unit.wipe)
