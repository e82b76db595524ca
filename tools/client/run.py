"""A whole run: look at the limits, load, read the evidence, report."""

from __future__ import annotations

import json
import os
import random
import stat
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from . import backends, history, kernel, limits
from .accounts import Outcome
from .crew import Crew
from .kernel import EvidenceError
from .options import OWN, Options, UsageError
from .plot import svg
from .report import Report, doubts, shortfall
from .timeline import Row, Sample, Timeline
from .wire import resolve
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .backends import Server
    from .stop import Stop
    from .wire import Target

Counters = dict[str, dict[str, int]]


def prepare(options: Options) -> Target:
    """Return the target when this machine allows the run. Raises UsageError with the remedy when not."""
    target = resolve(options)
    limits.check_sources(target)
    limits.check_self_connect(target)
    limits.check_ports(options, target)
    limits.raise_descriptors(options)
    _check_files(options)
    for path in (options.json, options.history, options.plot, *_parts(options)):
        if path:
            _empty(path)
    return target


def _parts(options: Options) -> list[Path]:
    """Return the files in which several processes write their history."""
    if not options.history or options.procs == 1:
        return []
    return [history.part(options.history, process) for process in range(options.procs)]


def _empty(path: Path) -> None:
    """Begin a file anew. Raises UsageError when it cannot be written, as a pipe that nobody reads."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _check_files(options: Options) -> None:
    """Refuse one file for two outputs, which would write over each other. Raises UsageError."""
    outputs = [("--json", options.json), ("--history", options.history), ("--plot", options.plot)]
    outputs += [("a part of --history", part) for part in _parts(options)]
    seen: dict[object, str] = {}
    for name, path in outputs:
        identity = path and _identity(path)
        if identity and (other := seen.setdefault(identity, name)) != name:
            raise UsageError(f"{path}: {other} and {name} are the same file: give each its own")


def _identity(path: Path) -> object:
    """Return what tells the file at `path` from others; None for a device, which takes several outputs."""
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def run(options: Options, stop: Stop, show: Callable[[Row], None]) -> Report:
    """Return the report of a run; `show` is given a row of the timeline once a second.

    Raises UsageError when it cannot begin. The files are written by `write`.
    """
    target = prepare(options)
    warnings = limits.warnings(options, target)
    timeline = Timeline(histograms=options.stream, connections=options.connections)
    identity = random.SystemRandom().getrandbits(24)

    def tell(sample: Sample) -> None:
        show(timeline.add(sample))

    try:
        before = _counters(options), _statistics(options)
    except EvidenceError as error:
        raise UsageError(str(error)) from error
    started = time.monotonic()
    with closing(_crew(options, target, identity, stop)) as worker:
        result = worker.run(tell)
        seconds = time.monotonic() - started
        report = Report(options, result, seconds, stop.name, doubts(options, result, stop.name), warnings)
        report.address = str(target.address[0])
        report.warnings += shortfall(options, result)
        report.timeline, report.steady = timeline.rows, timeline.steady()
        _add_evidence(report, *before)
    _merge_histories(report)
    return report


def _crew(options: Options, target: Target, identity: int, stop: Stop) -> Worker | Crew:
    if options.procs > 1:
        return Crew(options, target, identity, stop)
    return Worker(options, target, identity, 0, stop)


def write(report: Report) -> None:
    """Write the files that were asked for; one that cannot be written becomes a doubt of the report."""
    options = report.options
    title = f"connections to {options.host}:{options.port}"
    _write_one(report, options.plot, lambda: svg(report.timeline, title))
    _write_one(report, options.json, lambda: json.dumps(report.to_json(), indent=1) + "\n")


def _write_one(report: Report, path: Path | None, text: Callable[[], str]) -> None:
    try:
        if path:
            _write(path, text())
    except UsageError as error:
        report.doubts.append(str(error))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _counters(options: Options) -> Counters:
    """Return all counters before the run, the client's own last, because to read the others moves them."""
    others = {name: kernel.read_counters(name, command) for name, command in options.counters}
    return {**others, OWN: kernel.read_own_counters()}


def _statistics(options: Options) -> dict[str, Server]:
    return backends.read_statistics(options.haproxy) if options.haproxy else {}


def _add_evidence(report: Report, counters: Counters, statistics: dict[str, Server]) -> None:
    """Read the counters again, before the held connections are closed, and enter what has moved.

    The client's own come first. Each that cannot be read is a doubt and leaves the others alone.
    """
    with _doubting(report):
        report.counters[OWN] = kernel.movement(OWN, counters[OWN], kernel.read_own_counters())
    for name, command in report.options.counters:
        with _doubting(report):
            report.counters[name] = kernel.movement(name, counters[name], kernel.read_counters(name, command))
    with _doubting(report):
        report.backends = backends.distribution(statistics, _statistics(report.options))
        report.warnings += _unexplained(report)


def _unexplained(report: Report) -> list[str]:
    """Return what is to be said when HAProxy counted fewer connections than were ok: it has begun anew."""
    served, ok = sum(it["sessions"] for it in report.backends.values()), report.result.accounts.of(Outcome.OK)
    if not report.options.haproxy or served >= ok:
        return []
    return [
        f"HAProxy's counters know of {served} connections, {ok} were ok: it has reloaded, and counts anew"
    ]


@contextmanager
def _doubting(report: Report) -> Iterator[None]:
    """Make evidence that is missing a doubt of the report."""
    try:
        yield
    except EvidenceError as error:
        report.doubts.append(str(error))


def _merge_histories(report: Report) -> None:
    path, parts = report.options.history, _parts(report.options)
    if not path or not parts:
        return
    try:
        history.merge(path, parts)
    except OSError as error:
        report.doubts.append(f"{path}: {error.strerror}: the parts of the history are beside it")
    else:
        for each in parts:
            each.unlink()
