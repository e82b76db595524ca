"""The suites' verdict: each outcome has its exit code, and verdict.json says what it stands on."""

import json
from typing import Any

import pytest

from lab import topology
from lab.plugin.depth import DEPTHS
from lab.report import Outcome

UNREACHABLE = "--hosts=paramiko://nobody@127.0.0.1:1"
FACTS = """
network: {cidr: 127.0.0.0/24, gateway: 127.0.0.254, namespace: none-such}
hosts: {lb: null, docker: null, server1: null, server2: null, server3: null, client: {address: 127.0.0.1}}
deadlines: {connect: 2}
"""


TWICE = """
import pytest
@pytest.fixture
def heals():
    yield
    raise KeyboardInterrupt
def test_it(heals): raise KeyboardInterrupt
"""


HANGS = """
from lab.errors import *
from lab.waiting import *
def question(): raise {}("no answer")
def test_it(): wait_for(question, within=0.1)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of its own beside the plugin."""
    monkeypatch.delenv(topology.VARIABLE, raising=False)
    pytester.makeconftest("pytest_plugins = ['lab.plugin']")
    pytester.makefile(".yaml", facts=FACTS)
    return pytester


def run(suite: pytest.Pytester, body: str, *words: str) -> pytest.RunResult:
    """Run a suite of one test."""
    suite.makepyfile(body)
    return suite.runpytest_inprocess(
        "-p", "no:hypothesispytest", "--topology=facts.yaml", f"--run-folder={suite.path}/kept", *words
    )


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("def test_it(): assert True", Outcome.OK),
        ("def test_it(): assert False", Outcome.BROKEN),
        ("import pytest\ndef test_it(): pytest.fail('so it is')", Outcome.BROKEN),
        ("from lab.waiting import *\ndef test_it(): wait_for(lambda: 0, within=0.1)", Outcome.BROKEN),
        ("from lab.errors import LabError\ndef test_it(): raise LabError('no')", Outcome.UNKNOWN),
        ("def test_it(): raise OSError('gone')", Outcome.UNKNOWN),
        (HANGS.format("CommandTimeoutError"), Outcome.UNKNOWN),
        (HANGS.format("ForeignAnswerError"), Outcome.UNKNOWN),
        ("def test_it(): raise KeyboardInterrupt", Outcome.UNKNOWN),
        (TWICE, Outcome.UNKNOWN),
        (
            "import pytest, time\n@pytest.mark.timeout(0.2)\ndef test_it(): time.sleep(5)",
            Outcome.UNKNOWN,
        ),
        ("import json\ndef test_it(): json.loads('<html>')", Outcome.UNKNOWN),
        ("from lab.errors import *\ndef test_it(): raise NotRunError('no power')", Outcome.UNKNOWN),
        (
            "from lab.errors import *\ndef test_it(): raise NotRunError('no power')\ndef test_b(): pass",
            Outcome.OK,
        ),
        ("def test_it(): assert False\ndef test_b(): raise OSError('gone')", Outcome.UNKNOWN),
    ],
)
def test_an_outcome_has_its_exit_code(suite: pytest.Pytester, body: str, outcome: Outcome) -> None:
    """A broken promise is 1; anything that failed otherwise is 10, also when something else is broken."""
    assert run(suite, body).ret == outcome


def test_an_unreachable_host_is_no_skip(suite: pytest.Pytester) -> None:
    """A wanted host that does not answer: could not tell, and the host is named."""
    result = run(suite, "def test_it(lab): pass", UNREACHABLE)

    assert result.ret == Outcome.UNKNOWN
    result.stdout.fnmatch_lines(["*LabError: client: no login*"])


@pytest.mark.parametrize("words", ["--hosts=elsewhere", "--topology=nowhere.yaml"])
def test_wrong_words_are_usage_errors(suite: pytest.Pytester, words: str) -> None:
    """An unknown host or file ends the run before it begins, in one line."""
    result = run(suite, "def test_it(node): pass", words)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in result.stderr.str()


def verdict(suite: pytest.Pytester) -> dict[str, Any]:
    """Return what the run wrote down."""
    return dict(json.loads((suite.path / "kept/verdict.json").read_text()))


