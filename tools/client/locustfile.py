"""The load client as a Locust user, so that Locust's master, workers and web page drive many machines.

    locust -f tools/client/locustfile.py --host lb:5000 --client "-c 1000 --churn --rate 200" -u 4

Each user is one run of the client, in a process of its own: its loop must not be interrupted by Locust's
greenlets, nor stop them. Locust reads the client's rows, one a second, and enters them into its statistics:
"open" is a connect with its first ping, "ping" a later one on a held connection; a connection that is lost is
a failed "open" before its proof and a failed "ping" after it, with its class as the error. When all users are
done Locust's test ends, and not before their last rows are counted. The options of a user are the client's
own (`client -h`).
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent  # type: ignore[import-untyped]
from hdrh.histogram import HdrHistogram
from locust import User, events, runners, task
from locust.exception import StopUser
from locust.stats import StatsEntry, bucket_response_time

if TYPE_CHECKING:
    import argparse

    from locust.env import Environment
    from locust.stats import RequestStats

OPEN, PING = "open", "ping"
PACKAGE = Path(__file__).resolve().parent
NOT_LOST = ("ok",)
GLANCE = 0.2

Row = dict[str, Any]

runners.WORKER_REPORT_INTERVAL = 1.0  # seconds: as often as the client has news


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator] # Locust is seen as untyped
def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what each user is to do; workers get it from their master."""
    parser.add_argument("--client", default="-c 100", help="options of the load client that each user runs")


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def end_when_all_is_done(environment: Environment, **_: object) -> None:
    """Let the master, or a Locust without workers, end the test when no user runs any more."""
    if not isinstance(environment.runner, runners.WorkerRunner):
        gevent.spawn(_await_the_users, environment)


def _await_the_users(environment: Environment) -> None:
    """Wait for a worker's report that it has no user: it brings the users' last rows with it.

    A test that is stopped earlier, as by --run-time, is not waited for by Locust for more than half a second.
    """
    runner = environment.runner
    while runner.state in (runners.STATE_SPAWNING, runners.STATE_RUNNING):
        if runner.state == runners.STATE_RUNNING and not runner.user_count:
            end = runner.quit if environment.parsed_options.headless else runner.stop
            end()
        gevent.sleep(GLANCE)


class Client(User):  # type: ignore[misc] # Locust is seen as untyped
    """A run of the load client against `--host`."""

    @task  # type: ignore[untyped-decorator]
    def run_client(self) -> None:
        """Run it once, to its own end or until Locust stops the user."""
        options = shlex.split(self.environment.parsed_options.client)
        command = [sys.executable, "-m", PACKAGE.name, "--stream", *options, self.host]
        process = subprocess.Popen(command, cwd=PACKAGE.parent, stdout=subprocess.PIPE, text=True)
        # A greenlet of its own: to stop the user in the midst of a line would lose it.
        reader = gevent.spawn(enter_all, self.environment.stats, self.host, process)
        try:
            reader.join()
        finally:
            process.terminate()
            reader.join()
        raise StopUser


def enter_all(stats: RequestStats, name: str, process: subprocess.Popen[str]) -> None:
    """Enter the rows of `process` as they come, until it ends, and what it could not tell."""
    assert process.stdout
    last: Row = {}
    doubts = ["the client did not start: see its messages"]
    for line in process.stdout:
        row = json.loads(line)
        if "verdict" in row:
            doubts = row["doubts"]
        else:
            enter_row(stats, name, last, row)
            last = row
    process.wait()
    for doubt in doubts:
        stats.log_error(OPEN, name, f"could not tell: {doubt}")


def enter_row(stats: RequestStats, name: str, last: Row, row: Row) -> None:
    """Enter what has happened since the row `last` (empty: since the start) into Locust's statistics."""
    broken = _grown(last, row, "held_lost")
    for outcome, count in _grown(last, row, "classes").items():
        if outcome not in NOT_LOST:
            _fail(stats, name, OPEN, outcome, count - broken.get(outcome, 0))
            _fail(stats, name, PING, outcome, broken.get(outcome, 0))
    _extend(stats, name, OPEN, row["first_reply"])
    _extend(stats, name, PING, row["reply"])


def _grown(last: Row, row: Row, key: str) -> dict[str, int]:
    before = last.get(key, {})
    return {outcome: count - before.get(outcome, 0) for outcome, count in row[key].items()}


def _fail(stats: RequestStats, name: str, method: str, outcome: str, count: int) -> None:
    """Enter requests that failed, which Locust counts among all requests, too; they have no latency."""
    for _ in range(count):
        stats.log_request(method, name, None, 0)
        stats.log_error(method, name, outcome)


def _extend(stats: RequestStats, name: str, method: str, encoded: str) -> None:
    """Enter the latencies of an encoded HDR histogram, in microseconds, as requests that went well."""
    now = time.time()
    entry = StatsEntry(stats, name, method)
    entry.start_time, entry.last_request_timestamp = now, now
    histogram = HdrHistogram.decode(encoded)
    for item in histogram.get_recorded_iterator():
        milliseconds = item.value_iterated_to / 1000
        entry.response_times[bucket_response_time(milliseconds)] += item.count_at_value_iterated_to
        entry.total_response_time += milliseconds * item.count_at_value_iterated_to
    entry.num_requests = histogram.get_total_count()
    if not entry.num_requests:
        return
    entry.num_reqs_per_sec[int(now)] = entry.num_requests
    entry.min_response_time = histogram.get_min_value() / 1000
    entry.max_response_time = histogram.get_max_value() / 1000
    stats.get(name, method).extend(entry)
    stats.total.extend(entry)
