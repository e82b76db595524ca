"""What a run has shown: as JSON for programs, as a few lines for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .accounts import Accounts, Kind, Outcome, Verdict
from .histogram import Latencies
from .kernel import TELLING

if TYPE_CHECKING:
    from .options import Options
    from .timeline import Row
    from .worker import Result

SHOWN_REASONS = 10
UNSENT_DOUBT = 0.05  # the share of the pings due beyond which a run has not watched what it was to watch


@dataclass
class Report:
    """A finished run; `signal` ended it early, `doubts` say what it could not tell."""

    options: Options
    result: Result
    seconds: float = 0.0
    signal: str = ""
    doubts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    backends: dict[str, dict[str, int]] = field(default_factory=dict)
    timeline: list[Row] = field(default_factory=list)
    steady: Latencies = field(default_factory=Latencies)
    address: str = ""

    def verdict(self) -> Verdict:
        """Return the verdict: a loss weighs more than a doubt."""
        if self.result.accounts.lost:
            return Verdict.LOST
        return Verdict.COULD_NOT_TELL if self.doubts else Verdict.NOTHING_LOST

    def to_json(self) -> dict[str, Any]:
        """Return the summary; README.md says what each key means."""
        accounts, result = self.result.accounts, self.result
        held = asdict(result.held)
        held["alive_at_end"] = held.pop("alive")
        return {
            "target": f"{self.options.host}:{self.options.port}",
            "address": self.address,
            "verdict": self.verdict().name.lower(),
            "doubts": self.doubts,
            "warnings": self.warnings,
            "seconds": self.seconds,
            "cpu_seconds": result.cpu,
            "signal": self.signal,
            "attempts": accounts.total,
            "lost": accounts.lost,
            **_classes(accounts),
            "reasons": dict(accounts.reasons.most_common()),
            "losses": [loss._asdict() for loss in accounts.losses],
            "slow_connects": accounts.slow_connects,
            "slow": [connect._asdict() for connect in accounts.slow],
            "held": held,
            "churn": asdict(result.churn),
            "latency_ms": {
                "connect": result.connect.summary(),
                "first_reply": result.first_reply.summary(),
                "first_reply_corrected": result.first_reply_corrected.summary(),
                "reply": result.reply.summary(),
                "corrected": result.corrected.summary(),
                "steady": self.steady.summary(),
            },
            "tcp_info": {
                "connections": result.connections.read,
                "with_retransmits": result.connections.with_retransmits,
                "retransmits": result.connections.retransmits,
                "rtt_ms": result.connections.rtt.summary(),
            },
            "counters": self.counters,
            "backends": self.backends,
            "timeline": self.timeline,
        }


def doubts(options: Options, result: Result, signal: str) -> list[str]:
    """Return why the run cannot tell all that it was asked for."""
    accounts = result.accounts
    found = list(result.troubles)
    if not accounts.total:
        found.append("nothing was tried")
    if local := accounts.of(Outcome.LOCAL_ERROR):
        found.append(f"{local} attempts failed on this machine itself")
    if accounts.unfinished:
        found.append(f"{accounts.unfinished} attempts have no class: the accounts do not add up")
    untried = options.connections - accounts.attempts[Kind.HOLD] - result.unknown
    if not signal and untried > 0:
        found.append(f"{untried} of {options.connections} connections to hold were never tried: time was up")
    if not signal and not result.troubles:
        found += _opens_never_tried(options, accounts.attempts[Kind.CHURN])
    if result.held.unsent > UNSENT_DOUBT * result.held.due:
        found += _unsent(result)
    return found


def _opens_never_tried(options: Options, begun: int) -> list[str]:
    """Return what is doubtful when the time was up before the churn had done what it was asked for."""
    if options.churn and not begun:
        return ["no open of the churn was tried: time was up"]
    if options.duration is None and begun < options.count:
        return [f"{begun} of --count {options.count} opens were tried: time was up, give a --duration"]
    return []


def shortfall(options: Options, result: Result) -> list[str]:
    """Return what is to be warned of: opens and pings that were due and not begun."""
    due, begun = result.churn.due, result.churn.begun
    if begun == due:
        return _unsent(result)
    why = f"--concurrency {options.concurrency} was reached, or this machine could not keep up"
    return [f"{due - begun} of {due} opens that were due were not begun: {why}", *_unsent(result)]


def _unsent(result: Result) -> list[str]:
    held = result.held
    if not held.unsent:
        return []
    return [f"{held.unsent} of {held.due} pings that were due were not sent: this client could not keep up"]


def _classes(accounts: Accounts) -> dict[str, Any]:
    return {
        "classes": {outcome: accounts.of(outcome) for outcome in Outcome},
        "by_kind": {
            kind: {"attempts": accounts.attempts[kind]}
            | {outcome: accounts.classes[kind][outcome] for outcome in Outcome}
            for kind in Kind
        },
    }


def to_text(report: Report) -> str:
    """Return the summary as lines for people."""
    accounts, verdict = report.result.accounts, report.verdict().name.lower().replace("_", " ")
    classes = ", ".join(f"{outcome} {accounts.of(outcome)}" for outcome in Outcome if accounts.of(outcome))
    lines = [
        f"{verdict}: {accounts.total} attempts in {report.seconds:.1f} s, {accounts.lost} lost",
        f"  {classes or 'no attempt'}; connects of a second or more: {accounts.slow_connects}",
        *_held_lines(report),
        *_evidence_lines(report),
        *(f"  {reason}: {count}" for reason, count in accounts.reasons.most_common(SHOWN_REASONS)),
        *(f"  could not tell: {doubt}" for doubt in report.doubts),
    ]
    if report.signal:
        lines.insert(1, f"  ended early by {report.signal}")
    return "\n".join(lines)


def _held_lines(report: Report) -> list[str]:
    held = report.result.held
    if not held.wanted:
        return []
    pings = f"{held.pings_ok} of {held.pings_sent} ok, {held.skipped} skipped, {held.late} late"
    pings += f", {held.unsent} never sent" if held.unsent else ""
    return [f"  held {held.opened} of {held.wanted}, alive at the end {held.alive}; pings {pings}"]


def _evidence_lines(report: Report) -> list[str]:
    result = report.result
    lines = []
    for name, latencies in (
        ("connect", result.connect),
        ("first reply", result.first_reply),
        ("paced opens", result.first_reply_corrected),
        ("reply", result.reply),
        ("corrected", result.corrected),
    ):
        summary = latencies.summary()
        if summary.pop("count"):
            summary.pop("hdr")
            lines.append(
                f"  {name:11} ms  " + "  ".join(f"{key} {value:.3f}" for key, value in summary.items())
            )
    if result.connections.read:
        lines.append(
            f"  TCP_INFO of {result.connections.read}: {result.connections.retransmits} retransmits "
            f"on {result.connections.with_retransmits} connections"
        )
    for name, counters in report.counters.items():
        moved = ", ".join(
            f"{counter} +{count}" for counter, count in counters.items() if count and counter in TELLING
        )
        lines.append(f"  counters of {name}: {moved or 'no loss, no reset, no retransmit'}")
    for name, numbers in report.backends.items():
        lines.append(
            f"  backend {name}: {numbers['sessions']} connections, {numbers['open']} open at the end"
        )
    return lines
