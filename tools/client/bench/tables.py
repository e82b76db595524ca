"""Comparisons as Markdown tables: what was measured, the ratios within the rounds, and the goals."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tools.client.bench.programs import Numbers

OURS = "client"
HEAD = "min / median / max"


class Goal(NamedTuple):
    """A bound on a median."""

    least: bool
    bound: float

    def met(self, values: Sequence[float]) -> bool:
        """Return whether the median of `values` keeps to it."""
        median = statistics.median(values)
        return median >= self.bound if self.least else median <= self.bound

    def __str__(self) -> str:
        """Return it as the issue writes it."""
        return f"{'>=' if self.least else '<='} {self.bound:g}"


def at_least(bound: float) -> Goal:
    """Return the goal of no less than `bound`."""
    return Goal(least=True, bound=bound)


def at_most(bound: float) -> Goal:
    """Return the goal of no more than `bound`."""
    return Goal(least=False, bound=bound)


class Quoted(NamedTuple):
    """A program that was measured elsewhere, as a share of the program `of` in the same rounds."""

    of: str
    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Metric:
    """A number that runners return, and how it is shown.

    A goal beside OURS is for the client's own number, and ratios are not shown then; a goal beside another
    program is for the ratio client / program.
    """

    key: str
    title: str
    places: int
    goals: dict[str, Goal] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Runners that do the same work, the load client among them under the name OURS."""

    title: str
    runners: dict[str, Callable[[], Numbers]]
    metrics: tuple[Metric, ...]
    quoted: dict[str, Quoted] = field(default_factory=dict)

    def run(self, rounds: int) -> Table:
        """Return the table of `rounds` rounds, at least one, in which the order of the runners turns."""
        names = list(self.runners)
        found: dict[str, list[Numbers]] = {name: [] for name in names}
        for number in range(rounds):
            for name in names if number % 2 else reversed(names):
                found[name].append(self.runners[name]())
        return Table(self, found)


class Row(NamedTuple):
    """A line of a table; `met` is None where there is no goal."""

    name: str
    values: str
    ratios: str
    goal: str
    met: bool | None


@dataclass(frozen=True)
class Table:
    """What a comparison has found, by program and round."""

    comparison: Comparison
    found: dict[str, list[Numbers]]

    def lines(self) -> Iterator[str]:
        """Yield it as Markdown."""
        yield f"\n### {self.comparison.title}"
        for metric in self.comparison.metrics:
            yield f"\n| {metric.title} | {HEAD} | {OURS} / this: {HEAD} | goal | met by the median |"
            yield "|---|---|---|---|---|"
            for row in self.rows(metric):
                met = {None: "", True: "yes", False: "NO"}[row.met]
                yield f"| {row.name} | {row.values} | {row.ratios} | {row.goal} | {met} |"

    def missed(self) -> list[str]:
        """Return the goals that are not met, each with its table and program."""
        return [
            f"{self.comparison.title}: {metric.title}: {row.name}: {row.goal}"
            for metric in self.comparison.metrics
            for row in self.rows(metric)
            if row.met is False
        ]

    def rows(self, metric: Metric) -> Iterator[Row]:
        """Yield a line a program, those that were measured elsewhere last."""
        key = metric.key
        values = {name: [one[key] for one in runs] for name, runs in self.found.items() if key in runs[0]}
        for name, own in values.items():
            ratios = [] if OURS in {name, *metric.goals} else _ratios(values[OURS], own)
            goal = metric.goals.get(name)
            judged = own if name == OURS else ratios
            met = goal.met(judged) if goal and judged else None
            yield Row(name, spread(own, metric.places), spread(ratios, 2), str(goal or ""), met)
        for name, quoted in self.comparison.quoted.items():
            share = statistics.median(_ratios(values[OURS], values[quoted.of]))
            goal = metric.goals[name]
            words = f"{quoted.least} / {quoted.median} / {quoted.most} of {quoted.of}"
            ratio = share / quoted.median
            yield Row(f"{name} (quoted)", words, f"{ratio:.2f} (of medians)", str(goal), goal.met([ratio]))


def _ratios(ours: list[float], others: list[float]) -> list[float]:
    return [mine / other for mine, other in zip(ours, others, strict=True) if other]


def spread(values: Sequence[float], places: int) -> str:
    """Return minimum, median and maximum; nothing of no values."""
    if not values:
        return ""
    numbers = (min(values), statistics.median(values), max(values))
    return " / ".join(f"{number:,.{places}f}" for number in numbers)
