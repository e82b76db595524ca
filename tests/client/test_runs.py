"""What a run leaves behind: its summary, its history, its stream; alone, with others, on another host."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from lab.waiting import wait_for
from tests.client import behaviours as b
from tests.client.commands import LIMIT, ROOT, client, start
from tools.client import crew
from tools.client.accounts import Kind, Outcome
from tools.client.holder import Held
from tools.client.kernel import TELLING
from tools.client.options import Options, UsageError, parse
from tools.client.report import doubts, shortfall, to_text
from tools.client.run import run
from tools.client.stop import Stop
from tools.client.worker import Result, Worker

PAGE = 4096  # bytes: the least that a pipe holds


def summary_of(port: int, out: Path, *arguments: object) -> dict[str, Any]:
    """Return the JSON summary of a command that lost nothing."""
    code, output, messages = client(*arguments, "--json", out, f"127.0.0.1:{port}")

    assert code == 0, output + messages

    summary: dict[str, Any] = json.loads(out.read_text())
    return summary


def test_summary_names_all_classes(port: int, tmp_path: Path) -> None:
    """The JSON summary always has the nine classes, the held, the latencies and the telling counters."""
    summary = summary_of(port, tmp_path / "out.json", "--churn", "--count", 40, "-c", 5)

    assert summary["classes"] == {
        "ok": 45,
        "refused": 0,
        "reset_before_data": 0,
        "reset_after_data": 0,
        "timeout_connect": 0,
        "timeout_reply": 0,
        "closed_early": 0,
        "wrong_bytes": 0,
        "local_error": 0,
    }
    assert summary["held"]["opened"] == summary["held"]["alive_at_end"] == 5
    assert summary["held"]["unsent"] == 0
    assert summary["latency_ms"]["connect"]["count"] == 45
    assert set(TELLING) <= summary["counters"]["client"].keys()


def test_steady_replies(port: int) -> None:
    """Replies since all connections are held are counted apart: slow ones before are not among them."""
    options = Options(b.HOST, port, connections=4, ramp=0.4, interval=0.1, duration=0.8)
    report = run(options, Stop(), lambda _: None)
    latencies, rows = report.to_json()["latency_ms"], report.timeline
    before = next(row["pings_ok"] for row in rows if row["held"] == 4)

    assert report.result.held.seconds_to_open >= 0.3
    assert latencies["steady"]["count"] == rows[-1]["pings_ok"] - before > 0
    assert latencies["steady"]["count"] < latencies["reply"]["count"]


def test_processes(port: int, tmp_path: Path) -> None:
    """Several processes do what one would, with one summary and one history in the order of time."""
    history = tmp_path / "history"
    summary = summary_of(
        port,
        tmp_path / "out.json",
        *("-c", 10, "--interval", 0.2, "--churn", "--count", 100, "--procs", 3, "--concurrency", 12),
        *("--source", "127.0.0.2,127.0.0.3-127.0.0.4", "--history", history, "--tcp-info", "all"),
    )
    records = [json.loads(line) for line in history.read_text().splitlines()]
    invokes = [record for record in records if record["record"] == "invoke"]
    times = [record["time"] for record in records]

    assert summary["attempts"] == 110
    assert summary["tcp_info"]["connections"] == 110
    assert [record["number"] for record in invokes] == list(range(1, len(invokes) + 1))
    assert times == sorted(times)
    assert len(records) == 2 * len(invokes)
    assert len([record for record in invokes if record["action"] == "open"]) == 110
    assert len([record for record in invokes if record["action"] == "hold"]) == 10
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("history")] == ["history"]


def test_sources_take_turns() -> None:
    """Connections come from the addresses that were asked for, evenly, held ones and others."""
    with b.Server(b.echo) as server:
        sources = ("127.0.0.2", "127.0.0.3")
        options = Options(b.HOST, server.port, connections=4, churn=True, count=6, source=sources)
        report = run(options, Stop(), lambda _: None)

    assert report.result.accounts.total == 10
    assert Counter(server.peers) == {"127.0.0.2": 5, "127.0.0.3": 5}


def test_a_source_given_twice_counts_once() -> None:
    """An address that is given twice is one source."""
    assert parse(["-c", "1", "--source", "::2,::1-::3,0::2", "[::1]:1"]).source == ("::2", "::1", "::3")


def test_share_of_a_dead_process(tmp_path: Path) -> None:
    """What a dead process was to hold stays wanted, and nothing is said of time that was up."""
    out = tmp_path / "out.json"
    with b.Server(b.echo) as server:
        process = start("-c", 5, "--procs", 2, "--duration", 2, "--json", out, f"127.0.0.1:{server.port}")
        wait_for(lambda: len(server.peers), until=lambda seen: seen == 5, within=10)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        output, messages = process.communicate(timeout=LIMIT)
    summary = json.loads(out.read_text())

    assert process.returncode == 2, output + messages
    assert summary["held"]["wanted"] == 5
    assert summary["held"]["opened"] == 2
    assert summary["doubts"] == ["process 0 died: nobody knows what it did"]


def test_dead_process(tmp_path: Path) -> None:
    """A process of the run that dies makes the run a doubt, but neither hangs it nor harms its history."""
    history = tmp_path / "history"
    with b.Server(b.echo) as server:
        words = ("-c", 4, "--churn", "--rate", 400, "--procs", 2, "--history", history)
        process = start(*words, f"127.0.0.1:{server.port}")
        wait_for(lambda: len(server.peers), until=lambda seen: seen > 250, within=10)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        process.terminate()
        output, messages = process.communicate(timeout=LIMIT)

    assert process.returncode == 2, messages
    assert "process 0 died" in output
    assert "Traceback" not in messages
    assert all(json.loads(line)["time"] for line in history.read_text().splitlines())


def test_death_within_a_message() -> None:
    """A process that dies while it reports has brought nothing home."""
    here, there = multiprocessing.Pipe()
    with here:
        os.write(there.fileno(), struct.pack("!i", 100) + b"half")
        there.close()

        assert crew._receive(here) is None


def test_hanging_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs is not awaited for ever: it is missed like a dead one, and the others are told."""
    monkeypatch.setattr(crew, "PATIENCE", 0.5)
    with b.Server(b.echo) as server:
        words = ["-c", "5", "--procs", "2", "--duration", "1.5", f"{b.HOST}:{server.port}"]
        options = replace(parse(words), reply_timeout=0.5, connect_timeout=0.5)
        report = run(options, Stop(), _stop_the_younger_once())

    assert report.doubts == ["process 1 did not end in time: nobody knows what it did"]
    assert report.result.held.alive == 3
    assert report.seconds < LIMIT


