"""What can happen to the process of a Consul agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from lab.faults.cycle import Fault, on_each
from lab.hosts import Node
from lab.start import await_departure
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

    def healed(self) -> bool:
        """Return whether all of them run."""
        return all(unit.pid() for unit in self.units)

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
    """The agent leaves the cluster for good, as every other agent knows: a server gives its vote back.

    Who comes back while an agent still has it as leaving is never alive for that agent again.
    """

    name = "leave"

    def __init__(self, node: Node, agents: Iterable[Node]) -> None:
        """Take the host of the agent, and those of all agents."""
        super().__init__(node)
        self._others = [it for it in agents if it is not node]

    def inject(self) -> None:
        """Let the agent leave, and wait until the others know. Raises Unmet."""
        self.strike(Unit.leave)
        await_departure(self.nodes, self._others)


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

    def healed(self) -> bool:
        """Return whether none of them stands still."""
        return not any(unit.frozen() for unit in self.units)
