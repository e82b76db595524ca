"""Is what a snapshot holds the store of one moment: everything up to it and nothing after it?

For a load that writes every key once (lab.ledger). ModifyIndex gives the order of the writes away.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lab.checks.verdict import judge
from lab.checks.words import Words
from lab.history import FAIL, NO_INDEX, OK, WRITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lab.checks.verdict import Verdict
    from lab.history import History, Operation


def consistent_cut(history: History, taken: Operation, found: Mapping[str, str]) -> Verdict:
    """Return whether `found`, key to value, is the store at one moment while the snapshot was `taken`.

    (a) Each key was written with this value, by a write that did not fail and began before the end of the
    snapshot; (b) each write acknowledged before its beginning is there; (c) so is each acknowledged write
    with a lower index than one that is there. It cannot tell unless writes were under way while it was taken,
    and some that were acknowledged are in it and some are not.
    """
    writes = [it for it in history.operations() if it.action == WRITE]
    acknowledged = [it for it in writes if it.result is OK]
    words = Words(history)
    missing = [it for it in acknowledged if it.key not in found]
    unfit = _unfit(writes)
    broken = (
        [] if unfit else [*_foreign(writes, taken, found, words), *_holes(acknowledged, taken, found, words)]
    )
    during = sum(it.start < taken.end and taken.start < it.end for it in writes)
    doubts = [*unfit, *([] if during else ["nothing was being written while it was taken"])]
    if len(missing) == len(acknowledged):
        doubts.append("it holds no write that was acknowledged")
    if not missing:
        doubts.append("every acknowledged write is in it: none came after it")
    numbers = {"written": len(writes), "found": len(found), "during": during, "violations": len(broken)}
    fine = f"{len(found)} of {len(writes)} writes, {during} of them under way, are what one moment held"
    return judge("consistent_cut", numbers, broken, doubts, fine)


def _foreign(
    writes: Sequence[Operation], taken: Operation, found: Mapping[str, str], words: Words
) -> Iterator[str]:
    """Yield what is in the snapshot and cannot be."""
    by_key = {it.key: it for it in writes}
    for key, value in found.items():
        it = by_key.get(key)
        if it is None or it.value != value:
            yield f"nobody wrote {key} = {value!r}"
        elif it.result is FAIL:
            yield f"a write that failed is there: {words.operation(it)}"
        elif it.start > taken.end:
            yield f"it was written later: {words.operation(it)}"


def _holes(
    acknowledged: Sequence[Operation], taken: Operation, found: Mapping[str, str], words: Words
) -> Iterator[str]:
    """Yield the acknowledged writes that should be in the snapshot and are not."""
    newest = max((it.index for it in acknowledged if it.key in found), default=NO_INDEX)
    for it in acknowledged:
        if it.key in found:
            continue
        if it.end < taken.start:
            yield f"acknowledged before, and not in it: {words.operation(it)}"
        elif it.index < newest:
            yield f"a later one, at index {newest}, is in it, but not: {words.operation(it)}"


def _unfit(writes: Sequence[Operation]) -> list[str]:
    """Return why these writes cannot be judged, if so."""
    twice = [
        f"{key} was written {times} times"
        for key, times in Counter(it.key for it in writes).items()
        if times > 1
    ]
    bare = any(it.result is OK and it.index == NO_INDEX for it in writes)
    return twice + (["an answer came without its index"] if bare else [])
