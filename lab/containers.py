"""The containers of a Docker host, and what Consul should say of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from lab.consul import Instance

LABEL = "consul-demo.test"  # of every container that a test starts by itself, and the tag of such services


@dataclass(frozen=True)
class Container:
    """One running container; `ports` maps the port inside to the published one."""

    name: str
    ports: dict[int, int]


def parse(listing: str) -> list[Container]:
    """Return the containers of `docker ps --format '{{json .}}'`, one JSON object a line."""
    rows = [json.loads(line) for line in listing.splitlines()]
    return [Container(row["Names"], _ports(row["Ports"])) for row in rows]


def _ports(text: str) -> dict[int, int]:
    """Return container port -> host port from Docker's words, as in `0.0.0.0:81->80/tcp`."""
    return {int(inside): int(outside) for outside, inside in re.findall(r":(\d+)->(\d+)/tcp", text)}


def instances(containers: list[Container], port: int, host: str, address: str) -> set[Instance]:
    """Return what Consul should list for a container port: registrator's IDs are host:container:port."""
    published = [container for container in containers if port in container.ports]
    return {Instance(f"{host}:{c.name}:{port}", address, c.ports[port]) for c in published}
