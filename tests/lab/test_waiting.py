"""Waiting: ends with the answer, or says what the answers were."""

import itertools
from collections.abc import Iterator

import pytest

from lab.errors import LabError
from lab.waiting import Unmet, wait_for


def test_the_accepted_answer_is_returned() -> None:
    """The question is asked until its answer is accepted."""
    answers = itertools.count()

    assert wait_for(lambda: next(answers), until=lambda n: n == 3, within=5) == 3


def test_a_late_answer_is_unmet_and_the_last_ones_are_shown() -> None:
    """When time is up, the error names what was awaited and the answers that came."""
    with pytest.raises(Unmet, match=r"(?s)a leader did not come within 0\.1 s.*0\.00 s: 'none'"):
        wait_for(lambda: "none", until=lambda answer: answer == "one", within=0.1, what="a leader")


@pytest.mark.parametrize("away", [ConnectionError("refused"), LookupError("no leader"), LabError("no login")])
def test_a_part_that_is_away_is_asked_again(away: Exception) -> None:
    """An error that says "not there now" is an answer like another."""
    answers: Iterator[Exception | str] = iter([away, "here"])

    def question() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_for(question, within=5) == "here"


def test_a_mistake_in_the_question_is_not_retried() -> None:
    """A programming error comes out at once, as itself."""
    with pytest.raises(TypeError):
        wait_for(lambda: 1 + "1", within=5)  # type: ignore[operator]