SCENARIOS = """
import pytest
@pytest.mark.quick
def test_a(): "D1: Quick."
def test_b(): "D2: Standard."
@pytest.mark.full
def test_c(): "D3: Full."
@pytest.mark.soak
def test_d(): "K1: Soak."
"""


def test_a_list_of_the_tests_is_no_run(suite: pytest.Pytester) -> None:
    """What is only collected leaves no verdict, and the newest run's stays the latest."""
    run(suite, SCENARIOS, "--collect-only", "--depth=full")

    assert not (suite.path / "kept").exists()


@pytest.mark.parametrize(("depth", "ran"), list(zip(DEPTHS, ("a", "ab", "abc", "abcd"), strict=True)))
def test_a_depth_holds_those_before_it(suite: pytest.Pytester, depth: str, ran: str) -> None:
    """What is deeper is left out, and the verdict says which depth was run."""
    run(suite, SCENARIOS, f"--depth={depth}", "-p", "no:randomly")

    said = verdict(suite)
    assert [test["test"][-1] for test in said["tests"] if not test["not_run"]] == list(ran)
    assert said["depth"].endswith(depth)


def test_a_full_run_names_what_only_a_soak_runs(suite: pytest.Pytester) -> None:
    """No promise is passed over in silence; a choice of tests by name says nothing of the others."""
    run(suite, SCENARIOS, "--depth=full")
    not_run = {it["promise"]: it["not_run"] for it in verdict(suite)["tests"] if it["outcome"] == "not run"}
    run(suite, SCENARIOS, "--depth=full", "-k", "test_b")

    assert list(not_run) == ["K1: Soak."]
    assert "--depth=soak" in not_run["K1: Soak."]
    assert [it["promise"] for it in verdict(suite)["tests"]] == ["D2: Standard."]


def test_the_slow_ones_can_be_left_out(suite: pytest.Pytester) -> None:
    """`-m "not slow"` leaves out what is deeper than standard."""
    run(suite, SCENARIOS, "--depth=soak", "-m", "not slow")

    assert len(verdict(suite)["tests"]) == 2


LONGER = """
import pytest
@pytest.mark.deepest
@pytest.mark.parametrize("n", [
    pytest.param(1, marks=pytest.mark.quick), 2, pytest.param(3, marks=pytest.mark.soak),
])
def test_it(n): "H7: For so long."
"""


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        (["--depth=quick"], ["1"]),
        (["--depth=full"], ["2"]),
        (["--depth=soak"], ["3"]),
        (["{file}::test_it"], ["2"]),
        (["{file}::test_it", "--depth=quick"], ["1"]),
        (["{file}::test_it[3]"], ["3"]),
    ],
)
def test_of_one_test_s_depths_the_deepest_is_run(
    suite: pytest.Pytester, words: list[str], ran: list[str]
) -> None:
    """What a longer one proves as well is not proven twice; a parameter that is named is run."""
    run(suite, LONGER, *(word.format(file=f"{suite.path.name[:-1]}.py") for word in words))

    tests = [it["test"] for it in verdict(suite)["tests"] if not it["not_run"]]
    assert [test.partition("[")[2].rstrip("]") for test in tests] == ran


CONTAINED = """
import pytest
@pytest.mark.deepest(of="a server")
def test_added(): "M1: It votes."
@pytest.mark.full
@pytest.mark.deepest(of="a server")
def test_replaced(): "M1, M2: It votes, and the old one leaves."
"""


@pytest.mark.parametrize(
    ("depth", "ran"),
    [("standard", ["M1: It votes."]), ("full", ["M1, M2: It votes, and the old one leaves."])],
)
def test_what_a_deeper_test_contains_is_not_run_beside_it(
    suite: pytest.Pytester, depth: str, ran: list[str]
) -> None:
    """Tests that prove one thing are as parameters of one: the deepest wanted is run."""
    run(suite, CONTAINED, f"--depth={depth}")

    assert [it["promise"] for it in verdict(suite)["tests"]] == ran


def test_a_named_test_is_run_at_any_depth(suite: pytest.Pytester) -> None:
    """Whoever names a test wants it."""
    result = run(suite, SCENARIOS, "test_a_named_test_is_run_at_any_depth.py::test_d")

    result.assert_outcomes(passed=1)


DESTROYS = """
import pytest
@pytest.mark.destructive
def test_it(): "O1: Wipes."
"""


