"""The command line: what cannot be done is said in a clear message, with the right exit code."""

from __future__ import annotations

import errno
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.client import behaviours as b
from tests.client.commands import LIMIT, ROOT, client
from tools.client.accounts import Kind
from tools.client.command import main
from tools.client.limits import check_sources, is_local
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
        (["-c", "1000001", "127.0.0.1:7000"], "is not a number from 0 to 1000000"),
        (["--bogus", "127.0.0.1:7000"], "unrecognized arguments: --bogus; client -h explains"),
        (["--churn", "--duration", "nan", "127.0.0.1:7000"], "is not a number from"),
        (["--churn", "--size", "15", "127.0.0.1:7000"], "is not a number from 16"),
        (["-c", "3", "--rate", "5", "127.0.0.1:7000"], "--rate and --count are about --churn"),
        (["--churn", "--ramp", "3", "127.0.0.1:7000"], "--ramp is about -c N"),
        (["--churn", "--procs", "4", "--concurrency", "3", "127.0.0.1:7000"], "cannot be shared among"),
        (["--churn", "--procs", "4", "--count", "3", "127.0.0.1:7000"], "cannot be shared among"),
        (["-c", "3", "no-such-host.invalid:7000"], "no-such-host.invalid: "),
        (["-c", "3", "a..b:7000"], "a..b: "),
        (["-c", "3", "--source", "127.0.0.1-x", "127.0.0.1:7000"], "does not appear to be"),
        (["-c", "3", "--source", "127.0.0.9-127.0.0.1", "127.0.0.1:7000"], "is no range of at most"),
        (["-c", "3", "--source", "0.0.0.0", "127.0.0.1:7000"], "0.0.0.0: no connection can come from"),
        (["-c", "3", "--source", "::", "[::1]:7000"], "::: no connection can come from"),
        (["-c", "3", "--source", "127.0.0.1,224.0.0.9", "127.0.0.1:7000"], "224.0.0.9: no connection"),
        (["-c", "3", "--source", "255.255.255.255", "127.0.0.1:7000"], "255.255.255.255: no connection"),
        (["-c", "3", "--source", "192.0.2.1", "127.0.0.1:7000"], "give it to an interface first"),
        (["-c", "3", "--source", "::1", "127.0.0.1:7000"], "no address of the kind of 127.0.0.1"),
        (["-c", "900000", "--procs", "64", "127.0.0.1:7000"], "use --source with"),
        (["-c", "3", "--counters", "lb", "127.0.0.1:7000"], "is not NAME=COMMAND"),
        (["-c", "3", "--counters", "lb= ", "127.0.0.1:7000"], "is not NAME=COMMAND"),
        (["-c", "3", "--counters", "lb=echo 'x", "127.0.0.1:7000"], "No closing quotation"),
        (
            ["-c", "3", "--counters", "client=true", "127.0.0.1:7000"],
            "client is the name of the client's own",
        ),
        (["-c", "3", "--counters", "a=true", "--counters", "a=false", "127.0.0.1:7000"], "a is given twice"),
        (["-c", "3", "--counters", "lb=false", "127.0.0.1:7000"], "counters of lb: exit status 1"),
        (["-c", "3", "--counters", "lb=true", "127.0.0.1:7000"], "did it print /proc/net/snmp and"),
        (["-c", "3", "--counters", "lb=echo hello", "127.0.0.1:7000"], "did it print /proc/net/snmp and"),
        (["-c", "3", "--counters", "lb=cat /proc/net/snmp", "127.0.0.1:7000"], "no TcpExt.ListenDrops"),
        (["-c", "3", "--counters", "lb=no-such-command", "127.0.0.1:7000"], "No such file"),
        (["-c", "3", "--haproxy", "", "127.0.0.1:7000"], "'' is not http://"),
        (["-c", "3", "--haproxy", "lb:9000", "127.0.0.1:7000"], "'lb:9000' is not http://"),
        (["-c", "3", "--haproxy", "http://127.0.0.1:1/;csv", "127.0.0.1:7000"], "refused"),
        (["-c", "3", "--json", "/no/such/place", "127.0.0.1:7000"], "/no/such/place: No such file"),
    ],
)
def test_wrong_use(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done is refused before the start, with exit code 2 and a sentence that says why."""
    code = main(Stop(), arguments)
    output, messages = capsys.readouterr()

    assert code == 2
    assert messages.startswith("client: ")
    assert message in messages
    assert output == ""


def test_exit_code_of_wrong_use() -> None:
    """The program ends with the code of its verdict, and says why in one line."""
    code, output, messages = client("-c", "3", "no-such-host.invalid:7000")

    assert (code, output) == (2, "")
    assert re.fullmatch(r"client: no-such-host\.invalid: .*\n", messages)


def test_descriptors_are_checked() -> None:
    """More connections than descriptors are refused with the number of processes that do it, and they do."""
    words = f"-c 2500 --duration 1 127.0.0.1:{b.closed_port()}"
    limited = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    script = f"ulimit -n 1024; exec {sys.executable} -m tools.client -q {words}"
    refused, tried = limited(["sh", "-c", script]), limited(["sh", "-c", f"{script} --procs 3"])

    assert refused.returncode == 2
    assert "the hard limit is 1024: use --procs 3, or" in refused.stderr
    assert tried.returncode == 1
    assert "refused 2500;" in tried.stdout


def test_opens_of_held_connections_are_among_them(port: int) -> None:
    """Connections that are held need no descriptors beside their own while they are opened."""
    words = f"-c 150 --concurrency 1000 --duration 0.5 127.0.0.1:{port}"
    script = f"ulimit -n 256; exec {sys.executable} -m tools.client -q {words}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False
    )

    assert done.returncode == 0, done
    assert "held 150 of 150" in done.stdout


def test_time_wait_is_reckoned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paced churn that would run out of ports is refused where the kernel does not use them again."""
    monkeypatch.setattr("tools.client.limits._reuses_ports", lambda _: False)

    with pytest.raises(UsageError, match=r"tcp_tw_reuse=1, or use --source with \d addresses"):
        run(Options(b.HOST, b.closed_port(), churn=True, rate=2000.0), Stop(), lambda _: None)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_backlog_is_reckoned_with(port: int, host: str) -> None:
    """More opens at once than a server of this machine may queue are warned of, with the setting to raise."""
    backlog = int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"))

    code, _, messages = client("--churn", "--count", 10, "--concurrency", backlog + 1, f"{host}:{port}")

    assert code == 0
    assert f"warning: --concurrency {backlog + 1} is more than net.core.somaxconn {backlog}" in messages


def test_ports_at_rest_are_warned_of(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A churn without pause is warned of ports that rest for a minute, where the kernel lets them rest."""
    monkeypatch.setattr("tools.client.limits._reuses_ports", lambda _: False)
    report = run(Options(b.HOST, port, churn=True, count=10), Stop(), lambda _: None)

    assert len(report.warnings) == 1
    assert "without net.ipv4.tcp_tw_reuse=1 or --source a long churn runs out of them" in report.warnings[0]


@pytest.mark.parametrize(
    ("words", "host"),
    [
        ((), "127.0.0.1"),
        ((), "0.0.0.0"),
        (("--source", "127.0.0.2"), "127.0.0.2"),
        (("--source", "127.0.0.3,127.0.0.2"), "0.0.0.0"),
        ((), "[::]"),
        ((), "[::ffff:127.0.0.1]"),
    ],
)
def test_self_connect_is_refused(words: tuple[str, ...], host: str) -> None:
    """A port of the range from which the kernel gives sources is refused on this machine itself."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])

    code, _, messages = client("--churn", "--count", 10, *words, f"{host}:{low}")

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
from tools.client import limits
from tools.client.options import parse
from tools.client.report import to_text
from tools.client.run import run
from tools.client.stop import Stop

limits.raise_descriptors = lambda _: resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
report = run(parse(sys.argv[1:]), Stop(), lambda _: None)
print(to_text(report))
sys.exit(report.verdict())
"""


def test_out_of_descriptors(port: int) -> None:
    """Running out of descriptors is this machine's trouble: could not tell, and never the server's loss."""
    arguments = ["-c", "80", "--duration", "0.7", f"127.0.0.1:{port}"]
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


def no_descriptor() -> None:
    """Fail as socket() does when this machine has no descriptor left."""
    raise OSError(errno.EMFILE, "no descriptor")


class NoPort(socket.socket):
    """A socket on a machine that has no source port left."""

    def connect_ex(self, _address: object) -> int:
        """Return what the kernel returns then."""
        return errno.EADDRNOTAVAIL


@pytest.mark.parametrize(("make", "reason"), [(no_descriptor, "EMFILE"), (NoPort, "EADDRNOTAVAIL")])
def test_local_trouble(
    port: int, monkeypatch: pytest.MonkeyPatch, make: Callable[[], object], reason: str
) -> None:
    """While this machine cannot open anything nothing is lost, and the client tries again at a low rate."""
    monkeypatch.setattr(Target, "socket_maker", lambda *_: make)
    report = run(Options(b.HOST, port, churn=True, duration=0.5), Stop(), lambda _: None)
    accounts = report.result.accounts

    assert 2 <= accounts.total <= 60
    assert accounts.reasons == {f"local_error: {reason}": accounts.total}
    assert report.verdict().name == "COULD_NOT_TELL"


def test_family_that_is_switched_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel makes no socket of the target's kind a source is refused, and a run cannot tell."""
    sockets = Mock(side_effect=OSError(errno.EAFNOSUPPORT, "not supported"))
    monkeypatch.setattr("tools.client.limits.socket.socket", sockets)

    with pytest.raises(UsageError, match=r"--source 127\.0\.0\.1: not supported"):
        check_sources(Target(socket.AF_INET, (b.HOST, port), (b.HOST,)))

    assert not is_local(Target(socket.AF_INET, (b.HOST, port)))


def test_unforeseen_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that nobody foresaw is told in a line, and is no loss: nobody can tell."""
    monkeypatch.setattr("tools.client.command.run", Mock(side_effect=RuntimeError("odd")))

    assert main(Stop(), ["--churn", "127.0.0.1:7000"]) == 2
    assert capsys.readouterr().err == "client: RuntimeError: odd\n"


def test_time_is_up_before_all_are_tried(port: int) -> None:
    """Connections that were never tried, because time was up, are a doubt."""
    options = Options(b.HOST, port, connections=10, ramp=100.0, duration=0.2)
    report = run(options, Stop(), lambda _: None)

    assert report.doubts == ["9 of 10 connections to hold were never tried: time was up"]
    assert report.verdict().name == "COULD_NOT_TELL"


def test_accounts_that_do_not_add_up_are_a_doubt() -> None:
    """An attempt without a class would be told."""
    result = Result()
    result.accounts.attempts[Kind.CHURN] = 1

    assert doubts(Options(b.HOST, 1), result, "") == ["1 attempts have no class: the accounts do not add up"]
