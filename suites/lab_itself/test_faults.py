"""Each fault strikes what it should, is seen, and is undone: what the suites of outages stand on."""

import dataclasses
import socket
from collections.abc import Callable

import pytest

from lab.checks import faults_took_effect
from lab.errors import LabError
from lab.faults import (
    Delay,
    Fault,
    Faults,
    Freeze,
    FullDisk,
    Kill,
    Loss,
    NoOp,
    Pause,
    PortCut,
    PowerCut,
    Reboot,
    Terminate,
    Together,
    apart,
    between,
    bridge,
    heal,
    isolate,
    one_way,
)
from lab.hosts import Lab
from lab.machines import Machines
from lab.proof import Proof
from lab.unit import Unit

# The others are seen, healed and recovered from in what they are for: leave in F3, isolate in P6, wipe in M6.
KINDS: dict[str, Callable[[Lab], Fault]] = {
    "no-op": lambda lab: NoOp(*lab.servers),
    "kill": lambda lab: Kill(lab.servers[0]),
    "terminate": lambda lab: Terminate(lab.servers[0]),
    "pause": lambda lab: Pause(lab.servers[0]),
    "bridge": lambda lab: bridge(*lab.servers[:2]),
    "one way": lambda lab: one_way(lab.servers[:1], lab.servers[1:]),
    "apart": lambda lab: apart(lab.servers),
    "UDP cut": lambda lab: PortCut(
        between(lab.servers[:1], lab.servers[1:]), lab.topology.ports.consul_serf, "udp"
    ),
    "loss": lambda lab: Loss(between(lab.servers[:1], lab.servers[1:]), 20),
    "delay": lambda lab: Delay(lab.servers[:1], 50, lab.topology.network.gateway),
}

STOPPED = "Stopped consul.service"
PATIENCE = 2.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_seen_and_healed(lab: Lab, faults: Faults, proof: Proof, kind: str) -> None:
    """A fault comes through its stages, and the cluster is whole again."""
    with faults.under(KINDS[kind](lab)):
        pass

    proof.judge(faults_took_effect(faults.history))


@pytest.mark.full
@pytest.mark.destructive
@pytest.mark.parametrize("kind", [PowerCut, Reboot, Freeze])
@pytest.mark.usefixtures("heard")
def test_a_host_is_struck_and_comes_back(
    lab: Lab, faults: Faults, proof: Proof, power: Machines, kind: type[PowerCut | Reboot | Freeze]
) -> None:
    """A host without power, rebooted or frozen answers nobody, and afterwards it is a host again.

    Only a reboot ends its processes in good order, and its connections so that the peer is told.
    """
    unit = Unit(lab.servers[0])
    since = unit.now()

    with socket.create_connection((unit.node.address, unit.node.ssh_port), PATIENCE) as connection:
        assert connection.recv(1)
        with faults.under(kind(power, unit.node)):
            told = ends(connection)

    proof.judge(faults_took_effect(faults.history))
    assert told == (kind is Reboot)
    assert (STOPPED in unit.journal(since)) == (kind is Reboot)


def ends(connection: socket.socket) -> bool:
    """Return whether the peer, or its kernel, ends a connection within PATIENCE."""
    connection.settimeout(PATIENCE)
    try:
        while connection.recv(1):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


@pytest.mark.destructive
def test_a_full_disk_is_full(lab: Lab, faults: Faults) -> None:
    """A server's disk takes no byte more, and afterwards its data is where it was, with the same node-id."""
    disk = FullDisk(lab.servers[0])
    before = disk.unit.read("node-id")

    with faults.on(disk), faults.under(disk):
        pass

    assert disk.unit.read("node-id") == before


def test_control_a_fault_without_effect_is_no_test(
    lab: Lab, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that is not seen ends the test with "could not tell", and is healed all the same."""
    faults.limits = dataclasses.replace(faults.limits, fault=1)
    blank = PortCut(between(lab.servers[:1], lab.servers[1:]), 1, "udp")
    monkeypatch.setattr(blank, "probe", print)

    with pytest.raises(LabError, match="took no effect"), faults.under(blank):
        pytest.fail("the body must not be run")


def test_control_a_fault_that_stays_is_told(
    lab: Lab, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that is still there after it was healed spoils what comes next: nobody could tell."""
    faults.limits = dataclasses.replace(faults.limits, fault=1)
    stays = PortCut(between(lab.servers[:1], lab.servers[1:]), lab.topology.ports.consul_serf, "udp")
    with monkeypatch.context() as patched:
        patched.setattr(stays, "heal", print)
        try:
            with pytest.raises(LabError, match="could not be healed"), faults.under(stays):
                pass
        finally:
            patched.undo()
            stays.heal()


def test_control_a_fault_of_nobody_is_no_test(lab: Lab, faults: Faults) -> None:
    """A fault that strikes no host would be seen at once: it is refused."""
    for nobody in (Pause(), isolate(lab.servers[0], []), Together()):
        with pytest.raises(LabError, match="strikes no host"), faults.under(nobody):
            pytest.fail("the body must not be run")


@pytest.mark.full
@pytest.mark.destructive
@pytest.mark.usefixtures("heard")
def test_heal_undoes_all(lab: Lab, power: Machines) -> None:
    """Whatever was left behind, `tools/lab heal` knows nothing of it and undoes it, to a healthy lab."""
    left = [
        Pause(lab.servers[0]),
        Kill(lab.servers[1]),
        isolate(lab.docker, lab.agents),
        PowerCut(power, lab.servers[2]),
    ]
    try:
        for fault in left:
            fault.inject()
    finally:
        done = list(heal(lab, power))

    assert f"{lab.servers[2].name}: booted" in done
