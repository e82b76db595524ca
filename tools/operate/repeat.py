"""The gate again and again on an unchanged lab: the verdicts must be equal, test by test."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.report import SHORT, Outcome


def repeat(times: int, gate: Callable[[], Path]) -> int:
    """Run `gate`, which returns its verdict.json, so many times; print the comparison; return its exit code.

    0 says that all are ok, test by test, 1 that a promise was not kept in one, 10 that some could not tell.
    """
    runs = []
    for number in range(1, times + 1):
        runs.append(json.loads(gate().read_text()))
        print(f"repeat {number} of {times}: {runs[-1]['verdict']}", flush=True)
    print("\n".join(compare(runs)))
    verdicts = {run["verdict"] for run in runs}
    if SHORT[Outcome.BROKEN] in verdicts:
        return Outcome.BROKEN
    return Outcome.OK if verdicts == {SHORT[Outcome.OK]} and not flakes(runs) else Outcome.UNKNOWN


def flakes(runs: Sequence[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return the tests that did not come out alike in all runs: how often each came out how."""
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for run in runs:
        for test in run["tests"]:
            outcomes[test["test"]][test["outcome"]] += 1
    return {
        test: counts for test, counts in outcomes.items() if len(counts) > 1 or counts.total() != len(runs)
    }


def compare(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the verdicts, the seconds they took, each test that differed and the spread of each number."""
    seconds = [sum(test["seconds"] for test in run["tests"]) for run in runs]
    verdicts = ", ".join(
        f"{count} x {verdict}" for verdict, count in Counter(r["verdict"] for r in runs).items()
    )
    lines = [f"{len(runs)} runs: {verdicts}; {min(seconds):.0f} to {max(seconds):.0f} s of tests each"]
    lines += [f"differs: {test}: {dict(counts)}" for test, counts in flakes(runs).items()]
    numbers: dict[tuple[str, str], list[float]] = defaultdict(list)
    limits: dict[tuple[str, str], tuple[float, str]] = {}
    for test in (test for run in runs for test in run["tests"]):
        for measure in (it for it in test["measures"] if it["allowed"] is not None):
            key = ",".join(test["ids"]) or test["test"], measure["what"]
            numbers[key].append(measure["value"])
            limits[key] = measure["allowed"], measure["unit"]
    for (ids, what), values in sorted(numbers.items()):
        allowed, unit = limits[ids, what]
        spread = f"{min(values):.3g} / {statistics.median(values):.3g} / {max(values):.3g} {unit}"
        lines.append(f"{ids:8} {what}: {spread} of {allowed:g} {unit} allowed ({len(values)})")
    return lines
