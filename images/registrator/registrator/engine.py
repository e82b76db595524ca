"""The Docker side: the containers, and the events that say when to look again."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docker import APIClient
from docker.errors import APIError
from docker.utils import kwargs_from_env
from requests import Timeout

from .services import Container, Port

log = logging.getLogger("registrator")
LIMIT = 5  # seconds for one call
IDLE = 300  # seconds without an event, after which the stream is opened anew
EVENTS = ["start", "die", "kill", "pause", "unpause", "rename", "health_status", "destroy"]
LISTED = ["running", "paused"]
FAILED = ["restarting", "exited"]


class Client(APIClient):
    """Docker's client, with a time limit even on the event stream."""

    def get(self, url: str, **given: Any) -> Any:  # type: ignore[override] # noqa: ANN401 - as in the base class
        """Send a GET request as the base class does; one without a time limit gets IDLE."""
        return super().get(url, **given | {"timeout": given.get("timeout") or IDLE})


@dataclass(frozen=True)
class Fixed:
    """What cannot change in a container's life, of the much that an inspection tells."""

    image: str
    environment: tuple[str, ...]
    exposed: tuple[str, ...]
    stop_signal: str


class Engine:
    """A client of the Docker daemon, for one thread. All methods raise DockerException or OSError."""

    def __init__(self, *, internal: bool = False, failed: bool = False) -> None:
        """Ask the daemon for its version; with failed, list containers that ended in failure, too."""
        tls = kwargs_from_env().get("tls", False)
        self.client = Client(os.environ.get("DOCKER_HOST", "unix:///tmp/docker.sock"), timeout=LIMIT, tls=tls)
        self.client.trust_env = False
        self.statuses = LISTED + FAILED * failed
        self.networks = internal
        self.fixed: dict[str, Fixed] = {}

    def host_name(self) -> str:
        """Return Docker's name of the host."""
        return str(self.client.info()["Name"])

    def containers(self, touched: set[str]) -> list[Container]:
        """Return the containers that count, oldest first.

        The daemon's list may lag behind its events, but inspecting a container waits until the change that an
        event told of is done: so those that events have touched are inspected before the list is read.
        """
        self.fixed |= {key: fixed for key in touched if (fixed := self.inspect(key))}
        entries = self.client.containers(all=True, filters={"status": self.statuses})
        entries = [entry for entry in entries if state(entry) in (*LISTED, "failed")]
        found = {entry["Id"]: self.fixed.get(entry["Id"]) or self.inspect(entry["Id"]) for entry in entries}
        self.fixed = {key: fixed for key, fixed in found.items() if fixed}
        entries.sort(key=lambda entry: (entry["Created"], entry["Id"]))
        return [container(entry, found[entry["Id"]]) for entry in entries]

    def inspect(self, key: str) -> Fixed | None:
        """Return what cannot change in a container; None if it does not tell: it keeps up no others."""
        try:
            config = self.client.inspect_container(key)["Config"]
        except (APIError, Timeout) as error:
            log.debug("cannot inspect %s: %s", key, error)
            return None
        exposed = tuple(config.get("ExposedPorts") or ())
        environment = tuple(pair for pair in config["Env"] or () if pair.startswith("SERVICE_"))
        return Fixed(config["Image"], environment, exposed, config.get("StopSignal", ""))

    def events(self, since: int) -> Iterator[dict[str, Any]]:
        """Return the events, those since a time (UNIX seconds) first; they end when the daemon does."""
        filters = {"type": ["container"], "event": EVENTS}
        if self.networks:
            filters = {"type": ["container", "network"], "event": [*EVENTS, "connect", "disconnect"]}
        stream: Iterator[dict[str, Any]] = self.client.events(since=since, filters=filters, decode=True)
        return stream


def container(entry: dict[str, Any], known: Fixed | None) -> Container:
    """Return a container from its entry in the list and, if it is known, what cannot change."""
    fixed = known or Fixed("", (), (), "")
    networks = entry["NetworkSettings"]["Networks"] or {}
    health = re.search(r"\((?:health: )?(starting|healthy|unhealthy)\)", entry["Status"])
    return Container(
        id=entry["Id"],
        name=next((name[1:] for name in entry["Names"] or () if name.count("/") == 1), ""),
        image=fixed.image,
        environment=fixed.environment,
        labels=entry["Labels"] or {},
        ports=ports(entry, fixed.exposed),
        network=entry["HostConfig"]["NetworkMode"],
        addresses={name: item["IPAddress"] for name, item in networks.items() if item.get("IPAddress")},
        state=state(entry) if known else "unknown",
        health=health[1] if health else "",
    )


def state(entry: dict[str, Any]) -> str:
    """Return a container's state; one that ended with exit code 1 to 127 has failed."""
    code = re.match(r"(?:Exited|Restarting) \((\d+)\)", entry["Status"])
    return "failed" if code and 1 <= int(code[1]) < 128 else str(entry["State"])


def ports(entry: dict[str, Any], exposed: tuple[str, ...]) -> tuple[Port, ...]:
    """Return exposed and published ports; of several bindings the first counts, IPv4 before IPv6."""
    found: dict[tuple[int, str], Port] = {}
    for text in exposed:
        number, _, protocol = text.partition("/")
        if number.isdecimal():
            found[int(number), protocol] = Port(int(number), protocol)
    for item in sorted(entry["Ports"] or (), key=lambda item: ":" in item.get("IP", "")):
        key = item["PrivatePort"], item["Type"]
        if item.get("PublicPort") and not found.get(key, Port(0)).host_port:
            found[key] = Port(*key, item.get("IP", ""), item["PublicPort"])
    return tuple(found.values())