@pytest.mark.parametrize(("words", "outcome"), [([], "not run"), (["--destructive"], "ok")])
def test_what_cannot_be_undone_asks_first(suite: pytest.Pytester, words: list[str], outcome: str) -> None:
    """On hosts that somebody gave it is not run unless that is allowed, and the verdict says so."""
    run(suite, DESTROYS, UNREACHABLE, *words)

    assert [test["outcome"] for test in verdict(suite)["tests"]] == [outcome]


def test_the_verdict_has_numbers_waits_and_reasons(suite: pytest.Pytester) -> None:
    """What a test measured, what it waited for, and why it is not ok, stand in verdict.json."""
    body = """
    from lab.errors import NotRunError
    from lab.waiting import lapse
    def test_a(proof):
        "F1: It holds."
        lapse(0.01, "a moment")
        proof.within("away", 3, 5, "N2")
    def test_b():
        "P11: Clocks differ."
        raise NotRunError("one clock")
    """
    run(suite, body, "-p", "no:randomly")

    held, not_run = verdict(suite)["tests"]
    assert (held["ids"], held["measures"][0]["value"], list(held["waits"])) == (["F1"], 3, ["a moment"])
    assert (not_run["ids"], not_run["outcome"], not_run["not_run"]) == (["P11"], "not run", "one clock")


def test_a_folder_that_cannot_be_written_is_said(suite: pytest.Pytester) -> None:
    """With no room for evidence the verdict is told all the same, and what is missing."""
    suite.makefile("", kept="a file in the folder's place")

    result = run(suite, "def test_it():\n    'F1: It.'\n    assert False")

    assert result.ret == Outcome.UNKNOWN
    result.stdout.fnmatch_lines(["and BROKEN: 1 *", "*verdict.json was not written*"])


def test_evidence_that_cannot_be_written_is_no_verdict(suite: pytest.Pytester) -> None:
    """What cannot be looked at afterwards is not believed."""
    (suite.path / "kept").mkdir()
    name = f"{test_evidence_that_cannot_be_written_is_no_verdict.__name__}.py_test_it"
    (suite.path / "kept" / name).write_text("a file in the folder's place")

    result = run(suite, "def test_it():\n    'F1: It.'\n    assert False")

    assert result.ret == Outcome.UNKNOWN
    result.stdout.fnmatch_lines(["evidence of * was not kept: *"])
    said = verdict(suite)
    assert (said["tests"][0]["outcome"], said["verdict"]) == ("BROKEN", "could not tell")


def test_a_report_that_cannot_be_written_is_no_verdict(suite: pytest.Pytester) -> None:
    """A run whose own reports find no room ends with "could not tell", though every test passed."""
    suite.makefile("", full="a file in the folder's place")

    result = run(suite, "def test_it():\n    'F1: It.'", "--junit-xml=full/junit.xml")

    assert result.ret == Outcome.UNKNOWN
    result.stdout.fnmatch_lines(["the end of the run failed: FileExistsError: *"])


def test_the_history_of_a_failed_test_is_kept(suite: pytest.Pytester) -> None:
    """Beside the hosts' logs: what failed, what was asked and answered, and its picture."""
    body = """
    def test_it(history):
        "F1: It."
        history.ok(history.invoke("write", "k", "1", "lb"), index=1)
        assert False
    """
    run(suite, body)

    kept = {file.name: file for file in suite.path.glob("kept/*/*")}
    assert {"history.jsonl", "timeline.svg"} <= kept.keys()
    assert "assert False" in kept["failure.txt"].read_text()


STANDS_STILL = """
import os, signal, subprocess
def test_it():
    "F1: In time."
    child = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -CONT {os.getpid()}"])
    os.kill(os.getpid(), signal.SIGSTOP)
    child.wait()
    assert False, "too late"
"""


def test_a_failure_says_that_the_machine_stood_still(suite: pytest.Pytester) -> None:
    """What came too late while nothing was run is told with that; the verdict stays."""
    result = run(suite, STANDS_STILL)

    assert result.ret == Outcome.BROKEN
    result.stdout.fnmatch_lines(["*meanwhile this machine stood still for 0.5 s"])
    assert 0.4 < verdict(suite)["tests"][0]["standstill"] < 2


