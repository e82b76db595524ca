"""The fence: the network namespace in which the lab of the lxc provider lives."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from pathlib import Path

from pyroute2 import netns

from lab.errors import LabError
from lab.topology import ROOT, Topology

MARKER = "CONSUL_DEMO_FENCED"
SCRIPT = str(ROOT / "tools/fence")


def exists(topology: Topology) -> bool:
    """Return whether the lab's namespace is there."""
    return Path("/run/netns", topology.network.namespace).exists()


def inside(topology: Topology) -> bool:
    """Return whether this process was started inside the fence."""
    return os.environ.get(MARKER) == topology.network.namespace


def barred(topology: Topology) -> bool:
    """Return whether this process is outside of a fence that only root may enter, and is not root."""
    return exists(topology) and not inside(topology) and os.geteuid() != 0


def enter(topology: Topology) -> bool:
    """Move this process, which must have one thread yet, into the fence; return whether it is inside.

    Without a namespace the lab is not an lxc one, and in one of another network these hosts are not: there is
    nothing to enter. Raises LabError without root.
    """
    if inside(topology):
        return True
    if barred(topology):
        raise LabError(
            "the lab is fenced and only root may enter; say instead: tools/lab enter .venv/bin/pytest suites/"
        )
    if not exists(topology) or not _encloses(topology):
        return False
    netns.setns(topology.network.namespace)
    return True


def _encloses(topology: Topology) -> bool:
    """Return whether the fence is that of the topology's network, whose gateway its bridge is."""
    network = topology.network
    command = ["ip", "-n", network.namespace, "-json", "address", "show", "dev", network.bridge]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    links = json.loads(said or "[]")
    return network.gateway in {it["local"] for link in links for it in link.get("addr_info", ())}


def command(topology: Topology, *words: str) -> list[str]:
    """Return the command that runs `words` inside the fence; as they are where this process is.

    Unlike `enter`, the fence's script brings the /sys that LXC needs.
    """
    network = topology.network
    if inside(topology):
        return list(words)
    prefix = ipaddress.ip_network(network.cidr).prefixlen
    return [SCRIPT, network.namespace, network.bridge, f"{network.gateway}/{prefix}", *words]
