"""Every way in which a server can misbehave ends in its class, and in no other."""

from __future__ import annotations

import os
import socket
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.client import behaviours as b
from tools.client.accounts import Kind, Outcome, Verdict
from tools.client.kernel import read_own_counters
from tools.client.opener import Opener
from tools.client.options import Options
from tools.client.run import run
from tools.client.stamp import Stamp
from tools.client.stop import Stop
from tools.client.wire import Target, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.client.report import Report
    from tools.client.timeline import Row

TIMEOUT = 0.3
LIMIT = 10.0


def load(port: int, **options: Any) -> Report:  # noqa: ANN401 - options are of many types
    """Return the report of a run against this machine's `port`, patient unless told otherwise."""
    patient = {"connect_timeout": LIMIT, "reply_timeout": LIMIT, "duration": 0.6}
    return run(Options(host=b.HOST, port=port, **{**patient, **options}), Stop(), lambda _: None)


def churn(port: int, count: int = 4, **options: Any) -> Report:  # noqa: ANN401
    """Return the report of `count` opens."""
    return load(port, churn=True, count=count, duration=None, **options)


def hold(port: int, count: int = 2, **options: Any) -> Report:  # noqa: ANN401
    """Return the report of `count` held connections with a ping each 100 ms unless told otherwise."""
    return load(port, connections=count, **{"interval": 0.1, **options})


def classes(report: Report) -> dict[str, int]:
    """Return the classes that occurred, after the proof that all of them add up to the attempts."""
    accounts = report.result.accounts

    assert accounts.unfinished == 0

    return {str(outcome): accounts.of(outcome) for outcome in Outcome if accounts.of(outcome)}


def patience(outcome: str) -> float:
    """Return the time limit of an answer: short only where it is to be missed."""
    return TIMEOUT if outcome == "timeout_reply" else LIMIT


def latencies(report: Report, kind: str) -> int:
    """Return how many latencies of a kind were counted."""
    count: int = report.to_json()["latency_ms"][kind]["count"]
    return count


@pytest.mark.parametrize("run_it", [churn, hold])
@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (b.echo, "ok"),
        (b.drip, "ok"),
        (b.reset_at_once, "reset_before_data"),
        (b.reset_after_ping, "reset_before_data"),
        (b.reset_after_half, "reset_after_data"),
        (b.silent, "timeout_reply"),
        (b.late(2 * TIMEOUT), "timeout_reply"),
        (b.close_unanswered, "closed_early"),
        (b.close_after_half, "closed_early"),
        (b.half_close, "closed_early"),
        (b.altered, "wrong_bytes"),
        (b.surplus, "wrong_bytes"),
    ],
)
def test_first_ping(
    run_it: Callable[..., Report],
    behaviour: b.Behaviour,
    outcome: str,
) -> None:
    """What happens to a connection's first ping decides its class, whether it is to be held or not."""
    with b.Server(behaviour) as server:
        report = run_it(server.port, reply_timeout=patience(outcome))

    assert {outcome: report.result.accounts.total} == classes(report)
    assert (Verdict.NOTHING_LOST if outcome == "ok" else Verdict.LOST) == report.verdict()


@pytest.mark.parametrize(
    ("behaviour", "outcome", "reason"),
    [
        (b.reset_after_echo, "reset_after_data", "ECONNRESET"),
        (b.silent_after_echo, "timeout_reply", "no whole answer in time"),
        (b.half_close_after_echo, "closed_early", "end of stream"),
        (b.repeated, "wrong_bytes", "another ping of this connection"),
        (b.unasked, "wrong_bytes", "bytes nobody asked for"),
        (b.echo_twice, "wrong_bytes", "bytes nobody asked for"),
    ],
)
def test_later_ping(behaviour: b.Behaviour, outcome: str, reason: str) -> None:
    """A held connection that goes bad after its first echo lands in the class of what went bad."""
    with b.Server(behaviour) as server:
        report = hold(server.port, interval=0.5, duration=LIMIT, reply_timeout=patience(outcome))

    assert report.seconds < LIMIT
    assert {outcome: 2} == classes(report)
    assert {f"{outcome}: {reason}": 2} == report.result.accounts.reasons
    assert report.result.held.alive == 0
    assert report.result.held.opened == 2


