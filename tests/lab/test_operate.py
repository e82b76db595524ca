"""The command tools/lab, as the Makefile calls it."""

import re

from lab.topology import ROOT
from tools.operate.__main__ import COMMANDS


def test_every_command_of_the_makefile_exists() -> None:
    """Each `tools/lab WORD` of the Makefile is a word that tools/lab knows."""
    called = set(re.findall(r"^\ttools/lab (\w+)", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"up", "forward"} <= called
    assert called <= COMMANDS.keys()
