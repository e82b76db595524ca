"""Whatever was made to go wrong with a lab, by whom and whenever: undone, without knowing what it was."""

from __future__ import annotations

import contextlib
import shlex
from functools import partial
from typing import TYPE_CHECKING

import requests

from lab.containers import LABEL
from lab.errors import CommandError, LabError
from lab.faults.cycle import on_each
from lab.faults.disk import FILLER, restoration
from lab.faults.host import await_login, dark
from lab.faults.network import TABLES
from lab.gossip import exchange
from lab.hosts import CONSUL_ROLES
from lab.invariants import violations
from lab.peers import FILE as PEERS
from lab.recovery import LAST_SEEN
from lab.spare import UNDO as NO_SPARE
from lab.spare import forget
from lab.start import start_all
from lab.unit import Unit
from lab.waiting import AWAY, Unmet, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.hosts import Lab, Node
    from lab.machines import Machines

EVERYWHERE = (
    f"nft list tables | sed -n 's/^table inet \\({TABLES}[^ ]*\\)$/\\1/p'"
    " | xargs -r -n1 nft delete table inet;"
    "tc qdisc show | sed -n 's/^qdisc netem .* dev \\([^ ]*\\) root.*/\\1/p'"
    " | xargs -r -I@ tc qdisc del dev @ root;"
    f"{NO_SPARE}; true"
)
# The stack's own containers, whose names are fixed, go on.
ENGINE = (
    "systemctl start docker; for name in registrator haproxy; do"
    " docker ps --quiet --filter status=paused --filter name=^$name\\$ | xargs -r docker unpause;"
    " docker ps --all --quiet --filter name=^$name\\$ | xargs -r docker start; done"
)
LEFTOVERS = (
    f"for of in name=^{{echo}}[.] label={LABEL}; do"
    " docker ps --all --quiet --filter $of | xargs -r docker rm --force; done"
)
CLIENT = "systemctl start monitor"
# What suites change beside faults, so that a run that was killed leaves it behind.
TEMPLATE = "/etc/lb/servers.ctmpl"
UNSPOIL = f"test ! -e {TEMPLATE}.good || mv {TEMPLATE}.good {TEMPLATE}"
ONLY_PASSING = "/etc/consul.d/only-passing.json"
KEYS = "consul-demo/"  # of Consul's KV store: all that the suites write is below
HIDDEN = ("peers.info", "wal", "snapshots")  # of raft/: moved to raft.NAME beside it


def heal(lab: Lab, machines: Machines | None) -> Iterator[str]:
    """Bring a lab into its good state and yield, in words, each thing that was done.

    Echo services go as well, whoever launched them, and what the suites have left in Consul. If the agents do
    not find together each joins every other one: what one of them has wrongly kept of another ("leaving", for
    one that is back) ends so. If they still do not, the servers' data is given up and they found a new
    cluster: only a lab of our own, whose `machines` are given, is treated so, only its hosts can be booted,
    and only its autopilot is set back. Raises LabError with what still does not hold at the end.
    """
    if machines:
        off = dark(lab.nodes.values())
        names = [node.name for node in off]
        machines.resume(*names)
        machines.boot(*names)
        try:
            await_login(off)
        except Unmet as unmet:
            raise LabError(str(unmet)) from unmet
        yield from (f"{name}: booted" for name in names)
    on_each(lab.nodes.values(), partial(_undo, lab))
    on_each(lab.agents, _deregister)
    yield "every host: rules removed, processes go on, units started, echo services removed"
    remedies = [(_exchange, "every agent joined to every other one anew")]
    if machines:
        remedies.append((_found_anew, "the servers' data is gone, and they founded a new cluster"))
    left = _ill(lab)
    for remedy, said in remedies:
        if left:
            remedy(lab)
            yield f"{said}, as {left}"
            left = _ill(lab)
    if left:
        raise LabError(left)
    lab.leader().agent.api.kv.delete(KEYS, recurse=True)
    if machines:
        _prune_again(lab)
    try:
        forget(lab)
    except Unmet as unmet:
        raise LabError(str(unmet)) from unmet


def _undo(lab: Lab, node: Node) -> None:
    scripts = [EVERYWHERE]
    if node.role in CONSUL_ROLES:
        scripts += [_agent(lab.topology.consul.data_dir)]
    if node.role in {"lb", "docker"}:
        scripts += [ENGINE]
    if node.role == "docker":
        scripts += [LEFTOVERS.format(echo=lab.topology.services.echo)]
    if node.role == "lb":
        scripts += [f"docker exec haproxy sh -c {shlex.quote(UNSPOIL)}"]
    if node.role == "client":
        scripts += [CLIENT]
    for script in scripts:
        node.run("sudo", "sh", "-c", script, deadline=lab.topology.deadlines.container)


def _agent(data: str) -> str:
    """Return the shell words after which the agent goes on: on its own disk, with room, however long away.

    A peers.json goes as well: a wrong one is taken in silence.
    """
    unhide = ";".join(f"test ! -e {data}/raft.{it} || mv {data}/raft.{it} {data}/raft/{it}" for it in HIDDEN)
    return (
        f"systemctl kill --signal=CONT consul 2>/dev/null;"
        f"if mountpoint --quiet {data}; then systemctl stop consul; {restoration(data)}; fi;"
        f"rm -f {data}/{FILLER}* {data}/{LAST_SEEN} {data}/{PEERS};"
        f"{unhide};"
        f"if test -e {ONLY_PASSING}; then rm {ONLY_PASSING}; systemctl stop consul; fi;"
        f"systemctl reset-failed consul 2>/dev/null; systemctl start consul"
    )


def _deregister(node: Node) -> None:
    """Take from an agent, as soon as it answers, what a test registered; if it never does, the lab is ill."""
    api, within = node.agent.api.agent, node.limits.fault
    with contextlib.suppress(Unmet, *AWAY):
        wait_for(api.self, within=within, what=f"an answer of {node.name}")
        for key, service in api.services().items():
            if LABEL in (service["Tags"] or ()):
                api.service.deregister(key)


def _prune_again(lab: Lab) -> None:
    """Let autopilot prune dead servers, if a test has kept it from that."""
    leader = lab.leader()
    found = leader.agent.api.operator.autopilot_configuration()
    if found["MinQuorum"]:
        where, within = f"{leader.url()}/v1/operator/autopilot/configuration", lab.topology.deadlines.command
        requests.put(where, json=found | {"MinQuorum": 0}, timeout=within).raise_for_status()


def _exchange(lab: Lab) -> None:
    """Let the agents exchange what they know of each other, as far as they answer."""
    with contextlib.suppress(*AWAY):
        exchange(lab)


def _found_anew(lab: Lab) -> None:
    """Give the servers' data up, and found a cluster while the other agents are down.

    Those would tell the new servers of the old ones, whose names and addresses they have: the leader would
    take voters for replaced ones and remove them.
    """
    clients = [Unit(node) for node in lab.agents if node.role != "server"]
    units = [Unit(server) for server in lab.servers]
    for unit in clients:
        unit.stop()
    for unit in units:
        unit.kill()
        unit.wipe()
    start_all([*lab.servers, *(unit.node for unit in clients)])


def _ill(lab: Lab) -> str:
    """Return what still does not hold when the time of a recovery is up, nothing if all does."""
    within = lab.topology.deadlines.recovery
    try:
        wait_for(lambda: violations(lab), until=lambda found: not found, within=within, what="a healthy lab")
    except (Unmet, CommandError) as error:
        return str(error)
    return ""
