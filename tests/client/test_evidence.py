"""What is read beside the connections, and how a run is shown."""

from __future__ import annotations

import http.server
import io
import re
import socket
import threading
import time
from contextlib import contextmanager
from itertools import accumulate, count
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.waiting import wait_for
from tests.client import behaviours as b
from tests.client.commands import client
from tools.client.backends import Server, distribution, parse_statistics, read_statistics
from tools.client.kernel import TELLING, EvidenceError, movement, read_counters
from tools.client.live import Live
from tools.client.options import Options
from tools.client.plot import HEIGHT, TOP, WIDTH, svg
from tools.client.run import run
from tools.client.stop import Stop
from tools.client.timeline import Row, Sample, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

STATISTICS = """\
# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,
echo,FRONTEND,,,3,5,100,{total},0,
echo,fep1,0,0,{open},5,,{one},0,
echo,fep2,0,0,1,5,,{two},0,
echo,BACKEND,0,0,3,5,10,{total},0,
"""


class Page(http.server.BaseHTTPRequestHandler):
    """HAProxy's page: ten sessions more at the second look."""

    looks = 0

    def do_GET(self) -> None:
        """Answer with the CSV."""
        grown = 10 * type(self).looks
        type(self).looks += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(STATISTICS.format(total=9, open=2, one=5 + grown, two=4).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(page: type[Page]) -> Iterator[str]:
    """Give the address at which `page` is served."""
    with b.listen() as taken:
        port = taken.getsockname()[1]
    with http.server.HTTPServer((b.HOST, port), page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{b.HOST}:{port}/;csv"
        finally:
            server.shutdown()
            thread.join()


class BrokenLater(Page):
    """The page, but cut short at the second look."""

    looks = 0

    def do_GET(self) -> None:
        """Answer with the CSV, or promise more than comes."""
        if not self.looks:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"# pxname")


class BrokenOnce(BrokenLater):
    """The same for a test of its own."""

    looks = 0


def test_sessions_of_each_backend(port: int) -> None:
    """The run's share of each backend is what HAProxy's counter gained between start and end."""
    with serving(Page) as url:
        report = run(Options(b.HOST, port, churn=True, count=3, haproxy=url), Stop(), lambda _: None)

    assert report.backends == {
        "echo/fep1": {"sessions": 10, "open": 2},
        "echo/fep2": {"sessions": 0, "open": 1},
    }
    assert report.warnings == []


def test_sessions_that_explain_too_few_are_told(port: int) -> None:
    """A new worker may have passed the old one's total: fewer sessions than connections that were ok tell."""
    with serving(Page) as url:
        report = run(Options(b.HOST, port, churn=True, count=30, haproxy=url), Stop(), lambda _: None)

    told = sum(it["sessions"] for it in report.backends.values())
    assert told < 30
    assert report.warnings == [
        f"HAProxy's counters know of {told} connections, 30 were ok: it has reloaded, and counts anew"
    ]


def test_reload_begins_the_counters_anew() -> None:
    """A total that went back is the new worker's own; a server that is new counts from nothing."""
    before = {"echo/fep1": Server(total=70, current=1)}
    after = {"echo/fep1": Server(total=12, current=2), "echo/fep2": Server(total=5, current=0)}

    assert distribution(before, after) == {
        "echo/fep1": {"sessions": 12, "open": 2},
        "echo/fep2": {"sessions": 5, "open": 0},
    }


def test_statistics_that_break_off(port: int) -> None:
    """A page that cannot be read to its end after the run is a doubt, and the summary has all the rest."""
    with serving(BrokenLater) as url:
        report = run(Options(b.HOST, port, churn=True, count=3, haproxy=url), Stop(), lambda _: None)

    assert len(report.doubts) == 1
    assert report.doubts[0].startswith(f"{url}: it cannot be read as a web page: IncompleteRead")
    assert report.result.accounts.total == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n# pxname",
        b"HTTP/1.0 200 OK\r\n\r\n# pxname\xff",
        b"",
    ],
)
def test_server_that_speaks_no_http(answer: bytes) -> None:
    """What answers otherwise than a web server does is an error that names the page."""

    def speak(connection: socket.socket, _over: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with b.Server(speak) as server:
        url = f"http://{b.HOST}:{server.port}/;csv"
        with pytest.raises(EvidenceError, match=re.escape(url)):
            read_statistics(url)


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("TIME_LIMIT", 0.3, "not read within"), ("LARGEST_PAGE", 5, "more than 5")],
)
def test_page_without_an_end(limit: str, value: float, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that goes on and on is given up, by time and by size."""
    monkeypatch.setattr(f"tools.client.backends.{limit}", value)

    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while not over.wait(0.05):
            connection.sendall(b"x")

    with b.Server(drip) as server, pytest.raises(EvidenceError, match=message):
        read_statistics(f"http://{b.HOST}:{server.port}/;csv")


def test_address_that_is_none() -> None:
    """An address with a space in it is an error, too."""
    with pytest.raises(EvidenceError, match="a b"):
        read_statistics("http://127.0.0.1:1/a b")


@pytest.mark.parametrize(
    "text",
    [
        "hello,world\n1,2\n",
        "",
        "<html>",
        "<!DOCTYPE html>\n<html><body>Statistics</body></html>\n",
        "# pxname,svname,qcur,scur,\necho,fep1,0,0,\n",
        '# pxname,svname,scur,stot\n"' + 200_000 * "x",
    ],
)
def test_page_that_is_no_csv(text: str) -> None:
    """A page that is something else is an error and not an empty distribution."""
    with pytest.raises(ValueError, match="HAProxy's CSV"):
        parse_statistics(text)


def test_statistics_without_servers() -> None:
    """A page with the right columns and no server is no error."""
    assert parse_statistics("# pxname,svname,scur,stot,\n") == {}


def test_failing_command_is_quoted() -> None:
    """Why a command for counters failed is told in the last line of its messages."""
    command = "sh -c 'echo hint >&2; echo lb: no such host >&2; exit 3'"
    with pytest.raises(EvidenceError, match=r"^counters of lb: exit status 3: lb: no such host$"):
        read_counters("lb", command)


@pytest.mark.parametrize(
    "command",
    ["sh -c 'sleep 60 & echo $$ >{pid}; wait'", "sh -c 'echo $$ >{pid}; exec >&- 2>&-; sleep 60'"],
)
def test_hanging_command_is_ended(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command for counters that does not end is ended, with all that it has started."""
    monkeypatch.setattr("tools.client.kernel.COMMAND_LIMIT", 0.5)
    pid = tmp_path / "pid"
    with pytest.raises(EvidenceError, match="counters of lb: no end within"):
        read_counters("lb", command.format(pid=pid))

    wait_for(lambda: members(int(pid.read_text())), until=lambda found: not found, within=5)


def members(group: int) -> list[str]:
    """Return the processes of a group that run."""
    stats = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    return [stat[0] for stat in stats if stat[2] == str(group) and stat[0] != "Z"]


@pytest.mark.parametrize("command", ["yes", "sh -c 'yes >&2'"])
def test_endless_output_is_not_read(command: str) -> None:
    """A command for counters that prints without end is given up at once."""
    begun = time.monotonic()
    with pytest.raises(EvidenceError, match="counters of lb: it prints more than"):
        read_counters("lb", command)

    assert time.monotonic() - begun < 5


COUNTERS = dict.fromkeys(TELLING, 100)


@pytest.mark.parametrize("name", ["Tcp.RetransSegs", "Tcp.InSegs"])
def test_counters_that_began_anew(name: str) -> None:
    """A counter that went back has begun anew: how far it and the others moved is not known."""
    with pytest.raises(EvidenceError, match="the counters of lb began anew"):
        movement("lb", COUNTERS | {name: 100}, COUNTERS | {name: 3})


def test_failing_evidence_leaves_the_rest(port: int, tmp_path: Path) -> None:
    """Each evidence that cannot be read after the run is a doubt of its own, and all others are told."""
    once = f"sh -c 'cat /proc/net/snmp /proc/net/netstat; mkdir {tmp_path}/$0 || exit 4'"
    good = "cat /proc/net/snmp /proc/net/netstat"
    counters = (("a", f"{once} a"), ("b", good), ("c", f"{once} c"))
    with serving(BrokenOnce) as url:
        options = Options(b.HOST, port, churn=True, count=3, counters=counters, haproxy=url)
        report = run(options, Stop(), lambda _: None)

    assert list(report.counters) == ["client", "b"]
    assert [doubt.partition(": ")[0] for doubt in report.doubts] == ["counters of a", "counters of c", url]


def rows_of(*samples: Sample) -> list[Row]:
    """Return the rows of a timeline of these samples."""
    timeline = Timeline(histograms=False)
    for sample in samples:
        timeline.add(sample)
    return timeline.rows


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 10**6)), max_size=20), st.text(max_size=9))
def test_plot_is_well_formed(numbers: list[tuple[int, int]], title: str) -> None:
    """The picture is XML with one curve a number, each inside the frame, for any numbers and any title."""
    totals = accumulate(opens for _, opens in numbers)
    samples = [
        Sample(time=second, held=held, attempts=total)
        for second, (held, _), total in zip(count(1.0), numbers, totals)
    ]
    printable = "".join(letter for letter in title if letter.isprintable())
    picture = ET.fromstring(svg(rows_of(*samples), printable + '<&"'))
    curves = picture.findall("{http://www.w3.org/2000/svg}polyline")
    points = [point.split(",") for curve in curves for point in curve.attrib["points"].split()]

    assert len(curves) == 3
    assert len(points) == 3 * len(numbers)
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in points)


