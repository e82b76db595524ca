"""Signals, full disks, closed outputs, a clock set back: a summary of what was done, the right exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.waiting import wait_for
from tests.client import behaviours as b
from tests.client.commands import LIMIT, ROOT, client, start
from tools.client.options import Options
from tools.client.run import run
from tools.client.stop import Stop

OPEN_WITHIN = 10
GRACE = 1e9  # nanoseconds for which outstanding answers are awaited after the first signal


@pytest.mark.parametrize("procs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(number: signal.Signals, procs: int, tmp_path: Path) -> None:
    """A signal ends the run early, with answers under way awaited and a summary of what was done so far."""
    out = tmp_path / "out.json"
    with b.Server(b.late(0.3)) as server:
        target = f"127.0.0.1:{server.port}"
        process = start("-c", 4, "--churn", "--rate", 50, "--procs", procs, "--json", out, target)
        wait_for(lambda: len(server.peers), until=lambda seen: seen > 8, within=OPEN_WITHIN)
        os.killpg(process.pid, number)
        output, messages = process.communicate(timeout=LIMIT)
    summary = json.loads(out.read_text())

    assert process.returncode == 0, messages
    assert f"ended early by {number.name}" in output
    assert "Traceback" not in output + messages
    assert summary["signal"] == number.name
    assert summary["held"]["alive_at_end"] == 4
    assert summary["attempts"] == sum(summary["classes"].values()) > 8


def test_second_signal(tmp_path: Path) -> None:
    """A second signal does not wait for answers: those under way cannot be told."""
    out = tmp_path / "out.json"
    with b.Server(b.silent) as server:
        process = start("-c", 3, "--reply-timeout", 60, "--json", out, f"127.0.0.1:{server.port}")
        wait_for(lambda: len(server.peers), until=lambda seen: seen == 3, within=OPEN_WITHIN)
        begun = time.monotonic_ns()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        output, messages = process.communicate(timeout=LIMIT)
    losses = json.loads(out.read_text())["losses"]

    assert process.returncode == 2, messages
    assert "local_error: interrupted: 3" in output
    assert all(loss["time"] - begun < GRACE for loss in losses)


def test_signal_during_the_start(port: int) -> None:
    """Ctrl-C while the program is still being loaded ends it as cleanly, though there was no time to try."""
    command = [sys.executable, "-X", "importtime", "-m", "tools.client", "-c", "3", f"127.0.0.1:{port}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        assert process.stderr
        for line in process.stderr:
            if "tools.client.accounts" in line:
                process.send_signal(signal.SIGINT)
                break
        messages = process.stderr.read()
        output = process.stdout.read()

    assert "Traceback" not in messages
    assert "ended early by SIGINT" in output
    assert process.returncode == 2, output


SIGNAL_BETWEEN_THE_FORKS = """
import os, signal, sys
from tools.client import crew
from tools.client.options import parse
from tools.client.report import to_text
from tools.client.run import run
from tools.client.stop import SIGNALS, Stop

share = crew.share

def interrupted(options, process):
    if process == 1:
        os.kill(os.getpid(), signal.SIGINT)
    return share(options, process)