def test_process_that_hangs_within_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads a message whose sender stands still does not wait for ever either."""
    monkeypatch.setattr(crew, "PATIENCE", 0.5)
    work = crew._work

    def stall(hire: Callable[[], Worker], stop: Stop, pipe: Connection, inherited: list[Connection]) -> None:
        if len(inherited) > 1:  # the second process
            os.write(pipe.fileno(), struct.pack("!i", 100) + b"half")
            os.kill(os.getpid(), signal.SIGSTOP)
        work(hire, stop, pipe, inherited)

    monkeypatch.setattr(crew, "_work", stall)
    with b.Server(b.echo) as server:
        words = ["-c", "5", "--procs", "2", "--duration", "1", f"{b.HOST}:{server.port}"]
        options = replace(parse(words), reply_timeout=0.5, connect_timeout=0.5)
        report = run(options, Stop(), lambda _: None)

    assert report.doubts == ["process 1 did not end in time: nobody knows what it did"]
    assert report.result.held.alive == 3
    assert report.seconds < LIMIT


def _stop_the_younger_once() -> Callable[[object], None]:
    """Return what halts the second process of a run in this one, at the first of the run's samples."""
    samples = count()

    def stop(_: object) -> None:
        if next(samples) == 0:
            _, process = sorted(child.pid or 0 for child in multiprocessing.active_children())
            os.kill(process, signal.SIGSTOP)

    return stop


