"""The whole lab was off, or a server was away for longer than Consul allows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from lab.doctor import visit
from lab.faults import Faults, Reboot, Terminate
from lab.hosts import Lab
from lab.machines import Machines
from lab.peers import PeersError
from lab.proof import Proof
from lab.recovery import DAY, LAST_SEEN, Recovery
from lab.stored import Stored
from lab.unit import Unit
from lab.waiting import wait_for

from .conftest import follower

AWAY = 8 * DAY
REFUSED = "refusing to rejoin cluster because server has been offline for more than"


@pytest.mark.destructive
def test_a_server_that_was_away_for_too_long_is_named_and_comes_back(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored, all_vote: Callable[[str, float], None]
) -> None:
    """O9: A server last seen 8 days ago refuses to start; the doctor names it, and its remedy brings it back.

    The clock of hosts that share a kernel cannot be set ahead: what the server remembers is set back. Its
    process repeats the refusal for a minute, deaf to SIGTERM, so that the remedy kills it.
    """
    server = follower(lab)
    unit = Unit(server)

    with faults.under(Terminate(server)):
        try:
            since = unit.now()
            unit.write(LAST_SEEN, json.dumps({"last_seen_unix": int(float(since)) - AWAY}))
            unit.start()
            wait_for(
                lambda: REFUSED in unit.journal(since), within=lab.topology.deadlines.fault, what=REFUSED
            )
            (finding,) = [it for it in visit(lab) if not it.ok]
            with pytest.raises(PeersError) as refused:
                Recovery(lab, [server], say=print).examine()
            assert finding.remedy in str(refused.value)
            assert f"rm {unit.data}/{LAST_SEEN}" in finding.remedy
        finally:
            unit.remove(LAST_SEEN)
        begun = time.monotonic()
        unit.kill()
        unit.start()
        all_vote("three healthy voters", begun)

    proof.note("days away", AWAY / DAY)
    stored.arrive_on(server)


@pytest.mark.full
@pytest.mark.destructive
def test_the_whole_lab_is_halted_and_resumed(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored, power: Machines
) -> None:
    """O9: All hosts are shut down and booted again, and the cluster is what it was, with every key."""
    begun, limits = time.monotonic(), lab.topology.deadlines
    with faults.under(Reboot(power, *lab.nodes.values())):
        pass
    limit = limits.host_up + limits.recovery
    proof.within("whole again, from the shutdown", time.monotonic() - begun, limit, "N19, two boots")

    assert not stored.lacking(lab.docker)
