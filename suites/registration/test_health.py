"""A container that runs and does not work is registered, not healthy; registrator says how it is itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from lab.hosts import Lab
from lab.proof import Proof
from lab.unit import stopped
from lab.waiting import wait_for

from .conftest import Containers

DEFAULT_TIMEOUT = 10  # seconds that Consul gives an HTTP check (N10)
# The kernel takes the connections, nobody answers.
HANG = ("python3", "-c", "import socket, time; server = socket.create_server(('', 80)); time.sleep(600)")


@pytest.mark.original_fails("#224, #578")
def test_a_paused_container_is_critical(containers: Containers) -> None:
    """R10: Paused it stays registered but is not healthy; unpaused it is again."""
    key = containers.launch("paused", 20001)
    containers.settle(key)

    containers.prove_health("healthy", key, healthy=True)
    containers.docker("pause", "t-paused")
    containers.prove_health("paused: not healthy", key, healthy=False)
    containers.settle(key)
    containers.docker("unpause", "t-paused")
    containers.prove_health("unpaused: healthy again", key, healthy=True)


@pytest.mark.original_fails("#578, PR #512")
def test_docker_s_healthcheck_shows(containers: Containers) -> None:
    """Healthy in Consul is who HEALTHCHECK calls so: not before its first word, not after "unhealthy"."""
    options = ("--health-cmd", "test -e /tmp/well", "--health-interval", "1s", "--health-retries", "1")
    key = containers.launch("checked", 20001, *options)
    containers.settle(key)
    assert not containers.healthy(key)

    limit = 2 + containers.prompt, "two probes, our choice"
    containers.docker("exec", "t-checked", "touch", "/tmp/well")
    containers.prove_health("healthy", key, healthy=True, limit=limit)
    containers.docker("exec", "t-checked", "rm", "/tmp/well")
    containers.prove_health("unhealthy", key, healthy=False, limit=limit)


@pytest.mark.parametrize("timeout", [1, pytest.param(None, marks=pytest.mark.full)])
def test_a_service_that_hangs_is_critical(containers: Containers, timeout: int | None) -> None:
    """R8: A service whose HTTP check is never answered is not healthy after interval and timeout."""
    variables = {"HTTP": "/", "INTERVAL": "1s", "INITIAL_STATUS": "passing"}
    if timeout:
        variables["TIMEOUT"] = f"{timeout}s"
    options = [word for name, it in variables.items() for word in ("--env", f"SERVICE_CHECK_{name}={it}")]
    key = containers.launch("hangs", 20001, *options, command=HANG)
    containers.settle(key)

    limit = 1 + (timeout or DEFAULT_TIMEOUT) + containers.limit, "N10: interval, timeout"
    containers.prove_health("hangs: not healthy", key, healthy=False, limit=limit)
    # The first check may come before the container listens, and is then refused at once; the next one hangs.
    wait_for(lambda: "Client.Timeout" in containers.checks(key), within=limit[0], what="a check that hung")
    containers.settle(key)


@pytest.mark.original_fails("which has no /health")
def test_registrator_says_how_it_is(
    containers: Containers, lab: Lab, health: Callable[[], requests.Response], proof: Proof
) -> None:
    """/health counts what was done and is 200, and 503 with the reason while Consul is away."""
    containers.settle(containers.launch("first", 20001))
    before = health()
    assert before.status_code == requests.codes.ok, before.text

    with stopped(lab.docker):
        fresh = containers.launch("fresh", 20002)
        away = wait_for(health, lambda it: not it.ok, within=containers.limit, what="503 without Consul")
        assert away.status_code == requests.codes.unavailable
        assert "Consul failed" in away.json()["failure"]
    containers.settle(containers.id_of("t-first", 80), fresh, within=lab.topology.deadlines.members)

    after = wait_for(
        health,
        lambda it: it.ok and not it.json()["not_in_catalog"],
        within=containers.limit,
        what="200 again",
    ).json()
    assert after["services"] == before.json()["services"] + 1
    assert after["register"] > before.json()["register"]
    proof.note("failed looks meanwhile", after["failures"] - before.json()["failures"])
    proof.note("last look", after["last_look_ms"], "ms")
