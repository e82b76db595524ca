"""A Docker daemon of pretence: recorded answers, events, and the lag of its list.

As the real one does (20.10.24: 66 of 75 lists read right after pause, unpause and die were stale), it sends
those events before its list shows the change; to inspect the container waits for that.

As a program it serves COUNT containers: `python3 -m tests.registrator.fake_docker SOCKET COUNT`.
"""

from __future__ import annotations

import json
import queue
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.registrator.fakes import LONGEST, Fake, Handler, recorded

KEPT = 256  # events that the daemon remembers
Json = dict[str, Any]


class FakeDocker(Fake):
    """The daemon; its methods do what the docker command of that name does."""

    place: Path

    def __init__(self, place: Path) -> None:
        """Prepare, without containers."""
        super().__init__(place)
        self.entries: dict[str, Json] = {}
        self.listed: dict[str, Json] = {}
        self.inspections: dict[str, Json] = {}
        self.published: dict[str, list[Json]] = {}
        self.subscribers: list[queue.SimpleQueue[Json]] = []
        self.history: list[Json] = []
        self.lossy = False
        self.stuck: set[str] = set()
        self.refusals: dict[str, int] = {}

    def run(
        self,
        name: str,
        ports: dict[str, int] | None = None,
        env: tuple[str, ...] = (),
        network: str = "default",
        **more: object,
    ) -> str:
        """Start a container with exposed ports, published where the host's port is not 0; return its ID."""
        key = f"{len(self.inspections) + 1:02d}{name.encode().hex()}".ljust(64, "0")
        entry, inspection = recorded("container"), recorded("inspection")
        ports = ports or {}
        published = [
            {
                "IP": "0.0.0.0",
                "PrivatePort": int(port.split("/")[0]),
                "PublicPort": host,
                "Type": port.split("/")[1],
            }
            for port, host in ports.items()
            if host
        ]
        entry |= {"Id": key, "Names": [f"/{name}"], "Created": len(self.inspections)}
        entry |= {"HostConfig": {"NetworkMode": network}, "Labels": {}, "Status": "Up 1 second"} | more
        config = {"Env": list(env), "ExposedPorts": {port: {} for port in ports}}
        self.inspections[key] = inspection | {"Id": key, "Config": inspection["Config"] | config}
        self.entries[key] = entry
        self.published[key] = published
        self.start_again(key, entry["Status"])
        return key

    def change(self, key: str, event: str, **changes: object) -> None:
        """Change a container: the event first, the list when somebody inspects."""
        self.entries[key] |= changes
        self.emit(event, key)

    def die(self, key: str, code: int = 0) -> None:
        """End a container."""
        self.change(key, "die", State="exited", Status=f"Exited ({code}) 1 second ago", Ports=[])

    def start_again(self, key: str, status: str = "Up 1 second") -> None:
        """Start an ended container."""
        self.entries[key] |= {"State": "running", "Status": status, "Ports": self.published[key]}
        self.listed[key] = dict(self.entries[key])
        self.emit("start", key)

    def kill(self, key: str, signal: int) -> None:
        """Send a signal that the container survives."""
        self.emit("kill", key, signal=str(signal))

    def remove(self, key: str) -> None:
        """Remove a container."""
        for table in (self.entries, self.listed, self.inspections):
            table.pop(key, None)
        self.emit("destroy", key)

    def emit(self, action: str, key: str, **attributes: str) -> None:
        """Tell an event to all who listen, unless events get lost."""
        event = recorded("event")
        event |= {"Action": action, "status": action, "id": key, "timeNano": time.time_ns()}
        event["Actor"] = {"ID": key, "Attributes": attributes}
        if self.lossy:
            return
        self.history = [*self.history, event][-KEPT:]
        for subscriber in self.subscribers:
            subscriber.put(event)

    def serve(self, request: Handler, body: Json | None) -> None:  # noqa: ARG002 - a GET has none
        """Answer one request."""
        parts = urlsplit(request.path)
        path, query = re.sub(r"^/v[\d.]+", "", parts.path), parse_qs(parts.query)
        filters = json.loads(query.get("filters", ["{}"])[0])
        if path == "/version":
            request.answer(recorded("version"))
        elif path == "/info":
            request.answer(recorded("info"))
        elif path == "/containers/json":
            request.answer([entry for entry in self.listed.values() if entry["State"] in filters["status"]])
        elif path == "/events":
            self.stream(request, int(query["since"][0]), set(filters["event"]))
        else:
            self.inspect(request, path.split("/")[2])

    def inspect(self, request: Handler, key: str) -> None:
        """Answer with an inspection, after which the list is up to date."""
        if key in self.refusals or key not in self.inspections:
            request.answer({"message": f"No container: {key}"}, self.refusals.get(key, 404))
            return
        if key in self.stuck:
            threading.Event().wait(LONGEST)
        self.listed[key] = dict(self.entries[key])
        request.answer(self.inspections[key])

    def stream(self, request: Handler, since: int, wanted: set[str]) -> None:
        """Send events until the client goes or the daemon stops."""
        mailbox: queue.SimpleQueue[Json] = queue.SimpleQueue()
        for event in self.history:
            if event["timeNano"] >= since * 1e9:
                mailbox.put(event)
        self.subscribers.append(mailbox)
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while True:
            event = mailbox.get(timeout=LONGEST)
            if event["Action"].partition(":")[0] in wanted:
                data = json.dumps(event).encode() + b"\n"
                request.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def main() -> None:
    """Serve containers until killed."""
    fake = FakeDocker(Path(sys.argv[1]))
    for number in range(int(sys.argv[2])):
        name = (f"SERVICE_NAME=service{number % 20}", "SERVICE_CHECK_TTL=1h", "SERVICE_TAGS=a,b")
        fake.run(f"load.{number}", {"80/tcp": 10000 + number}, name)
    fake.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
