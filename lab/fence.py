"""The fence: the network namespace in which the lab of the lxc provider lives."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from pyroute2 import netns

from lab.errors import LabError
from lab.topology import ROOT, Topology

MARKER = "CONSUL_DEMO_FENCED"
SCRIPT = str(ROOT / "tools/fence")


def exists(topology: Topology) -> bool:
    """Return whether the lab's namespace is there."""
    return Path("/run/netns", topology.network.namespace).exists()


def enter(topology: Topology) -> bool:
    """Move this process, which must have one thread yet, into the fence; return whether it is inside.

    Without a namespace the lab is not an lxc one: there is nothing to enter. Raises LabError without root.
    """
    if os.environ.get(MARKER) == topology.network.namespace:
        return True
    if not exists(topology):
        return False
    if os.geteuid() != 0:
        raise LabError(
            "the lab is fenced and only root may enter; say instead: tools/lab enter pytest suites/"
        )
    netns.setns(topology.network.namespace)
    return True


def command(topology: Topology, *words: str) -> list[str]:
    """Return the command that runs `words` inside the fence; as they are where this process is.

    Unlike `enter`, the fence's script brings the /sys that LXC needs.
    """
    network = topology.network
    if os.environ.get(MARKER) == network.namespace:
        return list(words)
    prefix = ipaddress.ip_network(network.cidr).prefixlen
    return [SCRIPT, network.namespace, network.bridge, f"{network.gateway}/{prefix}", *words]
