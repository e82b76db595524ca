"""Connections through the load balancer reach every instance, and none that is gone."""

from functools import partial

import pytest

from lab.fleet import Fleet
from lab.hosts import Lab
from lab.load import Load
from lab.waiting import Unmet, wait_for

ONE_AFTER_ANOTHER = ("--churn", "--concurrency", "1")


def front(lab: Lab) -> str:
    """Return where the load goes."""
    return f"{lab.lb.address}:{lab.topology.ports.haproxy_front}"


def counts(lab: Lab, names: list[str], what: str) -> dict[str, int]:
    """Return what each service says of itself: `total` connections ever served, or `conns` open now."""
    base = lab.topology.ports.info_base
    urls = [f"http://{lab.docker.address}:{base + int(name.rpartition('.')[2])}/{what}" for name in names]
    said = lab.client.run("curl", "--silent", "--fail", *urls).split()
    return dict(zip(names, map(int, said), strict=True))


def serving(fleet: Fleet) -> list[str]:
    """Return the names of all services that HAProxy has, once it has what Docker runs."""
    return sorted(instance.id.split(":")[1] for instance in fleet.settle())


def test_every_instance_gets_its_share(lab: Lab, fleet: Fleet) -> None:
    """300 connections one after another over the instances: round robin gives each the same number, +-1."""
    fleet.serve(3)
    names = serving(fleet)
    before = counts(lab, names, "total")

    with Load(lab.client, front(lab), *ONE_AFTER_ANOTHER, "--count", "300", seconds=30) as load:
        load.finish()

    after = counts(lab, names, "total")
    assert load.summary["classes"]["ok"] == load.summary["attempts"] == 300
    shares = {name: after[name] - before[name] for name in names}
    assert max(shares.values()) - min(shares.values()) <= 1, shares


@pytest.mark.parametrize("size", [16, 1000, 16384])
def test_bytes_come_back_as_they_went(lab: Lab, fleet: Fleet, size: int) -> None:
    """Echoes through the load balancer are equal byte for byte, in their order, small or large."""
    fleet.serve()
    words = ("--churn", "--concurrency", "8", "--count", "200", "--size", str(size))

    with Load(lab.client, front(lab), *words, seconds=30) as load:
        load.finish()

    assert load.summary["classes"]["ok"] == load.summary["attempts"] == 200


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


def test_a_crash_costs_only_its_own_connections(lab: Lab, fleet: Fleet) -> None:
    """A killed backend loses what it held and nothing else: no new connection is refused or waits in vain.

    Short connections may lose those that were under way on it, one for each that the client opens at once.
    """
    victim = fleet.serve(3)[0]
    names, at_once = serving(fleet), 8
    burst = ("--churn", "--rate", "200", "--concurrency", str(at_once))
    with Load(lab.client, front(lab), "-c", "60", seconds=60) as hold:
        held = wait_for(
            lambda: counts(lab, names, "conns"),
            lambda now: sum(now.values()) == 60,
            within=10,
            what="60 held",
        )
        served = sum(counts(lab, names, "total").values())
        with Load(lab.client, front(lab), *burst, seconds=60) as churn:
            total = partial(counts, lab, names, "total")
            wait_for(
                total, lambda now: sum(now.values()) > served + 500, within=20, what="500 more connections"
            )
            fleet.kill(victim)
            fleet.settle()

    assert hold.summary["lost"] == held[victim], hold.summary["reasons"]
    classes = churn.summary["classes"]
    assert classes["ok"] > 500
    assert churn.summary["lost"] <= at_once, churn.summary["reasons"]
    assert not classes["refused"] + classes["timeout_connect"] + classes["timeout_reply"], classes


def test_control_without_instances_connections_fail(lab: Lab, fleet: Fleet) -> None:
    """The load client can fail: with every instance paused no connection is answered."""
    fleet.serve()
    names = serving(fleet)
    lab.docker.run("docker", "pause", *names)
    try:
        with Load(
            lab.client, front(lab), "--churn", "--count", "20", "--reply-timeout", "1", seconds=30
        ) as load:
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
