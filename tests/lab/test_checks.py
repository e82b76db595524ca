"""Verdicts and their merging, leaders, lists, accounts and faults."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import (
    Outcome,
    accounts,
    equal_sets,
    faults_took_effect,
    one_leader_per_term,
    tally,
)
from lab.history import FAIL, LEADER, READ, SECOND, UNKNOWN, Fault, History, Operation
from tests.lab.simulated import history_of, operation


def test_much_evidence_is_cut_short() -> None:
    """Three pieces are spelt out, the others counted."""
    lists = {"all": {"x"}, **{str(number): set[str]() for number in range(5)}}
    assert equal_sets(lists).evidence == "0 lacks x; 1 lacks x; 2 lacks x; and 2 more"


def claim(at: int, server: str, term: int, says: str = LEADER) -> Operation:
    """Return the answer of one server on its raft state."""
    return operation(LEADER, at, at + 1, value=says, index=term, target=server)


def test_a_leader_per_term_is_allowed() -> None:
    """Leaders may change with the term, followers share it, and changes are counted in the order of terms."""
    claims = [claim(0, "server1", 2), claim(2, "server2", 2, "follower"), claim(4, "server3", 5)]
    late = [claim(6, "server1", 3), claim(8, "server3", 6)]
    verdict = one_leader_per_term(history_of([*claims, *late]))
    assert verdict.outcome is Outcome.OK
    assert verdict.numbers == {"terms": 4, "highest_term": 6, "changes": 1}


def test_two_leaders_of_one_term_are_found() -> None:
    """Even when they were asked minutes apart."""
    history = history_of([claim(0, "server1", 2), claim(2, "server1", 3), claim(300 * SECOND, "server3", 2)])
    verdict = one_leader_per_term(history)
    assert verdict.outcome is Outcome.BROKEN
    assert verdict.evidence.startswith("term 2 had 2 leaders: leader of 'leader' at index 2 on server1")


@given(st.lists(st.sampled_from(["server1", "server2", "server3"]), min_size=1), st.data())
def test_a_second_leader_of_any_term_is_found(leaders: list[str], data: st.DataObject) -> None:
    """Whoever led in whatever terms, each asked often and in any order: only one planted beside is wrong."""
    claims = [claim(2 * term, name, term) for term, name in enumerate(leaders, start=1)]
    again = data.draw(st.lists(st.sampled_from(claims)))
    answers = data.draw(st.permutations([*claims, *again]))
    moved = [replace(it, start=2 * at, end=2 * at + 1) for at, it in enumerate(answers)]
    assert one_leader_per_term(history_of(moved)).outcome is Outcome.OK

    rival = replace(data.draw(st.sampled_from(moved)), start=2 * len(moved), end=2 * len(moved) + 1)
    rival = replace(rival, target=f"{rival.target}'s rival")
    verdict = one_leader_per_term(history_of([*moved, rival]))
    assert verdict.outcome is Outcome.BROKEN
    assert verdict.evidence.startswith(f"term {rival.index} had 2 leaders")


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [claim(0, "server1", 2, "follower")],
        [replace(claim(0, "server1", 2), result=UNKNOWN)],
        [claim(0, "server1", 2), operation(LEADER, 5, 6, value=LEADER)],
    ],
    ids=["empty", "only followers", "no answer", "no term"],
)
def test_leaders_that_were_not_seen_prove_nothing(operations: list[Operation]) -> None:
    """Somebody must have said that it leads, and always of which term."""
    assert one_leader_per_term(history_of(operations)).outcome is Outcome.COULD_NOT_TELL


def test_equal_lists_are_ok() -> None:
    """Catalog, containers and HAProxy's servers agree."""
    entries = {"192.0.2.3:10001", "192.0.2.3:10002"}
    verdict = equal_sets({"catalog": entries, "docker ps": set(entries), "haproxy": frozenset(entries)})
    assert (verdict.outcome, verdict.numbers) == (Outcome.OK, {"catalog": 2, "docker ps": 2, "haproxy": 2})


def test_a_ghost_is_found() -> None:
    """What stands in one list only is missing from each of the others, and that is said."""
    verdict = equal_sets({"catalog": {"a", "ghost"}, "docker ps": {"a"}, "haproxy": {"a"}})
    assert verdict.outcome is Outcome.BROKEN
    assert verdict.evidence == "docker ps lacks ghost; haproxy lacks ghost"


