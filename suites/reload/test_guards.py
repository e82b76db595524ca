"""What could make a reload harmful does not: a bad list, a dead consul-template, a Consul that is away."""

import re

import pytest

from lab.fleet import Fleet
from lab.hosts import Lab
from lab.load import Load
from lab.waiting import wait_for

BAD_LISTS = {
    "empty": ("backend fep\\n", "the new list is empty"),
    "broken": ("backend fep\\n    server a not-an-address:x\\n", "HAProxy refuses the new list"),
}


@pytest.mark.parametrize("kind", BAD_LISTS)
def test_a_bad_list_is_never_installed(lab: Lab, fleet: Fleet, kind: str) -> None:
    """A rendering that is empty or that HAProxy does not accept changes nothing, and the reason is said."""
    fleet.serve()
    text, reason = BAD_LISTS[kind]
    before, worker = lab.haproxy.servers().keys(), lab.haproxy.worker()
    install = (
        "d=$(mktemp -d); cp /run/lb/base.cfg $d; ln -s /run/lb/master.sock $d;"
        f"printf '{text}' > $d/candidate.cfg; /usr/local/lib/lb/install-servers $d; rm -r $d"
    )

    result = lab.lb.shell.run("docker exec haproxy bash -c %s", install)

    assert "kept the old servers" in result.stderr
    assert reason in result.stderr
    assert before == lab.haproxy.servers().keys()
    assert worker == lab.haproxy.worker()


def consul_template(lab: Lab) -> str:
    """Return the pid, on the host, of consul-template. Raises LookupError while there is none."""
    listing = lab.lb.run("docker", "top", "haproxy", "-eo", "pid,comm")
    found = re.search(r"^\s*(\d+)\s+consul-templat", listing, re.MULTILINE)
    if not found:
        raise LookupError("no consul-template runs")
    return found[1]


def test_haproxy_survives_the_death_of_consul_template(lab: Lab, fleet: Fleet) -> None:
    """consul-template killed: the worker stays, no connection is lost, and new services are found again."""
    fleet.serve(2)
    worker, victim = lab.haproxy.worker(), consul_template(lab)
    with Load(
        lab.client, f"{lab.lb.address}:{lab.topology.ports.haproxy_front}", "-c", "50", seconds=60
    ) as load:
        lab.lb.run("sudo", "kill", "-KILL", victim)
        wait_for(
            lambda: consul_template(lab), lambda pid: pid != victim, within=10, what="a new consul-template"
        )
        assert worker == lab.haproxy.worker()
        fleet.serve()

    assert load.summary["lost"] == 0, load.summary["reasons"]
    assert load.summary["held"]["alive_at_end"] == 50


def test_haproxy_serves_on_without_consul(lab: Lab, fleet: Fleet) -> None:
    """All servers and the load balancer's own agent stopped: connections old and new go on, none is lost."""
    fleet.serve(2)
    stopped = [*lab.servers, lab.lb]
    words = ("-c", "50", "--churn", "--rate", "100")
    with Load(lab.client, f"{lab.lb.address}:{lab.topology.ports.haproxy_front}", *words, seconds=90) as load:
        for node in stopped:
            node.run("sudo", "systemctl", "stop", "consul")
        try:
            lab.client.run("sleep", "10")
        finally:
            for node in stopped:
                node.run("sudo", "systemctl", "start", "consul")

    assert load.summary["lost"] == 0, load.summary["reasons"]
    assert load.summary["by_kind"]["churn"]["ok"] > 500
