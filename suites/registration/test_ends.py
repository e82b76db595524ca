"""However a container begins and ends, its service comes and goes with it, and never after it."""

from __future__ import annotations

import pytest

from lab.errors import NotRunError
from lab.hosts import Lab
from lab.proof import Proof
from lab.waiting import hold, wait_for

from .conftest import Containers, registrator_away

LAUNCHES = 5
CALM = 2.0  # seconds for which nothing is to happen
# By itself it never ends; on USR1, which ends no program that knows it, it does so in a way of its own.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGUSR1, lambda *_: {end})
print("ready", flush=True)
while True:
    signal.pause()
"""
# How it ends, and its exit code; 137 is SIGKILL, which nobody but the kernel sends here. Docker's own word
# for that, OOMKilled, is not set on every host.
ENDS = {"exit 0": ("sys.exit(0)", 0), "exit 1": ("sys.exit(1)", 1), "out of memory": ("b'x' * 2**30", 137)}
OBEDIENT = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
SLOW = ("sh", "-c", "trap 'sleep 10; exit 0' TERM; trap : HUP; while :; do sleep 0.1; done")


@pytest.mark.quick
def test_launched_and_removed_it_is_told_at_once(containers: Containers, proof: Proof) -> None:
    """R1, R2: Each container is in the catalog right after its launch, and out right after its removal."""
    launched, removed = [], []
    for number in range(LAUNCHES):
        launched.append(containers.seconds(containers.launch("web", 20001 + number)))
        containers.docker("rm", "--force", "t-web")
        removed.append(containers.seconds())

    proof.note("launches", LAUNCHES)
    proof.within("latest to the catalog", max(launched), containers.prompt, "R1: our choice")
    proof.within("latest out of the catalog", max(removed), containers.prompt, "R2: our choice")


@pytest.mark.quick
@pytest.mark.parametrize(
    "how", [("stop", "--time", "1"), ("kill",), ("kill", "--signal", "TERM"), ("rm", "--force")], ids=" ".join
)
def test_an_end_is_an_end(containers: Containers, how: tuple[str, ...]) -> None:
    """R2: Stopped, killed or removed: the service goes; its neighbour stays."""
    gone = containers.launch("gone", 20001, command=OBEDIENT)
    stays = containers.launch("stays", 20002)
    containers.settle(gone, stays)

    containers.docker(*how, "t-gone")
    wait_for(lambda: gone not in containers.published(), within=containers.limit, what="its end")

    containers.prove("gone", stays)


@pytest.mark.parametrize("how", ENDS)
def test_an_end_of_its_own_is_an_end(containers: Containers, how: str) -> None:
    """R2: Ended by itself, well or not, or by the kernel for want of memory: the service goes."""
    end, wanted = ENDS[how]
    options: tuple[str, ...] = ()
    if how == "out of memory":
        if containers.docker("info", "--format", "{{.MemoryLimit}}").strip() != "true":
            raise NotRunError("the docker host cannot limit a container's memory")
        options = ("--memory", "64m", "--memory-swap", "64m")
    command = ("python3", "-c", PROGRAM.format(end=end))
    gone, stays = (
        containers.launch("gone", 20001, *options, command=command),
        containers.launch("stays", 20002),
    )
    containers.settle(gone, stays)
    wait_for(lambda: "ready" in containers.docker("logs", "t-gone"), within=containers.limit, what="ready")

    containers.docker("kill", "--signal", "USR1", "t-gone")
    wait_for(lambda: containers.state("t-gone") == "exited", within=containers.limit, what="its end")

    containers.prove(f"{how}: gone", stays)
    assert int(containers.state("t-gone", "{{.State.ExitCode}}")) == wanted


def test_a_crash_loop_leaves_no_ghost(containers: Containers) -> None:
    """R2: A container that dies again and again is gone for good when it is removed."""
    containers.launch("loop", 20001, "--restart", "always", command=("sh", "-c", "sleep 0.3"))
    wait_for(
        lambda: int(containers.state("t-loop", "{{.RestartCount}}")),
        lambda count: count >= 3,
        within=30,
        what="three restarts",
    )

    containers.docker("rm", "--force", "t-loop")

    containers.prove("removed")
    hold(containers.catalog, lambda ids: not ids, during=CALM, what="no ghost")


@pytest.mark.original_fails("#127, #685")
def test_a_service_is_gone_before_its_process(containers: Containers, lab: Lab, proof: Proof) -> None:
    """Told to end by `docker stop`, a container that takes its time is out of the catalog while it runs."""
    slow, stays = containers.launch("slow", 20001, command=SLOW), containers.launch("stays", 20002)
    containers.settle(slow, stays)

    lab.docker.run("sh", "-c", "docker stop --time 20 t-slow >/dev/null 2>&1 &")

    took = containers.seconds(stays)
    proof.within("told to end, out of the catalog", took, containers.prompt, "R2: our choice")
    assert containers.state("t-slow") == "running"


def test_a_signal_that_ends_nothing_changes_nothing(containers: Containers) -> None:
    """HUP, which programs take for "read your settings again", does not take a service away (#248)."""
    key = containers.launch("slow", 20001, command=SLOW)
    containers.settle(key)

    containers.docker("kill", "--signal", "HUP", "t-slow")

    hold(containers.catalog, lambda ids: ids == {key}, during=CALM, what="the service after HUP")
    assert containers.state("t-slow") == "running"


def test_registrator_ends_and_the_services_stay(containers: Containers) -> None:
    """Registrator, stopped in good order, takes nothing away; back again, it leaves all as it was."""
    key = containers.launch("stays", 20001)
    before = containers.settle(key)[key]

    with registrator_away(containers, "stop"):
        hold(
            containers.catalog, lambda ids: ids == {key}, during=CALM, what="the service without registrator"
        )

    hold(containers.registered, lambda now: now == {key: before}, during=CALM, what="the same service")
