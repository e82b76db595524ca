"""What holds for every mixture of outcomes, latencies and bytes."""

from __future__ import annotations

import errno
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client import behaviours as b
from tools.client.accounts import Accounts, Kind, Loss, Outcome, Verdict, classify
from tools.client.histogram import Latencies
from tools.client.kernel import deltas, parse_counters
from tools.client.options import Options
from tools.client.run import run
from tools.client.stamp import LARGEST, SMALLEST, Stamp, difference
from tools.client.stop import Stop
from tools.client.worker import share

if TYPE_CHECKING:
    import random

few = settings(max_examples=50)
kinds = st.sampled_from(list(Kind))
endings = st.lists(st.tuples(kinds, st.sampled_from(list(Outcome))))
EXPECTED: dict[b.Behaviour, Outcome] = {
    b.echo: Outcome.OK,
    b.drip: Outcome.OK,
    b.reset_at_once: Outcome.RESET_BEFORE_DATA,
    b.reset_after_ping: Outcome.RESET_BEFORE_DATA,
    b.reset_after_half: Outcome.RESET_AFTER_DATA,
    b.close_unanswered: Outcome.CLOSED_EARLY,
    b.close_after_half: Outcome.CLOSED_EARLY,
    b.half_close: Outcome.CLOSED_EARLY,
    b.altered: Outcome.WRONG_BYTES,
    b.surplus: Outcome.WRONG_BYTES,
}


def enter(found: list[tuple[Kind, Outcome]]) -> Accounts:
    """Return accounts in which each of these attempts was begun and has ended."""
    accounts = Accounts()
    for number, (kind, outcome) in enumerate(found):
        accounts.attempts[kind] += 1
        if outcome is Outcome.OK:
            accounts.classes[kind][outcome] += 1
        else:
            accounts.lose(Loss(number, kind, number, outcome, "reason", 0, 0, None))
    return accounts


@few
@given(endings)
def test_classes_add_up(found: list[tuple[Kind, Outcome]]) -> None:
    """Every attempt is in exactly one class, and the verdict follows from the classes alone."""
    accounts = enter(found)
    outcomes = {outcome for _, outcome in found}

    assert sum(accounts.of(outcome) for outcome in Outcome) == accounts.total == len(found)
    assert accounts.unfinished == 0
    assert (accounts.lost > 0) == bool(outcomes - {Outcome.OK, Outcome.LOCAL_ERROR})


@few
@given(endings, endings)
def test_processes_add_up(some: list[tuple[Kind, Outcome]], others: list[tuple[Kind, Outcome]]) -> None:
    """The accounts of two processes added are the accounts of one that did it all."""
    together = enter(some)
    together.add(enter(others))
    alone = enter(some + others)

    assert together.attempts == alone.attempts
    assert together.classes == alone.classes
    assert together.reasons == alone.reasons


@settings(max_examples=15)
@given(st.lists(st.sampled_from(list(EXPECTED)), min_size=1, max_size=24), st.sampled_from([1, 8, 64]))
def test_any_mixture_of_misbehaviour(mixture: list[b.Behaviour], concurrency: int) -> None:
    """Whatever a server does to its connections, each class holds as many as met that behaviour."""
    with b.Server(*mixture) as server:
        options = Options(b.HOST, server.port, churn=True, count=len(mixture), concurrency=concurrency)
        report = run(options, Stop(), lambda _: None)
    accounts = report.result.accounts

    assert {outcome: accounts.of(outcome) for outcome in Outcome if accounts.of(outcome)} == Counter(
        EXPECTED[behaviour] for behaviour in mixture
    )


@few
@given(st.integers(0, 200), st.booleans(), st.booleans())
def test_no_error_is_ok(code: int, connected: bool, answered: bool) -> None:
    """No error of the kernel is ever taken for a success, and an unknown one is never a loss."""
    outcome = classify(code, connected=connected, answered=answered)
    named = (
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ECONNABORTED,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
    )

    assert outcome is not Outcome.OK
    assert (outcome is Outcome.LOCAL_ERROR) == (code not in named)


def test_no_attempt_is_a_doubt() -> None:
    """A run that tried nothing cannot tell."""
    report = run(Options(b.HOST, b.closed_port(), connections=1, duration=0.0), Stop(), lambda _: None)

    assert report.verdict() == Verdict.COULD_NOT_TELL
    assert "nothing was tried" in report.doubts


