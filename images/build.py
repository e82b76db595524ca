"""Build everything the lab is made of, once: `python -m images.build [--path NAME]`.

Each part is kept in the cache (CONSUL_DEMO_CACHE, else consul-demo below XDG_CACHE_HOME or ~/.cache) under
a name that holds a digest of all that went into it, so a part is built anew exactly when something changed.
`artifacts/` in the cache is the folder that the hosts see; the box is handed to Vagrant.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab import topology

IMAGES = Path(__file__).resolve().parent
ROOT = IMAGES.parent


class BuildError(Exception):
    """A part could not be built; the text says which and ends with the last lines it printed."""


@dataclass(frozen=True)
class Part:
    """One thing to build: a command that writes `{output}`, and all it depends on.

    `root` ones make file systems with owners and devices of their own.
    """

    name: str
    command: tuple[str, ...]
    inputs: tuple[Path, ...]
    takes: str = "seconds"
    root: bool = False
    needs: tuple[Part, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, hash=False)

    def digest(self) -> str:
        """Return a short digest of the command, the content of every input, and of what it needs.

        Where the checkout and the cache are does not count: another clone finds the same builds.
        """
        words = [word.replace(str(ROOT), "").replace(str(cache()), "") for word in self.command]
        known = hashlib.sha256(repr((words, sorted(self.environment.items()))).encode())
        for file in sorted(file for folder in self.inputs for file in _files(folder)):
            known.update(f"{file.relative_to(ROOT)} {file.stat().st_mode & 0o111:o}".encode())
            known.update(file.read_bytes())
        for part in self.needs:
            known.update(part.digest().encode())
        return known.hexdigest()[:12]

    def path(self) -> Path:
        """Return where the built part lies in the cache."""
        return cache() / "built" / f"{self.name}-{self.digest()}"


def cache() -> Path:
    """Return the folder outside the checkout that keeps downloads and builds."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CONSUL_DEMO_CACHE") or Path(home) / "consul-demo")


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return [f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts]


def binary(name: str, version: str, go_wheel: str, takes: str) -> Part:
    """Return the part that builds a pinned Go program."""
    return Part(
        f"{name}-{version}",
        (str(IMAGES / "binaries/build.sh"), name, version, "{output}"),
        (IMAGES / "binaries/build.sh", IMAGES / "binaries" / name / version),
        takes=takes,
        environment={"GO_WHEEL": go_wheel},
    )


def container(name: str, tag: str, base: Part, extra: dict[str, Part] | None = None) -> Part:
    """Return the part that builds the image of images/NAME; `extra` parts join its build context by name."""
    extra = extra or {}
    files = tuple(f"{file}={part.path()}" for file, part in extra.items())
    return Part(
        f"image-{name}",
        (str(IMAGES / "container.sh"), name, str(base.path()), "{output}", *files),
        (IMAGES / "container.sh", IMAGES / "wheels.sh", IMAGES / name),
        root=True,
        needs=(base, *extra.values()),
        environment={"TAG": tag},
    )


def tool(name: str) -> Part:
    """Return the part that packs the program tools/NAME with its libraries for the hosts."""
    return Part(
        f"tool-{name}",
        (str(IMAGES / "tool.sh"), name, "{output}"),
        (IMAGES / "tool.sh", IMAGES / "wheels.sh", ROOT / "tools" / name),
    )


def parts(facts: topology.Topology) -> dict[str, Part]:
    """Return every part by the path that its result has below artifacts/; the box has none."""
    suite = {"SUITE": facts.box.suite}
    script = IMAGES / "mmdebstrap.sh"
    packages = IMAGES / "base/packages.txt"
    rootfs = Part(
        "base-rootfs",
        (str(script), "essential", str(packages), "{output}"),
        (script, packages),
        takes="half a minute",
        root=True,
        environment=suite,
    )
    base = Part(
        "image-base",
        (str(IMAGES / "container.sh"), "base", str(rootfs.path()), "{output}"),
        (IMAGES / "container.sh",),
        root=True,
        needs=(rootfs,),
    )
    template = binary(
        "consul-template", facts.versions.consul_template, facts.versions.go_wheel, "half a minute"
    )
    return {
        "bin/consul": binary("consul", facts.versions.consul, facts.versions.go_wheel, "5 minutes"),
        "bin/consul-template": template,
        "box": Part(
            "box",
            (str(IMAGES / "box/build.sh"), "{output}"),
            (script, IMAGES / "box"),
            takes="a minute",
            root=True,
            environment=suite | {"SSH_USER": facts.ssh.user},
        ),
        "images/fep.tar": container("fep", facts.images.fep, base),
        "images/registrator.tar": container("registrator", facts.images.registrator, base),
        "tools/client.tar": tool("client"),
        "tools/monitor.tar": tool("monitor"),
        "images/haproxy.tar": container("haproxy", facts.images.haproxy, base, {"consul-template": template}),
    }


