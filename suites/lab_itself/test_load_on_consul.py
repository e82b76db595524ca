"""The load on Consul tells the truth: it sees what is lost, and without answers it is no load."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.checks import linearizable, lost_writes, unavailability
from lab.errors import LabError
from lab.history import OK, READ, WRITE, History
from lab.hosts import Lab
from lab.kv import KvLoad
from lab.proof import Proof
from lab.trial import NO_LEADER, leaderless_answers
from lab.unit import Unit
from lab.waiting import lapse, wait_for

DELETING = 3  # seconds
STANDSTILL = 2.0  # seconds


def test_every_request_ends_and_is_written_down(lab: Lab, history: History, proof: Proof) -> None:
    """On a healthy lab every request is answered well, and each key of the store is one register."""
    with KvLoad(lab, history, [lab.lb, lab.docker], rate=20):
        lapse(2, "requests")

    operations = history.operations()
    assert {it.result for it in operations} == {OK}
    assert {it.target for it in operations if it.action in (WRITE, READ)} == {lab.lb.name, lab.docker.name}
    proof.note("requests", len(operations))
    proof.judge(linearizable(history))
    proof.judge(lost_writes(history))


def test_control_a_write_taken_back_is_seen(lab: Lab, history: History) -> None:
    """When somebody deletes what was acknowledged the checks say so.

    Again and again, as the next write is there within 0.1 s, and a read may always come right after it.
    """
    with KvLoad(lab, history, [lab.lb, lab.docker]) as load:
        end = time.monotonic() + DELETING
        while time.monotonic() < end:
            lab.lb.agent.api.kv.delete(load.prefix, recurse=True)

    assert linearizable(history).outcome == "broken"
    assert lost_writes(history).outcome == "broken"


def test_a_request_that_hangs_at_the_end_is_no_outage_of_the_others(
    lab: Lab, history: History, proof: Proof
) -> None:
    """When the load ends while one agent stands still, the others are asked until that one has answered."""
    agent = Unit(lab.docker)
    with ThreadPoolExecutor(1) as pool:
        with KvLoad(lab, history, [lab.lb, lab.docker]):
            agent.signal("STOP")
            going_on = pool.submit(_go_on, agent)
            lapse(STANDSTILL / 4, "a request of each kind to hang")
        going_on.result()

    for action in (WRITE, READ):
        proof.judge(unavailability(history, action, STANDSTILL / 2, [lab.lb.name]))
        assert unavailability(history, action, STANDSTILL / 2, [lab.docker.name]).outcome == "broken"


def _go_on(agent: Unit) -> None:
    lapse(STANDSTILL, "a standstill")
    agent.signal("CONT")


@pytest.fixture
def leaderless(lab: Lab) -> Iterator[None]:
    """Two of three servers are stopped."""
    units = [Unit(server) for server in lab.servers[:2]]
    try:
        for unit in units:
            unit.stop()
        survivor = lab.servers[2].agent
        within = lab.topology.deadlines.election
        wait_for(survivor.leader, until=lambda address: not address, within=within, what="no leader")
        yield
    finally:
        for unit in units:
            unit.start()


@pytest.mark.usefixtures("leaderless")
def test_control_without_a_leader_there_is_no_load(lab: Lab, history: History) -> None:
    """A load whose first requests get no answer cannot tell anything, and says so."""
    with pytest.raises(LabError, match="did not begin"), KvLoad(lab, history, [lab.lb, lab.docker]):
        pytest.fail("the body must not be run")


@pytest.mark.full
def test_control_an_outage_beyond_the_hold_is_told_to_clients(lab: Lab, history: History) -> None:
    """Requests are held for 7 s (N4): a longer time without a leader is answered with "No cluster leader"."""
    units = [Unit(server) for server in lab.servers[:2]]
    with KvLoad(lab, history, [lab.lb, lab.docker]):
        try:
            for unit in units:
                unit.stop()
            wait_for(lambda: leaderless_answers(history), within=20, what=f'"{NO_LEADER}"')
        finally:
            for unit in units:
                unit.start()