def test_a_failure_on_a_machine_that_runs_blames_no_standstill(suite: pytest.Pytester) -> None:
    """A test that just waits is no standstill."""
    result = run(suite, "import time\ndef test_it():\n    time.sleep(0.5)\n    assert False")

    assert "stood still" not in result.stdout.str()


TORN = """
import pytest
from lab.errors import LabError
@pytest.fixture
def heals():
    {0}
    yield
    {1}
def test_it(heals):
    "F1: It."
    {2}
"""


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (("raise KeyboardInterrupt", "", "pass"), "could not tell"),
        (("pass", "raise LabError('no login')", "raise KeyboardInterrupt"), "could not tell"),
        (("pass", "raise KeyboardInterrupt", "assert False"), "BROKEN"),
    ],
    ids=["in the first setup", "and what heals fails", "after it failed"],
)
def test_an_interrupted_run_has_its_verdict(
    suite: pytest.Pytester, words: tuple[str, ...], outcome: str
) -> None:
    """Wherever it is interrupted: the run could not tell, and what was told of the test before stays."""
    result = run(suite, TORN.format(*words))

    said = verdict(suite)
    assert (result.ret, said["verdict"]) == (Outcome.UNKNOWN, "could not tell")
    assert [it["outcome"] for it in said["tests"]] == [outcome]


INTERRUPTED = """
def test_a(): "F1: It."
def test_b(lab):
    "F2: It."
    raise KeyboardInterrupt
"""


def test_an_interrupted_test_proves_nothing(suite: pytest.Pytester) -> None:
    """The test that was under way could not tell; those before it stand."""
    run(suite, INTERRUPTED.replace("lab", ""), "-p", "no:randomly")

    outcomes = [(it["outcome"], it["reason"]) for it in verdict(suite)["tests"]]
    assert outcomes == [("ok", ""), ("could not tell", "interrupted")]


@pytest.mark.parametrize("error", ["KeyboardInterrupt()", "TypeError('odd')", "LabError('no login')"])
def test_the_verdict_is_written_whatever_is_left(suite: pytest.Pytester, error: str) -> None:
    """Interrupted again while what is left is looked for, or with an answer nobody foresaw: it is said."""
    suite.makeconftest(
        f"""
        import pytest
        from lab.errors import LabError
        from lab.hosts import Lab
        from lab.plugin import judge
        pytest_plugins = ['lab.plugin']
        @pytest.fixture
        def lab(facts): return Lab(facts, dict.fromkeys(facts.hosts))
        def violations(lab): raise {error}
        judge.violations = violations
        """
    )

    result = run(suite, INTERRUPTED, "-p", "no:randomly")

    assert result.ret == Outcome.UNKNOWN
    result.stdout.fnmatch_lines(["left behind: nobody knows: *", "left behind: heal it with*"])
    assert len(verdict(suite)["left"]) == 2


FAILS_TWICE = """
import pytest
@pytest.fixture
def heals(history):
    yield
    history.ok(history.invoke("write", "k", "2", "lb"), index=2)
    assert False
def test_it(heals, history):
    "F1: It."
    history.ok(history.invoke("write", "k", "1", "lb"), index=1)
    assert False
"""


def test_what_was_found_first_is_kept(suite: pytest.Pytester) -> None:
    """A test whose end fails as well is looked at twice, and the second look is beside the first."""
    run(suite, FAILS_TWICE)

    (first,) = suite.path.glob("kept/*/history.jsonl")
    (second,) = suite.path.glob("kept/*/teardown/history.jsonl")
    assert len(first.read_text().splitlines()) < len(second.read_text().splitlines())


SLOW = """
from lab import waiting
def test_it(monkeypatch):
    "F1: It."
    monkeypatch.setattr(waiting, "LONG", 0.0)
    answers = iter(["nobody", "server1"])
    waiting.wait_for(lambda: next(answers), until=lambda it: it != "nobody", within=5, what="a leader")
    waiting.lapse(0.01, "a moment")
"""


def test_a_long_wait_says_what_came_before_its_answer(suite: pytest.Pytester) -> None:
    """What made it long can be read afterwards."""
    run(suite, SLOW)

    first, second = verdict(suite)["tests"][0]["waits"]
    assert (first[:16], "'nobody'" in first, second) == ("a leader (until ", True, "a moment")
