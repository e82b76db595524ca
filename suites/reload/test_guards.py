"""What could make a reload harmful does not: a bad list, a broken template, a dead consul-template."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.faults.heal import TEMPLATE, UNSPOIL
from lab.fleet import Fleet
from lab.hosts import Lab
from lab.load import Load, front
from lab.proof import Proof
from lab.waiting import wait_for

from .conftest import held

HELD = 50
BAD_LISTS = {
    "empty": ("backend fep\\n", "the new list is empty"),
    "broken": ("backend fep\\n    server a not-an-address:x\\n", "HAProxy refuses the new list"),
}


@pytest.mark.parametrize("kind", BAD_LISTS)
def test_a_bad_list_is_never_installed(lab: Lab, fleet: Fleet, proof: Proof, kind: str) -> None:
    """H6: A list that is empty or that HAProxy does not accept changes nothing, and the reason is said."""
    fleet.serve()
    text, reason = BAD_LISTS[kind]
    before, reloads, worker = lab.haproxy.servers().keys(), lab.haproxy.reloads(), lab.haproxy.worker()
    install = (
        "d=$(mktemp -d); cp /run/lb/base.cfg $d; ln -s /run/lb/master.sock $d;"
        f"printf '{text}' > $d/candidate.cfg; /usr/local/lib/lb/install-servers $d; rm -r $d"
    )

    result = lab.lb.shell.run("docker exec haproxy bash -c %s", install)

    assert "kept the old servers" in result.stderr
    assert reason in result.stderr
    assert before == lab.haproxy.servers().keys()
    assert worker == lab.haproxy.worker(), "HAProxy was started again"
    proof.within("reloads", lab.haproxy.reloads() - reloads, 0, "consul-template#629", "")


@contextmanager
def holding(lab: Lab, *words: str) -> Iterator[Load]:
    """Run a load that holds HELD connections; the body of the `with` begins when they are there."""
    with Load(lab.client, front(lab), "-c", str(HELD), *words, seconds=60) as load:
        wait_for(lambda: held(lab), lambda seen: seen >= HELD, within=20, what=f"{HELD} held connections")
        yield load


@contextmanager
def broken_template(lab: Lab) -> Iterator[None]:
    """Start consul-template again with a template that it cannot parse; it is mended at the end."""
    spoil = f"cp {TEMPLATE} {TEMPLATE}.good; echo '{{{{' >> {TEMPLATE}"
    try:
        lab.lb.run("docker", "exec", "haproxy", "sh", "-c", spoil)
        lab.lb.run("sudo", "kill", "-KILL", str(lab.haproxy.consul_template()))
        yield
    finally:
        lab.lb.run("docker", "exec", "haproxy", "sh", "-c", UNSPOIL)


def test_a_broken_template_changes_nothing(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """H6: With a template that cannot be parsed the old list serves on, and the log says why."""
    fleet.serve(2)
    before, reloads = lab.haproxy.servers().keys(), lab.haproxy.reloads()
    since = lab.lb.run("date", "+%s").strip()
    with holding(lab, "--churn", "--rate", "100") as load, broken_template(lab):
        wait_for(
            lambda: lab.lb.shell.run("docker logs --since %s haproxy", since).stderr,
            until=lambda said: said.count("unclosed action") >= 2,
            within=lab.topology.deadlines.fault,
            what="consul-template refusing its template twice",
        )

        assert before == lab.haproxy.servers().keys()
        proof.within("reloads", lab.haproxy.reloads() - reloads, 0, "consul-template#629", "")

    proof.within("connections lost", load.summary["lost"], 0, "nothing lost", "")
    fleet.serve()


def test_haproxy_survives_the_death_of_consul_template(lab: Lab, fleet: Fleet, proof: Proof) -> None:
    """H6: consul-template killed: the worker stays, no connection is lost, and new services are found."""
    fleet.serve(2)
    worker, victim = lab.haproxy.worker(), lab.haproxy.consul_template()
    with holding(lab) as load:
        lab.lb.run("sudo", "kill", "-KILL", str(victim))
        wait_for(
            lab.haproxy.consul_template,
            lambda pid: pid != victim,
            within=10,
            what="a new consul-template",
        )
        assert worker == lab.haproxy.worker()
        fleet.serve()

    proof.within("connections lost", load.summary["lost"], 0, "nothing lost", "")
    assert load.summary["held"]["alive_at_end"] == HELD
