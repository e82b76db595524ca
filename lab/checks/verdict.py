"""What a check answers: the outcome, the numbers it measured and the evidence, in words, that decided it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOLD = 3  # pieces of evidence that are spelt out; the rest is counted


class Outcome(StrEnum):
    """The three ways a check can end, from best to worst."""

    OK = "ok"
    COULD_NOT_TELL = "could_not_tell"
    BROKEN = "broken"


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


def _tell(evidence: Sequence[str]) -> str:
    more = [f"and {len(evidence) - TOLD} more"] if len(evidence) > TOLD else []
    return "; ".join([*evidence[:TOLD], *more])
