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
IMPATIENT = "deadlines: {recovery: 5, connect: 1.5}"
SHARED = "from suites.conftest import faults, fleet, undisturbed, power"
DIES = """
def test_it(lab, power):
    power.cut_power(lab.docker.name)
    assert lab.servers[0].agent.members() == {}
def test_then(lab): pass
def test_last(lab): pass
"""
STOPS = """
from lab.unit import Unit
def test_it(lab): Unit(lab.lb).stop()
def test_then(lab): pass
def test_last(lab): pass
"""
HANGS = """
from lab.waiting import wait_for
def test_it(lab):
    wait_for(lambda: lab.client.run("sleep", "60", deadline=1), within=2, what="an answer")
"""
NO_BANNER = """
from lab.faults import Freeze
from lab.waiting import wait_for
def test_it(lab, faults, power):
    with faults.under(Freeze(power, lab.client)):
        lab.client.hang_up()
        wait_for(lambda: lab.client.run("true"), within=2, what="an answer")
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
import http.server, threading, types
from lab.consul import Agent
from lab.waiting import wait_for
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>welcome</html>")
def test_it(lab):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = types.SimpleNamespace(port=server.server_address[1])
    for node in lab.servers:
        node.__dict__["agent"] = Agent(node.name, place, place, lab.topology)
    wait_for(lab.leader, within=2, what="a leader")
"""


@pytest.fixture
def run(lab: Lab, tmp_path: Path, power: Machines) -> Run:
    """What runs a suite of one test on this lab, in a gate of its own."""

    def inner(body: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "conftest.py").write_text(SHARED)
        (tmp_path / "test_inner.py").write_text(body)
        (facts := tmp_path / "impatient.yaml").write_text(IMPATIENT)
        options = [f"--rootdir={ROOT}", f"--run-folder={tmp_path}/run", f"--topology={facts}"]
        words = ["-p", "lab.plugin", "-p", "no:randomly", *options, str(tmp_path)]
        # Whoever started us in the background may have SIGINT ignored, which is handed down.
        heeding = ["env", "--default-signal=INT"]
        command = [*heeding, sys.executable, "-m", "pytest", "-c", str(ROOT / "pytest.ini"), *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    return inner


def test_a_host_that_dies_is_no_verdict(lab: Lab, power: Machines, run: Run) -> None:
    """A test that fails while a host does not answer could not tell; the host is named, and what is left.

    Of the tests after it one waits for a healthy lab in vain, and the run ends.
    """
    try:
        ended = run(DIES)
    finally:
        list(heal(lab, power))

    assert ended.returncode == Outcome.UNKNOWN, ended.stdout
    assert "no answer from docker" in ended.stdout
    assert "left behind: " in ended.stdout
    assert "no test could tell anything" in ended.stdout
    assert "test_last" not in ended.stdout


def test_control_c_twice_heals(lab: Lab, run: Run) -> None:
    """Interrupted under a fault, and again while that is healed: the fault is gone, and nobody could tell."""
    ended = run(INTERRUPTED)

    tables = [node.run("sudo", "nft", "list", "tables") for node in lab.agents]
    assert ended.returncode == Outcome.UNKNOWN, ended.stdout
    assert not any("consul_demo_fault" in table for table in tables)


def test_control_who_leaves_the_lab_ill_breaks_a_promise(lab: Lab, run: Run, power: Machines) -> None:
    """A test after which the cluster does not recover is red, and the run ends: the next one is not run."""
    try:
        ended = run(STOPS)
    finally:
        list(heal(lab, power))

    assert ended.returncode == Outcome.BROKEN, ended.stdout
    assert "no test could tell anything" in ended.stdout
    assert "left behind: " in ended.stdout
    assert "test_last" not in ended.stdout


@pytest.mark.parametrize(
    "body",
    [HTML, HANGS, NO_BANNER],
    ids=["an API that answers HTML", "a command that hangs", "SSH that hangs"],
)
def test_what_lets_nobody_ask_is_no_verdict(run: Run, body: str) -> None:
    """Waited for to the end, it is no broken promise: could not tell."""
    ended = run(body)

    assert ended.returncode == Outcome.UNKNOWN
    assert "and BROKEN" not in ended.stdout
