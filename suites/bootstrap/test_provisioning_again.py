"""Bringing the hosts to their roles once more leaves a running cluster alone."""

from lab.hosts import Lab
from lab.proof import Proof
from lab.unit import Unit

AGAIN = "set -a; . /etc/consul-demo.env; exec /opt/consul-demo/provision/role.sh"


def test_provisioning_again_leaves_the_cluster_alone(lab: Lab, proof: Proof) -> None:
    """B7: Provisioned a second time, the servers change nothing: same processes, leader and peers."""
    before = state(lab)

    for server in lab.servers:
        said = server.run("sudo", "bash", "-c", AGAIN)
        assert said.splitlines() == [f"{server.name}: 0 changed"]

    assert state(lab) == before
    proof.note("servers with the peers that they had", len(before["peers"]))


def state(lab: Lab) -> dict[str, list[object]]:
    """Return what a restart, an election or a change of the peers would change."""
    return {
        "processes": [Unit(server).pid() for server in lab.servers],
        "leader": [lab.leader().name],
        "terms": [server.agent.raft()["term"] for server in lab.servers],
        "peers": [server.agent.raft()["latest_configuration"] for server in lab.servers],
        "their index": [server.agent.raft()["latest_configuration_index"] for server in lab.servers],
    }
