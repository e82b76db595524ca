"""The page is fit to be shown to a room, whatever has happened: made-up scenes in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from .browser import PHONE, ROOM, Show, check_access, picture
from .scene import Scene

if TYPE_CHECKING:
    from .scene import Begin

HALL: ViewportSize = {"width": 1600, "height": 1000}
WIDTHS = (1280, 1366, 1440, 1600, 1920, 390)
ROWS = """[...document.querySelectorAll("#rows tr")].map((row) => {
  const [swatch, name, where] = [".swatch", ".name", ".where"].map((part) => row.querySelector(part));
  const [colour, text] = [swatch, name].map((part) => part.getBoundingClientRect());
  return {
    lines: name.getClientRects().length,
    isBesideItsColour: colour.top < text.bottom && text.top < colour.bottom,
    isAddressWhole: where.scrollWidth <= where.clientWidth && where.clientWidth > 0,
    addressLines: Math.round(where.clientHeight / parseFloat(getComputedStyle(where).lineHeight)),
  };
})"""
BOXES = """(where) => [...document.querySelectorAll(where)].map((node) => {
  const { left, right, top, bottom } = node.getBoundingClientRect();
  return { left, right, top, bottom };
})"""


def boxes(page: Page, where: str) -> list[dict[str, float]]:
    """Return where on the screen elements are, in px."""
    found: list[dict[str, float]] = page.evaluate(BOXES, where)
    return found


def live(page: Page) -> Page:
    """Return a page that shows what the monitor says."""
    expect(page.locator("#live")).to_have_text("● live")
    return page


def demo(begin: Begin) -> Scene:
    """Return two minutes of a demo: services come, one goes, another leads; 200 connections are held."""
    scene = begin(118)
    scene.wait(4)
    scene.launch(1, 2, 3, 4)
    scene.wait(6)
    scene.connect(120)
    scene.wait(22)
    scene.remove(2)
    scene.wait(14)
    scene.lead("server2")
    scene.wait(10)
    for number, connections in ((5, 60), (6, 50)):
        scene.launch(number)
        scene.wait(5)
        scene.connect(connections)
        scene.wait(20)
    scene.wait(10)
    return scene


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_keep_their_row(begin: Begin, show: Show, width: int) -> None:
    """From projector to phone a name is one line beside its colour, and its address is one line and whole."""
    scene = begin(60)
    scene.launch(1, 100, 12345)
    scene.connect(300)
    scene.wait(5)
    scene.silence(100)
    page = live(show(scene.open(), size={"width": width, "height": 800}))
    picture(page, f"names-{width}")
    row = {"lines": 1, "isBesideItsColour": True, "isAddressWhole": True, "addressLines": 1}
    assert page.evaluate(ROWS) == [row] * 3
    (panel,), (table,) = boxes(page, "#services"), boxes(page, "#services table")
    assert panel["left"] < table["left"] < table["right"] < panel["right"]
    assert min(box["right"] - box["left"] for box in boxes(page, "#rows .track")) > 20


def test_who_is_there_has_a_band(begin: Begin, show: Show) -> None:
    """After many came and went each present instance has a band with its name and a colour of its own."""
    scene = begin(280)
    for number in range(1, 31):
        scene.launch(number)
        scene.connect(number)
        scene.wait(3)
        scene.remove(number)
    scene.launch(31, 32, 33, 34)
    scene.connect(100)
    scene.wait(30)
    page = live(show(scene.open()))
    picture(page, "come-and-gone")
    names = ["fep.31", "fep.32", "fep.33", "fep.34"]
    expect(page.locator("#chart .label")).to_have_text(names)
    colours = page.locator("#rows tr").evaluate_all("(rows) => rows.map((row) => row.style.cssText)")
    assert len(set(colours)) == len(names)


@pytest.mark.parametrize("size", [ROOM, PHONE], ids=["room", "phone"])
def test_many_reloads_can_be_read(begin: Begin, show: Show, size: ViewportSize) -> None:
    """Twenty reloads in a minute: no sign covers another, and their numbers add up to twenty."""
    scene = begin(58)
    scene.wait(5)
    for turn in range(20):
        scene.reload()
        scene.wait(2)
        if turn % 9 == 0:
            scene.lead(f"server{turn % 2 + 2}")
    page = live(show(scene.open(), size=size))
    picture(page, f"reloads-{size['width']}")
    signs = page.locator("#chart .sign").evaluate_all("(all) => all.map((sign) => sign.firstChild.data)")
    numbers = page.locator("#chart .sign").evaluate_all(
        "(all) => all.map((sign) => Number(sign.querySelector('.times')?.textContent.slice(1) ?? 1))"
    )
    found = list(zip(signs, numbers, strict=True))
    assert sum(number for sign, number in found if sign == "↻") == 20
    assert sum(number for sign, number in found if sign == "★") == 3
    placed = boxes(page, "#chart .sign")
    assert not any(overlap(one, other) for n, one in enumerate(placed) for other in placed[:n])
    assert max(box["right"] for box in placed) <= boxes(page, "#chart")[0]["right"]


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    """Return whether two boxes have a point in common; lines of text may touch."""
    beside = one["right"] <= other["left"] or other["right"] <= one["left"]
    above = one["bottom"] <= other["top"] + 3 or other["bottom"] <= one["top"] + 3
    return not (beside or above)


def test_a_demo_fits_a_screen(begin: Begin, show: Show) -> None:
    """Five services with 200 connections: table, chart and events are to be seen without scrolling."""
    page = live(show(demo(begin).open(), size=HALL))
    picture(page, "monitor")
    expect(page.locator("#total")).to_have_text("200")
    expect(page.locator("#rows .name")).to_have_text([f"fep.{number}" for number in (1, 3, 4, 5, 6)])
    assert max(box["bottom"] for box in boxes(page, "section, #rows tr, #chart text")) <= HALL["height"]


def test_the_log_is_read_by_keyboard(begin: Begin, show: Show) -> None:
    """The one part that scrolls by itself is reached by Tab, shows that it is, and obeys the keys."""
    page = live(show(demo(begin).open(), size={"width": 1280, "height": 720}))
    page.keyboard.press("Tab")
    log = page.get_by_role("log", name="Events")
    expect(log).to_be_focused()
    assert log.evaluate("(log) => getComputedStyle(log).outlineStyle") == "solid"
    page.keyboard.press("End")
    expect(page.locator("#events li").last).to_be_in_viewport(ratio=1)


def silent(scene: Scene) -> None:
    """Let an instance fall silent, and one host's agent."""
    scene.silence(3)
    scene.lose("server3")


