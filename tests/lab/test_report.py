"""The verdict of a run: as JSON, as a table, and how proofs get into it."""

import json
from pathlib import Path

import pytest

from lab.checks import Outcome as Checked
from lab.checks import Verdict
from lab.errors import LabError
from lab.proof import Measure, Proof
from lab.report import Entry, Outcome, document, save, slowest, table
from tools.operate.repeat import compare, flakes, repeat

KILLED = Entry("suites/failover/t.py::test_kill", "F1, P10: A leader is replaced.", seconds=5.0)
KILLED.measures = [Measure("away", 2.5, "s", 5, "N2"), Measure("writes", 80)]
KILLED.waits = [("a leader", 2.5), ("a healthy lab", 0.01)]
CLOCKS = Entry("suites/partition/t.py::test_clocks", "P11: Clocks differ.", not_run="one clock")
BROKEN = Entry("suites/failover/t.py::test_stop", "F3: It stops.", Outcome.BROKEN, "too late\nby far")
FINE = Entry("suites/lab_itself/t.py::test_shell", "A shell.")
UNTOLD = Entry("suites/lab_itself/t.py::test_ssh", "A login.", Outcome.UNKNOWN, "no answer")


def test_ids_are_read_from_the_promise() -> None:
    """The ids that begin a docstring are the scenarios it proves; a docstring without any proves none."""
    assert KILLED.ids == ("F1", "P10")
    assert Entry("t", "Something: else.").ids == ()


def test_the_document_has_every_number_and_its_limit() -> None:
    """verdict.json says of each test its ids, its outcome in words, its numbers with limit and source."""
    said = json.loads(document([KILLED, CLOCKS, BROKEN], Outcome.BROKEN, {"depth": "quick"}))

    assert (said["verdict"], said["depth"]) == ("BROKEN", "quick")
    assert [test["outcome"] for test in said["tests"]] == ["ok", "not run", "BROKEN"]
    assert said["tests"][0]["ids"] == ["F1", "P10"]
    assert said["tests"][0]["measures"][0] == {
        "what": "away", "value": 2.5, "unit": "s", "allowed": 5, "source": "N2",
    }  # fmt: skip
    assert said["tests"][0]["waits"] == {"a leader": 2.5, "a healthy lab": 0.01}
    assert said["tests"][1]["not_run"] == "one clock"


def test_the_table_has_a_line_for_each_promise_and_limit() -> None:
    """Promise, measured, allowed and verdict; and why, for whatever is not ok, with or without an id."""
    lines = [" ".join(line.split()) for line in table([FINE, UNTOLD, CLOCKS, BROKEN, KILLED])]

    assert lines[1:] == [
        "F1,P10 A leader is replaced. ok",
        "away 2.5 s 5 s N2",
        "F3 It stops. BROKEN",
        "too late",
        "P11 Clocks differ. not run",
        "one clock",
        "- A login. could not tell",
        "no answer",
    ]


def test_the_slowest_say_what_they_waited_for() -> None:
    """The slowest come first, each with its longest waits; short ones are left out."""
    first, second, _ = slowest([CLOCKS, KILLED, BROKEN])

    assert first == "   5.0 s  failover/t.py::test_kill: 2.5 s for a leader"
    assert second.endswith("no long wait")


def test_latest_leads_to_the_last_run(tmp_path: Path) -> None:
    """Beside the run's folder `latest` is a link that follows."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(tmp_path / name, f'"{name}"')

    assert (tmp_path / "latest/verdict.json").read_text() == '"two"'


def test_a_number_is_kept_whether_it_is_in_its_limit_or_not() -> None:
    """A number above its limit fails, with both in words, and is in the verdict all the same."""
    proof = Proof()

    proof.within("away", 4.9, 5, "N2")
    with pytest.raises(AssertionError, match=r"away: 5\.1 s of 5 s allowed \(N2\)"):
        proof.within("away", 5.1, 5, "N2")

    assert [measure.value for measure in proof.measures] == [4.9, 5.1]


@pytest.mark.parametrize(
    ("outcome", "error"), [(Checked.BROKEN, AssertionError), (Checked.COULD_NOT_TELL, LabError)]
)
def test_a_check_that_is_not_ok_fails_in_its_own_way(outcome: Checked, error: type[Exception]) -> None:
    """Broken is an assertion, "could not tell" the lab's; both keep the check's numbers."""
    proof = Proof()

    with pytest.raises(error, match=r"c: .*why"):
        proof.judge(Verdict("c", outcome, "why", {"lost": 3, "allowed_s": 5, "longest_s": 6}))

    assert [(it.what, it.value, it.unit, it.allowed) for it in proof.measures] == [
        ("c.lost", 3, "", 0),
        ("c.longest_s", 6, "s", 5),
    ]


def test_runs_that_differ_are_named() -> None:
    """A test that came out otherwise in one run, or was missing there, is a flake; equal runs have none."""
    good = json.loads(document([KILLED, CLOCKS], Outcome.OK, {}))
    bad = json.loads(document([KILLED, BROKEN], Outcome.BROKEN, {}))

    assert flakes([good, good]) == {}
    assert set(flakes([good, bad])) == {CLOCKS.test, BROKEN.test}
    assert "F1,P10   away: 2.5 / 2.5 / 2.5 s of 5 s allowed (2)" in compare([good, bad])


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.OK, Outcome.OK], Outcome.OK),
        ([Outcome.OK, Outcome.BROKEN, Outcome.UNKNOWN], Outcome.BROKEN),
        ([Outcome.UNKNOWN, Outcome.UNKNOWN], Outcome.UNKNOWN),
    ],
)
def test_a_repetition_is_broken_where_one_run_is(
    tmp_path: Path, outcomes: list[Outcome], code: Outcome
) -> None:
    """Its exit code is that of the gate: what no run could tell is not broken."""
    verdicts = []
    for number, outcome in enumerate(outcomes):
        (verdict := tmp_path / f"{number}.json").write_text(document([FINE], outcome, {}))
        verdicts.append(verdict)

    assert repeat(len(verdicts), iter(verdicts).__next__) == code
