"""The suites' verdict: each outcome has its exit code."""

import pytest

from lab import topology
from lab.report import Outcome

UNREACHABLE = "--hosts=paramiko://nobody@127.0.0.1:1"
FACTS = """
network: {cidr: 127.0.0.0/24, gateway: 127.0.0.254, namespace: none-such}
hosts: {lb: null, docker: null, server1: null, server2: null, server3: null, client: {address: 127.0.0.1}}
deadlines: {connect: 2}
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
    return suite.runpytest_inprocess("--topology=facts.yaml", f"--run-folder={suite.path}/kept", *words)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("def test_it(): assert True", Outcome.OK),
        ("def test_it(): assert False", Outcome.BROKEN),
        ("import pytest\ndef test_it(): pytest.fail('so it is')", Outcome.BROKEN),
        ("from lab.waiting import *\ndef test_it(): wait_for(lambda: 0, within=0.1)", Outcome.BROKEN),
        ("from lab.errors import LabError\ndef test_it(): raise LabError('no')", Outcome.UNKNOWN),
        ("def test_it(): raise OSError('gone')", Outcome.UNKNOWN),
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
