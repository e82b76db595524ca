"""Connections through the load balancer reach every instance, and none that is gone."""

import json
from pathlib import Path

import pytest

from lab import history
from lab.checks import tally
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.load import Load, front
from lab.proof import Proof
from lab.waiting import Unmet, wait_for

from .conftest import ONE_AFTER_ANOTHER, counts, serving

HISTORY = "history-of-every-connection"
SIZES = (1, 2, 1000, 65536, 1 << 20)
# Sends so many random bytes while it reads, and tells whether the same came back in their order.
ECHO = """
import json, os, socket, sys, threading
host, port = sys.argv[1].rsplit(":", 1)
told = {}
for size in map(int, sys.argv[2:]):
    sent, came = os.urandom(size), bytearray()
    with socket.create_connection((host, int(port)), 10) as connection:
        sender = threading.Thread(target=connection.sendall, args=(sent,))
        sender.start()
        while len(came) < size and (more := connection.recv(65536)):
            came += more
        sender.join()
    told[size] = bytes(came) == sent
print(json.dumps(told))
"""


@pytest.mark.quick
def test_every_instance_gets_its_share(lab: Lab, fleet: Fleet, proof: Proof, tmp_path: Path) -> None:
    """L1: 300 connections one after another over the instances: round robin gives each the same, +-1.

    What the load client says of each instance, and its history, are what was counted.
    """
    fleet.serve(3)
    names = serving(fleet)
    before = counts(lab, names, "total")

    page = f"http://{lab.lb.address}:{lab.topology.ports.haproxy_stats}/;csv"
    words = ("--count", "300", "--haproxy", page, "--history", HISTORY)
    with Load(lab.client, front(lab), *ONE_AFTER_ANOTHER, *words, seconds=30) as load:
        load.finish()
    written = tmp_path / HISTORY
    written.write_text(lab.client.run("sh", "-c", f"cat {HISTORY}; rm {HISTORY}"))

    after = counts(lab, names, "total")
    shares = {name: after[name] - before[name] for name in names}
    for name, share in shares.items():
        proof.note(f"share of {name}", share)
    proof.within("connections lost", load.summary["lost"], 0, "L1", "")
    proof.within("largest less smallest share", max(shares.values()) - min(shares.values()), 1, "derived", "")
    assert load.summary["classes"]["ok"] == load.summary["attempts"] == 300
    assert tally(history.load(written), "open") == {"ok": 300}
    told = {name.split(":")[1]: it["sessions"] for name, it in load.summary["backends"].items()}
    assert {name: told[name] for name in names} == shares


@pytest.mark.parametrize("size", [16, 1000, 16384])
def test_bytes_come_back_as_they_went(lab: Lab, fleet: Fleet, proof: Proof, size: int) -> None:
    """L2: Echoes of many connections at once are equal byte for byte, in their order, small or large."""
    fleet.serve()
    words = ("--churn", "--concurrency", "8", "--count", "200", "--size", str(size))

    with Load(lab.client, front(lab), *words, seconds=30) as load:
        load.finish()

    proof.within("wrong or lost", load.summary["lost"], 0, "L2", "")
    assert load.summary["classes"]["ok"] == load.summary["attempts"] == 200


def test_one_byte_and_a_mebibyte_come_back(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """L2: From one byte to a mebibyte in one connection: what comes back is what went."""
    fleet.serve()

    told = json.loads(lab.client.run("python3", "-c", ECHO, front(lab), *map(str, SIZES)))

    proof.note("sizes", len(told))
    assert told == {str(size): True for size in SIZES}


def test_a_removed_instance_gets_no_connection(lab: Lab, fleet: Fleet) -> None:
    """Once removed, an instance is no server of HAProxy's, and every new connection finds another one."""
    removed = fleet.serve(3)[0]
    fleet.remove(removed)
    rest = serving(fleet)
    before = counts(lab, rest, "total")

    with Load(lab.client, front(lab), *ONE_AFTER_ANOTHER, "--count", "100", seconds=30) as load:
        load.finish()

    assert removed not in rest
    assert load.summary["classes"]["ok"] == load.summary["attempts"] == 100
    assert sum(counts(lab, rest, "total").values()) - sum(before.values()) == 100


def test_control_without_instances_connections_fail(lab: Lab, fleet: Fleet) -> None:
    """The load client can fail: with every instance paused no connection is answered."""
    fleet.serve()
    names = serving(fleet)
    lab.docker.run("docker", "pause", *names)
    try:
        words = ("--churn", "--count", "20", "--reply-timeout", "1")
        with Load(lab.client, front(lab), *words, seconds=30) as load:
            load.finish()
    finally:
        lab.docker.run("docker", "unpause", *names)

    assert load.summary["verdict"] == "lost"
    assert load.summary["classes"]["ok"] == 0


def test_control_an_unknown_server_is_never_served(lab: Lab, fleet: Fleet) -> None:
    """The wait for HAProxy's servers can fail: a server that does not exist never comes."""
    fleet.serve()

    with pytest.raises(Unmet):
        wait_for(lab.haproxy.servers, until=lambda servers: "nobody" in servers, within=1)
