"""The page is fit to be shown to a room, whatever has happened: made-up scenes in a real browser."""

from __future__ import annotations

import math
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
LINES = """(cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return new Set([...range.getClientRects()].map((line) => line.top)).size;
}"""
BANDS = """(bands) => bands.map((band) => {
  const points = [...band.points];
  const edge = Math.max(...points.map((point) => point.x));
  const heights = points.filter((point) => point.x === edge).map((point) => point.y);
  return { height: Math.max(...heights) - Math.min(...heights), colour: getComputedStyle(band).fill };
})"""
COLOURS = "(bars) => bars.map((bar) => getComputedStyle(bar).backgroundColor)"
COLOUR = """(name) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(--${name})`;
  const brush = new OffscreenCanvas(1, 1).getContext("2d");
  brush.fillStyle = getComputedStyle(probe).color;
  brush.fillRect(0, 0, 1, 1);
  probe.remove();
  return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255);
}"""
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
    check_whole(page)


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
    check_whole(page)


def test_a_silence_is_marked(begin: Begin, show: Show) -> None:
    """What an instance held is no longer in its band when it falls silent; the chart's mark says why."""
    scene = demo(begin)
    scene.wait(5)
    scene.silence(3)
    page = live(show(scene.open(), size=HALL))
    expect(page.locator("#chart .sign", has_text="✕")).to_have_count(1)
    expect(page.locator("#chart .sign title", has_text="fep.3 stopped answering")).to_have_count(1)
    expect(page.locator("#chart .label")).to_have_text(["fep.1", "fep.4", "fep.5", "fep.6"])


def test_bands_are_what_the_table_says(begin: Begin, show: Show) -> None:
    """At its right edge each band is as high as its instance's number, and as coloured."""
    page = live(show(demo(begin).open(), size=HALL))
    counts = [int(text) for text in page.locator("#rows .count").all_text_contents()]
    bands = page.locator("#chart .band").evaluate_all(BANDS)
    present = [band for band in bands if band["height"] > 0]
    scale = sum(band["height"] for band in present) / sum(counts)
    assert [round(band["height"] / scale) for band in present] == counts
    assert [band["colour"] for band in present] == page.locator("#rows .bar").evaluate_all(COLOURS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_from_their_ground(begin: Begin, show: Show, scheme: str) -> None:
    """What axe does not look at: words in the chart and on a new row have 4.5:1, bars and bands 3:1."""
    page = live(show(demo(begin).open(), scheme=scheme))

    def contrast(one: str, other: str) -> float:
        light, dark = sorted((luminance(page, one), luminance(page, other)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    words = ("ink", "quiet", "good", "warn", "bad")
    low = {
        (word, ground): contrast(word, ground) for word in words for ground in ("surface", "ground", "new")
    }
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}
    shapes = ("accent", "bad", "series-rest", *(f"series-{number}" for number in range(8)))
    assert {shape: ratio for shape in shapes if (ratio := contrast(shape, "surface")) < 3} == {}


def luminance(page: Page, name: str) -> float:
    """Return the relative luminance of one of the page's colours, as WCAG 2 defines it."""
    parts: list[float] = page.evaluate(COLOUR, name)
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else math.pow((part + 0.055) / 1.055, 2.4) for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_who_wants_no_motion_gets_none(begin: Begin, show: Show) -> None:
    """Under prefers-reduced-motion nothing moves that moves otherwise: rows that arrive, bars that grow."""
    page = live(show(demo(begin).open()))
    moving = "getComputedStyle(document.querySelector('.bar')).transitionDuration"
    arriving = """() => {
      document.querySelector("#rows tr").className = "new";
      return document.querySelector("#rows tr").getAnimations().length;
    }"""
    assert (page.evaluate(moving), page.evaluate(arriving)) == ("0.3s", 1)
    page.emulate_media(reduced_motion="reduce")
    assert (page.evaluate(moving), page.evaluate(arriving)) == ("0s", 0)


def check_whole(page: Page) -> None:
    """Fail unless a page in a hall is to be seen without scrolling, and words keep together on a phone."""
    assert page.viewport_size
    if page.viewport_size == HALL:
        seen = page.evaluate(BOXES, "section, #rows tr, #chart text")
        assert max(box["bottom"] for box in seen) <= HALL["height"]
    for state in page.locator(".state").all():
        assert state.evaluate(LINES) == 1
