"""The monitor's own HTTP and its command line, as their users meet them."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tools.monitor import options, server
from tools.monitor.negotiate import negotiate
from tools.monitor.state import Host

from .rig import ROOT, Network, Process, wait_for
from .stack import Monitor, served
from .stack import http as ask
from .test_view import apply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .scene import Begin

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
NOBODY = "127.0.0.1:2"  # no program listens there
NEEDED = ["--listen=127.0.0.1:1", f"--consul={NOBODY}", "--echo=fep", "--info=fepinfo"]


@pytest.fixture(scope="module")
def monitor(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """Return a monitor that has nothing to ask: nobody listens where it looks for Consul."""
    monitor = Monitor(tmp_path_factory.mktemp("monitor"), network, [NOBODY])
    yield monitor
    monitor.stop()


def events(monitor: Monitor, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the first events of a stream: name and data."""
    with closing(http.client.HTTPConnection(monitor.listen, timeout=10)) as connection:
        connection.request("GET", "/events")
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "text/event-stream"
        found: list[tuple[str, dict[str, Any]]] = []
        while len(found) < count:
            name, data, _ = (response.readline() for _ in range(3))
            found.append((name.decode().strip(), json.loads(data.removeprefix(b"data: "))))
        return found


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "text/plain"),
        (BROWSER, "text/html"),
        ("text/html", "text/html"),
        ("application/json", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/*;q=0.1, application/json;q=0.2", "application/json"),
        ("text/*", "text/plain"),
        ("image/png", "text/plain"),
        ("text/html;q=rubbish, */*;q=0.1", "text/plain"),
        ("", "text/plain"),
    ],
)
def test_who_asks_gets_the_form_he_wants(accept: str, form: str) -> None:
    """The weight decides; curl, and who wants nothing that there is, gets plain text."""
    assert negotiate(accept, ("text/plain", "text/html", "application/json")) == form


def test_a_browser_gets_the_page_and_curl_text(monitor: Monitor) -> None:
    """The same address answers each in its form, and tells caches so."""
    for accept, form in (
        (BROWSER, "text/html"),
        ("*/*", "text/plain"),
        ("application/json", "application/json"),
    ):
        status, headers, _ = ask(monitor.url, Accept=accept)
        assert (status, headers.get_content_type(), headers["Vary"]) == (200, form, "Accept")


def test_no_answer_is_taken_for_a_page(monitor: Monitor) -> None:
    """Names may hold HTML: every answer says its kind, and that it is not to be guessed."""
    kinds = {"/": "text/plain", "/api/state": "application/json", "/api/history": "application/json"}
    for path, kind in (kinds | {"/metrics": "text/plain"}).items():
        status, headers, _ = ask(f"{monitor.url}{path}")
        assert (status, headers.get_content_type()) == (200, kind)
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_needs_nothing_from_elsewhere(monitor: Monitor) -> None:
    """The browser is forbidden to load anything from outside, and each file the page names is served here."""
    _, headers, page = ask(monitor.url, Accept=BROWSER)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert "//" not in page.replace("<!doctype html>", "")
    names = [part.partition('"')[0] for part in page.split('="/')[1:]]
    assert {"static/style.css", "static/page.js"} < set(names)
    assert {ask(f"{monitor.url}/{name}")[0] for name in names} == {200}


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api",
        "/events/",
        "/static",
        "/static/",
        "/static/nothing",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static//etc/passwd",
    ],
)
def test_an_unknown_path_is_not_found(monitor: Monitor, path: str) -> None:
    """What is not there is 404, and so is what lies outside the page's folder."""
    with closing(http.client.HTTPConnection(monitor.listen, timeout=10)) as connection:
        connection.request("GET", path)
        assert connection.getresponse().status == 404


def test_nothing_can_be_written(monitor: Monitor) -> None:
    """The monitor only shows: any other method is refused."""
    for path in ("/", "/api/state", "/events"):
        assert ask(f"{monitor.url}{path}", body={})[0] == 405


def test_a_stream_is_a_snapshot_and_patches(monitor: Monitor) -> None:
    """Patches applied to the snapshot give what /api/state says at that moment."""
    (name, tree), *patches = events(monitor, 4)
    assert name == "event: snapshot"
    assert tree.keys() == monitor.state().keys()
    for number, (kind, patch) in enumerate(patches, start=1):
        assert kind == "event: patch"
        tree = apply(tree, patch)
        assert tree["tick"] >= number
    assert {**tree, "time": 0, "tick": 0} == {**monitor.state(), "time": 0, "tick": 0}


def test_a_stream_shows_life_every_interval(monitor: Monitor) -> None:
    """A monitor to which nothing happens still sends one patch an interval."""
    ticks = [patch["tick"] for _, patch in events(monitor, 4)]
    assert ticks == list(range(ticks[0], ticks[0] + 4))


