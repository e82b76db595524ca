"""The scenarios of the field guide are those that the suites prove."""

import ast
import re
from collections import defaultdict

from lab.report import Entry
from lab.topology import ROOT

SUITES = ROOT / "suites"
ROW = re.compile(r"^\| (\w+) \| ([A-Z]\d.*?) \|", re.MULTILINE)
RANGE = re.compile(r"([A-Z])(\d+)(?:-[A-Z](\d+))?")


def promised() -> dict[str, set[str]]:
    """Return suite -> ids, as the field guide lists them."""
    return {
        suite: {
            f"{letter}{number}"
            for letter, first, last in RANGE.findall(ids)
            for number in range(int(first), int(last or first) + 1)
        }
        for suite, ids in ROW.findall((SUITES / "README.md").read_text())
    }


def proven() -> dict[str, set[str]]:
    """Return suite -> ids that begin the docstrings of its tests."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in SUITES.glob("*/test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[file.parent.name].update(Entry("", ast.get_docstring(node) or "").ids)
    return found


def test_every_scenario_has_its_test() -> None:
    """Each id of the field guide begins the docstring of a test in its suite."""
    tests = proven()

    assert {suite: ids - tests[suite] for suite, ids in promised().items() if ids - tests[suite]} == {}


def test_every_id_is_a_scenario_of_the_guide() -> None:
    """No test of a listed suite claims an id that the guide does not have."""
    everything = set().union(*promised().values())

    strangers = {id_ for suite in promised() for id_ in proven()[suite]} - everything
    assert {id_ for id_ in strangers if id_[0] not in "US"} == set()
