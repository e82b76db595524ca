"""Observations of instances change the state, and the audience is told of it."""

from __future__ import annotations

from tools.monitor import names
from tools.monitor import state as states
from tools.monitor.answer import AnswerError
from tools.monitor.parse import Check, Service
from tools.monitor.state import Instance, Kind, State


def empty() -> State:
    """Return the state of a monitor that has just started."""
    return State(hosts=(), agents=(), haproxy_address="")


def service(container: str, port: int = 5000, check: Check = "passing", node: str = "docker") -> Service:
    """Return one service instance in Consul."""
    return Service(f"{node}:{container}", container, node, "192.0.2.3", port, check)


def with_instances(*containers: str) -> State:
    """Return a state in which each container's info service has been seen once."""
    state = empty()
    states.see_services(state, "info", [service(container) for container in containers], now=100)
    return state


def texts(state: State) -> list[str]:
    """Return the lines of the event log."""
    return [event.text for event in state.events]


def hear(state: State, instance: Instance, number: int, now: float) -> None:
    """Let an instance answer at its present address."""
    states.see_connections(state, instance, instance.services["info"], number, now)


def miss(state: State, instance: Instance, now: float, error: str = "refused", *, late: bool = False) -> None:
    """Let an instance not answer at its present address."""
    asked = instance.services["info"]
    states.miss_connections(state, instance, asked, AnswerError(error, late=late), now)


def test_the_first_answer_is_no_news() -> None:
    """What is there when the monitor starts was found; it did not appear."""
    assert texts(with_instances("fep.1", "fep.2")) == ["fep.1, fep.2 found"]


def test_an_instance_appears_and_leaves() -> None:
    """A container that Consul lists next time has appeared, one that it no longer lists has left."""
    state = with_instances("fep.1")
    states.see_services(state, "info", [service("fep.2")], now=101)
    assert list(state.instances) == ["docker:fep.2"]
    assert texts(state)[1:] == ["fep.2 appeared", "fep.1 left"]


def test_many_at_once_are_one_line() -> None:
    """A wave of instances does not flood the log."""
    state = with_instances("fep.1")
    wave = [service(f"fep.{number}") for number in range(1, 22)]
    states.see_services(state, "info", wave, now=101)
    assert texts(state)[1:] == ["fep.2, fep.3, fep.4 and 17 more appeared"]


def test_both_services_of_a_container_are_one_instance() -> None:
    """A container stays as long as one of its two services is listed, and appears once."""
    state = with_instances("fep.1")
    states.see_services(state, "echo", [service("fep.1", 32768)], now=101)
    states.see_services(state, "info", [], now=102)
    assert set(state.instances["docker:fep.1"].services) == {"echo"}
    states.see_services(state, "echo", [], now=103)
    assert texts(state) == ["fep.1 found", "fep.1 left"]


def test_containers_of_one_name_are_told_apart() -> None:
    """Where two hosts run a container of the same name, each is shown with its host."""
    state = empty()
    states.see_services(state, "info", [service("fep.1"), service("fep.1", node="other")], now=100)
    assert [instance.name for instance in state.instances.values()] == ["docker:fep.1", "other:fep.1"]


def test_no_two_instances_share_a_name() -> None:
    """Names that differ only in what cannot be printed are numbered, also where a number is taken."""
    state = empty()
    keys = ["docker:a b", "docker:a\tb", "docker:a?b~2", "docker:a?b"]
    found = [Service(key, names.identity(f"{key}:1")[1], "docker", "192.0.2.3", 1, "passing") for key in keys]
    states.see_services(state, "info", found, now=100)
    shown = [instance.name for instance in state.instances.values()]
    assert shown == ["docker:a?b", "docker:a?b~2", "a?b~2", "docker:a?b~3"]


