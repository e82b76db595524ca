"""From what pytest reports of each test to the verdict of the run, and the evidence beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_metadata.plugin import metadata_key

from lab import artifacts, timeline, waiting
from lab.errors import NotRunError
from lab.history import History
from lab.hosts import Lab
from lab.invariants import violations
from lab.plugin.depth import DEPTHS, depth
from lab.proof import Proof
from lab.pulse import Pulse
from lab.report import WORDS, Entry, Outcome, document, save, slowest, table

CUT = 200  # characters
SOAK = DEPTHS.index("soak")
ONLY_SOAK = "it takes long: ask for it by --depth=soak"


class Waits(logging.Handler):
    """Takes down what was waited for, and how long, in the entry of the test that waits."""

    def __init__(self) -> None:
        """Listen to lab.waiting."""
        super().__init__()
        self.entry = Entry("", "")
        waiting.LOG.addHandler(self)
        waiting.LOG.setLevel(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        """Add a wait; of a long one with the last answer but the awaited one."""
        said, seconds = record.getMessage(), record.__dict__["seconds"]
        before = record.__dict__.get("before") if seconds > waiting.LONG else None
        self.entry.waits.append((f"{said} (until {before[0][:CUT]})" if before else said, seconds))


class Judge:
    """Keeps an entry for each test, collects evidence of what failed, and says the verdict."""

    def __init__(self, config: pytest.Config, folder: Callable[[], Path]) -> None:
        """Begin with nothing known; `folder` makes and returns the run's own."""
        self._config = config
        self._folder = folder
        self._entries: dict[str, Entry] = {}
        self._outcome = Outcome.OK
        self._lab: Lab | None = None
        self._under_way = Entry("", "")
        self._kept: set[str] = set()
        self._left: list[str] = []
        self._unwritten: list[str] = []
        self._waits = Waits()
        self._pulse = Pulse()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Say of what is only run as a soak that a full run has not run it: no promise is passed over."""
        asked = self._config.getoption
        if asked("--depth") != "full" or asked("keyword") or asked("markexpr"):
            return
        for item in items:
            if depth(item) == SOAK:
                self._entries[item.nodeid] = Entry(item.nodeid, _promise(item), not_run=ONLY_SOAK)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Open the entry of a test."""
        self._under_way = self._waits.entry = self._entries.setdefault(nodeid, Entry(nodeid, ""))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Know the promise, however the test ends."""
        self._under_way.promise = _promise(item)

    def pytest_runtest_logfinish(self) -> None:
        """Close it. A test that is interrupted never comes here, nor is it reported."""
        self._under_way = Entry("", "")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Sort what failed into broken, could not tell and not run, and ask the hosts while it is fresh."""
        report = yield
        entry = self._entries[item.nodeid]
        entry.seconds += call.duration
        entry.standstill = max(entry.standstill, self._pulse.take())
        asked: dict[str, Any] = item.funcargs if isinstance(item, pytest.Function) else {}
        if isinstance(asked.get("lab"), Lab):
            self._lab = asked["lab"]
        if isinstance(asked.get("proof"), Proof):
            entry.measures = asked["proof"].measures
        if call.excinfo and call.excinfo.errisinstance(NotRunError):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"Skipped: {call.excinfo.value}")
        if report.skipped:
            entry.not_run = _reason(report)
        if report.failed and call.excinfo:
            self._blame(entry, call.excinfo)
        if report.failed or (call.when == "call" and self._config.getoption("--evidence")):
            self._keep(entry, report, asked.get("history"))
        return report

    def _blame(self, entry: Entry, raised: pytest.ExceptionInfo[BaseException]) -> None:
        said = str(raised.value)
        hung = raised.errisinstance(pytest.fail.Exception) and said.startswith("Timeout ")
        broken = raised.errisinstance((AssertionError, pytest.fail.Exception)) and not hung
        entry.outcome = max(entry.outcome, Outcome.BROKEN if broken else Outcome.UNKNOWN)
        entry.reason = entry.reason or said

    def _keep(self, entry: Entry, report: pytest.TestReport, history: object) -> None:
        """Write the evidence. A host that does not answer takes a "broken" back: nobody can tell then.

        What is asked once more, after the test's end failed as well, does not replace what was found first.
        """
        try:
            folder = artifacts.folder_of(self._folder(), entry.test)
            folder /= report.when if entry.test in self._kept and report.when else ""
            self._kept.add(entry.test)
            folder.mkdir(parents=True, exist_ok=True)
            if report.failed:
                (folder / "failure.txt").write_text(report.longreprtext)
            silent = artifacts.collect(folder, self._lab) if self._lab else []
            if isinstance(history, History) and history.records:
                history.save(folder / "history.jsonl")
                (folder / "timeline.svg").write_text(timeline.render(history, entry.promise))
            report.sections.append(("evidence", str(folder)))
        except OSError as error:
            self._unwritten.append(f"evidence of {entry.test} was not kept: {error}")
        else:
            if silent and entry.outcome is Outcome.BROKEN:
                entry.outcome = Outcome.UNKNOWN
                entry.reason = f"no answer from {', '.join(silent)}; {entry.reason}"

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        """Exit with the verdict where pytest would say only "failed", and write it down.

        Also when Ctrl-C is pressed again, which ends the fixtures' own waiting.
        """
        try:
            yield
        except KeyboardInterrupt:
            exitstatus = pytest.ExitCode.INTERRUPTED
        except BaseException as error:  # noqa: BLE001 - a report's, or that of fixtures which end only here
            self._unwritten.append(f"the end of the run failed: {type(error).__name__}: {error}")
        self._pulse.stop()
        entries = self._entries.values()
        self._outcome = self._conclude(exitstatus)
        if self._outcome is not Outcome.OK and self._lab and self._lab.whole:
            self._left = self._look(self._lab)
        if any(entry.promise for entry in entries):
            facts = {"depth": self._depth, **self._config.stash[metadata_key], "left": self._left}
            try:
                save(self._folder(), document(entries, self._outcome, facts))
            except OSError as error:
                self._unwritten.append(f"verdict.json was not written: {error}")
        if self._unwritten:
            self._outcome = Outcome.UNKNOWN
        own = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
        if exitstatus in own:
            session.exitstatus = int(self._outcome)

    def _conclude(self, exitstatus: int) -> Outcome:
        """Return the run's outcome by its tests'; one that was still under way could not tell."""
        if self._under_way.test and self._under_way.outcome is Outcome.OK:
            self._under_way.outcome, self._under_way.reason = Outcome.UNKNOWN, "interrupted"
        entries = self._entries.values()
        regular = exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        if not regular or self._unwritten or (entries and all(entry.not_run for entry in entries)):
            return Outcome.UNKNOWN
        return max([Outcome.OK, *(entry.outcome for entry in entries)])

    def _look(self, lab: Lab) -> list[str]:
        """Return what a run that is not ok left of its faults, and the remedy."""
        try:
            found = violations(lab)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the verdict is written, whatever it is
            found = [f"nobody knows: {type(error).__name__} {error}".rstrip()]
        asked = {name: self._config.getoption(f"--{name}") for name in ("topology", "hosts", "ssh-config")}
        said = {name: f" --{name}={value}" if value else "" for name, value in asked.items()}
        remedy = f"heal it with: tools/lab{said['topology']} heal{said['hosts']}{said['ssh-config']}"
        return [*found, remedy] if found else []

    @property
    def _depth(self) -> str:
        named = self._config.getoption("--depth")
        return f"{DEPTHS.index(named) + 1} of {len(DEPTHS)}: {named}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say the verdict in words, and what it stands on."""
        entries = self._entries.values()
        if not entries:
            return
        terminalreporter.section("promises")
        for line in table(entries):
            terminalreporter.line(line)
        terminalreporter.section("slowest, and what they waited for")
        for line in slowest(entries):
            terminalreporter.line(line)
        terminalreporter.section("verdict")
        terminalreporter.line(f"{WORDS[self._outcome]} (depth {self._depth})")
        broken = sum(entry.outcome is Outcome.BROKEN for entry in entries)
        if broken and self._outcome is Outcome.UNKNOWN:
            terminalreporter.line(f"and BROKEN: {broken} tests found a promise not kept")
        for line in self._unwritten:
            terminalreporter.line(line)
        for line in self._left:
            terminalreporter.line(f"left behind: {line}")


def _promise(item: pytest.Item) -> str:
    """Return the first sentence of a test's docstring, on one line."""
    said = getattr(getattr(item, "obj", None), "__doc__", "") or ""
    return " ".join(said.partition("\n\n")[0].split())


def _reason(report: pytest.TestReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