def test_later_ping_answered_too_late() -> None:
    """An answer that comes after its time limit is lost, also when it comes before the next turn."""
    with b.Server(b.late_after_echo) as server:
        report = hold(server.port, interval=1.2, duration=LIMIT, reply_timeout=TIMEOUT)

    assert classes(report) == {"timeout_reply": 2}


def test_end_right_behind_an_answer() -> None:
    """A connection that ends in the segment of its last answer is lost, though no ping was to follow."""
    with b.Server(b.echo_and_end) as server:
        report = hold(server.port, count=1, interval=3.0, duration=1.0)

    assert report.result.held.pings_ok == 2
    assert classes(report) == {"closed_early": 1}


def test_backend_dies_at_the_end() -> None:
    """However many connections end in the last moment of a run, each of them is lost."""
    many = 1200
    served: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        for _ in range(many):
            connection, _ = listener.accept()
            served.append(connection)
            connection.sendall(connection.recv(b.PING))

    def kill(row: Row) -> None:
        if row["held"] == many and not stop.count:
            thread.join()
            for connection in served:
                connection.close()
            stop.request("end")

    stop = Stop()
    with b.listen() as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        options = Options(b.HOST, listener.getsockname()[1], connections=many, interval=60.0, concurrency=16)
        report = run(options, stop, kill)

    assert report.result.accounts.lost == many


def test_refused() -> None:
    """A closed port refuses, and each refusal is counted once."""
    report = churn(b.closed_port(), count=50)

    assert classes(report) == {"refused": 50}


def test_swapped_answers() -> None:
    """Two connections that get each other's answers are both wrong, and the reason says so."""
    with b.Server(b.swapped()) as server:
        report = churn(server.port, count=2)

    assert report.result.accounts.reasons == {"wrong_bytes: another connection's ping": 2}


