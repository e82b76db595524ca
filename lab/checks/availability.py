"""For how long did nobody get a good answer? Judged from the answers of a load that keeps asking."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING

from lab.checks.verdict import judge
from lab.checks.words import Words
from lab.history import OK, SECOND, UNKNOWN, Result

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from lab.checks.verdict import Verdict
    from lab.history import History, Operation


@dataclass(frozen=True)
class Gap:
    """A stretch between two good answers, times in nanoseconds.

    `silence` is the longest part of it in which nothing was being asked. The last gap is `open`: no good
    answer followed, so that an outage in it may have outlasted the load.
    """

    start: int
    end: int
    silence: int
    open: bool = False

    @property
    def length(self) -> int:
        """Return the longest that the service can have been away."""
        return self.end - self.start

    @property
    def proven(self) -> int:
        """Return for how long it was away even if it was there while nothing was being asked."""
        return self.length - self.silence


def gaps(operations: Sequence[Operation]) -> list[Gap]:
    """Return the stretches from each good answer to the next, in order of time; none without a good answer.

    A good answer is the completion of an operation that is ok. One that failed, or whose outcome is unknown
    because it ended so or never ended, is none; but until it ended the service was being asked. The first
    stretch begins with the first invocation, the last one ends with the last.
    """
    good = sorted(int(it.end) for it in operations if it.result is OK)
    if not good:
        return []
    begun = sorted(it.start for it in operations)
    edges = [begun[0], *good, max(begun[-1], good[-1])]
    silences = [0] * len(edges)
    for start, end in _silences(operations):
        place = bisect_right(edges, start) - 1
        silences[place] = max(silences[place], end - start)
    found = [Gap(*stretch) for stretch in zip(edges, edges[1:], silences, strict=False)]
    found[-1] = replace(found[-1], open=True)
    return found


def unavailability(history: History, action: str, allowed: float, targets: Collection[str] = ()) -> Verdict:
    """Return whether no gap between good answers to `action` was longer than `allowed` seconds.

    `targets` restricts it to what these were asked. It cannot tell when a gap exceeds what is allowed only by
    its silence (the load did not ask), nor when the longest gap was still open at the end.
    """
    asked = [
        it for it in history.operations() if it.action == action and (not targets or it.target in targets)
    ]
    check = f"{action}_unavailability".replace(" ", "_")
    numbers: dict[str, float] = {str(result): sum(it.result is result for it in asked) for result in Result}
    found = gaps(asked)
    if not found:
        return judge(check, numbers, [], [f"no {action} succeeded"], "")
    longest, worst = max(found, key=lambda it: it.length), max(found, key=lambda it: it.proven)
    numbers |= {"longest_s": longest.length / SECOND, "proven_s": worst.proven / SECOND, "allowed_s": allowed}
    evidence = _tell(longest, asked, history)
    doubts = []
    if longest.length > allowed * SECOND:
        doubts.append(f"{evidence}; but for {longest.silence / SECOND:.3f} s of it nobody asked")
    elif longest.open:
        doubts.append(f"{evidence}; it was still open at the end")
    broken = [_tell(worst, asked, history)] if worst.proven > allowed * SECOND else []
    return judge(check, numbers, broken, doubts, evidence)


def _silences(operations: Iterable[Operation]) -> Iterator[tuple[int, int]]:
    """Yield the stretches between two operations in which none was under way."""
    busy = -inf
    for it in sorted(operations, key=attrgetter("start")):
        if -inf < busy < it.start:
            yield int(busy), it.start
        busy = max(busy, it.end)


def _tell(gap: Gap, operations: Iterable[Operation], history: History) -> str:
    words = Words(history)
    bad = [it for it in operations if it.result is not OK and it.start < gap.end and it.end > gap.start]
    unknown = sum(it.result is UNKNOWN for it in bad)
    faults = [
        f" during {it.name} of {', '.join(it.targets)} at {words.at(it.injected)}"
        for it in history.faults()
        if it.injected < gap.end and (it.recovered or gap.end) > gap.start
    ]
    return (
        f"{gap.length / SECOND:.3f} s without a good answer, {words.at(gap.start)} to {words.at(gap.end)}"
        f" ({len(bad) - unknown} failed, {unknown} unknown){''.join(faults)}"
    )
