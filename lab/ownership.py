"""Which checkout the lab of this machine belongs to, and which of its LXC hosts nobody knows any more."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.topology import ROOT, Topology

MARK = Path("/var/lib/consul-demo/owner")


def containers(topology: Topology) -> list[str]:
    """Return the names of all LXC containers that are hosts of a lab, of whichever checkout."""
    listing = subprocess.run(["sudo", "lxc-ls", "-1"], capture_output=True, text=True, check=False).stdout
    return [name for name in listing.split() if name.startswith(f"{topology.network.namespace}-")]


def other(topology: Topology) -> str:
    """Return the folder of the other checkout whose lab is there, empty when there is none."""
    owner = MARK.read_text().strip() if MARK.exists() else ""
    foreign = owner not in {"", str(ROOT)} and Path(owner, ".vagrant").exists() and bool(containers(topology))
    return owner if foreign else ""


def claim() -> None:
    """Write down that the lab is this checkout's."""
    _as_root("install", "-d", str(MARK.parent))
    subprocess.run(
        ["sudo", "tee", str(MARK)], input=str(ROOT), text=True, stdout=subprocess.DEVNULL, check=True
    )


def release() -> None:
    """Forget whose the lab is."""
    _as_root("rm", "-f", str(MARK))


def orphans(topology: Topology) -> list[str]:
    """Return the hosts that this checkout's Vagrant does not know: of an `up` cut short, or a lost folder."""
    known = {file.read_text() for file in ROOT.glob(".vagrant/machines/*/lxc/id")}
    return [name for name in containers(topology) if name not in known]


def stop(names: list[str]) -> None:
    """Cut the power of LXC hosts."""
    for name in names:
        _as_root("lxc-stop", "--kill", "--name", name, check=False)


def remove(names: list[str]) -> None:
    """Remove LXC hosts, running or not."""
    stop(names)
    for name in names:
        _as_root("lxc-destroy", "--force", "--name", name)


def _as_root(*words: str, check: bool = True) -> None:
    subprocess.run(
        ["sudo", *words], stdout=subprocess.DEVNULL, stderr=None if check else subprocess.DEVNULL, check=check
    )
