"""The Vagrantfile: valid for every provider, from the same facts as Python."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import topology
from lab.fence import MARKER
from lab.topology import ROOT


# Vagrant refuses to look at a provider that is not installed; VirtualBox is not among Debian's packages.
@pytest.mark.parametrize("words", [["lxc"], ["libvirt"], ["virtualbox", "--ignore-provider"]])
def test_it_is_valid_for(words: list[str]) -> None:
    """`vagrant validate` accepts the six hosts for each provider."""
    provider, *options = words
    environment = os.environ | {"VAGRANT_DEFAULT_PROVIDER": provider}
    command = ["vagrant", "validate", *options]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert said.stdout.splitlines()[-1:] == ["Vagrantfile validated successfully."], said.stderr


def test_overrides_mean_the_same_in_ruby_and_in_python(tmp_path: Path) -> None:
    """A host that an override takes away, and one that it adds, are so for Vagrant, too."""
    shutil.copy(ROOT / "Vagrantfile", tmp_path)
    shutil.copy(ROOT / "topology.yaml", tmp_path)
    mine = tmp_path / "topology.local.yaml"
    mine.write_text("hosts:\n  server3: null\n  extra: {address: 192.168.0.77, role: server, memory: 300}\n")

    # There is no lab of this copy to be fenced.
    environment = os.environ | {MARKER: topology.load().network.namespace}
    command = ["vagrant", "status", "--machine-readable"]
    said = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    named = [line.split(",")[1] for line in said.splitlines() if ",state," in line]

    assert list(topology.load(root=tmp_path).hosts) == named
