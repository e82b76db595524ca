"""What goes wrong between the monitor and what it asks."""

from __future__ import annotations


class AnswerError(Exception):
    """There was no usable answer; the text says why, in words for the audience.

    `late` tells an answer that did not come in time from one that came and is of no use.
    """

    def __init__(self, text: str, *, late: bool = False) -> None:
        """Say why."""
        super().__init__(text)
        self.late = late
