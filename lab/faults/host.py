"""What can happen to a whole host, done by Vagrant: only the lab that this checkout made has these."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lab.faults.cycle import Fault
from lab.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.hosts import Node
    from lab.machines import Machines

BANNER = b"SSH-"
PATIENCE = 1.0


class _Host(Fault):
    def __init__(self, machines: Machines, *nodes: Node) -> None:
        super().__init__(*nodes)
        self._machines = machines

    def seen(self) -> bool:
        """Return whether none of the hosts greets at its SSH port."""
        return len(dark(self.nodes)) == len(self.nodes)

    def healed(self) -> bool:
        """Return whether all of them greet."""
        return not dark(self.nodes)


class PowerCut(_Host):
    """The power of hosts is cut: no process is told, and no peer. They boot when it is healed.

    What a process had written is kept where hosts share the machine's kernel; virtual machines lose it.
    """

    name = "power cut"
    restarts = True

    def inject(self) -> None:
        """Cut the power."""
        self._machines.cut_power(*(node.name for node in self.nodes))

    def heal(self) -> None:
        """Boot the hosts."""
        self._machines.boot(*(node.name for node in self.nodes))
        await_login(self.nodes)


class Reboot(_Host):
    """Hosts shut down in good order and boot at once."""

    name = "reboot"
    restarts = True

    def inject(self) -> None:
        """Remember when each host booted, and shut it down."""
        self._booted = {node: boot_of(node) for node in self.nodes}
        self._machines.halt(*(node.name for node in self.nodes))
        self._machines.boot(*(node.name for node in self.nodes))
        await_login(self.nodes)

    def seen(self) -> bool:
        """Return whether each host has booted since."""
        return all(boot_of(node) != before for node, before in self._booted.items())

    def heal(self) -> None:
        """Boot what does not run."""
        self._machines.boot(*(node.name for node in dark(self.nodes)))


class Freeze(_Host):
    """Hosts stand still with all their processes, and go on as if nothing had been."""

    name = "freeze"

    def inject(self) -> None:
        """Freeze."""
        self._machines.suspend(*(node.name for node in self.nodes))

    def heal(self) -> None:
        """Let the hosts go on."""
        self._machines.resume(*(node.name for node in self.nodes))
        await_login(self.nodes)


def await_login(nodes: Iterable[Node]) -> None:
    """Wait until each of the hosts, which were away, lets us in again. Raises Unmet."""
    for node in nodes:
        node.hang_up()
        wait_for(
            lambda: node.run("echo", "in"),  # noqa: B023 - asked before the next turn
            within=node.limits.host_up,
            what=f"login at {node.name}",
        )


def boot_of(node: Node) -> str:
    """Return what changes with each boot of a host: when its first process began, in the kernel's ticks."""
    return node.run("sh", "-c", "cut -d' ' -f22 /proc/1/stat")


def greets(node: Node) -> bool:
    """Return whether an SSH server greets; that of a frozen host takes the connection and says nothing."""
    try:
        with socket.create_connection((node.address, node.ssh_port), PATIENCE) as connection:
            connection.settimeout(PATIENCE)
            return connection.recv(len(BANNER)) == BANNER
    except OSError:
        return False


def dark(nodes: Iterable[Node]) -> list[Node]:
    """Return the hosts that do not greet; all are asked at once."""
    asked = list(nodes)
    with ThreadPoolExecutor() as pool:
        return [node for node, greeted in zip(asked, pool.map(greets, asked), strict=True) if not greeted]