@few
@given(st.lists(st.integers(1, 10**8), min_size=1), st.sampled_from([1.0, 50.0, 90.0, 99.0, 100.0]))
def test_percentiles(values: list[int], share_of: float) -> None:
    """A percentile is a recorded value to three significant digits, here and in the HDR histogram."""
    latencies = Latencies()
    for value in values:
        latencies.record(value)
    rank = max(0, -(-len(values) * int(share_of) // 100) - 1)
    exact = sorted(values)[rank]
    near = sorted(values)[max(0, rank - 1) : rank + 2]  # an HDR histogram rounds the rank
    hdr = latencies.hdr()

    assert abs(latencies.percentiles(share_of)[0] - exact) <= exact / 500
    assert near[0] * 0.997 <= hdr.get_value_at_percentile(share_of) <= near[-1] * 1.003
    assert hdr.get_total_count() == len(values)


@few
@given(st.lists(st.integers(0, 10**8)), st.lists(st.integers(0, 10**8)))
def test_latencies_since(first: list[int], second: list[int]) -> None:
    """What was counted since a copy is what was counted since then, and adding it gives all again."""
    latencies, later = Latencies(), Latencies()
    for value in first:
        latencies.record(value)
    then = latencies.copy()
    for value in second:
        latencies.record(value)
        later.record(value)
    since = latencies.since(then)

    assert since.small == later.small
    assert {value: count for value, count in since.large.items() if count} == later.large

    then.add(since)

    assert (then.small, then.large) == (latencies.small, latencies.large)


@few
@given(st.integers(SMALLEST, LARGEST), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.randoms())
def test_any_altered_byte_is_seen(size: int, number: int, sequence: int, chance: random.Random) -> None:
    """A ping has its length, and no changed byte makes it a beginning of the right one."""
    stamp = Stamp(7, 1, size)
    ping = stamp.make(sequence, stamp.base + number)
    place = chance.randrange(size)
    wrong = ping[:place] + bytes([ping[place] ^ chance.randrange(1, 256)]) + ping[place + 1 :]

    assert len(ping) == size
    assert not ping.startswith(wrong)
    assert difference(ping, wrong) in (
        "altered",
        "not a ping of this run",
        "another connection's ping",
        "another ping of this connection",
    )


@few
@given(
    st.tuples(*[st.integers(0, 2**20)] * 4),
    st.tuples(*[st.integers(0, 2**20)] * 4),
    st.sampled_from([16, 32]),
)
def test_pings_differ(one: tuple[int, int, int, int], other: tuple[int, int, int, int], size: int) -> None:
    """No two pings of different connection, sequence, process or run are equal."""
    stamps = [Stamp(it[0], it[1] % 256, size) for it in (one, other)]
    pings = [stamp.make(it[3], stamp.base + it[2]) for stamp, it in zip(stamps, (one, other), strict=True)]
    same = (one[0], one[1] % 256, *one[2:]) == (other[0], other[1] % 256, *other[2:])

    assert (pings[0] == pings[1]) == same


def test_patterns_differ() -> None:
    """The part behind the header differs from ping to ping, too: halves of two cannot pass for a whole."""
    stamp = Stamp(1, 0, 64)
    pings = [stamp.make(sequence, stamp.base + number) for sequence, number in ((0, 1), (1, 1), (0, 3))]

    assert len({ping[SMALLEST:] for ping in pings}) == 3


@few
@given(
    st.integers(1, 64),
    st.integers(0, 10**6),
    st.integers(64, 10**4),
    st.integers(0, 10**6),
)
def test_shares_add_up(procs: int, connections: int, concurrency: int, count: int) -> None:
    """The shares of all processes are the whole, and none has more than one above another."""
    options = Options(
        b.HOST, 1, procs=procs, connections=connections, concurrency=concurrency, count=count, rate=100.0
    )
    parts = [share(options, process) for process in range(procs)]

    for name in ("connections", "concurrency", "count"):
        values = [getattr(part, name) for part in parts]
        assert sum(values) == getattr(options, name)
        assert max(values) - min(values) <= 1
    assert abs(sum(part.rate for part in parts) - options.rate) < 1e-6


names = st.text("ABCdef", min_size=1, max_size=6)


@few
@given(st.dictionaries(names, st.dictionaries(names, st.integers(-1, 2**40), min_size=1)))
def test_counters_are_read_as_written(groups: dict[str, dict[str, int]]) -> None:
    """Text made as the kernel makes it is read back, and counters that stood still have not moved."""
    text = "".join(
        f"{group}: {' '.join(values)}\n{group}: {' '.join(map(str, values.values()))}\n"
        for group, values in groups.items()
    )
    counters = parse_counters(text)

    assert counters == {
        f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()
    }
    assert deltas(counters, counters) == {}


def test_telling_counters_are_always_told() -> None:
    """That no segment was sent again is told as a zero, other counters only when they moved."""
    before = {"Tcp.RetransSegs": 7, "Tcp.InSegs": 8, "Tcp.OutSegs": 9}

    assert deltas(before, before | {"Tcp.InSegs": 10}) == {"Tcp.InSegs": 2, "Tcp.RetransSegs": 0}
