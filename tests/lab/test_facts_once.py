"""One fact in one place: the topology's addresses, ports and versions stand nowhere else."""

import re
import subprocess

from lab import topology
from lab.topology import ROOT

# Files that may hold them: benchmarks run on loopback beside the lab, lock files follow the topology (a test
# below holds them to it), texts explain.
EXEMPT = re.compile(
    r"^topology\.yaml$|\.md$|/go\.(mod|sum)$|^requirements|/requirements\.txt$|^tests/|/bench(/|\.py$)|^LICENSE$"
)


# Programs of which a default is part of their promise to users elsewhere.
DEFAULTS = {
    ("images/registrator/registrator/agent.py", "8500"): "what gliderlabs/registrator takes for `consul:`",
}


def sources() -> dict[str, str]:
    """Return the text of every file of the project that may not repeat a fact."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    chosen = [name for name in listed if not EXEMPT.search(name) and (ROOT / name).is_file()]
    return {name: (ROOT / name).read_text(errors="ignore") for name in chosen}


def repeated(fact: str) -> list[str]:
    """Return the places where a fact stands as a word of its own."""
    word = re.compile(rf"(?<![\w.]){re.escape(fact)}(?![\w]|\.\d)")
    return [
        f"{name}: {line.strip()}"
        for name, text in sources().items()
        if (name, fact) not in DEFAULTS
        for line in text.splitlines()
        if word.search(line)
    ]


def test_no_address_is_written_twice() -> None:
    """Neither a host's address nor the gateway's stands in any program."""
    facts = topology.load()
    addresses = [facts.network.cidr, facts.network.gateway, *(host.address for host in facts.hosts.values())]

    assert {address: [] for address in addresses} == {address: repeated(address) for address in addresses}


def test_no_port_is_written_twice() -> None:
    """No port of the lab stands in any program; SSH's, which is also a small number, is not looked for."""
    ports = {name: str(port) for name, port in vars(topology.load().ports).items()}
    # 5000 and 10000 are also counts of other things: they are looked for as part of an address only.
    loose = {"5000", "10000"}

    found = {name: repeated(f":{port}" if port in loose else port) for name, port in ports.items()}
    assert {name: [] for name in ports} == found


def test_no_version_is_written_twice() -> None:
    """No version of what is built stands in any program."""
    versions = vars(topology.load().versions)

    assert {name: [] for name in versions} == {name: repeated(version) for name, version in versions.items()}


def test_the_lock_files_are_of_the_topology_s_versions() -> None:
    """For each pinned Go program there is a folder with the lock of exactly that version."""
    versions = topology.load().versions
    for name, version in {"consul": versions.consul, "consul-template": versions.consul_template}.items():
        lock = ROOT / "images/binaries" / name / version / "go.mod"
        assert f"github.com/hashicorp/{name} v{version} " in lock.read_text()


def test_the_check_can_fail() -> None:
    """A fact that does stand in a program is found."""
    assert any(line.startswith("Vagrantfile:") for line in repeated("consul-demo"))
