"""Locust drives the load client on several workers."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.client import behaviours as b
from tests.client.commands import LIMIT, ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="tools/client/requirements-locust.txt is not installed"
)
LOCUST = [sys.executable, "-m", "locust", "-f", "tools/client/locustfile.py"]


def drive(port: int, options: str, folder: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """Return a master's exit code and its rows by kind, after two users on two workers did `options`."""
    master_port = str(b.closed_port())
    workers = [
        subprocess.Popen(
            [*LOCUST, "--worker", "--master-port", master_port], cwd=ROOT, stderr=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    command = [*LOCUST, "--master", "--master-bind-port", master_port, "--headless", "--expect-workers", "2"]
    command += ["--host", f"{b.HOST}:{port}", "--client", options, "-u", "2", "-r", "2", "-t", "4s"]
    command += ["--csv", str(folder / "out")]
    try:
        master = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=3 * LIMIT, check=False)
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
    rows = csv.DictReader((folder / "out_stats.csv").read_text().splitlines())
    return master.returncode, {row["Type"]: row for row in rows}


def test_two_workers(tmp_path: Path) -> None:
    """A master with two workers counts what both clients did, opens and pings apart."""
    with b.Server(b.echo) as server:
        code, rows = drive(server.port, "-c 5 --interval 0.2", tmp_path)

    assert code == 0
    assert int(rows["open"]["Request Count"]) == 10
    assert int(rows["ping"]["Request Count"]) > 20
    assert int(rows[""]["Failure Count"]) == 0


def test_losses_are_failures(tmp_path: Path) -> None:
    """What a client loses fails Locust's run, by class."""
    with b.Server(b.reset_after_ping) as server:
        code, rows = drive(server.port, "--churn --rate 10", tmp_path)

    assert code == 1
    assert int(rows["open"]["Failure Count"]) > 20
    assert "reset_before_data" in (tmp_path / "out_failures.csv").read_text()
