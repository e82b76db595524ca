"""What every suite shares: a healthy lab before and after each test, and echo services to test with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.errors import LabError, NotRunError
from lab.faults import Faults
from lab.fleet import Fleet
from lab.history import History
from lab.hosts import Lab
from lab.invariants import violations
from lab.machines import Machines
from lab.proof import Proof
from lab.stored import Stored
from lab.waiting import AWAY, Unmet, wait_for

HEALTHY = pytest.StashKey[bool]()  # now, as the test before has just seen
WELL = pytest.StashKey[bool]()  # once, in this run


@pytest.fixture(autouse=True)
def undisturbed(lab: Lab, request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[None]:
    """Each test finds a healthy lab and leaves one behind; whoever does not is the one that fails.

    What one test has just left behind is what the next one finds: it is asked for once. On a lab that stays
    ill no test can tell anything, and the run ends: raises NotRunError then, as the test that made it so has
    failed already, and LabError when it was ill from the beginning. Of a part of the hosts nothing is asked.
    """
    if not lab.whole:
        yield
        return
    if not pytestconfig.stash.get(HEALTHY, False):
        try:
            _await_health(lab, "a healthy lab before")
        except (Unmet, *AWAY) as ill:
            request.session.shouldfail = "the lab is not healthy, and no test could tell anything"
            raise (NotRunError if WELL in pytestconfig.stash else LabError)(str(ill)) from ill
    pytestconfig.stash[HEALTHY], pytestconfig.stash[WELL] = False, True
    yield
    _await_health(lab, "a healthy lab after")
    pytestconfig.stash[HEALTHY] = True


def _await_health(lab: Lab, what: str) -> None:
    within = lab.topology.deadlines.recovery
    wait_for(lambda: violations(lab), until=lambda found: not found, within=within, what=what)


@pytest.fixture
def fleet(lab: Lab, undisturbed: None) -> Iterator[Fleet]:
    """Echo services of the test's own; what it launched is removed at its end."""
    launched = Fleet(lab)
    yield launched
    launched.dismiss()


@pytest.fixture
def heard(lab: Lab, fleet: Fleet, proof: Proof) -> Iterator[None]:
    """At the test's end the load balancer's agent tells news of services to those who wait: consul-template.

    Who waits on a connection that a server without power never ended learns of that by gRPC's keepalive.
    """
    yield
    limits = lab.topology.deadlines
    proof.within("news of a service", fleet.heard(), limits.keepalive + limits.discovery, "gRPC's keepalive")


@pytest.fixture
def faults(lab: Lab, history: History, undisturbed: None) -> Faults:
    """Injects faults, each of which is healed however the test ends."""
    return Faults(lab, history)


@pytest.fixture
def stored(lab: Lab, undisturbed: None) -> Iterator[Stored]:
    """Values in the KV store, which go with the test."""
    with Stored(lab.docker) as written:
        yield written


@pytest.fixture
def power(machines: Machines | None) -> Machines:
    """The power of the hosts."""
    if machines is None:
        raise NotRunError("the power of these hosts is not ours: only the project's own lab has that")
    return machines
