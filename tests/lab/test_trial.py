"""What is asked of the history of a fault: planted numbers are found."""

import itertools

import pytest

from lab.errors import LabError
from lab.history import LEADER, SECOND, WRITE, History, Stage
from lab.proof import Proof
from lab.trial import acknowledged, hold_outages, judge, last_claim, leaderless_answers, outages, took_office


class Clock:
    """A clock that is set by hand, in seconds."""

    now = 0.0

    def __call__(self) -> int:
        """Return the time in nanoseconds."""
        return int(self.now * SECOND)


def record(*events: tuple[float, str]) -> History:
    """Return a history of writes and of one fault.

    A "w" is a good write, "d" one through another agent, "n" one without a leader, "l" a leader's claim and
    "f" its denial, "o" the other's claim, all else a stage of the fault.
    """
    clock = Clock()
    history, values, fault = History(clock=clock), itertools.count(), 0
    for at, what in sorted(events):
        clock.now = at
        if what in "wd":
            number = history.invoke(WRITE, what, str(next(values)), {"w": "lb", "d": "docker"}[what])
            history.ok(number, index=number)
        elif what == "n":
            history.fail(history.invoke(WRITE, "k", str(next(values)), "lb"), "500 No cluster leader")
        elif what in "lfo":
            number = history.invoke(LEADER, target="server2" if what == "o" else "server1")
            clock.now += 0.005
            history.ok(number, "follower" if what == "f" else LEADER, 7)
        elif what == "injected":
            fault = history.inject("kill", ["server1"])
        else:
            history.mark(fault, Stage(what))
    return history


def kill(*extra: tuple[float, str]) -> History:
    """Return writes each 0.1 s but for 2.0 to 4.5 s, in which a fault strikes."""
    writes = [(tick / 10, "w") for tick in range(100) if not 20 < tick < 45]
    stages = [(2.05, "injected"), (2.1, "struck"), (2.3, "seen"), (4.2, "healed"), (4.6, "recovered")]
    return record(*writes, *stages, *extra)


def test_the_outage_is_that_of_the_fault() -> None:
    """The longest time without a good write that overlaps the fault is its outage."""
    assert outages(kill(), WRITE) == [2.5]


def test_the_outage_is_that_of_the_agent_that_was_away_longest() -> None:
    """One agent that answers does not hide another that hangs; who was asked can be chosen."""
    history = kill(*((tick / 10, "d") for tick in range(100) if not 21 < tick < 90))

    assert outages(history, WRITE) == [pytest.approx(6.9)]
    assert outages(history, WRITE, ["lb"]) == [2.5]
    with pytest.raises(LabError, match="server2 gave no good answer at the end"):
        outages(history, WRITE, ["server2"])


def test_an_outage_without_end_is_none() -> None:
    """When an agent did not write at the end, or not after the fault, nobody can tell how long."""
    never = [(tick / 10, "w") for tick in range(25)]
    with pytest.raises(LabError, match="lb gave no good answer at the end"):
        outages(record((1, "w"), (2, "injected"), (3, "n")), WRITE)
    with pytest.raises(LabError, match="lb gave no good answer at the end"):
        outages(record(*never, (2.05, "injected"), (9, "n")), WRITE)
    with pytest.raises(LabError, match="kill: lb gave no good answer after it"):
        outages(record((1, "w"), (2, "injected")), WRITE)


def test_an_outage_beyond_its_limit_fails() -> None:
    """It is held to the limit, and to none that it keeps."""
    history = kill()
    for tick in range(2):
        history.ok(history.invoke("read", "k", target="lb"), str(tick), 1)

    with pytest.raises(AssertionError, match=r"writes away, longest: 2\.5 s of 2 s"):
        hold_outages(Proof(), history, 2, "N2")


def test_answers_without_a_leader_are_counted() -> None:
    """Only those that say so."""
    assert leaderless_answers(kill((2.5, "n"), (2.6, "n"))) == 2


def test_the_last_claim_counts_from_when_the_fault_struck() -> None:
    """An old leader's claims before are none; who was not asked, or no fault, says nothing."""
    history = kill((1.01, "l"), (2.71, "l"), (3.01, "f"))
    quiet = kill((1.01, "l"), (3.01, "f"))

    assert last_claim(history, "server1", history.faults()[0]) == pytest.approx(0.61)
    assert last_claim(quiet, "server1", quiet.faults()[0]) == 0
    with pytest.raises(LabError, match="did not say whether it leads"):
        last_claim(kill((1.01, "l")), "server1", kill().faults()[0])
    with pytest.raises(LabError, match="has not struck"):
        last_claim(history, "server1", record((1, "injected")).faults()[0])


def test_another_took_office_when_it_first_said_so() -> None:
    """What the fallen leader claims, and what was claimed before the fault, is nothing."""
    history = kill((1.01, "o"), (2.31, "l"), (3.55, "o"), (3.65, "o"))
    quiet = kill((1.01, "o"), (3.55, "l"))

    assert took_office(history, history.faults()[0]) == pytest.approx(1.505)
    with pytest.raises(LabError, match="kill of server1 no other server said that it leads"):
        took_office(quiet, quiet.faults()[0])


def test_acknowledged_writes_of_a_time_are_counted() -> None:
    """Those that began and ended in it."""
    assert acknowledged(kill(), 2 * SECOND, 4 * SECOND) == 0
    assert acknowledged(kill(), 4 * SECOND, 5 * SECOND) == 5


def test_without_a_fault_or_a_load_nobody_can_tell() -> None:
    """An empty history proves nothing."""
    with pytest.raises(LabError, match="could not tell"):
        judge(Proof(), History())