def build(wanted: list[Part]) -> None:
    """Build what is missing, as many at once as there are processors. Raises BuildError."""
    missing = [part for part in _in_order(wanted) if not part.path().exists()]
    if missing:
        print("to build: " + ", ".join(f"{part.name} ({part.takes})" for part in missing), flush=True)
    running: dict[Part, Future[None]] = {}
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        for part in missing:
            needs = [running[need] for need in part.needs if need in running]
            running[part] = pool.submit(_build_one, part, needs)
    for future in running.values():
        future.result()


def _in_order(wanted: list[Part]) -> list[Part]:
    """Return the wanted parts and all they need, each once, what is needed first."""
    ordered: dict[Part, None] = {}
    for part in wanted:
        ordered |= dict.fromkeys([*_in_order(list(part.needs)), part])
    return list(ordered)


def _build_one(part: Part, needs: list[Future[None]]) -> None:
    for need in needs:
        need.result()
    path = part.path()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    log = path.with_name(f"{path.name}.log")
    begun = time.monotonic()
    command = [word.format(output=partial) for word in part.command]
    as_root = part.root and os.geteuid() != 0
    if as_root:
        command = ["sudo", "--preserve-env", "env", f"PATH={os.environ['PATH']}", *command]
    # Of this machine, so of no influence on what comes out.
    here = {
        "PYTHON": sys.executable,
        "GO_HOME": str(cache() / "go"),
        "KEY": str(cache() / "vagrant_private_key"),
    }
    environment = os.environ | here | part.environment
    with log.open("w") as output:
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, check=False
        ).returncode
    if code:
        tail = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-15:])
        raise BuildError(f"{part.name} was not built (exit code {code}); the whole log is {log}\n{tail}")
    if as_root:
        subprocess.run(["sudo", "chown", f"{os.getuid()}:{os.getgid()}", partial], check=True)
    partial.rename(path)
    print(f"built {part.name} in {time.monotonic() - begun:.0f} s", flush=True)


def publish(built: dict[str, Part]) -> None:
    """Make artifacts/ hold exactly the built parts, and Vagrant know the box."""
    artifacts = cache() / "artifacts"
    for name, part in built.items():
        if name == "box":
            continue
        target = artifacts / name
        if target.exists() and target.samefile(part.path()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"{target.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.hardlink_to(part.path())
        fresh.rename(target)


def add_box(name: str, part: Part) -> None:
    """Hand the box to Vagrant unless it has this very one. Raises CalledProcessError."""
    home = Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")
    boxes = list((home / "boxes" / name.replace("/", "-VAGRANTSLASH-")).glob("*/lxc/build.id"))
    if any(file.read_text() == part.digest() for file in boxes):
        return
    subprocess.run(
        ["vagrant", "box", "add", "--force", "--name", name, str(part.path())],
        cwd=Path.home(), stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    for folder in (home / "boxes" / name.replace("/", "-VAGRANTSLASH-")).glob("*/lxc"):
        (folder / "build.id").write_text(part.digest())


def main() -> int:
    """Build, publish, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m images.build", description="Build what the lab is made of."
    )
    parser.add_argument("--path", metavar="NAME", help="only print where artifacts/NAME is")
    name = parser.parse_args().path
    if name:
        print(cache() / "artifacts" / name)
        return 0
    try:
        facts = topology.load()
        wanted = parts(facts)
        build(list(wanted.values()))
        publish(wanted)
        add_box(facts.box.name, wanted["box"])
    except (BuildError, topology.TopologyError, OSError, subprocess.CalledProcessError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
