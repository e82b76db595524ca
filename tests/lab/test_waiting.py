"""Waiting: ends with the answer, or says what the answers were."""

import itertools
from collections.abc import Iterator

import pytest

from lab.errors import LabError
from lab.waiting import Unmet, hold, wait_for


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


def test_what_holds_is_asked_all_the_time() -> None:
    """The question is asked until the time is up, not once."""
    answers = itertools.count()

    hold(lambda: next(answers), until=lambda n: n < 100, during=0.2, what="a small number")

    assert next(answers) > 2


def test_what_ends_to_hold_is_unmet() -> None:
    """The first other answer is told, with what should have held."""
    answers = itertools.count()

    with pytest.raises(Unmet, match=r"no leader did not hold for 5 s; after \d\.\d\d s: 3"):
        hold(lambda: next(answers), until=lambda n: n < 3, during=5, what="no leader")


def test_a_part_that_is_away_does_not_hold() -> None:
    """Who cannot be asked has not said that it holds."""

    def refused() -> bool:
        raise ConnectionError("refused")

    with pytest.raises(ConnectionError):
        hold(refused, during=5, what="no leader")


def test_what_is_away_once_is_asked_again() -> None:
    """One dropped connection is not what is held."""
    answers: Iterator[Exception | int] = itertools.chain([1, ConnectionError("reset")], itertools.count(1))

    def question() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    hold(question, during=0.3, what="a number")
