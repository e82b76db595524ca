"""What a test measured, beside what is allowed: kept for the verdict whether it passes or not."""

from __future__ import annotations

from dataclasses import dataclass

from lab.checks import Outcome, Verdict
from lab.errors import LabError

NONE = {"violations", "lost"}  # of these numbers of a check


@dataclass(frozen=True)
class Measure:
    """One number; `allowed` is the most it may be (None: it is only told), `source` is where that is from."""

    what: str
    value: float
    unit: str = ""
    allowed: float | None = None
    source: str = ""

    def __str__(self) -> str:
        """Return it in words."""
        limit = "" if self.allowed is None else f" of {self.allowed:g} {self.unit} allowed ({self.source})"
        return f"{self.what}: {self.value:.3g} {self.unit}{limit}"


class Proof:
    """The numbers of one test, in the order in which they were measured."""

    def __init__(self) -> None:
        """Begin with none."""
        self.measures: list[Measure] = []

    def note(self, what: str, value: float, unit: str = "") -> None:
        """Tell a number that nothing is held to."""
        self.measures.append(Measure(what, value, unit))

    def within(self, what: str, value: float, allowed: float, source: str, unit: str = "s") -> None:
        """Tell a number and hold it to its limit. Raises AssertionError when it is above."""
        measure = Measure(what, value, unit, allowed, source)
        self.measures.append(measure)
        if value > allowed:
            raise AssertionError(str(measure))

    def judge(self, verdict: Verdict, source: str = "") -> None:
        """Tell a check's numbers and stand by its verdict.

        Raises AssertionError when it says broken, and LabError when it could not tell. What it counts of NONE
        is held to 0; of a check that knows what it allows, `longest_s` is held to `allowed_s`.
        """
        numbers = dict(verdict.numbers)
        allowed = numbers.pop("allowed_s", None)
        for name, value in numbers.items():
            held = 0 if name in NONE else allowed if name == "longest_s" else None
            unit = "s" if name.endswith("_s") else ""
            self.measures.append(Measure(f"{verdict.check}.{name}", value, unit, held, source))
        if verdict.outcome is Outcome.BROKEN:
            raise AssertionError(f"{verdict.check}: {verdict.evidence}")
        if verdict.outcome is Outcome.COULD_NOT_TELL:
            raise LabError(f"{verdict.check}: could not tell: {verdict.evidence}")
