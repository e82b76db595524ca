"""The naive HAProxy's configuration: the real one's without what makes a reload safe."""

import difflib

import pytest

from images.haproxy.configure import BASE
from lab.errors import LabError
from lab.naive import configuration

FRONT, OTHER = 5, 6


def test_only_the_handing_over_and_the_stats_are_left_out() -> None:
    """Against the real configuration it lacks the master, the socket and the stats, and has its own port."""
    base = BASE.replace("{front}", str(FRONT))

    difference = list(difflib.ndiff(base.split("\n"), configuration(base, FRONT, OTHER).split("\n")))

    removed = [line[2:].strip() for line in difference if line.startswith("- ")]
    assert [line[2:].strip() for line in difference if line.startswith("+ ")] == [f"bind :{OTHER}"]
    assert removed[0] == "master-worker"
    assert removed[1].startswith("stats socket ")
    assert removed[2:4] == [f"bind :{FRONT}", "frontend stats"]
    assert removed[4:] == [line.strip() for line in base.partition("frontend stats\n")[2].splitlines()]


@pytest.mark.parametrize("missing", ["master-worker", "stats socket", "frontend stats", "bind :{front}"])
def test_a_base_that_it_is_not_made_for_is_refused(missing: str) -> None:
    """A real configuration that has changed makes no naive one that could be a safe one."""
    base = BASE.replace(missing, "other").replace("{front}", str(FRONT))

    with pytest.raises(LabError, match="wanted once"):
        configuration(base, FRONT, OTHER)
