"""The client as a command, run as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 20.0


def start(*arguments: object) -> subprocess.Popen[str]:
    """Return the started command, in a process group of its own."""
    command = [sys.executable, "-m", "tools.client", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def client(*arguments: object) -> tuple[int, str, str]:
    """Return exit code, output and messages of the command, none of which may be a stack trace."""
    process = start(*arguments)
    output, messages = process.communicate(timeout=LIMIT)

    assert "Traceback" not in output + messages

    return process.returncode, output, messages