def test_the_browsers_are_counted(monitor: Monitor) -> None:
    """A browser counts while it listens."""

    def browsers() -> float:
        _, headers, text = ask(f"{monitor.url}/metrics")
        assert headers.get_param("version"), "Prometheus asks for the version of its format"
        families = text_string_to_metric_families(text)
        return next(s.value for family in families for s in family.samples if s.name == "monitor_browsers")

    with closing(socket.create_connection(monitor.at)) as browser:
        browser.sendall(b"GET /events HTTP/1.1\r\nHost: monitor\r\n\r\n")
        wait_for(lambda: browsers() == 1)
    wait_for(lambda: browsers() == 0)


def test_a_browser_that_does_not_read_is_left(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that nobody reads ends after its time, and costs the monitor nothing more."""
    monkeypatch.setattr(server, "PATIENCE", 1.0)
    scene = begin(1)
    scene.launch(*range(1, 1501))
    host, _, port = scene.open(buffer=4096).removeprefix("http://").partition(":")

    def browsers() -> bool:
        return "monitor_browsers 1.0" in ask(f"http://{host}:{port}/metrics")[2]

    with closing(socket.socket()) as browser:
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        browser.connect((host, int(port)))
        browser.sendall(b"GET /events HTTP/1.1\r\nHost: monitor\r\n\r\n")
        wait_for(browsers)
        wait_for(lambda: not browsers())


def test_the_history_grows(monitor: Monitor) -> None:
    """Each interval adds one sample."""
    wait_for(lambda: len(json.loads(ask(f"{monitor.url}/api/history")[2])["ticks"]) >= 2)
    ticks = json.loads(ask(f"{monitor.url}/api/history")[2])["ticks"]
    assert ticks == list(range(1, len(ticks) + 1))


def test_it_stops_at_once(tmp_path: Path, network: Network) -> None:
    """SIGTERM ends it within two seconds and with code 0, though a browser listens."""
    monitor = Monitor(tmp_path, network, [NOBODY])
    with closing(socket.create_connection(monitor.at)) as browser:
        browser.sendall(b"GET /events HTTP/1.1\r\nHost: monitor\r\n\r\n")
        assert b"event: snapshot" in browser.recv(10000) + browser.recv(10000)
        start = time.monotonic()
        monitor.stop()
        assert time.monotonic() - start < 2


def test_it_runs_where_it_was_copied_to(tmp_path: Path, network: Network) -> None:
    """The package needs nothing of the repository: copied alone, `python3 -m monitor` serves its page."""
    shutil.copytree(ROOT / "tools" / "monitor", tmp_path / "monitor")
    address, port = network.endpoint()
    flags = [f"--listen={address}:{port}", *NEEDED[1:]]
    process = Process(tmp_path / "log", sys.executable, "-m", "monitor", *flags, folder=tmp_path)
    assert "Connections per service" in served(process, f"http://{address}:{port}/", Accept=BROWSER)
    assert process.end() == 0


def test_a_taken_port_is_a_plain_message(tmp_path: Path, monitor: Monitor) -> None:
    """A monitor that cannot listen says so in one line and ends with code 1."""
    flags = [f"--listen={monitor.listen}", *NEEDED[1:]]
    process = Process(tmp_path / "log", sys.executable, "-m", "tools.monitor", *flags)
    assert process.wait() == 1
    assert process.output() == f"monitor: cannot listen on {monitor.listen}: address already in use\n"


def test_flags_win_over_the_environment() -> None:
    """A variable holds all values of its flag, and counts only where the flag is not given."""
    environment = {"MONITOR_CONSUL": "a:1 b:2", "MONITOR_ECHO": "env", "MONITOR_HOST": "lb=192.0.2.2=lb"}
    found = options.parse(["--listen=x:80", "--echo", "flag", "--info=i"], environment)
    assert (found.listen, found.consul, found.echo) == (("x", 80), ["a:1", "b:2"], "flag")
    assert found.host == [Host("lb", "192.0.2.2", "lb")]
    assert (found.interval, found.haproxy, found.haproxy_address) == (1.0, "", "")


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--listen=80", "'80' is not ADDRESS:PORT"),
        ("--consul=a:99999", "'a:99999' is not ADDRESS:PORT"),
        ("--consul=a:x", "'a:x' is not ADDRESS:PORT"),
        ("--host=lb", "'lb' is not NAME=ADDRESS=ROLE"),
        ("--haproxy=https://a/", "'https://a/' is not http://ADDRESS:PORT/"),
        ("--haproxy=http://a:1", "'http://a:1' is not http://ADDRESS:PORT/"),
        ("--interval=0", "'0' is not a number from"),
        ("--interval=x", "'x' is not a number from"),
        ("--interval=nan", "'nan' is not a number from"),
        ("--nonsense", "unrecognized arguments"),
    ],
)
def test_a_wrong_flag_is_named(flag: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with code 2 and says which word is wrong, and what would be right."""
    with pytest.raises(SystemExit) as end:
        options.parse([*NEEDED, flag], {})
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_what_is_needed_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Without flags and variables the message names all that is missing."""
    with pytest.raises(SystemExit):
        options.parse([], {})
    assert "required: --listen, --consul, --echo, --info" in capsys.readouterr().err
