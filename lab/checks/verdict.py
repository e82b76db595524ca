"""What a check answers: the outcome, the numbers it measured and the evidence, in words, that decided it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TOLD = 3  # pieces of evidence that are spelt out; the rest is counted


class Outcome(StrEnum):
    """The three ways a check can end, from best to worst."""

    OK = "ok"
    COULD_NOT_TELL = "could_not_tell"
    BROKEN = "broken"


SEVERITY = list(Outcome)


@dataclass(frozen=True)
class Verdict:
    """The answer of one check; times among its numbers are in seconds and end in `_s`."""

    check: str
    outcome: Outcome
    evidence: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def judge(
    check: str, numbers: Mapping[str, float], broken: Sequence[str], doubts: Sequence[str], fine: str
) -> Verdict:
    """Return the verdict on what was found broken, or else in doubt; `fine` is the evidence without both."""
    if broken:
        return Verdict(check, Outcome.BROKEN, _tell(broken), numbers)
    if doubts:
        return Verdict(check, Outcome.COULD_NOT_TELL, _tell(doubts), numbers)
    return Verdict(check, Outcome.OK, fine, numbers)


def compose(check: str, verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of `verdicts`, the evidence for it, and all numbers, each under the name of its check.

    The second of one name is NAME_2, and so on. Of no verdicts at all it cannot tell.
    """
    parts = list(verdicts)
    if not parts:
        return Verdict(check, Outcome.COULD_NOT_TELL, "nothing was checked")
    worst = max((part.outcome for part in parts), key=SEVERITY.index)
    evidence: list[str] = []
    numbers: dict[str, float] = {}
    times: Counter[str] = Counter()
    for part in parts:
        times[part.check] += 1
        name = part.check if times[part.check] == 1 else f"{part.check}_{times[part.check]}"
        numbers |= {f"{name}.{key}": value for key, value in part.numbers.items()}
        evidence += [f"{name}: {part.evidence}"] if part.outcome is worst else []
    return Verdict(check, worst, "; ".join(evidence), numbers)


def _tell(evidence: Sequence[str]) -> str:
    more = [f"and {len(evidence) - TOLD} more"] if len(evidence) > TOLD else []
    return "; ".join([*evidence[:TOLD], *more])
