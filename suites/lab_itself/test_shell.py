"""What the suites stand on: commands on hosts end, whatever they print and however long they would take."""

import statistics
import time

import pytest

from lab.errors import CommandError, CommandTimeoutError
from lab.hosts import Lab

DELAYED_ACK = 0.04  # seconds: the least that Linux delays one (TCP_DELACK_MIN)


def test_a_command_ends_at_its_deadline(lab: Lab) -> None:
    """A command that would take a minute raises after a second, and the next one works."""
    with pytest.raises(CommandTimeoutError, match="sleep 60"):
        lab.client.run("sleep", "60", deadline=1)

    assert lab.client.run("echo", "still there") == "still there\n"


def test_much_on_both_streams_is_read(lab: Lab) -> None:
    """5 MB on each stream come back whole; reading one after the other would hang."""
    both = "import sys; sys.stderr.write('e' * 5000000); sys.stdout.write('o' * 5000000)"

    result = lab.client.shell.run("python3 -c %s", both)

    assert (len(result.stdout), len(result.stderr)) == (5_000_000, 5_000_000)


def test_a_failed_command_is_an_error_of_the_lab(lab: Lab) -> None:
    """An exit code other than 0 raises, with what the command said."""
    with pytest.raises(CommandError, match="exit code 3: why not"):
        lab.client.run("sh", "-c", "echo why not >&2; exit 3")


def test_connections_are_made_again(lab: Lab) -> None:
    """A connection whose far end was killed under a command is an error; the next command makes a new one."""
    with pytest.raises(CommandError, match="lost under"):
        lab.client.run("sh", "-c", "sleep 0.2; kill -KILL $PPID; sleep 5")

    assert lab.client.run("hostname") == f"{lab.client.name}\n"


def test_a_command_does_not_wait_for_a_delayed_acknowledgement(lab: Lab) -> None:
    """Each command takes what it takes: its small messages do not wait 40 ms for each other."""
    took = []
    for _ in range(15):
        begun = time.monotonic()
        lab.client.run("true")
        took.append(time.monotonic() - begun)

    assert statistics.quantiles(took, n=4)[0] < DELAYED_ACK
