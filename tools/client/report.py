"""What a run has shown: as JSON for programs, as a few lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .accounts import Kind, Outcome
from .wire import SECOND

if TYPE_CHECKING:
    from .engine import Engine
    from .wire import Wire


def summarise(wire: Wire, engine: Engine) -> dict[str, Any]:
    """Return the summary of a finished run; README.md says what each key means."""
    accounts, holder = wire.accounts, engine.holder
    return {
        "target": f"{wire.options.host}:{wire.options.port}",
        "verdict": accounts.verdict().name.lower(),
        "seconds": (engine.ended - engine.started) / SECOND,
        "signal": engine.signal,
        "attempts": accounts.total,
        "lost": accounts.lost,
        "classes": {outcome: accounts.of(outcome) for outcome in Outcome},
        "by_kind": {
            kind: {"attempts": accounts.attempts[kind]}
            | {outcome: accounts.classes[kind][outcome] for outcome in Outcome}
            for kind in Kind
        },
        "reasons": dict(accounts.reasons.most_common()),
        "losses": [loss._asdict() for loss in accounts.losses],
        "slow_connects": accounts.slow_connects,
        "held": {
            "wanted": wire.options.connections,
            "opened": holder.opened,
            "alive_at_end": holder.alive,
            "pings_sent": holder.pings_sent,
            "pings_ok": holder.pings_ok,
            "skipped": holder.skipped,
            "late": holder.late,
        },
        "latency_ms": {
            "connect": wire.connect.summary(),
            "reply": wire.reply.summary(),
            "corrected": wire.corrected.summary(),
        },
    }


def to_text(summary: dict[str, Any]) -> str:
    """Return the summary as lines for people."""
    held, classes = summary["held"], summary["classes"]
    verdict = summary["verdict"].replace("_", " ")
    lines = [
        f"{verdict}: {summary['attempts']} attempts in {summary['seconds']:.1f} s, {summary['lost']} lost",
        "  " + ", ".join(f"{name} {count}" for name, count in classes.items() if count),
    ]
    if held["wanted"]:
        lines.append(
            f"  held {held['opened']} of {held['wanted']}, alive at the end {held['alive_at_end']}; pings "
            f"{held['pings_ok']} of {held['pings_sent']} ok, {held['skipped']} skipped, {held['late']} late"
        )
    lines.append(f"  connects of a second or more: {summary['slow_connects']}")
    lines += [f"  {reason}: {count}" for reason, count in list(summary["reasons"].items())[:10]]
    for name, values in summary["latency_ms"].items():
        if values["count"]:
            numbers = "  ".join(
                f"{key} {value:.3f}" for key, value in values.items() if key not in ("count", "hdr")
            )
            lines.append(f"  {name:9} ms  {numbers}")
    return "\n".join(lines)