def test_answer_of_another_run() -> None:
    """A ping that another run has sent is not taken for one's own."""
    strange = b"\x00" * 8 + b"\x00\x00\x00\x00\x00\x10\xa5\x5a"

    def stranger(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(b.PING)
        connection.sendall(strange)
        over.wait()

    with b.Server(stranger) as server:
        report = churn(server.port, count=1)

    assert report.result.accounts.reasons == {"wrong_bytes: not a ping of this run": 1}


@pytest.mark.parametrize("count", [1, 4])
def test_overflowing_backlog(count: int) -> None:
    """A full queue drops the SYN: the connect ends by its own time limit, before anything was sent."""
    with b.listen(backlog=0) as listener, socket.create_connection(listener.getsockname()):
        report = churn(listener.getsockname()[1], count=count, connect_timeout=TIMEOUT)

    assert {"timeout_connect": count} == classes(report)
    assert report.counters["client"]["TcpExt.ListenDrops"] >= count


def test_dropped_syn_is_a_slow_connect() -> None:
    """A connect whose first SYN was dropped is ok, but is listed apart."""
    with b.listen(backlog=0) as listener, socket.create_connection(listener.getsockname()):
        served = threading.Thread(target=_accept_after_a_drop, args=(listener, _listen_drops()))
        served.start()
        report = churn(listener.getsockname()[1], count=1)
        served.join()

    assert classes(report) == {"ok": 1}
    assert report.result.accounts.slow_connects == 1
    assert [connect.took >= 10**9 for connect in report.result.accounts.slow] == [True]
    assert report.result.connections.retransmits >= 1


class Prompt:
    """A socket that is connected at once, and has its answer at once."""

    def connect_ex(self, _address: object) -> int:
        """Return that it is connected."""
        return 0

    def send(self, message: bytes) -> int:
        """Keep the ping as the answer."""
        self.answer = message
        return len(message)

    def recv(self, _limit: int) -> bytes:
        """Return it."""
        return self.answer

    def getsockname(self) -> tuple[str, int]:
        """Return an address."""
        return (b.HOST, 12345)

    def detach(self) -> int:
        """Give up a descriptor."""
        return os.open(os.devnull, os.O_RDONLY)


def test_slow_connect_that_epoll_did_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connect of a second is listed apart also when it was made by the time the client looked."""
    monkeypatch.setattr("tools.client.opener.clock", count(0, 10**9).__next__)
    options = Options(b.HOST, 1, churn=True, count=1)
    wire = Wire(options, Target(socket.AF_INET, (b.HOST, 1)), Stamp(1, 0, b.PING), Prompt)
    opener = Opener(wire, lambda *_: None)

    opener.open(Kind.CHURN, range(1))
    opener.read(1)

    assert wire.accounts.classes[Kind.CHURN] == {Outcome.OK: 1}
    assert [(slow.port, slow.took) for slow in wire.accounts.slow] == [(12345, 10**9)]
    assert wire.accounts.slow_connects == 1


def _accept_after_a_drop(listener: socket.socket, drops: int) -> None:
    """Make room when the kernel has dropped more SYNs than `drops`; echo the connection that comes then."""
    deadline = time.monotonic() + 5
    while _listen_drops() == drops and time.monotonic() < deadline:
        time.sleep(0.01)
    listener.accept()[0].close()
    connection, _ = listener.accept()
    with connection:
        b.echo(connection, threading.Event())


def _listen_drops() -> int:
    return read_own_counters()["TcpExt.ListenDrops"]


def test_late_but_in_time() -> None:
    """Answers later than a ping's turn are ok; the turns they cost are counted as skipped."""
    with b.Server(b.late(0.25)) as server:
        report = hold(server.port)

    assert classes(report) == {"ok": 2}
    assert report.result.held.skipped >= 2
    assert latencies(report, "corrected") > latencies(report, "reply")
    assert report.result.held.pings_ok == report.result.held.pings_sent


def test_a_ping_is_given_up_in_time_though_its_turn_is_rare() -> None:
    """A held connection that is silent is lost when its patience is over, not at the next ping's turn."""
    with b.Server(b.silent_after_echo) as server:
        report = load(server.port, connections=1, interval=4.0, reply_timeout=0.3, duration=6.0)

    (loss,) = report.to_json()["losses"]
    assert loss["outcome"] == "timeout_reply"
    assert loss["age"] < 2_000_000_000


def test_opens_that_began_late_are_timed_from_their_turn() -> None:
    """While one answer is late the paced opens behind it wait: only their own, corrected latency tells."""
    with b.Server(b.late(0.5), b.echo) as server:
        report = load(server.port, churn=True, count=20, rate=50.0, concurrency=1)

    told = report.to_json()["latency_ms"]
    assert told["first_reply"]["p50"] < 50 < told["first_reply_corrected"]["p50"]
    assert told["first_reply"]["count"] == told["first_reply_corrected"]["count"] == 20


def test_long_pings() -> None:
    """A ping of the largest size comes back whole, in however many pieces."""
    with b.Server(b.echo) as server:
        report = hold(server.port, size=16384)

    assert classes(report) == {"ok": 2}


def test_hold_and_churn_together() -> None:
    """One run holds and churns: the losses of one kind are not the other's."""
    with b.Server(b.echo, b.echo, b.reset_after_ping) as server:
        report = load(server.port, connections=2, churn=True, count=5, concurrency=1, interval=0.1)
    by_kind = report.to_json()["by_kind"]

    assert 2 == by_kind["hold"]["ok"] == by_kind["hold"]["attempts"]
    assert 5 == by_kind["churn"]["reset_before_data"] == by_kind["churn"]["attempts"]
