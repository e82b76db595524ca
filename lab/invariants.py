"""What holds of a healthy lab whenever nobody touches it: asked before and after every test."""

from __future__ import annotations

from collections import defaultdict

from lab import containers
from lab.checks import Outcome, equal_sets
from lab.consul import Instance, Status
from lab.hosts import Lab


def running(lab: Lab) -> set[Instance]:
    """Return the echo instances that Docker runs, as Consul should list them."""
    services, ports = lab.topology.services, lab.topology.ports
    listing = lab.docker.run(
        "docker", "ps", "--filter", f"name=^{services.echo}\\.", "--format", "{{json .}}"
    )
    return containers.instances(
        containers.parse(listing), ports.fep_echo, lab.docker.name, lab.docker.address
    )


def violations(lab: Lab) -> list[str]:
    """Return, in words, everything that does not hold now; an empty list is a healthy lab."""
    return [*unrecovered(lab), *_misnamed(lab), *_services(lab)]


def unrecovered(lab: Lab) -> list[str]:
    """Return, in words, what the servers and members lack to be as they should; services apart."""
    leader = lab.leader()
    ill = sorted(name for name, healthy in leader.agent.health().items() if not healthy)
    return [*_cluster(lab, leader.agent.raft()["term"]), *([f"autopilot: {ill} not healthy"] if ill else [])]


def _cluster(lab: Lab, term: str) -> list[str]:
    found = []
    wanted = lab.topology.consul.bootstrap_expect
    for server in lab.servers:
        peers = server.agent.peers(own=True)
        voters = [peer.node for peer in peers if peer.voter]
        leaders = [peer.node for peer in peers if peer.leader]
        if len(voters) != wanted or len(leaders) != 1:
            found.append(f"{server.name}: voters {voters}, leaders {leaders}; wanted {wanted} and 1")
        if not server.agent.follows(term):
            found.append(f"{server.name}: hears of no leader of term {term}")
    expected = {node.name for node in lab.agents}
    for node in lab.agents:
        alive = {name for name, status in node.agent.members().items() if status is Status.ALIVE}
        if alive != expected:
            found.append(f"{node.name}: alive members {sorted(alive)}, wanted {sorted(expected)}")
    return found + _unlisted(lab) + clones(lab)


def _unlisted(lab: Lab) -> list[str]:
    """Return, in words, which agents do not name exactly the servers by DNS.

    A server that starts again answers from an empty memory until it hears from the leader what of its log is
    committed, which autopilot, asking each 2 s, may not see.
    """
    wanted = {server.address for server in lab.servers}
    named = {node.name: node.agent.addresses("consul") for node in lab.agents}
    return [
        f"{name}: servers by DNS {sorted(found)}, wanted {sorted(wanted)}"
        for name, found in named.items()
        if found != wanted
    ]


def clones(lab: Lab) -> list[str]:
    """Return, in words, which members have one node-id between them, as any agent sees it."""
    bearers: dict[str, set[str]] = defaultdict(set)
    for node in lab.agents:
        for name, number in node.agent.node_ids().items():
            bearers[number].add(name)
    return [
        f"{' and '.join(sorted(names))} have the node-id {number}: one is a copy of the other's disk"
        for number, names in bearers.items()
        if len(names) > 1
    ]


def _misnamed(lab: Lab) -> list[str]:
    """Return, in words, which agents the catalog has under another node-id than they say they have.

    It refuses a server that came back with another one before it was missed (M6). What gossip says of others
    may be old: of a server that was wiped unmissed, until a full exchange with it.
    """
    own = {node.name: node.agent.node_ids()[node.name] for node in lab.agents}
    catalog = lab.agents[0].agent.catalog_ids()
    return [
        f"{name}: its node-id is {number}, the catalog's {catalog.get(name)}"
        for name, number in own.items()
        if catalog.get(name) != number
    ]


def _services(lab: Lab) -> list[str]:
    """Return, in words, how the lists of Docker, of Consul and of HAProxy differ."""
    echo, expected = lab.topology.services.echo, running(lab)
    found = {
        "docker ps": expected,
        "the catalog": lab.agents[0].agent.catalog(echo),
        **{f"the health of {node.name}'s agent": node.agent.instances(echo) for node in lab.agents},
        f"the news of {lab.lb.name}'s agent": lab.lb.agent.awaited(echo),
    }
    servers = lab.haproxy.servers()
    up = {name for name, server in servers.items() if server.up}
    served = {"docker ps": {instance.id for instance in expected}, "HAProxy's servers that are up": up}
    # An empty list is never installed: without instances HAProxy keeps the last ones, all of them down.
    if expected:
        served["HAProxy's servers"] = set(servers)
    lists = {name: {str(instance) for instance in instances} for name, instances in found.items()}
    verdicts = [equal_sets(compared, least=0) for compared in (lists, served)]
    return [verdict.evidence for verdict in verdicts if verdict.outcome is not Outcome.OK]
