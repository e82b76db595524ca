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

    after = state(lab)
    changed = [name for name, were in before.items() if after[name] != were]
    proof.within("of processes, leader, terms and peers: changed", len(changed), 0, "B7", "")


def state(lab: Lab) -> dict[str, list[object]]:
    """Return what a restart, an election or a change of the peers would change."""
    rafts = [server.agent.raft() for server in lab.servers]
    return {
        "processes": [Unit(server).pid() for server in lab.servers],
        "leader": [lab.leader().name],
        "terms": [raft["term"] for raft in rafts],
        "peers": [raft["latest_configuration"] for raft in rafts],
        "their index": [raft["latest_configuration_index"] for raft in rafts],
    }
