"""The pytest plugin of the suites: their options, fixtures, exit codes and evidence.

Exit codes: 0 the stack is ok, 1 it is broken, 10 the lab could not tell, also because it was interrupted;
pytest's own others (usage, internal) mean "could not tell" as well.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import testinfra.host
from pytest_metadata.plugin import metadata_key

from lab import fence, hosts, shell, topology
from lab.errors import LabError
from lab.history import History
from lab.machines import Machines
from lab.plugin.depth import DEPTHS, sort_out
from lab.plugin.judge import Judge
from lab.proof import Proof

RUNS = topology.ROOT / "runs"
FACTS = pytest.StashKey[topology.Topology]()
WANTED = pytest.StashKey[dict[str, str]]()
EVIDENCE = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options beside testinfra's `--hosts`."""
    group = parser.getgroup("consul-demo")
    group.addoption("--topology", metavar="FILE", help="facts that replace those of topology.yaml")
    group.addoption("--run-folder", metavar="FOLDER", type=Path, help="verdict and evidence (runs/TIME)")
    group.addoption(
        "--evidence", action="store_true", help="evidence of every test, not only of those that fail"
    )
    group.addoption("--depth", choices=DEPTHS, default="standard", help="how much is tried (standard)")
    group.addoption(
        "--destructive", action="store_true", help="with --hosts: wipe, cut power, found anew, too"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the facts and register the markers."""
    config.addinivalue_line("markers", "role(*names): the test runs once on each host of these roles")
    config.addinivalue_line("markers", "original_fails(threads): known of gliderlabs/registrator")
    config.addinivalue_line(
        "markers", "destructive: cannot be undone, or only by booting: asks for --destructive"
    )
    config.addinivalue_line(
        "markers",
        "deepest(of): of its parameters, or of the tests of one name, only those of the deepest wanted depth",
    )
    config.addinivalue_line("markers", "slow: deeper than standard; set by itself")
    for depth in DEPTHS:
        config.addinivalue_line("markers", f"{depth}: is run at this depth and at deeper ones")
    try:
        facts = topology.load(config.getoption("--topology"))
        config.stash[WANTED] = wanted(facts, config.getoption("--hosts"))
    except (topology.TopologyError, LabError) as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[FACTS] = facts
    config.stash[metadata_key].update(provenance(facts))
    listed = config.getoption("collectonly")  # nothing is run then, and there is no verdict
    if not listed and not any("tests" in Path(path).parts for path in config.args):
        config.pluginmanager.register(Judge(config, lambda: evidence(config)), "consul-demo-judge")


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


@pytest.fixture(scope="session")
def machines(pytestconfig: pytest.Config) -> Machines | None:
    """The power of the hosts, which only the project's own lab gives."""
    return Machines() if pytestconfig.getoption("--hosts") is None else None


@pytest.fixture
def history() -> History:
    """What the test's load and faults did; it is kept when the test fails."""
    return History()


@pytest.fixture
def proof() -> Proof:
    """What the test measures."""
    return Proof()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is deeper than the wanted depth, and what would destroy a stack that is not ours."""
    sort_out(config, items)


def evidence(config: pytest.Config) -> Path:
    """Return the folder of this run, made when something is first to be kept."""
    if EVIDENCE not in config.stash:
        named = config.getoption("--run-folder")
        folder = named or RUNS / datetime.now(tz=UTC).strftime("%Y%m%d-%H%M%S")
        folder.mkdir(parents=True, exist_ok=True)
        config.stash[EVIDENCE] = folder
    return config.stash[EVIDENCE]
