"""What the monitor knows, and how each observation changes it. No I/O and no clock: `now` is handed in.

Times are seconds since the epoch. Every change that an audience would want to hear of becomes an Event.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from .names import natural, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .answer import AnswerError
    from .parse import Member, Peer, Server, Service, Worker

Kind = Literal["echo", "info"]
Status = Literal["waiting", "ok", "unreachable"]

HISTORY = 300  # samples, one an interval
EVENTS = 100
WORKERS = 16  # of HAProxy, remembered so that the last words of an old one are not taken for a reload
NAMED = 3  # instances of one event that are named; the others are counted
MERGE = 2.0  # s within which the same thing that happens to several instances is one event


@dataclass(frozen=True)
class Host:
    """One host of the lab."""

    name: str
    address: str
    role: str


@dataclass
class Reach:
    """Whether something answers, since when, and in what way it does not.

    `doubt` is when an answer was late that had never been late before: it may have been the monitor
    itself that had no processor, so one late answer alone makes nobody unreachable.
    """

    since: float
    status: Status = "waiting"
    error: str = ""
    doubt: float | None = None


@dataclass
class Instance:
    """One container: its services in Consul and the connections that it says it holds."""

    key: str
    name: str
    reach: Reach
    services: dict[Kind, Service] = field(default_factory=dict)
    connections: int | None = None  # the last answer, also when it does not answer any more

    @property
    def service(self) -> Service:
        """Return the registration that says most: where the connections are asked for, if there is one."""
        return self.services.get("info") or self.services["echo"]


@dataclass(frozen=True)
class Event:
    """One line of the log: what happened, and to which instances; `kind` lets the page draw it."""

    number: int
    time: float
    kind: str
    what: str
    names: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the line; of many instances it names the first."""
        others = len(self.names) - NAMED
        more = f" and {others} more" if others > 0 else ""
        return f"{', '.join(self.names[:NAMED])}{more} {self.what}".strip()


@dataclass(frozen=True)
class Sample:
    """How many connections each instance held at one moment, by name; None where it did not answer."""

    tick: int
    time: float
    connections: dict[str, int | None]


@dataclass
class Haproxy:
    """The load balancer as its current worker describes itself."""

    servers: dict[str, Server] = field(default_factory=dict)
    worker: Worker | None = None
    workers: dict[int, int] = field(default_factory=dict)
    reloads: int = 0
    last_reload: float | None = None


@dataclass
class State:
    """Everything the monitor knows; `sources` holds what is asked besides the instances, by name.

    An agent's source is named by its address:port.
    """

    hosts: tuple[Host, ...]
    agents: tuple[str, ...]
    haproxy_address: str
    instances: dict[str, Instance] = field(default_factory=dict)
    sources: dict[str, Reach] = field(default_factory=dict)
    leaders: dict[str, str] = field(default_factory=dict)
    leader: str = ""
    leader_since: float | None = None
    members: dict[str, Member] | None = None
    peers: dict[str, Peer] | None = None
    haproxy: Haproxy = field(default_factory=Haproxy)
    known: set[Kind] = field(default_factory=set)
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=HISTORY))
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS))
    logged: int = 0


def log(state: State, now: float, kind: str, what: str, *names: str) -> None:
    """Add one line to the event log, or its names to the last one if that says the same of others."""
    last = state.events[-1] if state.events else None
    if last and names and (last.kind, last.what) == (kind, what) and now - last.time < MERGE:
        state.events[-1] = replace(last, names=(*last.names, *names))
        return
    state.logged += 1
    state.events.append(Event(state.logged, now, kind, what, names))


def reached(reach: Reach, now: float) -> bool:
    """Note that something answered; returns whether it had been unreachable."""
    was_lost = reach.status == "unreachable"
    reach.doubt = None
    if reach.status != "ok":
        reach.since, reach.status, reach.error = now, "ok", ""
    return was_lost


def missed(reach: Reach, error: AnswerError, now: float) -> bool:
    """Note that something did not answer; returns whether it has become unreachable by that."""
    if reach.status == "unreachable":
        reach.error = str(error)
        return False
    if error.late and reach.doubt is None:
        reach.doubt = now
        return False
    reach.since, reach.status, reach.error = reach.doubt or now, "unreachable", str(error)
    return True


def see_services(state: State, kind: Kind, found: Iterable[Service], now: float) -> None:
    """Note all instances of one service that Consul knows now."""
    services = {service.key: service for service in found}
    new = [key for key in services if key not in state.instances]
    for service in services.values():
        _register(state, kind, service, now)
    gone = [instance.key for instance in state.instances.values() if not _keep(instance, kind, services, now)]
    left = [state.instances.pop(key) for key in gone]
    _name(state)
    first = kind not in state.known
    state.known.add(kind)
    if new:
        names = (state.instances[key].name for key in new)
        log(state, now, "appeared", "found" if first else "appeared", *sorted(names, key=natural))
    if left:
        log(state, now, "left", "left", *(instance.name for instance in left))


def see_connections(state: State, instance: Instance, asked: Service, number: int, now: float) -> None:
    """Note an instance's answer, unless it moved to another address since it was asked."""
    if instance.services.get("info") != asked:
        return
    instance.connections = number
    if reached(instance.reach, now):
        log(state, now, "answers", "answered again", instance.name)


def miss_connections(
    state: State, instance: Instance, asked: Service, error: AnswerError, now: float
) -> None:
    """Note that an instance did not answer; what it said last is kept, and is not its count."""
    if instance.services.get("info") == asked and missed(instance.reach, error, now):
        log(state, now, "unreachable", f"stopped answering: {error}", instance.name)


def sample(state: State, tick: int, now: float) -> None:
    """Add the present to the history."""
    counts = {
        instance.name: instance.connections if instance.reach.status == "ok" else None
        for instance in state.instances.values()
    }
    state.samples.append(Sample(tick, now, counts))


def _register(state: State, kind: Kind, service: Service, now: float) -> None:
    instance = state.instances.get(service.key)
    if instance is None:
        instance = state.instances[service.key] = Instance(service.key, service.name, Reach(now))
    known = instance.services.get(kind)
    instance.services[kind] = service
    if kind == "info" and (known is None or (known.address, known.port) != (service.address, service.port)):
        instance.connections, instance.reach = None, Reach(now)
    if known is not None and known.check != service.check:
        log(state, now, "check", f"{kind} check is now {service.check}", instance.name)


def _keep(instance: Instance, kind: Kind, services: dict[str, Service], now: float) -> bool:
    """Take from an instance what Consul no longer lists; returns whether anything is left of it."""
    if kind in instance.services and instance.key not in services:
        del instance.services[kind]
        if kind == "info":
            instance.connections, instance.reach = None, Reach(now)
    return bool(instance.services)


def _name(state: State) -> None:
    """Name each instance after its container, or by its key where two hosts have one of that name.

    Keys that look the same when they are printed are numbered: no two instances share a name.
    """
    uses = Counter(instance.service.name for instance in state.instances.values())
    taken: set[str] = set()
    for instance in state.instances.values():
        name = instance.service.name
        name = name if uses[name] == 1 else printable(instance.key)
        others = (f"{name}~{number}" for number in itertools.count(2))
        instance.name = next(free for free in itertools.chain([name], others) if free not in taken)
        taken.add(instance.name)
