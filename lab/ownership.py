"""Which checkout the lab of this machine belongs to, and which of its LXC hosts nobody knows any more."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

from lab.errors import LabError
from lab.topology import ROOT, Topology

MARK = Path("/var/lib/consul-demo/owner")
SECONDS = 15


def containers(topology: Topology) -> list[str]:
    """Return the names of all LXC containers that are hosts of a lab, of whichever checkout."""
    listing = subprocess.run(["sudo", "lxc-ls", "-1"], capture_output=True, text=True, check=False).stdout
    return [name for name in listing.split() if name.startswith(f"{topology.network.namespace}-")]


def other(topology: Topology) -> str:
    """Return the folder of the other checkout whose lab is there, empty when there is none."""
    owner = MARK.read_text().strip() if MARK.exists() else ""
    foreign = (
        owner not in {"", str(ROOT)}
        and Path(owner, ".vagrant").exists()
        and bool(containers(topology) or running(topology))
    )
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


def running(topology: Topology) -> dict[str, int]:
    """Return the hosts that run, each with the pid of its LXC monitor, whether or not LXC still knows them.

    LXC's own commands see a host only from inside its network namespace, and only while its folder is there.
    """
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_text().replace("\0", " ").split()
            if words[:2] == ["[lxc", "monitor]"] and words[-1].startswith(f"{topology.network.namespace}-"):
                found[words[-1]] = int(file.parent.name)
    return found


def stop(topology: Topology, names: Collection[str]) -> None:
    """Cut the power of hosts, as far as they run: their first process dies, and with it all others.

    Raises LabError when one is still there after SECONDS.
    """
    for name, monitor in running(topology).items():
        if name not in names:
            continue
        init = Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()
        _as_root("kill", "-KILL", *init)
        end = time.monotonic() + SECONDS
        while Path(f"/proc/{monitor}").exists():
            if time.monotonic() > end:
                raise LabError(f"{name} was killed and is still there: see process {monitor}")
            time.sleep(0.05)


def remove(topology: Topology, names: Collection[str]) -> None:
    """Remove hosts, running or not."""
    stop(topology, names)
    for name in set(names) & set(containers(topology)):
        _as_root("lxc-destroy", "--name", name)


def _as_root(*words: str) -> None:
    subprocess.run(["sudo", *words], stdout=subprocess.DEVNULL, check=True)
