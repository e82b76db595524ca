"""What hosts print, turned into facts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import containers, haproxy, hosts, topology
from lab.consul import Instance
from lab.containers import Container
from lab.errors import LabError

STATS = """\
# pxname,svname,scur,stot,status,
demo,FRONTEND,3,9,OPEN,
fep,docker:fep.1:32768,1,5,UP,
fep,docker:fep.2:32768,0,4,DOWN,
fep,docker:fep.3:32768,0,4,UP 1/2,
fep,BACKEND,1,9,UP,
other,docker:x,0,4,UP,
"""
PROCESSES = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
12              master          2 [failed: 0]   0d00h00m03s     2.6.12-1
# workers
30              worker          0               0d00h00m03s     2.6.12-1
# old workers
20              worker          2               0d00h01m03s     2.6.12-1
# programs
"""


def test_servers_of_one_backend_are_read() -> None:
    """Only the backend's own servers count, and DOWN is not up."""
    found = haproxy.servers(STATS, "fep")

    assert [server.up for server in found.values()] == [True, False, True]
    assert found["docker:fep.1:32768"].sessions == 5


def test_the_current_worker_is_told_from_old_ones() -> None:
    """The worker that takes new connections is not one that still drains."""
    assert haproxy.worker(PROCESSES) == 30


def test_no_worker_is_an_error() -> None:
    """While the master starts again it has no worker, which is not the pid of an old one."""
    with pytest.raises(LookupError, match="no worker"):
        haproxy.worker("# workers\n# old workers\n20 worker 2 0d00h01m03s\n")


def test_old_workers_and_reloads_are_read() -> None:
    """Only workers that were replaced are old, and the master's own count is that of the reloads."""
    assert haproxy.old_workers(PROCESSES) == [20]
    assert haproxy.reloads(PROCESSES) == 2


def test_no_master_is_an_error() -> None:
    """What lists no master tells nothing of reloads."""
    with pytest.raises(LookupError, match="no master"):
        haproxy.reloads("# workers\n")


@given(st.dictionaries(st.integers(1, 65535), st.integers(1, 65535), max_size=5))
def test_published_ports_are_read_whatever_they_are(ports: dict[int, int]) -> None:
    """Each `host->container` pair is found, and a port that is only exposed is not."""
    text = ", ".join([*(f"0.0.0.0:{outside}->{inside}/tcp" for inside, outside in ports.items()), "7/tcp"])
    listing = '{"Names":"fep.1","Ports":"%s"}\n' % text  # noqa: UP031

    assert [Container("fep.1", ports)] == containers.parse(listing)


def test_instances_follow_registrator_s_naming() -> None:
    """A published port becomes host:container:port at the host's address; others are no instances."""
    running = [Container("fep.1", {32768: 10001}), Container("registrator", {})]

    assert {Instance("docker:fep.1:32768", "a.b", 10001)} == containers.instances(
        running, 32768, "docker", "a.b"
    )


@pytest.mark.parametrize(
    "spec", ["lb", "192.168.0.2", "ssh://root@192.168.0.2:2222", "paramiko://vagrant@lb?sudo=true"]
)
def test_a_host_is_matched_by_name_or_address(spec: str) -> None:
    """Whatever the backend, login and port, the topology's name or address in it tells which host it is."""
    assert {"lb": spec} == hosts.match([spec], topology.load())


@pytest.mark.parametrize("specs", [["ssh://elsewhere"], ["lb", "192.168.0.2"], [""]])
def test_an_unknown_or_doubled_host_is_refused(specs: list[str]) -> None:
    """What fits no host, or a host that has one already, is an error, never left out in silence."""
    with pytest.raises(LabError, match="--hosts"):
        hosts.match(specs, topology.load())
