"""The page in a real browser, and what can be asked of any page.

With MONITOR_SCREENSHOTS=FOLDER pictures of it are kept there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Page, ViewportSize

if TYPE_CHECKING:
    from collections.abc import Iterator

Show = Callable[..., Page]
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
PHONE: ViewportSize = {"width": 390, "height": 844}
LONG = 15000  # ms, for elections
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()


@contextmanager
def opened(browser: Browser, url: str, scheme: str = "light", size: ViewportSize = ROOM) -> Iterator[Page]:
    """Open a monitor's page; at the end it has asked nobody but its monitor, and complained of nothing."""
    context = browser.new_context(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    asked: set[str] = set()
    complaints: list[str] = []
    page.on("request", lambda request: asked.add(re.sub(r"(?<=[^/:])/.*", "", request.url)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    yield page
    context.close()
    assert asked == {url}
    assert [text for text in complaints if "net::ERR_" not in text] == []


def picture(page: Page, name: str) -> None:
    """Keep a picture of the page, if somebody wants it."""
    if folder := os.environ.get("MONITOR_SCREENSHOTS"):
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=page.viewport_size == PHONE)


def check_access(page: Page) -> None:
    """Fail unless axe finds headings, tables, roles and contrast well, and nothing scrolls sideways."""
    page.evaluate(AXE)
    violations = page.evaluate("axe.run().then((r) => r.violations.map((v) => [v.id, v.nodes[0].html]))")
    assert violations == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
