"""The Docker side: the containers, and the events that say when to look again."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from docker import APIClient
from docker.errors import NotFound
from docker.utils import kwargs_from_env

from .services import Container, Port

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 10  # seconds for one call
SOCKET = "unix:///tmp/docker.sock"
EVENTS = [
    "start",
    "die",
    "kill",
    "pause",
    "unpause",
    "rename",
    "health_status",
    "destroy",
    "connect",
    "disconnect",
]
STATES = {False: ["running", "paused"], True: ["running", "paused", "restarting", "exited"]}


class Engine:
    """One client of the Docker daemon, for one thread. All methods raise DockerException or OSError."""

    def __init__(self, *, failed: bool = False) -> None:
        """Prepare; with failed, containers that ended in failure are told, too."""
        host = os.environ.get("DOCKER_HOST", SOCKET)
        tls = kwargs_from_env().get("tls", False)
        self.client = APIClient(host, version="1.41", timeout=LIMIT, tls=tls)
        self.client.trust_env = False
        self.failed = failed
        self.inspected: dict[str, dict[str, Any]] = {}

    def host_name(self) -> str:
        """Return Docker's name of the host."""
        return str(self.client.info()["Name"])

    def containers(self, touched: set[str]) -> list[Container]:
        """Return the running and paused containers, oldest first.

        The daemon's list may lag behind its events, but to inspect a container waits until the change that
        an event told of is done: so those touched by events are inspected before the list is read.
        """
        for key in touched:
            self.inspected.pop(key, None)
            self.inspect(key)
        entries = self.client.containers(all=self.failed, filters={"status": STATES[self.failed]})
        self.inspected = {entry["Id"]: self.inspect(entry["Id"]) for entry in entries}
        entries = [entry for entry in entries if self.inspected[entry["Id"]]]
        entries.sort(key=lambda entry: (entry["Created"], entry["Id"]))
        found = [container(entry, self.inspected[entry["Id"]]) for entry in entries]
        return [item for item in found if item.state in ("running", "paused", "failed")]

    def inspect(self, key: str) -> dict[str, Any]:
        """Return what inspection says about a container, from memory if possible; nothing if it is gone."""
        if not self.inspected.get(key):
            try:
                self.inspected[key] = self.client.inspect_container(key)
            except NotFound:
                self.inspected[key] = {}
        return self.inspected[key]

    def events(self, since: int) -> Iterator[dict[str, Any]]:
        """Yield events, those since a time (UNIX seconds) first; ends when the daemon does."""
        filters = {"type": ["container", "network"], "event": EVENTS}
        yield from self.client.events(since=since, filters=filters, decode=True)


def container(entry: dict[str, Any], inspected: dict[str, Any]) -> Container:
    """Return a container: what cannot change is taken from its inspection, the rest from the list."""
    config = inspected["Config"]
    networks = entry["NetworkSettings"]["Networks"] or {}
    status = entry["Status"]
    health = re.search(r"\((?:health: )?(starting|healthy|unhealthy)\)", status)
    return Container(
        id=entry["Id"],
        name=next((name[1:] for name in entry["Names"] or () if name.count("/") == 1), ""),
        image=config["Image"],
        environment=tuple(config["Env"] or ()),
        labels=config["Labels"] or {},
        ports=ports(entry, config, host_network=entry["HostConfig"]["NetworkMode"] == "host"),
        network=entry["HostConfig"]["NetworkMode"],
        addresses={name: item["IPAddress"] for name, item in networks.items() if item.get("IPAddress")},
        state=state(entry["State"], status),
        health=health[1] if health else "",
    )


def state(state: str, status: str) -> str:
    """Return the state; one that ended with exit code 1 to 127 has failed."""
    code = re.match(r"(?:Exited|Restarting) \((\d+)\)", status)
    return "failed" if code and 1 <= int(code[1]) < 128 else state


def ports(entry: dict[str, Any], config: dict[str, Any], *, host_network: bool) -> tuple[Port, ...]:
    """Return exposed and published ports; of several bindings the first counts, one on IPv4 if there is any.

    On the host's own network an exposed port is its own publication.
    """
    found: dict[tuple[int, str], Port] = {}
    for key in config.get("ExposedPorts") or {}:
        number, _, protocol = key.partition("/")
        found[int(number), protocol] = Port(int(number), protocol, "", int(number) if host_network else 0)
    for item in sorted(entry["Ports"] or (), key=lambda item: ":" in item.get("IP", "")):
        key = item["PrivatePort"], item["Type"]
        if item.get("PublicPort") and not found.get(key, Port(0)).host_port:
            found[key] = Port(*key, item.get("IP", ""), item["PublicPort"])
    return tuple(found.values())
