"""The page in a real browser, fed by a monitor of real parts.

With MONITOR_SCREENSHOTS=FOLDER the states are kept there as pictures.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from .rig import binary, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Stage
    from .stack import Monitor

Show = Callable[..., Page]
AXE = resources.files("axe_playwright_python") / "axe.min.js"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOM: ViewportSize = {"width": 1440, "height": 900}
LONG = 15000  # ms, for elections
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return the machine's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Browser, stage: Stage) -> Show:
    """Return what opens a monitor's page; it fails the test when the page asks anybody but its monitor."""

    def start(monitor: Monitor, scheme: str = "light", size: ViewportSize = ROOM) -> Page:
        context = browser.new_context(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
        page = context.new_page()
        asked: set[str] = set()
        complaints: list[str] = []
        page.on("request", lambda request: asked.add(re.sub(r"(?<=[^/:])/.*", "", request.url)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(monitor.url)

        def finish() -> None:
            context.close()
            assert asked == {monitor.url}
            assert [text for text in complaints if "net::ERR_" not in text] == []

        stage.cleanup.callback(finish)
        return page

    return start


def picture(page: Page, name: str) -> None:
    """Keep a picture of the page, if somebody wants it."""
    if folder := os.environ.get("MONITOR_SCREENSHOTS"):
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=page.viewport_size == PHONE)


def row(page: Page, name: str) -> dict[str, str]:
    """Return the texts of one instance's row; raises LookupError when it has none."""
    for line in page.locator("#rows tr").all():
        if line.locator(".name").text_content() == name:
            cells = {
                key: line.locator(f".{key}").text_content() for key in ("count", "detail", "state", "number")
            }
            return {key: text or "" for key, text in cells.items()}
    raise LookupError(name)


def events(page: Page) -> list[str]:
    """Return the lines of the event log, newest first, without time and sign."""
    return page.locator("#events li > :last-child").all_text_contents()


def test_rows_appear_and_add_up(stage: Stage, show: Show) -> None:
    """Instances get rows, connections through HAProxy add up, a removed instance loses its row."""
    feps = [stage.launch() for _ in range(4)]
    haproxy = stage.balance(*feps)
    page = show(stage.watch(f"--haproxy={haproxy.url}"))
    expect(page.get_by_text("No instance is registered")).to_be_visible()
    stage.cluster.add(*feps)
    expect(page.locator("#rows .name")).to_have_text(["fep.1", "fep.2", "fep.3", "fep.4"])
    for _ in range(20):
        connection = stage.cleanup.enter_context(socket.create_connection(haproxy.at))
        connection.sendall(b"x")
    expect(page.locator("#total")).to_have_text("20")
    wait_for(lambda: row(page, "fep.1") == {"count": "5", "detail": "", "state": "✓ ok", "number": "5"})
    assert sum(int(text) for text in page.locator("#rows .count").all_text_contents()) == 20
    picture(page, "busy")
    stage.cluster.remove("fep.2")
    expect(page.locator("#rows .name")).to_have_text(["fep.1", "fep.3", "fep.4"])
    expect(page.locator("#total")).to_have_text("15")
    assert events(page)[0] == "fep.2 left"
    haproxy.reload()
    expect(page.locator("#reloads")).to_have_text("1")
    expect(page.locator("#chart .sign")).to_contain_text("↻")


def test_silence_is_seen(stage: Stage, show: Show) -> None:
    """An instance that dies is unreachable with time and reason, and has no number; the rest count on."""
    dead, well = stage.launch(), stage.launch()
    dead.connections, well.connections = 7, 8
    stage.cluster.add(dead, well)
    page = show(stage.watch())
    expect(page.locator("#total")).to_have_text("15")
    dead.stop()
    wait_for(lambda: row(page, "fep.1")["count"] == "?")
    assert row(page, "fep.1")["state"] == "✕ unreachable"
    pattern = r"since \d\d:\d\d:\d\d \(\d s\): connection refused; held 7"
    assert re.fullmatch(pattern, row(page, "fep.1")["detail"])
    expect(page.locator("#total")).to_have_text("8")
    expect(page.locator("#instances")).to_have_text("1/2")
    picture(page, "unreachable")


def test_servers_die_and_come_back(stage: Stage, show: Show) -> None:
    """The page shows the new leader, then that nobody leads, then that Consul is lost, then nothing wrong."""
    stage.cluster.add(stage.launch())
    old = stage.cluster.leader()
    page = show(stage.watch())
    expect(page.locator("#leader")).to_have_text(old.name)
    old.stop()
    expect(page.locator("#leader")).to_have_text(re.compile(f"server(?!{old.name[-1]})"), timeout=LONG)
    new = stage.cluster.leader()
    expect(page.locator("#hosts .leads .host")).to_have_text(f"{new.name}★ leader")
    expect(page.locator("#hosts .down .host")).to_have_text(old.name)
    assert any(text.startswith(f"leader is now {new.name}") for text in events(page))
    picture(page, "new-leader")
    new.stop()
    expect(page.locator(".banner.alarm")).to_contain_text("Consul has no leader since", timeout=LONG)
    expect(page.locator("#leader")).to_have_text("nobody")
    picture(page, "no-leader")
    stage.cluster.stop()
    expect(page.locator(".banner.alarm")).to_contain_text("Consul is lost since", timeout=LONG)
    picture(page, "consul-lost")
    stage.cluster.heal()
    expect(page.locator(".banner")).to_have_count(0, timeout=LONG)
    assert row(page, "fep.1")["count"] == "0"


def test_a_lost_monitor_is_seen(stage: Stage, show: Show) -> None:
    """A page whose monitor freezes or ends says that it is disconnected, and recovers by itself."""
    stage.cluster.add(stage.launch())
    monitor = stage.watch()
    page = show(monitor)
    expect(page.locator("#live")).to_have_text("● live")
    monitor.process.send(signal.SIGSTOP)
    try:
        expect(page.locator("#live")).to_have_text("✕ disconnected")
    finally:
        monitor.process.send(signal.SIGCONT)
    expect(page.locator("#live")).to_have_text("● live")
    monitor.stop()
    expect(page.locator("#live")).to_have_text("✕ disconnected")
    expect(page.locator(".banner.alarm")).to_contain_text("The monitor cannot be heard since")
    picture(page, "disconnected")
    monitor.start()
    expect(page.locator("#live")).to_have_text("● live")
    expect(page.locator(".banner")).to_have_count(0)
    wait_for(lambda: row(page, "fep.1")["count"] == "0")


def test_names_are_text(stage: Stage, show: Show) -> None:
    """A container may be called anything: its name is shown as it is, and nothing of it is run."""
    fep = stage.launch()
    names = [
        "<img src=x onerror=alert(1)>",
        "__proto__",
        "constructor",
        "</script><script>alert(1)</script>",
        "é" * 90,
    ]
    page = show(stage.watch(), size=PHONE)
    expect(page.get_by_text("No instance is registered")).to_be_visible()
    for name in names:
        stage.cluster.register(name, fep.echo_port, fep.info_port)
    expect(page.locator("#rows tr")).to_have_count(len(names))
    shown = set(page.locator("#rows .name").all_text_contents())
    assert shown == {name.replace(" ", "?") for name in names}
    assert page.locator("img, #rows script").count() == 0
    expect(page.locator("#instances")).to_have_text(str(len(names)))
    stage.cluster.remove("__proto__")
    expect(page.locator("#rows tr")).to_have_count(len(names) - 1)
    assert page.evaluate("Object.keys(Object.prototype).length") == 0


@pytest.mark.parametrize(("scheme", "size"), [("light", ROOM), ("dark", PHONE)], ids=["room", "phone"])
def test_everybody_can_read_it(stage: Stage, show: Show, scheme: str, size: ViewportSize) -> None:
    """Headings, tables, roles and contrast satisfy axe, light and dark; nothing scrolls sideways."""
    stage.cluster.add(stage.launch(), stage.launch())
    stage.cluster.register("fep.3", 1, 1, check="critical")
    page = show(stage.watch(), scheme, size)
    wait_for(lambda: row(page, "fep.3")["count"] == "?")
    expect(page.locator("#chart .band")).to_have_count(2)
    picture(page, scheme)
    page.evaluate(AXE.read_text())
    violations = page.evaluate("axe.run().then((r) => r.violations.map((v) => [v.id, v.nodes[0].html]))")
    assert violations == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
