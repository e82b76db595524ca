"""Autopilot, which adds and removes servers by itself: its patience and its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab.hosts import Lab
from lab.unit import Unit
from lab.waiting import wait_for

# The settings, as Consul tells them and as its client library wants them.
SETTINGS = {
    "CleanupDeadServers": "cleanup_dead_servers",
    "LastContactThreshold": "last_contact_threshold",
    "MaxTrailingLogs": "max_trailing_logs",
    "MinQuorum": "min_quorum",
    "ServerStabilizationTime": "server_stabilization_time",
}


@pytest.fixture
def settled(lab: Lab, undisturbed: None) -> None:
    """Autopilot, which starts anew with each leader, has watched the servers for its time of stabilisation.

    Before that it takes every server for stable, and gives a vote to a new one at once.
    """
    limits = lab.topology.deadlines

    def watched() -> float:
        leader = lab.leader()
        return float(Unit(leader).now()) - leader.agent.stable_since()

    wait_for(
        watched,
        until=lambda seconds: seconds > limits.stabilisation,
        within=limits.promotion,
        what="servers that autopilot has watched long enough",
    )


@pytest.fixture
def autopilot(lab: Lab, undisturbed: None) -> Iterator[Callable[..., None]]:
    """Changes settings of autopilot, named as Consul's client library does; at the end they are as before."""
    found = lab.leader().agent.api.operator.autopilot_configuration()
    before = {name: found[said] for said, name in SETTINGS.items()}

    def change(**settings: object) -> None:
        lab.leader().agent.api.operator.update_autopilot_configuration(**(before | settings))

    yield change
    change()
