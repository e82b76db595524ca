"""The monitor's page in a real browser, inside the fence."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from lab.errors import LabError
from lab.hosts import Lab
from lab.plugin import evidence

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HALL: ViewportSize = {"width": 1600, "height": 1000}
HOST_OF = re.compile(r"(?<=[^/:])/.*")

Picture = Callable[[str], None]


@pytest.fixture(scope="session")
def browser(lab: Lab) -> Iterator[Browser]:
    """The machine's Chromium; after `lab`, because only then what we start is inside the fence."""
    program = shutil.which(os.environ.get("CHROMIUM_BINARY", "chromium"))
    if program is None:
        raise LabError("the monitor's page needs chromium on PATH, or its path in CHROMIUM_BINARY")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(
    lab: Lab, undisturbed: None, browser: Browser, request: pytest.FixtureRequest, album: Path
) -> Iterator[Page]:
    """The open page. At its end it is kept as a picture, and it has asked nobody but its monitor."""
    context = browser.new_context(viewport=HALL, color_scheme="light")
    page = context.new_page()
    url = f"http://{lab.client.address}:{lab.topology.ports.monitor}"
    asked: set[str] = set()
    complaints: list[str] = []
    page.on("request", lambda sent: asked.add(HOST_OF.sub("", sent.url)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    yield page
    page.screenshot(path=album / f"{request.node.name}.png")
    context.close()
    assert asked == {url}
    assert [text for text in complaints if "net::ERR_" not in text] == []


@pytest.fixture(scope="session")
def album(pytestconfig: pytest.Config) -> Path:
    """The folder of pictures in this run's evidence: runs/latest/monitor/."""
    folder = evidence(pytestconfig) / "monitor"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def picture(page: Page, album: Path) -> Picture:
    """What keeps the page, as it looks now, under a name."""

    def keep(name: str) -> None:
        page.screenshot(path=album / f"{name}.png")

    return keep
