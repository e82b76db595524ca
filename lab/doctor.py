"""Whether this machine can run the lab: each precondition asked, answered, and its remedy told."""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import fence, ownership
from lab.errors import LabError
from lab.hosts import Lab, Node
from lab.recovery import overdue
from lab.topology import ROOT, Topology
from lab.unit import Unit

GIB = 1 << 30
DISK = 6 * GIB
# HAProxy's own descriptors, as images/haproxy/configure.py reserves them.
RESERVED = 200


@dataclass(frozen=True)
class Finding:
    """One precondition: the question, the answer found, and the remedy, empty when all is well.

    `fatal` findings keep the lab from coming up; others only tell.
    """

    question: str
    answer: str
    remedy: str = ""
    fatal: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be done."""
        return not self.remedy


def examine(topology: Topology) -> list[Finding]:
    """Return the findings of all checks; a check that breaks is a finding, too."""
    return [_asked(check, topology) for check in CHECKS]


def _asked(check: Callable[[Topology], Finding], topology: Topology) -> Finding:
    try:
        return check(topology)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        question = (check.__doc__ or check.__name__).splitlines()[0]
        return Finding(
            question,
            f"could not be asked: {error}",
            "see the message; the lab may work all the same",
            fatal=False,
        )


def visit(lab: Lab) -> list[Finding]:
    """Return the findings on the servers of a lab whose hosts run."""
    return [_last_seen(server, lab.topology.deadlines.rejoin_age) for server in lab.servers]


def _last_seen(server: Node, limit: float) -> Finding:
    """Return whether a server was away for so long that it does not start."""
    question = f"{server.name} away for too long?"
    try:
        server.reach()
        reason = overdue(Unit(server), limit)
    except LabError as error:
        return Finding(question, f"could not be asked: {error}", "see the message", fatal=False)
    return Finding(question, "yes" if reason else "no", reason)


def _root(_: Topology) -> Finding:
    """Can commands run as root?"""
    if os.geteuid() == 0:
        return Finding("root?", "yes")
    sudo = (
        subprocess.run(["sudo", "--non-interactive", "true"], capture_output=True, check=False).returncode
        == 0
    )
    return Finding(
        "root?",
        "through sudo" if sudo else "no",
        "" if sudo else "run it as root, or allow sudo for this user",
    )


def _system(_: Topology) -> Finding:
    """Is this a system the lab is made for?"""
    name = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    fits = platform.machine() == "x86_64" and shutil.which("apt-get") is not None
    remedy = "" if fits else "the lxc provider wants Debian or a kin of it on x86_64; use another provider"
    return Finding("system?", f"{name}, {platform.machine()}, kernel {platform.release()}", remedy)


def _packages(_: Topology) -> Finding:
    """Are the packages of tools/packages.txt installed?"""
    lines = (ROOT / "tools/packages.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted]
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    missing = [name for name in wanted if f"{name} installed" not in said.splitlines()]
    return Finding(
        "packages?",
        f"missing: {', '.join(missing)}" if missing else "all there",
        "make setup" if missing else "",
    )


def _disk(_: Topology) -> Finding:
    """Is there room for the builds and the hosts?"""
    free = min(shutil.disk_usage(path).free for path in (Path.home(), Path("/var/lib")))
    remedy = "" if free >= DISK else f"free {DISK // GIB} GiB below {Path.home()} and /var/lib"
    return Finding("disk?", f"{free / GIB:.1f} GiB free", remedy)


def _memory(topology: Topology) -> Finding:
    """Is there memory for all hosts?"""
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(facts["MemAvailable"].split()[0]) // 1024
    # What the hosts may take at most; they use about a fifth of it (measured: 1.3 GiB with all roles).
    wanted = sum(host.memory for host in topology.hosts.values()) // 2
    up = ownership.running(topology)
    remedy = "" if available >= wanted or up else f"free memory until {wanted} MiB are available"
    return Finding("memory?", f"{available} MiB available, {wanted} MiB wanted", remedy)


def _cgroups(_: Topology) -> Finding:
    """Are the control groups mounted that LXC and Docker need?"""
    root = Path("/sys/fs/cgroup")
    kind = "v2" if (root / "cgroup.controllers").exists() else "v1" if (root / "memory").exists() else "none"
    return Finding(
        "cgroups?", kind, "" if kind != "none" else "mount the cgroup file systems (a systemd machine does)"
    )


def _descriptors(topology: Topology) -> Finding:
    """How many connections can one HAProxy hold here?"""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = min((limit - RESERVED) // 2, topology.haproxy.maxconn_limit)
    remedy = (
        ""
        if most >= topology.haproxy.maxconn_limit
        else f"for more, raise the hard limit of open files (ulimit -Hn: {limit})"
    )
    return Finding(
        "connections through one HAProxy?",
        f"{most} (two descriptors each, {limit} allowed)",
        remedy,
        fatal=False,
    )


def _addresses(topology: Topology) -> Finding:
    """Does this machine use the lab's addresses itself?"""
    network = ipaddress.ip_network(topology.network.cidr)
    listing = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout)
    own = [
        a["local"]
        for link in listing
        for a in link["addr_info"]
        if ipaddress.ip_address(a["local"]) in network
    ]
    fenced = os.environ.get(fence.MARKER) == topology.network.namespace
    if not own or fenced:
        return Finding("addresses free?", f"no address of {network} outside the fence")
    told = "lxc's fence keeps the two apart; other providers need another network.cidr in topology.local.yaml"
    return Finding("addresses free?", f"this machine has {', '.join(own)}", told, fatal=False)


def _virtualbox(topology: Topology) -> Finding:
    """Would VirtualBox take the lab's network?"""
    if not shutil.which("VBoxManage"):
        return Finding("VirtualBox?", "not installed, not needed")
    file = Path("/etc/vbox/networks.conf")
    allowed = file.exists() and topology.network.cidr.rsplit(".", 1)[0] in file.read_text()
    remedy = (
        "" if allowed else f"VirtualBox 6.1.28 and newer wants this line in {file}: * {topology.network.cidr}"
    )
    return Finding("VirtualBox?", "installed", remedy, fatal=False)


def _owner(topology: Topology) -> Finding:
    """Is the lab of another checkout up?"""
    other = ownership.other(topology)
    remedy = f"one lab a machine: make down, in {other} or here" if other else ""
    return Finding("another lab?", f"yes, of {other}" if other else "no", remedy)


def _fence(topology: Topology) -> Finding:
    """Is the namespace free, or the lab's own?"""
    hosts = len(ownership.running(topology))
    if fence.exists(topology):
        return Finding("fence?", f"namespace {topology.network.namespace} with {hosts} hosts")
    if hosts:
        return Finding(
            "fence?", f"gone, with {hosts} hosts still in it", "make up, or make down", fatal=False
        )
    return Finding("fence?", "not there yet")


CHECKS = (
    _root,
    _system,
    _packages,
    _disk,
    _memory,
    _cgroups,
    _descriptors,
    _addresses,
    _virtualbox,
    _owner,
    _fence,
)
