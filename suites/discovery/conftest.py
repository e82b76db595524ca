"""How the suite asks agents: raw, by every way there is, and again and again while something changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import dns.message
import dns.rdatatype

from lab.consul import Place, instances_of
from lab.errors import LabError
from lab.hosts import Node

PAUSE = 0.05
# Sends the same query again and again from a host to its own agent, by plain UDP, and prints the answers.
ASK_BY_UDP = """
import socket, sys
port, count, patience = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
query = bytes.fromhex(sys.argv[4])
with socket.socket(type=socket.SOCK_DGRAM) as asker:
    asker.settimeout(patience)
    asker.connect(("127.0.0.1", port))
    for _ in range(count):
        asker.send(query)
        print(asker.recv(65536).hex())
"""


def by_udp(node: Node, port: int, service: str, count: int) -> list[dns.message.Message]:
    """Return a host's agent's answers to so many SRV queries by plain UDP, without EDNS."""
    query = dns.message.make_query(f"{service}.service.consul", dns.rdatatype.SRV, use_edns=False)
    words = (str(port), str(count), str(node.limits.leaderless), query.to_wire().hex())
    said = node.run("python3", "-c", ASK_BY_UDP, *words)
    return [dns.message.from_wire(bytes.fromhex(line)) for line in said.split()]


def listed(node: Node, service: str, mode: str) -> set[Place]:
    """Return where the healthy instances of a service are, as an agent answers by HTTP in one mode.

    `mode` is one of Consul's modes of consistency. Raises requests.HTTPError for an answer that is an error.
    """
    answer = node.agent.get(f"health/service/{service}", passing="", **{mode: ""})
    answer.raise_for_status()
    return {instance.place for instance in instances_of(answer.json())}


class Watch:
    """Asks a question every 50 ms while the body of a `with` goes on, and keeps when it was last true.

    `asked` counts the answers. Raises LabError when the question raises, or was never true.
    """

    def __init__(self, question: Callable[[], bool]) -> None:
        """Ask nothing yet."""
        self._question = question
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failed: Exception | None = None
        self._answers: list[tuple[float, bool]] = []

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End with the answer that is under way."""
        self._over.set()
        self._thread.join()
        if self._failed and not kind:
            raise LabError(f"the watch failed: {self._failed!r}") from self._failed

    def _run(self) -> None:
        try:
            while not self._over.wait(PAUSE):
                answer = self._question()
                self._answers.append((time.monotonic(), answer))
        except Exception as error:  # noqa: BLE001 - handed to the thread that leaves the `with`
            self._failed = error

    @property
    def yes(self) -> bool:
        """Return whether the last answer was yes."""
        return bool(self._answers) and self._answers[-1][1]

    def end(self) -> float:
        """Return when, on the monotonic clock, the first no after the last yes came. Raises LabError."""
        last = max((place for place, (_, yes) in enumerate(self._answers) if yes), default=None)
        if last is None or last + 1 == len(self._answers):
            raise LabError(f"of {len(self._answers)} answers the last yes was number {last}")
        return self._answers[last + 1][0]
