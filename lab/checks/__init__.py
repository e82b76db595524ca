"""What a recorded history proves: pure functions that return a Verdict and do no I/O.

Each takes a lab.history.History or, where no history is needed, what was counted or listed. None guesses:
of a history that is empty, or in which nothing succeeded, it *could not tell*.
"""

from lab.checks.availability import Gap, gaps, unavailability
from lab.checks.cluster import accounts, equal_sets, faults_took_effect, one_leader_per_term, tally
from lab.checks.cut import consistent_cut
from lab.checks.registers import linearizable, lost_writes, stale_reads_advance
from lab.checks.verdict import Outcome, Verdict

__all__ = [
    "Gap",
    "Outcome",
    "Verdict",
    "accounts",
    "consistent_cut",
    "equal_sets",
    "faults_took_effect",
    "gaps",
    "linearizable",
    "lost_writes",
    "one_leader_per_term",
    "stale_reads_advance",
    "tally",
    "unavailability",
]
