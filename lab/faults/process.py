"""What can happen to the process of a Consul agent."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lab.faults.cycle import Fault, on_each
from lab.hosts import Node
from lab.unit import Unit


class _Process(Fault):
    restarts = True

    def __init__(self, *nodes: Node) -> None:
        super().__init__(*nodes)
        self.units = [Unit(node) for node in nodes]

    def seen(self) -> bool:
        """Return whether no process is left."""
        return not any(unit.pid() for unit in self.units)

    def heal(self) -> None:
        """Start the agents."""
        self.strike(Unit.start)

    def strike(self, blow: Callable[[Unit], None]) -> None:
        """Do the same to all agents at once."""
        with ThreadPoolExecutor(len(self.units)) as pool:
            list(pool.map(blow, self.units))


class Kill(_Process):
    """SIGKILL: the agent says goodbye to nobody, and systemd does not bring it back."""

    name = "kill -9"

    def inject(self) -> None:
        """Kill the agents, all at once."""
        self.strike(Unit.kill)


class Terminate(_Process):
    """SIGTERM: the agent ends in good order and keeps its place in the cluster."""

    name = "SIGTERM"

    def inject(self) -> None:
        """Stop the agents, all at once."""
        self.strike(Unit.stop)


class Leave(_Process):
    """The agent leaves the cluster for good: a server gives its vote back."""

    name = "leave"

    def inject(self) -> None:
        """Let the agents leave, one after another."""
        for unit in self.units:
            unit.leave()


class Pause(Fault):
    """SIGSTOP: the agent does nothing, its connections stay open, and it remembers all when it goes on."""

    name = "pause"

    def __init__(self, *nodes: Node) -> None:
        """Take the hosts of the agents."""
        super().__init__(*nodes)
        self.units = [Unit(node) for node in nodes]

    def inject(self) -> None:
        """Stop the processes."""
        for unit in self.units:
            unit.signal("STOP")

    def seen(self) -> bool:
        """Return whether all of them stand still."""
        return all(unit.frozen() for unit in self.units)

    def heal(self) -> None:
        """Let them go on."""
        on_each(self.nodes, lambda node: Unit(node).signal("CONT"))
