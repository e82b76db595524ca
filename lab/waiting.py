"""Waiting for an answer instead of sleeping for a guess."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import consul
import dns.exception

from lab.errors import CommandTimeoutError, ForeignAnswerError, LabError

LOG = logging.getLogger(__name__)
Answer = TypeVar("Answer")

PAUSE = 0.05
SHOWN = 5
LONG = 10.0  # seconds: of a wait beyond, the last other answer is kept as well
# What says nothing of the part that was asked: with one of these as the last answer nobody can tell.
UNTOLD = (CommandTimeoutError, ForeignAnswerError)
# What a part that is away, or not yet what it will be, answers with; any other error is the question's own.
AWAY = (OSError, LookupError, LabError, consul.ConsulException, dns.exception.DNSException)


class Unmet(AssertionError):
    """The awaited answer did not come in time: the stack, not the lab, broke its promise."""


def lapse(seconds: float, what: str) -> None:
    """Let time go by because it is time that is tested: a fault that lasts, a timer of Consul's own."""
    time.sleep(seconds)
    LOG.debug("%s", what, extra={"seconds": seconds})


def wait_for(
    question: Callable[[], Answer],
    until: Callable[[Answer], object] = bool,
    *,
    within: float,
    what: str = "the awaited answer",
) -> Answer:
    """Ask `question` until `until` accepts its answer, and return that answer.

    `within` is in seconds on the monotonic clock. A question that raises one of AWAY is asked again.
    Raises Unmet, with the last different answers and when each was first seen; LabError instead when the last
    one is of UNTOLD. What was awaited, and how long, is logged.
    """
    begun = time.monotonic()
    seen: list[str] = []
    while True:
        elapsed = time.monotonic() - begun
        silent = False
        try:
            answer = question()
        except AWAY as error:
            silent = isinstance(error, UNTOLD)
            shown = f"{type(error).__name__}: {error}"
        else:
            if until(answer):
                LOG.debug("%s", what, extra={"seconds": time.monotonic() - begun, "before": seen[-1:]})
                return answer
            shown = repr(answer)
        if not seen or seen[-1].partition(" s: ")[2] != shown:
            seen.append(f"{elapsed:.2f} s: {shown}")
        if elapsed > within:
            message = f"{what} did not come within {within:g} s; answers:\n" + "\n".join(seen[-SHOWN:])
            raise LabError(message) if silent else Unmet(message)
        time.sleep(PAUSE)


def hold(
    question: Callable[[], Answer],
    until: Callable[[Answer], object] = bool,
    *,
    during: float,
    what: str,
) -> None:
    """Ask `question` again and again for `during` seconds, and see to it that `until` accepts every answer.

    Raises Unmet at the first answer that it does not accept, and what the question raises; one of AWAY only
    when it comes twice on end. What was held, and how long, is logged.
    """
    begun = time.monotonic()
    while (elapsed := time.monotonic() - begun) < during:
        try:
            answer = question()
        except AWAY:
            time.sleep(PAUSE)
            answer = question()
        if not until(answer):
            raise Unmet(f"{what} did not hold for {during:g} s; after {elapsed:.2f} s: {answer!r}")
        time.sleep(PAUSE)
    LOG.debug("%s", what, extra={"seconds": during})
