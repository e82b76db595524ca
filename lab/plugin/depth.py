"""Which tests are run: at which depth, and whether what cannot be undone is allowed."""

from __future__ import annotations

import pytest

# Each holds those before it. Before a demo; what CI runs; every scenario; and what takes hours.
DEPTHS = ("quick", "standard", "full", "soak")
SLOW = DEPTHS.index("full")
REFUSED = "it cannot be undone, and these hosts are not the project's own: allow it by --destructive"


def depth(item: pytest.Item) -> int:
    """Return the depth of a test, as a place in DEPTHS: that of its marker, or else standard."""
    marked = [place for place, name in enumerate(DEPTHS) if item.get_closest_marker(name)]
    return marked[0] if marked else DEPTHS.index("standard")


def sort_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, of `items`, those deeper than wanted unless they were named, and mark what is refused."""
    wanted = DEPTHS.index(config.getoption("--depth"))
    named = any("::" in word for word in config.args)
    deeper = [item for item in items if depth(item) > wanted and not named]
    config.hook.pytest_deselected(items=deeper)
    items[:] = [item for item in items if item not in deeper]
    allowed = config.getoption("--hosts") is None or config.getoption("--destructive")
    for item in items:
        if depth(item) >= SLOW:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("destructive") and not allowed:
            item.add_marker(pytest.mark.skip(reason=REFUSED))
