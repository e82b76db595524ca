"""The command line: bad input and bad luck end with a clear message, a summary and the right exit code."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.client import behaviours as b
from tests.client.commands import LIMIT, ROOT, client, start
from tools.client.accounts import Kind
from tools.client.options import Options, UsageError
from tools.client.report import doubts
from tools.client.run import run
from tools.client.stop import Stop
from tools.client.wire import Target
from tools.client.worker import Result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["127.0.0.1:7000"], "nothing to do"),
        (["-c", "3", "127.0.0.1"], "is not HOST:PORT"),
        (["-c", "3", "127.0.0.1:70000"], "is not HOST:PORT"),
        (["-c", "-1", "127.0.0.1:7000"], "is not a number from 0"),
        (["-c", "x", "127.0.0.1:7000"], "is not a number from 0"),
        (["--churn", "--duration", "nan", "127.0.0.1:7000"], "is not a number from"),
        (["--churn", "--size", "15", "127.0.0.1:7000"], "is not a number from 16"),
        (["-c", "3", "--rate", "5", "127.0.0.1:7000"], "--rate and --count are about --churn"),
        (["--churn", "--procs", "4", "--concurrency", "3", "127.0.0.1:7000"], "cannot be shared among"),
        (["--churn", "--procs", "4", "--count", "3", "127.0.0.1:7000"], "cannot be shared among"),
        (["-c", "3", "no-such-host.invalid:7000"], "no-such-host.invalid: "),
        (["-c", "3", "a..b:7000"], "a..b: "),
        (["-c", "3", "--source", "127.0.0.1-x", "127.0.0.1:7000"], "does not appear to be"),
        (["-c", "3", "--source", "127.0.0.9-127.0.0.1", "127.0.0.1:7000"], "is no range of at most"),
        (["-c", "3", "--source", "192.0.2.1", "127.0.0.1:7000"], "give it to an interface first"),
        (["-c", "900000", "--procs", "64", "127.0.0.1:7000"], "use --source with"),
        (["-c", "3", "--counters", "lb", "127.0.0.1:7000"], "is not NAME=COMMAND"),
        (["-c", "3", "--counters", "lb=false", "127.0.0.1:7000"], "counters of lb: "),
        (["-c", "3", "--counters", "lb=echo hello", "127.0.0.1:7000"], "counters of lb: "),
        (["-c", "3", "--haproxy", "http://127.0.0.1:1/;csv", "127.0.0.1:7000"], "refused"),
        (["-c", "3", "--json", "/no/such/place", "127.0.0.1:7000"], "/no/such/place: No such file"),
    ],
)
def test_wrong_use(arguments: list[str], message: str) -> None:
    """What cannot be done is refused before the start, with exit code 2 and a sentence that says why."""
    code, output, messages = client(*arguments)

    assert code == 2
    assert message in messages
    assert output == ""


def test_descriptors_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """More connections than descriptors are refused with the number of processes that would do."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 20_000))

    with pytest.raises(UsageError, match=r"the hard limit is 20000: use --procs 2\b"):
        run(Options(b.HOST, b.closed_port(), connections=25_000), Stop(), lambda _: None)


def test_time_wait_is_reckoned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paced churn that would run out of ports is refused where the kernel does not use them again."""
    monkeypatch.setattr("tools.client.limits._reuses_ports", lambda _: False)

    with pytest.raises(UsageError, match=r"tcp_tw_reuse=1, or use --source with \d addresses"):
        run(Options(b.HOST, b.closed_port(), churn=True, rate=2000.0), Stop(), lambda _: None)


def test_self_connect_is_refused() -> None:
    """A port of the range from which the kernel gives sources is refused on this machine itself."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])

    code, _, messages = client("--churn", "--count", 10, f"127.0.0.1:{low}")

    assert code == 2
    assert f"ip_local_reserved_ports={low}" in messages


def test_another_source_cannot_self_connect() -> None:
    """From another address the same port is harmless."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])

    code, output, _ = client("--churn", "--count", 10, "--source", "127.0.0.2", f"127.0.0.1:{low}")

    assert code == 1
    assert "refused 10" in output


OUT_OF_DESCRIPTORS = """
import resource, sys
from tools.client.accounts import Kind
from tools.client.options import parse
from tools.client.report import to_text
from tools.client.report import doubts
from tools.client.run import run
from tools.client.stop import Stop
from tools.client.wire import Target
from tools.client.worker import Result

def tighten(row):
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

