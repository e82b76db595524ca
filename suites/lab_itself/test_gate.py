"""What goes wrong with the gate itself is no verdict on the stack: it could not tell, and heals."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.faults import heal
from lab.hosts import Lab
from lab.machines import Machines
from lab.report import Outcome
from lab.topology import ROOT

pytestmark = [pytest.mark.full, pytest.mark.destructive]

Run = Callable[[str], "subprocess.CompletedProcess[str]"]

# The inner gate waits less long for what these tests know will not come.
IMPATIENT = "deadlines: {recovery: 5, connect: 3}"
SHARED = "from suites.conftest import faults, fleet, undisturbed, power"
DIES = """
def test_it(lab, power):
    power.cut_power(lab.docker.name)
    assert lab.servers[0].agent.members() == {}
"""
INTERRUPTED = """
import os, signal, time
from lab.faults import Cut, isolate
class Pressed(Cut):
    again = True
    def heal(self):
        if self.again:
            self.again = False
            os.kill(os.getpid(), signal.SIGINT)
        super().heal()
def test_it(lab, faults):
    with faults.under(Pressed(isolate(lab.servers[0], lab.agents).ways)):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
"""
HTML = """
def test_it(lab):
    lab.servers[0].agent.api.http.base_uri = f"http://{lab.client.address}:{lab.topology.ports.monitor}"
    lab.servers[0].agent.peers()
"""


@pytest.fixture
def run(lab: Lab, tmp_path: Path, power: Machines) -> Run:
    """What runs a suite of one test on this lab, in a gate of its own."""

    def inner(body: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "conftest.py").write_text(SHARED)
        (tmp_path / "test_inner.py").write_text(body)
        (facts := tmp_path / "impatient.yaml").write_text(IMPATIENT)
        options = [f"--rootdir={ROOT}", f"--run-folder={tmp_path}/run", f"--topology={facts}"]
        words = ["-p", "lab.plugin", *options, str(tmp_path)]
        # Whoever started us in the background may have SIGINT ignored, which is handed down.
        heeding = ["env", "--default-signal=INT"]
        command = [*heeding, sys.executable, "-m", "pytest", "-c", str(ROOT / "pytest.ini"), *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    return inner


def test_a_host_that_dies_is_no_verdict(lab: Lab, power: Machines, run: Run) -> None:
    """A test that fails while a host does not answer could not tell; the host is named."""
    try:
        ended = run(DIES)
    finally:
        list(heal(lab, power))

    assert ended.returncode == Outcome.UNKNOWN, ended.stdout
    assert "no answer from docker" in ended.stdout


def test_control_c_twice_heals(lab: Lab, run: Run) -> None:
    """Interrupted under a fault, and again while that is healed: the fault is gone, and nobody could tell."""
    ended = run(INTERRUPTED)

    tables = [node.run("sudo", "nft", "list", "tables") for node in lab.agents]
    assert ended.returncode == Outcome.UNKNOWN, ended.stdout
    assert not any("consul_demo_fault" in table for table in tables)


def test_an_answer_that_is_no_json_is_no_verdict(run: Run) -> None:
    """An API that answers HTML is somebody else's: could not tell."""
    assert run(HTML).returncode == Outcome.UNKNOWN