def test_plot_of_a_run(port: int, tmp_path: Path) -> None:
    """--plot leaves a picture with the target as its title, whose curve of held connections comes to all."""
    picture = tmp_path / "run.svg"
    code, output, _ = client("-c", 5, "--duration", 0.3, "--plot", picture, f"127.0.0.1:{port}")
    drawn = ET.parse(picture).getroot()
    held = drawn.find("{http://www.w3.org/2000/svg}polyline")

    assert code == 0, output
    assert drawn.attrib["aria-label"] == f"connections to 127.0.0.1:{port}"
    assert held is not None
    assert held.attrib["points"].split()[-1].endswith(f",{TOP:.1f}")


def test_rates_are_a_second() -> None:
    """A row's rate is by the time since the row before, whatever that was."""
    first, second = rows_of(Sample(time=1.0, attempts=10), Sample(time=3.0, attempts=50))

    assert first["opens_per_second"] == 10.0
    assert second["opens_per_second"] == 20.0


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return that it is."""
        return True


@pytest.mark.parametrize(("stream", "lines"), [(io.StringIO(), 2), (Terminal(), 1)])
def test_live_line(stream: io.StringIO, lines: int) -> None:
    """A terminal's line is written over and left at the end; elsewhere each second has its own line."""
    live = Live(stream)
    for row in rows_of(Sample(time=1.0, held=5), Sample(time=2.0, held=6)):
        live.show(row)
    live.finish()

    assert stream.getvalue().count("\n") == lines
    assert "held 6" in stream.getvalue().splitlines()[-1]


def test_gone_stream_is_left_alone() -> None:
    """A live line that nobody can read any more does not end the run."""

    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    live = Live(Gone())
    live.show(rows_of(Sample(time=1.0))[0])
    live.finish()