report = run(parse(sys.argv[1:]), Stop(), tighten)
print(to_text(report))
sys.exit(report.verdict())
"""


def test_out_of_descriptors(port: int) -> None:
    """Running out of descriptors is this machine's trouble: could not tell, and never the server's loss."""
    arguments = ["-c", "80", "--ramp", "2", "--duration", "2.2", f"127.0.0.1:{port}"]
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_DESCRIPTORS, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert done.returncode == 2, done.stderr
    assert "local_error: EMFILE" in done.stdout
    assert " 0 lost" in done.stdout


def test_local_trouble_is_not_hammered(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While this machine cannot open anything the client tries again some hundred times a second, no more."""

    def fail() -> None:
        raise OSError(errno.EMFILE, "no descriptor")

    monkeypatch.setattr(Target, "socket_maker", lambda *_: fail)
    report = run(Options(b.HOST, port, churn=True, duration=0.5), Stop(), lambda _: None)

    assert 2 <= report.result.accounts.total <= 60
    assert report.verdict().name == "COULD_NOT_TELL"


def test_time_is_up_before_all_are_tried(port: int) -> None:
    """Connections that were never tried, because time was up, are a doubt."""
    options = Options(b.HOST, port, connections=10, ramp=100.0, duration=1.0)
    report = run(options, Stop(), lambda _: None)

    assert report.doubts == ["9 of 10 connections to hold were never tried: time was up"]
    assert report.verdict().name == "COULD_NOT_TELL"


def test_accounts_that_do_not_add_up_are_a_doubt() -> None:
    """An attempt without a class would be told."""
    result = Result()
    result.accounts.attempts[Kind.CHURN] = 1

    assert doubts(Options(b.HOST, 1), result, "") == ["1 attempts have no class: the accounts do not add up"]


@pytest.mark.parametrize("procs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(number: signal.Signals, procs: int, tmp_path: Path) -> None:
    """A signal ends the run early, with answers under way awaited and a summary of what was done so far."""
    out = tmp_path / "out.json"
    with b.Server(b.late(0.3)) as server:
        target = f"127.0.0.1:{server.port}"
        process = start("-c", 4, "--churn", "--rate", 50, "--procs", procs, "--json", out, target)
        assert process.stderr
        process.stderr.readline()
        os.killpg(process.pid, number)
        output, messages = process.communicate(timeout=LIMIT)
    summary = json.loads(out.read_text())

    assert process.returncode == 0, messages
    assert f"ended early by {number.name}" in output
    assert "Traceback" not in output + messages
    assert summary["signal"] == number.name
    assert summary["held"]["alive_at_end"] == 4
    assert summary["attempts"] == sum(summary["classes"].values()) > 4


def test_second_signal() -> None:
    """A second signal does not wait for answers: those under way cannot be told."""
    with b.Server(b.silent) as server:
        process = start("-c", 3, "--reply-timeout", 60, f"127.0.0.1:{server.port}")
        assert process.stderr
        process.stderr.readline()
        begun = time.monotonic()
        process.terminate()
        process.terminate()
        output, messages = process.communicate(timeout=LIMIT)

    assert process.returncode == 2, messages
    assert "local_error: interrupted: 3" in output
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("option", ["--json", "--history", "--plot"])
def test_full_disk(port: int, option: str) -> None:
    """An output that cannot be written is a doubt, and the summary is still told."""
    code, output, _ = client("--churn", "--count", 2000, option, "/dev/full", f"127.0.0.1:{port}")

    assert code == 2
    assert "2000 attempts" in output
    assert "could not tell: /dev/full: No space left on device" in output


def test_full_standard_output(port: int) -> None:
    """Where even the summary cannot be written the exit code still does not say that all is well."""
    command = [sys.executable, "-m", "tools.client", "--churn", "--count", "5", f"127.0.0.1:{port}"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=LIMIT, check=False
        )

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_clock_set_back(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that goes back harms nothing: the run knows only the monotonic one."""
    backwards = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(backwards)))

    report = run(Options(b.HOST, port, connections=3, interval=0.1, duration=0.5), Stop(), lambda _: None)

    assert report.verdict().name == "NOTHING_LOST"
    assert 0.4 < report.seconds < 5


def test_lost(port: int, tmp_path: Path) -> None:
    """Exit code 1 says that something was lost, whatever else could not be told."""
    del port
    code, output, _ = client("--churn", "--count", 9, "--json", "/dev/full", f"127.0.0.1:{b.closed_port()}")

    assert code == 1
    assert "refused: ECONNREFUSED: 9" in output
    assert not list(tmp_path.iterdir())
