"""The hosts as Vagrant knows them: whether they run, how to log in, and their power."""

from __future__ import annotations

import os
from pathlib import Path

import vagrant

from lab.errors import LabError
from lab.topology import ROOT


class Machines:
    """The Vagrant environment of this checkout."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        quiet = os.environ | {"VAGRANT_CHECKPOINT_DISABLE": "1"}
        self._vagrant = vagrant.Vagrant(str(root), quiet_stdout=False, quiet_stderr=False, env=quiet)

    def states(self) -> dict[str, str]:
        """Return each host's state in Vagrant's words: running, stopped, not_created ..."""
        return {status.name: status.state for status in self._vagrant.status()}

    def up(self) -> None:
        """Create and start what is not running, and bring every host to its role."""
        ran = "running" in self.states().values()
        self._vagrant.up()
        # Vagrant provisions a host that it starts; one that ran already may have been left half-way.
        if ran:
            self._vagrant.provision()

    def destroy(self) -> None:
        """Remove every host."""
        self._vagrant.destroy()

    def ssh_config(self, file: Path) -> Path:
        """Write how to log into every running host into `file` and return it. Raises LabError."""
        down = [name for name, state in self.states().items() if state != "running"]
        if down:
            raise LabError(f"not running: {', '.join(down)}; start the lab with: make up")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._vagrant.ssh_config())
        return file