@pytest.mark.parametrize(("module", "name"), [(os, "fork"), (crew._FORK, "Pipe")])
def test_process_that_cannot_be_started(
    module: object, name: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not all processes can be started the run is refused, and those that have begun are ended."""
    tries = iter([getattr(module, name)])

    def once() -> object:
        for right in tries:
            return right()
        raise BlockingIOError(errno.EAGAIN, "no more")

    monkeypatch.setattr(module, name, once)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    with pytest.raises(UsageError, match="process 1 of --procs 2 cannot be started: no more"):
        run(Options(b.HOST, port, connections=4, procs=2), Stop(), lambda _: None)

    assert multiprocessing.active_children() == []
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_counters_of_the_path(port: int, tmp_path: Path) -> None:
    """Another host's counters are read by a command before and after, and their movement reported."""
    summary = summary_of(
        port,
        tmp_path / "out.json",
        *("--churn", "--count", 30, "--counters", "lb=cat /proc/net/snmp /proc/net/netstat"),
    )

    assert summary["counters"]["lb"]["Tcp.ActiveOpens"] >= 30


def test_package_stands_alone(port: int, tmp_path: Path) -> None:
    """Copied to a host as a package named client, it runs without the rest of the repository."""
    (tmp_path / "client").symlink_to(ROOT / "tools" / "client")
    command = [sys.executable, "-m", "client", "-q", "--churn", "--count", "5", f"127.0.0.1:{port}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=False)

    assert done.returncode == 0, done.stderr
    assert "ok 5" in done.stdout


def test_help_teaches() -> None:
    """The help has an example for each way of use and the meaning of the exit codes."""
    code, output, _ = client("-h")

    assert code == 0
    assert all(word in output for word in ("--churn --concurrency 256", "--procs 3", "exit code: 0"))


def test_stream(port: int) -> None:
    """A program can read along: each second an object with the latencies since the last, then the summary."""
    code, output, _ = client("--stream", "--churn", "--rate", 40, "--duration", 1.4, f"127.0.0.1:{port}")
    *rows, summary = map(json.loads, output.splitlines())
    opens = sum(HdrHistogram.decode(row["first_reply"]).get_total_count() for row in rows)

    assert code == 0
    assert 40 <= summary["attempts"] <= 57
    assert len(rows) == 2
    assert opens == rows[-1]["attempts"] == summary["attempts"]
    assert rows[-1]["classes"] == summary["classes"]


def test_rows_tell_the_last_moment(port: int) -> None:
    """What happens right after a second's row is told in one more row: the last row has all attempts."""
    report = run(Options(b.HOST, port, churn=True, rate=200.0, duration=1.05), Stop(), lambda _: None)

    assert report.timeline[-1]["attempts"] == report.result.accounts.total
    assert report.timeline[-1]["classes"] == report.to_json()["classes"]


def test_opens_at_once() -> None:
    """As many opens are under way at once as were asked for, and no more while none of them ends."""
    with b.Server(b.silent) as server:
        options = Options(b.HOST, server.port, churn=True, concurrency=7, duration=0.2, reply_timeout=0.5)
        report = run(options, Stop(), lambda _: None)

    assert report.result.accounts.total == report.result.accounts.of(Outcome.TIMEOUT_REPLY) == 7


def test_pings_keep_their_pace(port: int) -> None:
    """Each held connection is pinged once an interval, after the ping that proves it."""
    report = run(Options(b.HOST, port, connections=4, interval=0.1, duration=1.0), Stop(), lambda _: None)

    assert 4 * (1 + 7) <= report.result.held.pings_sent <= 4 * (1 + 10)


@pytest.mark.parametrize("procs", [1, 2])
def test_opens_that_fall_short_are_told(procs: int) -> None:
    """Opens that were due and not begun, because others were still under way, are counted and warned of."""
    with b.Server(b.late(0.2)) as server:
        options = Options(
            b.HOST, server.port, churn=True, rate=100.0, duration=1.0, concurrency=4, procs=procs
        )
        report = run(options, Stop(), lambda _: None)
    churn = report.to_json()["churn"]

    assert churn["due"] in (98, 99, 100)
    assert 16 <= churn["begun"] == report.result.accounts.total <= 24
    missing = churn["due"] - churn["begun"]
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith(f"{missing} of {churn['due']} opens that were due were not begun: ")
    assert "--concurrency 4 was reached" in report.warnings[0]


@pytest.mark.parametrize(
    "load", [{"rate": 100.0, "duration": 0.5}, {"rate": 200.0, "count": 40}, {"count": 40}]
)
def test_opens_that_keep_their_pace(port: int, load: dict[str, Any]) -> None:
    """Where all opens that were due have begun nothing is warned of."""
    report = run(Options(b.HOST, port, churn=True, **load), Stop(), lambda _: None)

    assert report.to_json()["churn"] == {
        "due": report.result.accounts.total,
        "begun": report.result.accounts.total,
    }
    assert report.warnings == []


def test_late_pings_are_told(port: int) -> None:
    """Pings that a client was held up from sending, here by who shows its rows, are sent late and counted."""
    pauses = iter([0.3])
    options = Options(b.HOST, port, connections=10, interval=1.0, duration=1.0)
    report = run(options, Stop(), lambda _: time.sleep(next(pauses, 0)))

    assert 2 <= report.result.held.late < 10
    assert f", {report.result.held.late} late" in to_text(report)


def test_unsent_pings_are_told(port: int) -> None:
    """A client that is held up, here by whoever shows its rows, tells which pings it has not sent in time."""
    options = Options(b.HOST, port, connections=10, interval=0.1, duration=0.3)
    report = run(options, Stop(), lambda _: time.sleep(0.5))

    assert 10 <= report.result.held.unsent <= 30
    assert f", {report.result.held.unsent} never sent" in to_text(report)
    assert "pings that were due were not sent: this client could not keep up" in report.warnings[0]
    assert report.doubts == report.warnings
    assert report.verdict().name == "COULD_NOT_TELL"


def test_few_unsent_pings_are_no_doubt() -> None:
    """A twentieth of the pings may be unsent at the end of a run: that is warned of, and not more."""
    result = Result(held=Held(pings_sent=95, unsent=5))
    result.accounts.attempts[Kind.HOLD] = result.accounts.classes[Kind.HOLD][Outcome.OK] = 1
    options = Options(b.HOST, 1, connections=1)

    assert shortfall(options, result) == [
        "5 of 100 pings that were due were not sent: this client could not keep up"
    ]
    assert doubts(options, result, "") == []


@pytest.mark.parametrize(
    ("words", "begun", "expected"),
    [
        ({"count": 9}, 9, []),
        ({"count": 9}, 8, ["8 of --count 9 opens were tried: time was up, give a --duration"]),
        ({"count": 9, "duration": 5.0}, 8, []),
        ({"duration": 5.0}, 0, ["no open of the churn was tried: time was up"]),
    ],
)
def test_opens_never_tried_are_a_doubt(words: dict[str, Any], begun: int, expected: list[str]) -> None:
    """Opens for which the time was not enough cannot be told to be fine, unless it was given or cut short."""
    options, result = Options(b.HOST, 1, connections=1, churn=True, **words), Result()
    for kind, number in (Kind.HOLD, 1), (Kind.CHURN, begun):
        result.accounts.attempts[kind] = result.accounts.classes[kind][Outcome.OK] = number

    assert doubts(options, result, "") == expected
    assert doubts(options, result, "SIGINT") == []


def test_accounts_of_one_kind_do_not_make_up_for_another() -> None:
    """An attempt that was entered as one of the other kind is found."""
    result = Result()
    result.accounts.attempts[Kind.HOLD] = result.accounts.classes[Kind.CHURN][Outcome.OK] = 1

    assert "2 attempts have no class: the accounts do not add up" in doubts(
        Options(b.HOST, 1, connections=1), result, ""
    )


def test_error_of_a_process_is_told(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses a process in the middle of its run is a doubt, not a stack trace."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no watch left")

    monkeypatch.setattr(Worker, "run", refuse)
    report = run(Options(b.HOST, port, connections=4, duration=0.3, procs=2), Stop(), lambda _: None)

    assert report.doubts[:2] == [f"[Errno {errno.ENOSPC}] no watch left"] * 2
    assert report.verdict().name == "COULD_NOT_TELL"


def test_pipe_without_a_reader(port: int, tmp_path: Path) -> None:
    """An output that would wait for a reader for ever is refused before the start."""
    os.mkfifo(tmp_path / "pipe")
    code, _, messages = client("-c", 1, "--json", tmp_path / "pipe", f"127.0.0.1:{port}")

    assert code == 2
    assert f"{tmp_path / 'pipe'}: No such device or address" in messages


def test_parts_of_a_history_are_tried(port: int, tmp_path: Path) -> None:
    """That the second process could not write its part is said before the start."""
    (tmp_path / "history.1").mkdir()
    code, output, messages = client(
        "-c", 2, "--procs", 2, "--history", tmp_path / "history", f"127.0.0.1:{port}"
    )

    assert (code, output) == (2, "")
    assert messages == f"client: {tmp_path / 'history.1'}: Is a directory\n"


def test_one_of_several_addresses(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a name with several addresses the first is used, and the summary says which, and which not."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (it, port)) for it in (b.HOST, "127.0.0.9", b.HOST)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    report = run(Options("several", port, connections=2, duration=0.2), Stop(), lambda _: None)

    assert report.verdict().name == "NOTHING_LOST"
    assert report.to_json()["address"] == b.HOST
    assert report.warnings == [
        f"several has several addresses: all connections go to {b.HOST}, none to 127.0.0.9"
    ]


def test_ipv6(tmp_path: Path) -> None:
    """All works over IPv6, from addresses that were named as well."""
    with b.Server(b.echo, host="::1") as server:
        code, output, messages = client(
            "-c", 2, "--churn", "--count", 5, "--duration", 0.5, "--source", "::1",
            "--json", tmp_path / "json", f"[::1]:{server.port}",
        )  # fmt: skip

    assert code == 0, output + messages
    assert json.loads((tmp_path / "json").read_text())["address"] == "::1"
    assert set(server.peers) == {"::1"}


def test_package_that_is_missing() -> None:
    """Without a package that it needs the command says so, and that is no loss."""
    script = (
        "import sys; sys.modules['hdrh'] = None; from tools.client.__main__ import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", script, "-c", "1", "127.0.0.1:1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)

    assert done.returncode == 2
    assert "hdrh" in done.stderr
    assert "the packages of its README" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("procs", [1, 2])
def test_reader_is_gone(port: int, procs: int) -> None:
    """When nobody reads the stream any more the run ends, that of all its processes."""
    process = start("--stream", "-c", 2, "--procs", procs, "--duration", LIMIT, f"127.0.0.1:{port}")
    assert process.stdout
    assert process.stderr
    with process:
        process.stdout.readline()
        process.stdout.close()
        code = process.wait(timeout=LIMIT)
        messages = process.stderr.read()

    assert code == 2
    assert "standard output: Broken pipe" in messages
    assert "Traceback" not in messages


def test_reader_reads_no_more(port: int) -> None:
    """A reader that is there but reads no more does not hold the run up: it ends, and nobody could tell."""
    process = start("--stream", "-c", 2, f"127.0.0.1:{port}")
    assert process.stdout
    assert process.stderr
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PAGE)
    with process:
        code = process.wait(timeout=LIMIT)
        messages = process.stderr.read()

    assert code == 2
    assert "standard output: nobody reads it" in messages
