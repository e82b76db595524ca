"""One Locust master drives the load client on several machines, and all that they do is accounted for."""

import base64
import io
import platform
import re
import shlex
import tarfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import tools.client
from lab.errors import LabError
from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.waiting import Unmet, wait_for

FOLDER = "distributed-load"
ARCHIVE = f"{FOLDER}/python.tar.gz"
CHUNK = 92_000  # bytes; a word of a command is limited to 128 KiB, and this is sent as text
UNUSED = {"pytest"}  # Locust requires it for locustfiles that are written as tests
NOT_RUN = {".pyc", ".pyi", ".pyx", ".pxd", ".c", ".h", ".html", ".js", ".css", ".png", ".svg"}

HELD, OPENS = 20, 200
LOAD = f"-c {HELD} --churn --rate 50 --count {OPENS} --duration 5"
LIMIT = 60  # seconds, for three Pythons to load Locust on busy machines, too
ROW = re.compile(r"^(open|ping) +\S+ +(\d+) +(\d+)\(", re.MULTILINE)


def required(*names: str) -> dict[str, Distribution]:
    """Return these Python packages and all that they require, as they are installed here."""
    found: dict[str, Distribution] = {}
    missing = list(names)
    while missing:
        name = missing.pop().lower()
        if name not in found and name not in UNUSED:
            found[name] = distribution(name)
            wanted = map(Requirement, found[name].requires or [])
            missing += [it.name for it in wanted if not it.marker or it.marker.evaluate({"extra": ""})]
    return found


def packed() -> bytes:
    """Return the load client with Locust as a compressed tar: the hosts have no index to install it from."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
        tar.add(Path(tools.client.__file__).parent, arcname="client")
        for package in required("locust", "hdrhistogram").values():
            for file in package.files or []:
                if file.suffix not in NOT_RUN and not {"..", "tests"} & set(file.parts):
                    tar.add(str(file.locate()), arcname=str(file))
    return stream.getvalue()


def send(archive: bytes, node: Node) -> None:
    """Unpack `archive` on a host. Raises LabError when its Python could not use what is in it."""
    version = ".".join(platform.python_version_tuple()[:2])
    if f"Python {version}." not in (found := node.run("python3", "--version")):
        raise LabError(f"{node.name}: {found.strip()}, but Locust is installed here for Python {version}")
    node.run("sh", "-c", f"rm -rf {FOLDER}; mkdir {FOLDER}")
    append = f'printf %s "$1" | base64 --decode >> {ARCHIVE}'
    for start in range(0, len(archive), CHUNK):
        node.run("sh", "-c", append, "sh", base64.b64encode(archive[start : start + CHUNK]).decode())
    node.run("python3", "-m", "tarfile", "--extract", ARCHIVE, FOLDER)


def start(node: Node, name: str, *words: str) -> None:
    """Start Locust on a host: messages go to NAME.log, the exit code to NAME.code, the pid to NAME.pid."""
    locust = shlex.join(
        ["timeout", str(LIMIT), "python3", "-m", "locust", "-f", "client/locustfile.py", *words]
    )
    script = f"PYTHONPATH=. {locust} & echo $! > {name}.pid; wait $!; echo $? > {name}.code"
    node.run("sh", "-c", f'cd {FOLDER}; sh -c "$1" > {name}.log 2>&1 < /dev/null &', "sh", script)


def finished(node: Node, name: str) -> tuple[int, str]:
    """Return the exit code and the messages of a Locust that ends. Raises LabError when it does not."""
    asked = partial(node.run, "cat", f"{FOLDER}/{name}.code")
    try:
        code = wait_for(asked, within=LIMIT, what=f"the end of Locust's {name}")
    except Unmet as error:
        raise LabError(f"{error}\n{node.run('cat', f'{FOLDER}/{name}.log')}") from error
    return int(code), node.run("cat", f"{FOLDER}/{name}.log")


@pytest.fixture(scope="module")
def machines(lab: Lab) -> Iterator[list[Node]]:
    """Two hosts with Locust and the load client; what was sent and started there is gone afterwards."""
    nodes, archive = [lab.client, lab.servers[0]], packed()
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(send, archive), nodes))
        yield nodes
    finally:
        for node in nodes:
            node.run("sh", "-c", f"cat {FOLDER}/*.pid | xargs -r kill 2> /dev/null; rm -rf {FOLDER}")


def holders(lab: Lab) -> Counter[str]:
    """Return how many connections HAProxy has on its front port now, by the address they come from."""
    front = f"sport = :{lab.topology.ports.haproxy_front}"
    listing = lab.lb.run("sudo", "ss", "-tnH", "state", "established", front)
    return Counter(line.split()[3].rpartition(":")[0].strip("[]") for line in listing.splitlines())


def hold_at_once(lab: Lab, machines: list[Node]) -> bool:
    """Return whether each of the machines comes to hold its share at the same time as the others."""
    addresses = [machine.address for machine in machines]
    try:
        wait_for(
            partial(holders, lab), until=lambda seen: all(seen[it] >= HELD for it in addresses), within=LIMIT
        )
    except Unmet:
        return False
    return True


def sessions(lab: Lab) -> int:
    """Return how many connections HAProxy ever sent to the servers it has now."""
    return sum(server.sessions for server in lab.haproxy.servers().values())


def test_a_master_and_two_workers(lab: Lab, fleet: Fleet, machines: list[Node]) -> None:
    """Workers on two machines load HAProxy at once: nothing is lost, HAProxy counts what Locust counts."""
    fleet.serve(2)
    before, master = sessions(lab), machines[0]
    target = f"{lab.lb.address}:{lab.topology.ports.haproxy_front}"
    users = ("--expect-workers", "2", "-u", "2", "-r", "2")

    start(master, "master", "--master", "--headless", *users, "--host", target, "--client", LOAD)
    for machine in machines:
        start(machine, "worker", "--worker", "--master-host", master.address)
    together = hold_at_once(lab, machines)
    code, said = finished(master, "master")

    total = said.rpartition("Shutting down")[2]
    found = {kind: (int(requests), int(failures)) for kind, requests, failures in ROW.findall(total)}
    assert code == 0, said
    assert together
    assert found["open"] == (2 * (HELD + OPENS), 0), said
    assert found["ping"][0] > 2 * HELD
    assert found["ping"][1] == 0
    assert sessions(lab) - before == found["open"][0]
