"""Each host is what its role says."""

import pytest
import testinfra.host

from lab.hosts import Node
from lab.topology import Topology

ENGINES = ("lb", "docker")
AGENTS = ("lb", "docker", "server")


def test_a_host_has_its_name_and_address(node: Node, host: testinfra.host.Host) -> None:
    """The host calls itself what the topology calls it, and has the address that the topology gives."""
    assert node.name == host.check_output("hostname")
    assert node.address in host.check_output("hostname --all-ip-addresses").split()


def test_a_host_knows_the_others(host: testinfra.host.Host, facts: Topology) -> None:
    """Every host of the lab is found by name, without a name server."""
    found = {name: host.addr(name).ipv4_addresses for name in facts.hosts}

    assert {name: [facts.hosts[name].address] for name in facts.hosts} == found


def test_a_host_runs_without_failed_units(host: testinfra.host.Host) -> None:
    """systemd came up, and none of its units failed."""
    assert host.service("ssh").is_running
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def test_provisioning_again_changes_nothing(node: Node) -> None:
    """The provisioner is idempotent: a second run reports no change."""
    again = "set -a; . /etc/consul-demo.env; exec /opt/consul-demo/provision/role.sh"

    assert [f"{node.name}: 0 changed"] == node.run("sudo", "bash", "-c", again).splitlines()


@pytest.mark.role(*AGENTS)
def test_an_agent_host_runs_the_pinned_consul(host: testinfra.host.Host, facts: Topology) -> None:
    """The agent runs under systemd, starts at boot, and is of the version that the topology pins."""
    service = host.service("consul")

    assert service.is_running
    assert service.is_enabled
    assert host.check_output("consul version").startswith(f"Consul v{facts.versions.consul}\n")


@pytest.mark.role("server")
def test_a_server_keeps_its_data(host: testinfra.host.Host, facts: Topology) -> None:
    """A server has raft's log and its node ID on its disk, as Consul's own user; it runs no containers."""
    with host.sudo():
        for name in ("raft", "node-id"):
            assert host.file(f"{facts.consul.data_dir}/{name}").user == "consul"
    assert not host.service("docker").is_running


@pytest.mark.role(*AGENTS)
def test_an_agent_host_looks_up_consul_names(host: testinfra.host.Host, facts: Topology) -> None:
    """The host's own resolver finds *.service.consul, and with it the servers."""
    servers = {server.address for server in facts.with_role("server")}

    assert servers == set(host.addr("consul.service.consul").ipv4_addresses)


@pytest.mark.role(*ENGINES)
def test_an_engine_host_runs_registrator(host: testinfra.host.Host) -> None:
    """Docker runs and starts at boot; registrator runs on the host's own network and survives reboots."""
    container = host.docker("registrator")
    settings = container.inspect()["HostConfig"]

    assert host.service("docker").is_enabled
    assert container.is_running
    assert settings["NetworkMode"] == "host"
    assert settings["RestartPolicy"]["Name"] == "always"


@pytest.mark.role("docker")
def test_the_docker_host_has_the_echo_image(host: testinfra.host.Host, facts: Topology) -> None:
    """launch.sh can start at once: the image is loaded."""
    assert host.check_output("docker image inspect --format '{{.Id}}' %s", facts.images.fep)


@pytest.mark.role("lb")
def test_the_load_balancer_uses_the_descriptors_it_has(host: testinfra.host.Host, facts: Topology) -> None:
    """maxconn is what the limit of open files allows, two a connection, up to the topology's bound."""
    said = host.check_output(
        "curl --silent --fail http://127.0.0.1:%s/metrics", str(facts.ports.haproxy_stats)
    )
    values = dict(line.rsplit(" ", 1) for line in said.splitlines() if line.startswith("haproxy_process_max"))
    limit = int(host.check_output("docker exec haproxy bash -c 'ulimit -Hn'"))
    maxconn = int(values["haproxy_process_max_connections"])

    assert min((limit - 200) // 2, facts.haproxy.maxconn_limit) == maxconn


@pytest.mark.role("client")
def test_the_client_host_has_the_load_client(host: testinfra.host.Host) -> None:
    """The command `client` is there and teaches itself."""
    assert "HOST:PORT" in host.check_output("client -h")