crew.share = interrupted
stop = Stop()
stop.heed(*SIGNALS)
report = run(parse(sys.argv[1:]), stop, lambda _: None)
print(to_text(report))
sys.exit(report.seconds > 5)
"""


def test_signal_between_the_forks() -> None:
    """A signal that comes when some processes of the run have started and others have not ends all of them.

    They are told once: answers under way are awaited.
    """
    with b.Server(b.late(0.3)) as server:
        words = ["-c", "9", "--procs", "3", "--duration", "8", f"127.0.0.1:{server.port}"]
        done = subprocess.run(
            [sys.executable, "-c", SIGNAL_BETWEEN_THE_FORKS, *words],
            cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip

    assert done.returncode == 0, done
    assert "ended early by SIGINT" in done.stdout
    assert "local_error" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("load", [("-c", 4, "--interval", 0.1), ("--churn", "--rate", 50)])
def test_client_that_stood_still(load: tuple[object, ...]) -> None:
    """What waited unread while the client itself was stopped is no loss: nobody can tell when it came."""
    with b.Server(b.late(0.2)) as server:
        process = start(*load, "--duration", 4, "--reply-timeout", 1, f"127.0.0.1:{server.port}")
        wait_for(lambda: len(server.peers), until=lambda seen: seen >= 4, within=OPEN_WITHIN)
        time.sleep(0.5)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2)
        process.send_signal(signal.SIGCONT)
        output, messages = process.communicate(timeout=LIMIT)

    assert process.returncode == 2, output + messages
    assert "local_error: this client stood still: " in output
    assert " 0 lost" in output


def test_full_disk(port: int, tmp_path: Path) -> None:
    """Outputs that cannot be written are doubts, each by itself, and the summary is told all the same."""
    full = ("--history", "/dev/full", "--plot", "/dev/full")
    out = tmp_path / "out.json"
    code, output, _ = client("--churn", "--count", 200, *full, "--json", out, f"127.0.0.1:{port}")
    doubts = json.loads(out.read_text())["doubts"]

    assert code == 2
    assert "200 attempts" in output
    assert doubts == [
        "/dev/full: No space left on device: the history is cut short",
        "/dev/full: No space left on device",
    ]
    assert all(f"could not tell: {doubt}" in output for doubt in doubts)


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "x", "--history", "./x"),
        ("--json", "sub/../x", "--plot", "x"),
        ("--history", "link", "--plot", "there"),
        ("--history", "hard", "--plot", "there"),
        ("--history", "x", "--json", "x.1", "--procs", "2"),
    ],
)
def test_one_file_for_two_outputs(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Two outputs to the same file are refused before the start, and what it holds stays."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "there").write_text("kept")
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "hard").hardlink_to(tmp_path / "there")
    placed = [tmp_path / word if word[0] not in "-2" else word for word in words]

    code, _, messages = client("--churn", "--count", 5, *placed, f"127.0.0.1:{b.closed_port()}")

    assert code == 2
    assert "are the same file" in messages
    assert (tmp_path / "there").read_text() == "kept"


def test_one_device_for_two_outputs(port: int) -> None:
    """A device may take several outputs."""
    nowhere = ("--json", "/dev/null", "--history", "/dev/null", "--plot", "/dev/null")
    code, _, _ = client("--churn", "--count", 5, *nowhere, f"127.0.0.1:{port}")

    assert code == 0


def test_full_disk_for_the_summary(port: int) -> None:
    """Where the JSON summary finds no place, the lines for people still tell all."""
    code, output, _ = client("--churn", "--count", 20, "--json", "/dev/full", f"127.0.0.1:{port}")

    assert code == 2
    assert "20 attempts" in output
    assert "could not tell: /dev/full: No space left on device" in output


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--churn --count 5 127.0.0.1:{port} >/dev/full", 2, "standard output: No space left on device"),
        ("--churn --count 5 127.0.0.1:{port} 2>/dev/full", 0, ""),
        ("--churn --count 5 127.0.0.1:{port} >/dev/full 2>/dev/full", 2, ""),
        ("--churn --count 5 127.0.0.1:{port} 2>&-", 0, ""),
        ("--churn --count 5 127.0.0.1:{port} --stream >&-", 2, "standard output: "),
        ("--churn --count 5 127.0.0.1:{port} >&-", 2, "standard output: Bad file descriptor"),
        ("-h >&-", 2, "standard output: Bad file descriptor"),
        ("-c 5 127.0.0.1:{closed} >&- 2>&-", 1, ""),
        ("-c 5 127.0.0.1:{closed} >/dev/full", 1, "standard output: No space left on device"),
        ("-c x 127.0.0.1:{port} 2>/dev/full", 2, ""),
        ("-h >/dev/full", 2, "standard output: No space left on device"),
    ],
)
def test_nobody_can_hear(port: int, words: str, code: int, message: str, unbuffered: str) -> None:
    """Where nothing more can be printed the exit code still says what is so, or that nobody can tell."""
    words = words.format(port=port, closed=b.closed_port())
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tools.client {words}"],
        cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip

    assert done.returncode == code, done
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_clock_set_back(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that goes back harms nothing: the run knows only the monotonic one."""
    backwards = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(backwards)))

    report = run(Options(b.HOST, port, connections=3, interval=0.1, duration=0.5), Stop(), lambda _: None)

    assert report.verdict().name == "NOTHING_LOST"
    assert 0.4 < report.seconds < 5


def test_lost(tmp_path: Path) -> None:
    """Exit code 1 says that something was lost, whatever else could not be told."""
    code, output, _ = client("--churn", "--count", 9, "--json", "/dev/full", f"127.0.0.1:{b.closed_port()}")

    assert code == 1
    assert "refused: ECONNREFUSED: 9" in output
    assert not list(tmp_path.iterdir())
