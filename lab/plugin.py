"""The pytest plugin of the suites: their options, fixtures, exit codes and evidence.

Exit codes: 0 the stack is ok, 1 it is broken, 10 the lab could not tell; pytest's own others (interrupted,
usage, internal) mean "could not tell" as well.
"""

from __future__ import annotations

import enum
import subprocess
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import testinfra.host
from pytest_metadata.plugin import metadata_key

from lab import artifacts, fence, hosts, shell, topology
from lab.errors import LabError
from lab.machines import Machines

RUNS = topology.ROOT / "runs"
FACTS = pytest.StashKey[topology.Topology]()
WANTED = pytest.StashKey[dict[str, str]]()
EVIDENCE = pytest.StashKey[Path]()
COULD_NOT_TELL = 10


class Outcome(enum.IntEnum):
    """What a run says of the stack, the worst one last."""

    OK = 0
    BROKEN = 1
    UNKNOWN = COULD_NOT_TELL


WORDS = {
    Outcome.OK: "OK: the stack keeps its promises",
    Outcome.BROKEN: "BROKEN: a promise is not kept",
    Outcome.UNKNOWN: "COULD NOT TELL: the lab, not the stack, failed",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options beside testinfra's `--hosts`."""
    group = parser.getgroup("consul-demo")
    group.addoption("--topology", metavar="FILE", help="facts that replace those of topology.yaml")
    group.addoption("--evidence", metavar="FOLDER", type=Path, help="what failed tests leave (runs/TIME)")


def pytest_configure(config: pytest.Config) -> None:
    """Read the facts and register the markers."""
    config.addinivalue_line("markers", "role(*names): the test runs once on each host of these roles")
    config.addinivalue_line("markers", "original_fails(threads): known of gliderlabs/registrator")
    try:
        facts = topology.load(config.getoption("--topology"))
        config.stash[WANTED] = wanted(facts, config.getoption("--hosts"))
    except (topology.TopologyError, LabError) as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[FACTS] = facts
    config.pluginmanager.register(Verdict(config), "consul-demo-verdict")
    config.stash[metadata_key].update(provenance(facts))


def provenance(facts: topology.Topology) -> dict[str, str]:
    """Return what a report must name so that it can be believed later."""
    described = subprocess.run(
        ["git", "-C", str(topology.ROOT), "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "commit": described.stdout.strip() or "unknown",
        "Consul": facts.versions.consul,
        "consul-template": facts.versions.consul_template,
        "raft_multiplier": str(facts.consul.raft_multiplier),
        "images": f"{facts.images.fep}, {facts.images.registrator}, {facts.images.haproxy}",
        "hosts": ", ".join(f"{host.name} {host.address}" for host in facts.hosts.values()),
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `node` or `host` on each wanted host of the roles it names."""
    if "node" not in metafunc.fixturenames:
        return
    facts = metafunc.config.stash[FACTS]
    marker = metafunc.definition.get_closest_marker("role")
    roles = marker.args if marker else topology.ROLES
    names = [name for name in metafunc.config.stash[WANTED] if facts.hosts[name].role in roles]
    metafunc.parametrize("node", names, indirect=True, scope="session")


def wanted(facts: topology.Topology, named: str | None) -> dict[str, str]:
    """Return topology name -> host specification; without --hosts every host by its name. Raises LabError."""
    if named is None:
        return {name: f"paramiko://{name}" for name in facts.hosts}
    return hosts.match(named.split(","), facts)


@pytest.fixture(scope="session")
def facts(pytestconfig: pytest.Config) -> topology.Topology:
    """The topology."""
    return pytestconfig.stash[FACTS]


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config, facts: topology.Topology) -> hosts.Lab:
    """The wanted hosts, each of which answers. Raises LabError otherwise."""
    fence.enter(facts)
    shell.install(facts.deadlines.command)
    ours = pytestconfig.getoption("--hosts") is None
    config = Machines().ssh_config() if ours else _given(pytestconfig)
    nodes = {
        name: hosts.Node(facts.hosts[name], spec, facts, config)
        for name, spec in pytestconfig.stash[WANTED].items()
    }
    for node in nodes.values():
        node.reach()
    return hosts.Lab(facts, nodes)


def _given(config: pytest.Config) -> Path | None:
    named = config.getoption("--ssh-config")
    return Path(named) if named else None


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest, lab: hosts.Lab) -> hosts.Node:
    """One host of the roles that the test names."""
    return lab.nodes[request.param]


@pytest.fixture(scope="session")
def host(node: hosts.Node) -> testinfra.host.Host:
    """testinfra's view of `node`."""
    return node.shell


def evidence(config: pytest.Config) -> Path:
    """Return the folder of this run, made when something is first to be kept."""
    if EVIDENCE not in config.stash:
        named = config.getoption("--evidence")
        folder = named or RUNS / datetime.now(tz=UTC).strftime("%Y%m%d-%H%M%S")
        folder.mkdir(parents=True, exist_ok=True)
        config.stash[EVIDENCE] = folder
    return config.stash[EVIDENCE]


class Verdict:
    """Keeps the worst outcome of the run and collects evidence of what failed."""

    def __init__(self, config: pytest.Config) -> None:
        """Begin with nothing known."""
        self._config = config
        self._worst = Outcome.OK

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Sort a failure into broken or could not tell, and ask the hosts about it while it is fresh."""
        report = yield
        lab = item.funcargs.get("lab") if isinstance(item, pytest.Function) else None
        if report.failed and call.excinfo:
            broken = call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
            self._worst = max(self._worst, Outcome.BROKEN if broken else Outcome.UNKNOWN)
            if isinstance(lab, hosts.Lab):
                folder = artifacts.folder_of(evidence(self._config), item.nodeid)
                artifacts.collect(folder, lab.nodes.values())
                report.sections.append(("evidence", str(folder)))
        return report

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Exit with the verdict where pytest would say only "failed"."""
        if exitstatus == pytest.ExitCode.TESTS_FAILED:
            session.exitstatus = int(self._worst)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Say the verdict in words."""
        if not any(str(path).startswith("suites") for path in terminalreporter.config.args):
            return
        told = exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        not_run = len(terminalreporter.stats.get("skipped", []))
        terminalreporter.section("verdict")
        terminalreporter.line(WORDS[self._worst if told else Outcome.UNKNOWN])
        if not_run:
            terminalreporter.line(f"not run: {not_run}, each with its reason above")
