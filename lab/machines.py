"""The hosts as Vagrant knows them: whether they run, how to log in, and their power."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import vagrant

from lab import fence, topology
from lab.errors import LabError
from lab.topology import ROOT

RUNS = "already running"  # what lxc-start says of a host that does


class Machines:
    """The Vagrant environment of this checkout."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        quiet = os.environ | {"VAGRANT_CHECKPOINT_DISABLE": "1"}
        self._vagrant = vagrant.Vagrant(str(root), quiet_stdout=False, quiet_stderr=False, env=quiet)

    @staticmethod
    def made(root: Path = ROOT) -> list[Path]:
        """Return the files by which Vagrant knows the hosts it made, one a host."""
        return list(root.glob(".vagrant/machines/*/*/id"))

    def states(self) -> dict[str, str]:
        """Return each host's state in Vagrant's words: running, stopped, not_created ..."""
        return {status.name: status.state for status in self._vagrant.status()}

    def up(self) -> None:
        """Create and start what is not running, and bring every host to its role."""
        existed = self.made(self._root)
        self._vagrant.up()
        # Vagrant provisions a host that it makes; one that was there may have been left half-way.
        if existed:
            self._vagrant.provision()

    def destroy(self) -> None:
        """Remove every host."""
        self._vagrant.destroy()

    def cut_power(self, *names: str) -> None:
        """Turn hosts off, all at once, as a plug that is pulled would; with lxc call it inside the fence.

        vagrant-lxc 1.4.3 only shuts down when it is told to use force: every process could still tidy up. And
        the network goes first, or the kernel would close the connections of the killed and tell every peer.
        """

        def cut(name: str) -> None:
            if link := self._link(name):
                subprocess.run(["sudo", "ip", "link", "set", link, "down"], check=True)
            if not self._lxc("lxc-stop", name, "--kill"):
                self._vagrant.halt(name, force=True)

        with ThreadPoolExecutor() as pool:
            list(pool.map(cut, names))

    def halt(self, *names: str) -> None:
        """Shut hosts down in good order, all at once; with lxc the caller must be inside the fence."""

        def shut_down(name: str) -> None:
            if not self._lxc("lxc-stop", name, "--nokill"):
                self._vagrant.halt(name)

        with ThreadPoolExecutor() as pool:
            list(pool.map(shut_down, names))

    def boot(self, *names: str) -> None:
        """Start hosts that are off; those that run are left alone. Raises LabError when LXC refuses.

        LXC's own start takes a second, Vagrant's five; it goes by what Vagrant wrote down of the host.
        """
        others = []
        for name in names:
            if not (container := self._container(name)):
                others.append(name)
                continue
            start = fence.command(topology.load(), "sudo", "lxc-start", "--name", container)
            done = subprocess.run(start, capture_output=True, text=True, check=False)
            if done.returncode and RUNS not in done.stderr:
                raise LabError(f"{container} does not boot: {done.stderr}")
        if others:
            self._vagrant.up(vm_name=_any_of(others), provision=False)

    def suspend(self, *names: str) -> None:
        """Freeze hosts; with lxc the caller must be inside the fence."""
        for name in names:
            if not self._lxc("lxc-freeze", name):
                self._vagrant.suspend(name)

    def resume(self, *names: str) -> None:
        """Let frozen hosts go on; with lxc the caller must be inside the fence."""
        for name in names:
            if not self._lxc("lxc-unfreeze", name):
                self._vagrant.resume(name)

    def _lxc(self, command: str, name: str, *words: str) -> bool:
        """Do what vagrant-lxc has no action for; return False where the host is none of LXC's."""
        container = self._container(name)
        if container:
            subprocess.run(["sudo", command, "--name", container, *words], check=False)
        return bool(container)

    def _container(self, name: str) -> str:
        """Return LXC's name of a host, empty where the host is none of LXC's."""
        known = self._root / f".vagrant/machines/{name}/lxc/id"
        return known.read_text() if known.exists() else ""

    def _link(self, name: str) -> str:
        """Return this machine's end of a running host's network cable, empty where there is none of LXC's."""
        container = self._container(name)
        if not container:
            return ""
        command = ["sudo", "lxc-info", "--name", container]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        links = [line.split()[1] for line in said.splitlines() if line.startswith("Link:")]
        return links[0] if links else ""

    def ssh_config(self) -> Path:
        """Return a file that tells SSH how to log into every host. Raises LabError when there are none.

        Vagrant takes seconds to say it, so it is asked only when a host was made since it said it last.
        """
        said = self._root / ".vagrant" / "ssh-config"
        made = [file.stat().st_mtime for file in self.made(self._root)]
        if not made:
            raise LabError("there are no hosts yet; start the lab with: make up")
        if not said.exists() or said.stat().st_mtime < max(made):
            try:
                said.write_text(self._vagrant.ssh_config())
            except subprocess.CalledProcessError as error:
                raise LabError(
                    f"not every host runs ({self.states()}); start the lab with: make up"
                ) from error
        return said


def _any_of(names: Sequence[str]) -> str:
    """Return what Vagrant takes for all these hosts: one call, as each takes seconds to begin."""
    return f"/^({'|'.join(map(re.escape, names))})$/"
