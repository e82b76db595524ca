"""The command tools/lab, as the Makefile calls it."""

import os
import re
import signal
import subprocess
import sys

import pytest

from lab.topology import ROOT
from tools.operate.__main__ import COMMANDS, parse


def test_every_command_of_the_makefile_exists() -> None:
    """Each `tools/lab WORD` of the Makefile is a word that tools/lab knows."""
    called = set(re.findall(r"^\ttools/lab (\w+)", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"up", "forward"} <= called
    assert called <= COMMANDS.keys()


PARENT = """
import sys
from tools.operate.__main__ import patiently
sys.exit(patiently([sys.executable, "-c", sys.argv[1]]))
"""
CHILD = """
import sys, time
try:
    print("begun", flush=True)
    time.sleep(30)
except KeyboardInterrupt:
    time.sleep(1)  # longer than subprocess.run would let it live
    sys.exit(10)
"""


def test_a_gate_takes_the_options_of_pytest() -> None:
    """What `make gate` and `make repeat` say reaches pytest; to other commands a strange word is wrong."""
    assert parse(["gate", "--depth=quick", "-k", "leader"]).words == ["--depth=quick", "-k", "leader"]
    assert (parse(["repeat", "3", "--depth=quick"]).times, parse(["gate"]).words) == (3, [])
    with pytest.raises(SystemExit):
        parse(["down", "--depth=quick"])


def test_control_c_leaves_the_gate_its_time_to_heal() -> None:
    """Ctrl-C, which a terminal sends to both, does not cut short the run that heals."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"begun\n"
        os.killpg(parent.pid, signal.SIGINT)

        assert parent.wait(20) == 10
