"""How long the lab takes to come and go: each step timed over several rounds, as a table."""

from __future__ import annotations

import statistics
import subprocess
import time

from lab.topology import ROOT

# step -> (command, goal in seconds or None)
STEPS = {
    "up, bare hosts": (("vagrant", "up", "--no-provision"), 15),
    "destroy, bare hosts": (("vagrant", "destroy", "-f"), 10),
    "up, with all roles": (("vagrant", "up"), 45),
    "provision again": (("vagrant", "provision"), None),
    "destroy, with all roles": (("vagrant", "destroy", "-f"), 10),
}


def run(rounds: int) -> None:
    """Run all steps so often and print minimum, median and maximum of each, in seconds. No host may exist."""
    seconds: dict[str, list[float]] = {step: [] for step in STEPS}
    for _ in range(rounds):
        for step, (command, _goal) in STEPS.items():
            begun = time.monotonic()
            subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            seconds[step].append(time.monotonic() - begun)
    print(f"{'step':<26}{'min':>8}{'median':>8}{'max':>8}{'goal':>8}   seconds, {rounds} rounds")
    for step, taken in seconds.items():
        goal = STEPS[step][1]
        row = f"{step:<26}{min(taken):>8.1f}{statistics.median(taken):>8.1f}{max(taken):>8.1f}"
        print(row + (f"{'<= ' + str(goal):>8}" if goal else ""))
