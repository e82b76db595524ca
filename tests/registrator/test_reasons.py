"""Reasons to look: what each event means, on any clock."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.registrator.registrator.options import Options
from images.registrator.registrator.reasons import LAG, Reasons, signal_number
from images.registrator.registrator.services import Container
from tests.registrator.fakes import recorded

KEY = recorded("event")["Actor"]["ID"]


def reasons(stop_signal: str = "", **options: Any) -> Reasons:  # noqa: ANN401
    """Return reasons for containers with a stop signal."""
    return Reasons(Options(**options), lambda _: stop_signal)


def event(action: str, signal: str = "15", at: float | None = None) -> dict[str, Any]:
    """Return the recorded event with another action, signal and time."""
    changed: dict[str, Any] = recorded("event") | {"Action": action}
    changed["timeNano"] = int((time.time() if at is None else at) * 1e9)
    changed["Actor"]["Attributes"]["signal"] = signal
    return changed


@pytest.mark.parametrize(
    ("stop_signal", "sent", "leaves"),
    [
        ("", "15", True),
        ("", "9", True),
        ("", "2", True),
        ("", "3", True),
        ("", "1", False),
        ("", "12", False),
        ("SIGUSR1", "10", True),
        ("SIGUSR1", "15", True),
        ("28", "28", True),
        ("SIGRTMIN+3", "37", True),
        ("SIGRTMIN+3", "34", False),
    ],
)
def test_signals(stop_signal: str, sent: str, leaves: bool) -> None:
    """A signal that ends programs, or a container's own stop signal, makes it leave; HUP does not."""
    found = reasons(stop_signal)
    found.take(event("kill", sent))

    assert bool(found.leaving) == leaves
    assert found.touched == set()


def test_a_start_ends_leaving() -> None:
    """A container that starts again is back at once."""
    found = reasons()
    for action in ("kill", "die", "start"):
        found.take(event(action))

    assert found.leaving == {}
    assert found.touched == {KEY}


def test_a_death_is_believed_before_the_list() -> None:
    """A container that died is left out while the list may still show it, and no longer."""
    found = reasons()
    found.take(event("die"))

    assert found.without_leaving([Container(KEY, "web"), Container("other", "other")]) == [
        Container("other", "other")
    ]
    assert 0 < found.leaving[KEY] - time.monotonic() <= LAG
    found.without_leaving([])
    assert found.leaving == {}


def test_on_success_asks_how_a_container_ended() -> None:
    """With on-success a death says nothing by itself: the container is to be looked at."""
    found = reasons(deregister="on-success")
    found.take(event("die"))

    assert (found.leaving, found.touched) == ({}, {KEY})


@given(st.floats(-1e8, 1e8))
def test_no_clock_keeps_a_container_out_for_longer(shift: float) -> None:
    """However the clocks differ, a container is out for no longer than -drain says; 0 keeps none out."""
    found, none = reasons(drain=60), reasons(drain=0)
    for item in (found, none):
        item.take(event("kill", at=time.time() + shift))

    assert -1 < found.leaving[KEY] - time.monotonic() <= 60
    assert none.without_leaving([Container(KEY, "web")]) == [Container(KEY, "web")]


def test_an_old_signal_counts_from_its_time() -> None:
    """A signal that is told anew after a reconnection does not begin a new -drain."""
    found = reasons(drain=60)
    found.take(event("kill", at=time.time() - 50))

    assert 5 < found.leaving[KEY] - time.monotonic() < 15


def test_a_network_event_touches_its_container() -> None:
    """A network event names its container among the attributes; a label of that name misleads nobody."""
    found, labelled = reasons(), event("pause")
    labelled["Actor"]["Attributes"]["container"] = "systemd"
    network = recorded("network_event")

    found.take(network)
    found.take(labelled)

    assert found.touched == {network["Actor"]["Attributes"]["container"], KEY}


def test_a_network_that_goes_touches_nobody() -> None:
    """A network that is removed names no container in its event."""
    found, gone = reasons(), recorded("network_event") | {"Action": "destroy"}
    del gone["Actor"]["Attributes"]["container"]

    found.take(gone)

    assert found.touched == set()


class Faulty:
    """Docker and the agent, who at first do what no library should."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take what both take."""

    def events(self, _: int) -> list[dict[str, Any]]:
        """Raise what is no error of Docker's; then tell an event."""
        return [self.answer()]

    def catalog(self, _: str | None) -> tuple[str, frozenset[str]]:
        """Raise what is no error of Consul's; then tell a service."""
        return self.answer()["id"], frozenset({"vm:web:80"})

    def answer(self) -> dict[str, Any]:
        """Raise once, then return an event."""
        Faulty.asked += 1
        if Faulty.asked == 1:
            raise AttributeError("'NoneType' object has no attribute 'readline'")
        return event("start")

    asked = 0


@pytest.mark.parametrize("reader", ["listen", "watch"])
def test_a_reader_outlives_every_error(monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    """Whatever a library raises, Docker and the catalog are read on: else nobody would ever know."""
    for name in ("Engine", "Agent"):
        monkeypatch.setattr(f"images.registrator.registrator.reasons.{name}", Faulty)
    monkeypatch.setattr(Faulty, "asked", 0)
    found = reasons()
    thread = threading.Thread(target=getattr(found, reader), daemon=True)
    thread.start()

    found.inbox.get(timeout=5)

    assert Faulty.asked >= 2
    found.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_waiting() -> None:
    """All events that are there are taken at once; after a failure none shortens the wait."""
    found, start = reasons(), time.monotonic()
    for action in ("start", "pause"):
        found.inbox.put(event(action))

    found.wait(start + 60, start)
    assert (found.events, time.monotonic() - start < 1) == (2, True)

    found.wait(start, start + 0.2)
    assert time.monotonic() - start >= 0.2
    found.inbox.put(event("start"))
    found.wait(start, start + 0.4)
    assert time.monotonic() - start >= 0.4


@pytest.mark.parametrize(
    ("text", "number"),
    [("15", 15), ("TERM", 15), ("SIGTERM", 15), ("sigterm", 15), ("SIGRTMIN+3", 37), ("SIGWHAT", 0), ("", 0)],
)
def test_signal_numbers(text: str, number: int) -> None:
    """A signal is known by number and name, with and without SIG; nonsense is 0."""
    assert signal_number(text) == number
