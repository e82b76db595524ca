"""The command line: bad input and bad luck end with a clear message, a summary and the right exit code."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hdrh.histogram import HdrHistogram

from tests.client import behaviours as b
from tools.client.options import Options, UsageError
from tools.client.run import run
from tools.client.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 20.0


@pytest.fixture
def port() -> Iterator[int]:
    """Give the port of a server that does what is right."""
    with b.Server(b.echo) as server:
        yield server.port


def start(*arguments: object) -> subprocess.Popen[str]:
    """Return the started command, in a process group of its own."""
    command = [sys.executable, "-m", "tools.client", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def client(*arguments: object) -> tuple[int, str, str]:
    """Return exit code, output and messages of the command, none of which may be a stack trace."""
    process = start(*arguments)
    output, messages = process.communicate(timeout=LIMIT)

    assert "Traceback" not in output + messages

    return process.returncode, output, messages


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
from tools.client.options import parse
from tools.client.report import to_text
from tools.client.run import run
from tools.client.stop import Stop

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


@pytest.mark.parametrize("procs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(port: int, number: signal.Signals, procs: int, tmp_path: Path) -> None:
    """A signal ends the run early; the summary of what was done so far follows, with the verdict on it."""
    out = tmp_path / "out.json"
    process = start("-c", 4, "--churn", "--rate", 50, "--procs", procs, "--json", out, f"127.0.0.1:{port}")
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
    assert summary["latency_ms"]["connect"]["count"] == 45
    assert summary["counters"]["client"]["TcpExt.TCPSynRetrans"] >= 0


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


def test_dead_process(port: int) -> None:
    """A process of the run that dies makes the whole run a doubt, and does not hang it."""
    process = start("-c", 4, "--procs", 2, "--duration", 2, f"127.0.0.1:{port}")
    assert process.stderr
    process.stderr.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(children[0]), signal.SIGKILL)
    output, messages = process.communicate(timeout=LIMIT)

    assert process.returncode == 2, messages
    assert "process 0 died" in output


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
    code, output, _ = client("--stream", "--churn", "--rate", 40, "--duration", 1.5, f"127.0.0.1:{port}")
    *rows, summary = map(json.loads, output.splitlines())
    opens = sum(HdrHistogram.decode(row["first_reply"]).get_total_count() for row in rows)

    assert code == 0
    assert len(rows) == 2
    assert opens == rows[-1]["attempts"] == summary["attempts"]
    assert rows[-1]["classes"] == summary["classes"]


def test_reader_is_gone(port: int) -> None:
    """When nobody reads the stream any more the run ends."""
    process = start("--stream", "--churn", "--rate", 40, "--duration", 60, f"127.0.0.1:{port}")
    assert process.stdout
    assert process.stderr
    with process:
        process.stdout.readline()
        process.stdout.close()
        messages = process.stderr.read()

    assert process.returncode == 2
    assert "standard output: Broken pipe" in messages
    assert "Traceback" not in messages