def leaderless(scene: Scene) -> None:
    """Let nobody lead."""
    scene.lead("")


def lost(scene: Scene) -> None:
    """Let no agent of Consul answer."""
    scene.lose("lb", "docker", "server1", "server2", "server3")


SAID: dict[Callable[[Scene], None], str] = {
    silent: ".detail:not(:empty)",
    leaderless: ".banner.alarm",
    lost: ".banner.alarm",
}
LIGHT, DARK = {"scheme": "light", "size": HALL}, {"scheme": "dark", "size": PHONE}


@pytest.mark.parametrize("happen", SAID)
@pytest.mark.parametrize("how", [LIGHT, DARK], ids=["hall", "phone"])
def test_bad_times_can_be_read(
    begin: Begin, show: Show, happen: Callable[[Scene], None], how: dict[str, Any]
) -> None:
    """Whatever is wrong is said, and the page that says it satisfies axe, contrast included."""
    scene = demo(begin)
    happen(scene)
    page = live(show(scene.open(), **how))
    picture(page, f"{happen.__name__}-{how['scheme']}")
    expect(page.locator(SAID[happen])).to_be_visible()
    check_access(page)


@pytest.mark.parametrize("how", [LIGHT, DARK], ids=["hall", "phone"])
def test_blindness_can_be_read(begin: Begin, show: Show, how: dict[str, Any]) -> None:
    """A page that has lost its monitor satisfies axe."""
    scene = demo(begin)
    page = live(show(scene.open(), **how))
    scene.close()
    expect(page.locator("#live")).to_have_text("✕ disconnected")
    expect(page.locator(".banner.alarm")).to_be_visible()
    picture(page, f"blind-{how['scheme']}")
    check_access(page)