@given(
    st.sets(st.text("abc", min_size=1), min_size=1),
    st.lists(st.sampled_from("abcdef"), min_size=2, max_size=6, unique=True),
    st.data(),
)
def test_whatever_one_list_lacks_is_found(entries: set[str], names: list[str], data: st.DataObject) -> None:
    """Equal lists are equal whatever is in them; one entry taken out of one is named, and nothing else."""
    lists = {name: set(entries) for name in names}
    assert equal_sets(lists).outcome is Outcome.OK

    name, entry = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(sorted(entries)))
    lists[name].remove(entry)
    verdict = equal_sets(lists)
    assert verdict.outcome is Outcome.BROKEN
    assert verdict.evidence == f"{name} lacks {entry}"


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"catalog": {"a"}},
        {"catalog": set(), "docker ps": set()},
        {"catalog": {"a"}, "b": {"a"}, "haproxy": None},
    ],
    ids=["none", "one", "nothing in them", "one could not be asked"],
)
def test_lists_that_cannot_be_compared_prove_nothing(lists: dict[str, set[str] | None]) -> None:
    """Equality of nothing, or with nobody, is no pass."""
    assert equal_sets(lists).outcome is Outcome.COULD_NOT_TELL


def test_empty_lists_are_equal_where_that_is_expected() -> None:
    """After the last container is gone, all lists must be empty."""
    assert equal_sets({"catalog": set(), "docker ps": set()}, least=0).outcome is Outcome.OK


@given(
    st.dictionaries(st.sampled_from(["refused", "reset", "local_error"]), st.integers(0, 3)),
    st.integers(0, 5),
    st.integers(-1, 1),
)
def test_any_mixture_of_classes_is_judged(bad: dict[str, int], good: int, off: int) -> None:
    """Ok if all went well, broken if a credible account shows a loss, else it could not tell."""
    classes = {"ok": good, **bad}
    lost = sum(bad.values()) - bad.get("local_error", 0)
    credible = good > 0 and off == 0
    expected = Outcome.BROKEN if lost else Outcome.COULD_NOT_TELL if bad.get("local_error") else Outcome.OK
    verdict = accounts(sum(classes.values()) + off, classes)
    assert verdict.outcome is (expected if credible else Outcome.COULD_NOT_TELL)
    assert verdict.numbers["lost"] == lost


def test_accounts_say_what_does_not_add_up() -> None:
    """The evidence of a doubt names the doubt."""
    assert accounts(9, {"ok": 8}).evidence == "the classes sum up to 8, not to 9"
    assert accounts(8, {"ok": 7, "local_error": 1}).evidence == "1 ended in local_error"
    assert accounts(8, {"ok": 5, "refused": 3}).evidence == "3 ended in refused"
    assert accounts(3, {"refused": 3}).evidence == "nothing succeeded"


def test_a_history_is_tallied_by_how_operations_ended() -> None:
    """Every operation of the action is in exactly one class, so the sum is the number of attempts."""
    operations = [
        operation("connect", 0, 1),
        operation("connect", 1, 2, result=FAIL, error="refused"),
        operation("connect", 2, 3, result=UNKNOWN, error="timed out"),
        operation("connect", 3, inf),
        operation(READ, 4, 5),
    ]
    assert tally(history_of(operations), "connect") == {
        "ok": 1,
        "refused": 1,
        "timed out": 1,
        "unfinished": 1,
    }


WHOLE = Fault("kill -9", ("server1",), restarts=True, injected=1, seen=2, healed=3, recovered=4)


def test_a_fault_with_all_its_stages_took_effect() -> None:
    """It was seen, healed, and the recovery was seen: the test tested what it says."""
    assert faults_took_effect(history_of([], [WHOLE])).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("cut_short", "stage"),
    [
        (replace(WHOLE, seen=None), "seen"),
        (replace(WHOLE, healed=None), "healed"),
        (replace(WHOLE, recovered=None), "recovered"),
    ],
)
def test_a_fault_without_a_stage_proves_nothing(cut_short: Fault, stage: str) -> None:
    """A fault that injected nothing must not let a test pass."""
    verdict = faults_took_effect(history_of([], [WHOLE, cut_short]))
    assert verdict.outcome is Outcome.COULD_NOT_TELL
    assert verdict.evidence == f"kill -9 of server1 was never {stage}"


def test_no_fault_at_all_proves_nothing() -> None:
    """A fault test without a fault has tested nothing."""
    assert faults_took_effect(History()).outcome is Outcome.COULD_NOT_TELL
