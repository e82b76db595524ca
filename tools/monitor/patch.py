"""JSON merge patches (RFC 7386): how the page is told what changed, and nothing else."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any]


def diff(old: Tree, new: Tree) -> Tree:
    """Return the merge patch that turns `old` into `new`; neither may hold null, which means removal."""
    patch: Tree = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := diff(before, value):
                patch[key] = inner
        elif before != value or type(before) is not type(value):
            patch[key] = value
    return patch
