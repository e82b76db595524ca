"""The tables of the benchmark: ratios within a round, medians against the goals."""

from __future__ import annotations

from collections import Counter

from tools.client.bench.programs import percentile
from tools.client.bench.tables import OURS, Comparison, Metric, Quoted, Table, at_least, at_most

RATE = Metric("rate", "opens", 0, {"C": at_least(0.9), "quick": at_least(1.2), "slow": at_least(1.2)})


def table(metric: Metric, found: dict[str, list[float]], quoted: dict[str, Quoted]) -> Table:
    """Return the table of these numbers by program and round."""
    rounds = {name: [{metric.key: value} for value in values] for name, values in found.items()}
    return Table(Comparison("Work", {}, (metric,), quoted), rounds)


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which all programs were slow changes no ratio; the median of the ratios meets the goal."""
    found = table(RATE, {"C": [100, 10, 90], OURS: [95, 9, 90]}, {})

    assert "| C | 10 / 90 / 100 | 0.90 / 0.95 / 1.00 | >= 0.9 | yes |" in found.lines()
    assert found.missed() == []


def test_a_missed_goal_is_told() -> None:
    """A median below its goal is marked in the table and listed with what it is about."""
    found = table(RATE, {"C": [100, 100, 100], OURS: [89, 80, 95]}, {})

    assert "| C | 100 / 100 / 100 | 0.80 / 0.89 / 0.95 | >= 0.9 | NO |" in found.lines()
    assert found.missed() == ["Work: opens: C: >= 0.9"]


def test_quoted_programs_are_marked() -> None:
    """A program that was measured elsewhere is compared by its share of one that was measured here, too."""
    quoted = {"quick": Quoted("C", 0.8, 0.9, 1.0), "slow": Quoted("C", 0.4, 0.5, 0.6)}
    found = table(RATE, {"C": [100], OURS: [90]}, quoted)

    assert "| slow (quoted) | 0.4 / 0.5 / 0.6 of C | 1.80 (of medians) | >= 1.2 | yes |" in found.lines()
    assert found.missed() == ["Work: opens: quick (quoted): >= 1.2"]


def test_goals_of_the_client_alone() -> None:
    """A goal for the client's own number is judged by it, whatever the others have; no ratio is shown."""
    memory = Metric("memory", "bytes", 0, {OURS: at_most(64)})
    found = table(memory, {"C": [20, 20, 20], OURS: [30, 65, 66]}, {})

    assert "| C | 20 / 20 / 20 |  |  |  |" in found.lines()
    assert found.missed() == ["Work: bytes: client: <= 64"]


def test_percentile_of_several_processes() -> None:
    """The p99 of processes together is that of all their latencies, and not the mean of what each has."""
    quick, slow = Counter({100: 98}), Counter({100: 1, 7000: 1})

    assert percentile(quick + slow, 0.99) == 0.1
    assert percentile(quick + slow, 1.0) == 7.0