def test_silence_is_not_zero() -> None:
    """An instance that does not answer is unreachable since then, and keeps what it said last."""
    state = with_instances("fep.1")
    instance = state.instances["docker:fep.1"]
    hear(state, instance, 7, now=101)
    miss(state, instance, now=102)
    miss(state, instance, now=103, error="no answer")
    reach = instance.reach
    assert (reach.status, reach.since, reach.error, instance.connections) == (
        "unreachable",
        102,
        "no answer",
        7,
    )
    assert texts(state)[1:] == ["fep.1 stopped answering: refused"]


def test_one_late_answer_is_no_silence() -> None:
    """Late once may be the monitor's own fault; late twice in a row is silence since the first."""
    state = with_instances("fep.1")
    instance = state.instances["docker:fep.1"]
    for now in (101, 103):
        hear(state, instance, 7, now=now)
        miss(state, instance, now=now + 1, late=True)
        assert (instance.reach.status, instance.connections) == ("ok", 7)
    miss(state, instance, now=105, late=True)
    assert (instance.reach.status, instance.reach.since) == ("unreachable", 104)


def test_the_same_of_many_is_one_line() -> None:
    """Who falls silent for the same reason within a moment shares a line; another reason has its own."""
    state = with_instances(*(f"fep.{number}" for number in range(1, 6)))
    for step, instance in enumerate(state.instances.values()):
        miss(state, instance, now=101 + step / 10, error="refused" if step < 4 else "rubbish")
    assert texts(state)[1:] == [
        "fep.1, fep.2, fep.3 and 1 more stopped answering: refused",
        "fep.5 stopped answering: rubbish",
    ]


def test_an_instance_comes_back() -> None:
    """An instance that answers again is well since then."""
    state = with_instances("fep.1")
    instance = state.instances["docker:fep.1"]
    miss(state, instance, now=102)
    hear(state, instance, 0, now=107)
    assert (instance.reach.status, instance.reach.since, instance.connections) == ("ok", 107, 0)
    assert texts(state)[-1] == "fep.1 answered again"


def test_a_late_answer_of_an_old_address_is_ignored() -> None:
    """A container started again elsewhere waits for its own first answer."""
    state = with_instances("fep.1")
    instance = state.instances["docker:fep.1"]
    asked = instance.services["info"]
    states.see_services(state, "info", [service("fep.1", port=5009)], now=101)
    states.see_connections(state, instance, asked, 7, now=102)
    states.miss_connections(state, instance, asked, AnswerError("refused"), now=102)
    assert (instance.reach.status, instance.connections) == ("waiting", None)


def test_an_instance_without_info_service_has_no_count() -> None:
    """A count is forgotten with the service that told it."""
    state = with_instances("fep.1")
    instance = state.instances["docker:fep.1"]
    hear(state, instance, 7, now=101)
    states.see_services(state, "echo", [service("fep.1", 32768)], now=102)
    states.see_services(state, "info", [], now=103)
    assert (instance.reach.status, instance.connections) == ("waiting", None)


def test_a_check_that_turns_is_told() -> None:
    """The log says when a service's check in Consul changes, not what it is at first."""
    state = with_instances("fep.1")
    states.see_services(state, "info", [service("fep.1", check="critical")], now=101)
    assert texts(state)[1:] == ["fep.1 info check is now critical"]


def test_the_history_knows_silence() -> None:
    """A sample has a number for who answers and None for who does not."""
    state = with_instances("fep.1", "fep.2")
    hear(state, state.instances["docker:fep.1"], 7, now=101)
    miss(state, state.instances["docker:fep.2"], now=101)
    states.sample(state, tick=5, now=102)
    assert state.samples[-1].connections == {"fep.1": 7, "fep.2": None}


def test_memory_is_bounded() -> None:
    """A monitor that runs for a year remembers the last minutes and the last events."""
    state = empty()
    for turn in range(states.HISTORY + 50):
        kind: Kind = "info"
        states.see_services(state, kind, [service("fep.1")] if turn % 2 else [], now=turn)
        states.sample(state, turn, now=turn)
    assert len(state.samples) == states.HISTORY
    assert len(state.events) == states.EVENTS
    assert state.events[-1].number == state.logged > states.EVENTS
