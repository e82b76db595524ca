"""The load client as a Locust user, so that Locust's master, workers and web page drive many machines.

    locust -f tools/client/locustfile.py --host lb:5000 --client "-c 1000 --churn --rate 200" -u 4

Each user is one run of the client, in a process of its own: its loop must not be interrupted by Locust's
greenlets, nor stop them. Locust reads the client's rows, one a second, and enters them into its statistics:
"open" is a connect with its first ping, "ping" a later one on a held connection; an attempt that is not ok is
a failure with its class. The options of a user are the client's own (`client -h`).
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdrh.histogram import HdrHistogram
from locust import User, events, task
from locust.exception import StopUser
from locust.stats import StatsEntry, bucket_response_time

if TYPE_CHECKING:
    import argparse

    from locust.stats import RequestStats

OPEN, PING = "open", "ping"
PACKAGE = Path(__file__).resolve().parent
NOT_LOST = ("ok",)

Row = dict[str, Any]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator] # Locust is seen as untyped
def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what each user is to do; workers get it from their master."""
    parser.add_argument("--client", default="-c 100", help="options of the load client that each user runs")


class Client(User):  # type: ignore[misc] # Locust is seen as untyped
    """A run of the load client against `--host`."""

    last: Row

    @task  # type: ignore[untyped-decorator]
    def run_client(self) -> None:
        """Run it once, to its own end or until Locust stops the user."""
        options = shlex.split(self.environment.parsed_options.client)
        command = [sys.executable, "-m", PACKAGE.name, "--stream", *options, self.host]
        self.last = {}
        process = subprocess.Popen(command, cwd=PACKAGE.parent, stdout=subprocess.PIPE, text=True)
        try:
            self._enter(process)
        finally:
            process.terminate()
            self._enter(process)
            process.wait()
        if not self.last:
            self.environment.stats.log_error(OPEN, self.host, "the client did not start: see its messages")
            raise StopUser

    def _enter(self, process: subprocess.Popen[str]) -> None:
        """Enter the rows of `process` as they come, until it ends."""
        assert process.stdout
        for line in process.stdout:
            row = json.loads(line)
            if "time" in row:  # the last object is the summary: the rows have told it all
                enter_row(self.environment.stats, self.host, self.last, row)
                self.last = row


def enter_row(stats: RequestStats, name: str, last: Row, row: Row) -> None:
    """Enter what has happened since the row `last` (empty: since the start) into Locust's statistics."""
    before = last.get("classes", {})
    losses = {
        outcome: count - before.get(outcome, 0)
        for outcome, count in row["classes"].items()
        if outcome not in NOT_LOST
    }
    for outcome, count in losses.items():
        for _ in range(count):
            stats.log_error(OPEN, name, outcome)
    _extend(stats, name, OPEN, row["first_reply"])
    _extend(stats, name, PING, row["reply"])


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
