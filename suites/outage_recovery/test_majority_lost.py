"""Two servers of three are lost for good, or all three have no power: the data comes back all the same."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import pytest

from lab.checks import gaps
from lab.faults import Faults, PowerCut, Wipe
from lab.history import SECOND
from lab.hosts import Lab
from lab.ledger import Ledger, read
from lab.machines import Machines
from lab.peers import FILE
from lab.proof import Proof
from lab.recovery import DELETED, FOUND, LEADS
from lab.start import await_missed
from lab.stored import Stored
from lab.trial import WRITES, await_writes
from lab.unit import Unit
from lab.waiting import wait_for

from .conftest import Recover, acknowledged, follower

STARTED = "Started consul.service"


@pytest.mark.destructive
def test_the_last_server_carries_on_with_all_it_had(  # noqa: PLR0913, PLR0917 - a test names what it needs
    lab: Lab,
    faults: Faults,
    proof: Proof,
    stored: Stored,
    all_vote: Callable[[str, float], None],
    recover: Recover,
) -> None:
    """O3: When two of three servers are lost for good, the third leads again with all that had reached it.

    By `tools/lab recover`, which refuses until the others are known to be dead: before it there is no leader;
    after it the log has the three lines of the procedure, peers.json is gone, every acknowledged write up to
    the survivor's last index is there, so is all that was older, and two fresh servers join.
    """
    survivor, limits = follower(lab), lab.topology.deadlines
    lost = [server for server in lab.servers if server is not survivor]
    history = faults.history

    with Ledger(lab, history, [lab.lb, lab.docker]) as ledger:
        await_writes(lab, history)
        with faults.under(Wipe(*lost)):
            last = survivor.agent.last_entry()
            before = acknowledged(history)
            refused = recover([survivor])
            assert (refused.returncode, refused.stdout.count("stopped")) == (1, 0), refused.stdout
            assert re.search(r"knows a leader|sees the server \w+ alive", refused.stderr), refused.stderr
            await_missed(lab, lost)
            assert survivor.agent.leader() == ""
            asked, pid = recover([survivor], "--dry-run"), Unit(survivor).pid()
            assert (asked.returncode, "nothing was changed" in asked.stdout) == (0, True), asked.stderr
            since = Unit(survivor).now()
            recovered = recover([survivor])
            assert recovered.returncode == 0, recovered.stderr
            assert Unit(survivor).pid() != pid
            logged = Unit(survivor).journal(since)
            assert [line for line in (FOUND, DELETED, LEADS) if line not in logged] == []
            assert not Unit(survivor).files(FILE)
            took = re.search(r"leads, ([\d.]+) s after the restart", recovered.stdout)
            assert took, recovered.stdout
            proof.within("leader after the restart", float(took[1]), limits.election, "N2")
            found = read(survivor, ledger.prefix)
            assert not stored.lacking(survivor)

            begun = time.monotonic()
            for server in lost:
                Unit(server).start()
            all_vote("two fresh servers vote", begun)
        # Who knew the lost ones by name takes the fresh ones for dead until the next full exchange of gossip.
        proof.within("and every agent sees them", time.monotonic() - begun, limits.recovery, "N19")
        after = acknowledged(history)

    reached = {key: value for key, (value, index) in before.items() if index <= last}
    proof.note("acknowledged before", len(before))
    proof.note("of these on the survivor", len(reached))
    proof.note("writes away", max(gap.length for gap in gaps(history.operations())) / SECOND, "s")
    assert len(reached) >= WRITES
    assert not reached.items() - found.items()
    assert len(after) > len(before)
    later = {key: value for key, (value, _) in after.items() if key not in before}
    # A follower applies the last entries when it hears of their commit, with the next heartbeat (N12).
    wait_for(
        lambda: later.items() - read(lost[0], ledger.prefix, "stale").items(),
        until=lambda missing: not missing,
        within=limits.answer,
        what="all that was acknowledged since, on a fresh server",
    )
    lab.docker.agent.api.kv.delete(ledger.prefix, recurse=True)


@pytest.mark.full
@pytest.mark.destructive
@pytest.mark.usefixtures("heard")
def test_three_servers_without_power_find_together_again(
    lab: Lab, faults: Faults, proof: Proof, stored: Stored, power: Machines
) -> None:
    """O4: Three servers that lost their power at once boot in any order and have every key, with no file.

    An agent that waits for news from one of them, on a connection that nobody ended, learns of it in time.
    """
    order = random.sample(lab.servers, len(lab.servers))
    units = [Unit(server) for server in order]
    since = units[0].now()

    with faults.under(PowerCut(power, *order)):
        off = Unit(lab.docker).now()
        for server in order[:2]:
            power.boot(server.name)
            server.hang_up()
        leader = wait_for(
            lambda: lab.leader(order[:2]), within=lab.topology.deadlines.recovery, what="a leader of two"
        )
        up = max(unit.logged(off, STARTED) for unit in units[:2])
        led = wait_for(lambda: Unit(leader).logged(off, LEADS), within=leader.limits.fault, what=LEADS)
        proof.within("leader after the second is up", led - up, lab.topology.deadlines.election, "N2")

    assert not stored.lacking(lab.docker)
    assert not [unit.name for unit in units if FOUND in unit.journal(since)]
