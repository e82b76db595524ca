"""Which tests are run: at which depth, and whether what cannot be undone is allowed."""

from __future__ import annotations

from collections import defaultdict

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
    """Leave out, of `items`, those deeper than wanted unless they were named, and mark what is refused.

    Of the parameters of a test that is marked `deepest` only those of one depth are left: the deepest wanted.
    Tests that are marked with the same `deepest(of="what")` are parameters of one in this.
    """
    wanted = DEPTHS.index(config.getoption("--depth"))
    named = any("::" in word for word in config.args)
    kept = _deepest([item for item in items if depth(item) <= wanted or named], wanted)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    allowed = config.getoption("--hosts") is None or config.getoption("--destructive")
    for item in items:
        if depth(item) >= SLOW:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("destructive") and not allowed:
            item.add_marker(pytest.mark.skip(reason=REFUSED))


def _deepest(items: list[pytest.Item], wanted: int) -> list[pytest.Item]:
    """Return `items` without what a deeper parameter of the same test, of those wanted, proves as well."""
    depths: dict[str, set[int]] = defaultdict(set)
    for item in items:
        depths[_proven(item)].add(depth(item))
    chosen = {test: max((it for it in of if it <= wanted), default=min(of)) for test, of in depths.items()}
    return [
        item
        for item in items
        if not item.get_closest_marker("deepest") or depth(item) == chosen[_proven(item)]
    ]


def _proven(item: pytest.Item) -> str:
    """Return what a test proves at several depths: its marker's words, or its name without parameters."""
    marker = item.get_closest_marker("deepest")
    return (marker and marker.kwargs.get("of")) or item.nodeid.partition("[")[0]
