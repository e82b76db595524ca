"""The life of a fault: injected, seen, healed, recovered from."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from lab.errors import LabError
from lab.gossip import exchange, leaving
from lab.history import Stage
from lab.invariants import unrecovered
from lab.waiting import Unmet, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lab.faults.disk import FullDisk
    from lab.history import History
    from lab.hosts import Lab, Node

Thing = TypeVar("Thing")


class Fault(ABC):
    """One thing that goes wrong on some hosts.

    `restarts` says that the agents there lose what they held in memory. `heal` may be called again, and
    before `inject`: it then does nothing.
    """

    name: ClassVar[str]
    restarts: ClassVar[bool] = False

    def __init__(self, *nodes: Node) -> None:
        """Take the hosts it strikes."""
        self.nodes = nodes

    @abstractmethod
    def inject(self) -> None:
        """Make it go wrong."""

    @abstractmethod
    def seen(self) -> bool:
        """Return whether it can be observed that it went wrong."""

    @abstractmethod
    def heal(self) -> None:
        """Undo it."""

    @abstractmethod
    def healed(self) -> bool:
        """Return whether nothing of it is left; whether the cluster has recovered is another question."""

    def __str__(self) -> str:
        """Return its name and hosts."""
        return f"{self.name} of {', '.join(node.name for node in self.nodes)}"


class NoOp(Fault):
    """Nothing goes wrong: what a test of faults finds under it, it would find without any."""

    name = "no-op"

    def inject(self) -> None:
        """Do nothing."""

    def seen(self) -> bool:
        """Return that nothing is to be seen."""
        return True

    def heal(self) -> None:
        """Do nothing."""

    def healed(self) -> bool:
        """Return that nothing is left."""
        return True


def on_each(things: Iterable[Thing], undo: Callable[[Thing], object]) -> None:
    """Undo each of some things, the last one first, also when one fails, which is raised at the end."""
    with contextlib.ExitStack() as stack:
        for thing in things:
            stack.callback(undo, thing)


class Together(Fault):
    """Several faults as one: the cluster need not recover from the one before the other is healed."""

    name = "together"

    def __init__(self, *faults: Fault) -> None:
        """Take the faults."""
        super().__init__(*dict.fromkeys(node for fault in faults for node in fault.nodes))
        self._faults = faults

    def inject(self) -> None:
        """Make all go wrong, in their order."""
        for fault in self._faults:
            fault.inject()

    def seen(self) -> bool:
        """Return whether each can be observed."""
        return all(fault.seen() for fault in self._faults)

    def heal(self) -> None:
        """Undo all of them, the last one first."""
        on_each(self._faults, lambda fault: fault.heal())

    def healed(self) -> bool:
        """Return whether nothing is left of any."""
        return all(fault.healed() for fault in self._faults)


class Faults:
    """Injects faults into a lab and writes down in its history what came of each."""

    def __init__(self, lab: Lab, history: History) -> None:
        """Begin with none."""
        self._lab = lab
        self.limits = lab.topology.deadlines
        self.history = history

    @contextlib.contextmanager
    def under(self, fault: Fault) -> Iterator[None]:
        """Let the body of a `with` run under a fault that was seen; heal it, however the body ends.

        Raises LabError when the fault strikes no host, or is not seen within the deadline: then nothing was
        tested; and when it is still there after it was healed. Raises Unmet when the cluster does not recover
        within the deadline although it is gone.
        """
        if not fault.nodes:
            raise LabError(f"{fault.name}: strikes no host")
        number = self.history.inject(fault.name, [node.name for node in fault.nodes], restarts=fault.restarts)
        try:
            fault.inject()
            self.history.mark(number, Stage.STRUCK)
            self._await(fault.seen, f"{fault} seen", f"{fault} took no effect")
            self.history.mark(number, Stage.SEEN)
            yield
            self.history.mark(number, Stage.HEALING)
        finally:
            self._finally(fault.heal)
            self._await(fault.healed, f"{fault} gone", f"{fault} could not be healed")
            self.history.mark(number, Stage.HEALED)
        self.await_recovery(str(fault))
        self.history.mark(number, Stage.RECOVERED)
        exchange(self._lab)  # or what this fault made suspect falls under the next one

    @contextlib.contextmanager
    def on(self, disk: FullDisk) -> Iterator[None]:
        """Let the body of a `with` run on a disk that can be filled."""
        try:
            disk.prepare()
            self.await_recovery("the move to a small disk")
            yield
        finally:
            self._finally(disk.restore)
        self.await_recovery("the move back")

    def await_recovery(self, what: str) -> None:
        """Wait until servers and members are as they should be. Raises Unmet.

        Autopilot may force a server out in the very moment of its return, and others then have it as leaving
        for good (docs/known-issues.md): the agents exchange what they know, which ends that.
        """
        wait_for(
            self._lacking,
            until=lambda found: not found,
            within=self.limits.recovery,
            what=f"recovery from {what}",
        )

    def _lacking(self) -> list[str]:
        found = unrecovered(self._lab)
        if found and leaving(self._lab):
            exchange(self._lab)
        return found

    def _finally(self, undo: Callable[[], None]) -> None:
        """Undo, and again from the start when that is cut short: by Ctrl-C, by a time-out."""
        try:
            undo()
        except BaseException:
            undo()
            raise

    def _await(self, stage: Callable[[], bool], what: str, otherwise: str) -> None:
        try:
            wait_for(stage, within=self.limits.fault, what=what)
        except Unmet as unmet:
            raise LabError(f"{otherwise}: {unmet}") from unmet
