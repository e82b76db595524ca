"""The page in a real browser, fed by a monitor of real parts."""

from __future__ import annotations

import re
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from .browser import LONG, PHONE, ROOM, Show, check_access, picture
from .rig import wait_for

if TYPE_CHECKING:
    from .conftest import Stage

INSIDE = """(() => {
  const edge = (part) => document.querySelector(part).getBoundingClientRect().right;
  const isWhole = (node) => node.scrollWidth <= node.clientWidth + 1;
  const isTableInside = edge("#services table") < edge("#services");
  return isTableInside && [...document.querySelectorAll("#rows .name, #rows .where")].every(isWhole);
})()"""
HEAR = """() => {
  window.heard = [];
  const [log, events] = ["log", "events"].map((id) => document.getElementById(id));
  new MutationObserver(() => window.heard.push(log.ariaLive)).observe(events, { childList: true });
}"""


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
    page = show(stage.watch(f"--haproxy={haproxy.url}").url)
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
    expect(page.locator("#chart .sign", has_text="↻")).to_have_count(1)


def test_silence_is_seen(stage: Stage, show: Show) -> None:
    """An instance that dies is unreachable with time and reason, and has no number; the rest count on."""
    dead, well = stage.launch(), stage.launch()
    dead.connections, well.connections = 7, 8
    stage.cluster.add(dead, well)
    page = show(stage.watch().url)
    expect(page.locator("#total")).to_have_text("15")
    dead.stop()
    wait_for(lambda: row(page, "fep.1")["count"] == "?")
    assert row(page, "fep.1")["state"] == "✕ unreachable"
    pattern = r"since \d\d:\d\d:\d\d \(\d\ss\): connection refused; held 7"
    assert re.fullmatch(pattern, row(page, "fep.1")["detail"])
    expect(page.locator("#total")).to_have_text("8")
    expect(page.locator("#instances")).to_have_text("1/2")
    picture(page, "unreachable")


def test_servers_die_and_come_back(stage: Stage, show: Show) -> None:
    """The page shows the new leader, then that nobody leads, then that Consul is lost, then nothing wrong."""
    stage.cluster.add(stage.launch())
    old = stage.cluster.leader()
    page = show(stage.watch().url)
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
    page = show(monitor.url)
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


def test_the_past_is_not_read_aloud(stage: Stage, show: Show) -> None:
    """A screen reader hears what happens; the log of before is not read to it, nor again after a silence."""
    stage.cluster.add(stage.launch())
    monitor = stage.watch()
    page = show(monitor.url)
    log = page.locator("#log")
    expect(log).to_have_attribute("aria-live", "polite")
    page.evaluate(HEAR)
    monitor.process.send(signal.SIGSTOP)
    try:
        expect(page.locator("#live")).to_have_text("✕ disconnected")
    finally:
        monitor.process.send(signal.SIGCONT)
    expect(log).to_have_attribute("aria-live", "polite")
    assert page.evaluate("window.heard.slice(0, 2)") == ["off", "off"], "emptied, and listed anew"
    stage.cluster.remove("fep.1")
    expect(page.get_by_text("fep.1 left")).to_be_visible()
    assert page.evaluate("window.heard.at(-1)") == "polite"


def test_names_are_text(stage: Stage, show: Show) -> None:
    """A container may be called anything: its name is shown as it is and whole, and nothing of it is run."""
    fep = stage.launch()
    names = [
        "<img src=x onerror=alert(1)>",
        "__proto__",
        "constructor",
        "</script><script>alert(1)</script>",
        "é" * 90,
    ]
    page = show(stage.watch().url, size=PHONE)
    expect(page.get_by_text("No instance is registered")).to_be_visible()
    for name in names:
        stage.cluster.register(name, fep.echo_port, fep.info_port)
    expect(page.locator("#rows tr")).to_have_count(len(names))
    shown = set(page.locator("#rows .name").all_text_contents())
    assert shown == {name.replace(" ", "?") for name in names}
    assert page.locator("img, #rows script").count() == 0
    expect(page.locator("#instances")).to_have_text(str(len(names)))
    for width in (PHONE["width"], 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(INSIDE)
    stage.cluster.remove("__proto__")
    expect(page.locator("#rows tr")).to_have_count(len(names) - 1)
    assert page.evaluate("Object.keys(Object.prototype).length") == 0


@pytest.mark.parametrize(("scheme", "size"), [("light", ROOM), ("dark", PHONE)], ids=["room", "phone"])
def test_everybody_can_read_it(stage: Stage, show: Show, scheme: str, size: ViewportSize) -> None:
    """Headings, tables, roles and contrast satisfy axe, light and dark; nothing scrolls sideways."""
    stage.cluster.add(stage.launch(), stage.launch())
    stage.cluster.register("fep.3", 1, 1, check="critical")
    page = show(stage.watch().url, scheme=scheme, size=size)
    wait_for(lambda: row(page, "fep.3")["count"] == "?")
    expect(page.locator("#chart .band")).to_have_count(2)
    picture(page, scheme)
    check_access(page)
