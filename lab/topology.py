"""The facts of the lab, read from topology.yaml and its overrides: the only reader of them in Python.

Sources, later ones win: `topology.yaml`, `topology.local.yaml` beside it, then the file named by
`--topology` or the environment variable `CONSUL_DEMO_TOPOLOGY`. An override is a merge patch (RFC 7386):
it holds only what differs, and null removes a key, so that `hosts: {server3: null}` takes a host away.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "CONSUL_DEMO_TOPOLOGY"
ROLES = ("client", "lb", "docker", "server")

Tree = dict[str, Any]


class TopologyError(Exception):
    """A value of the topology is wrong: one line with file, key, what was found and what is wanted."""


@dataclass(frozen=True)
class Network:
    """Where the hosts live; `namespace` and `bridge` are used by the lxc provider only."""

    cidr: str
    gateway: str
    namespace: str
    bridge: str


@dataclass(frozen=True)
class Host:
    """One host of the lab; memory in MiB."""

    name: str
    address: str
    role: str
    memory: int


@dataclass(frozen=True)
class Ssh:
    """How the hosts are logged into."""

    user: str
    port: int


@dataclass(frozen=True)
class Box:
    """The host image: the name Vagrant knows it by and the Debian release in it."""

    name: str
    suite: str


@dataclass(frozen=True)
class Versions:
    """What is built from outside sources."""

    consul: str
    consul_template: str
    go_wheel: str


@dataclass(frozen=True)
class Consul:
    """Settings that servers and clients share."""

    datacenter: str
    bootstrap_expect: int
    raft_multiplier: int
    retry_interval: int
    data_dir: str


@dataclass(frozen=True)
class Ports:
    """Every port of the lab; `fep_*` are inside a container, `*_base` + SEQ are published."""

    consul_rpc: int
    consul_serf: int
    consul_http: int
    consul_dns: int
    haproxy_front: int
    haproxy_stats: int
    haproxy_naive: int
    registrator_health: int
    monitor: int
    fep_echo: int
    fep_info: int
    echo_base: int
    info_base: int


@dataclass(frozen=True)
class Images:
    """Names of the container images; replace one to hold another implementation to the same suites."""

    fep: str
    registrator: str
    haproxy: str


@dataclass(frozen=True)
class Registrator:
    """Registrator's settings; times in seconds."""

    resync: int


@dataclass(frozen=True)
class Services:
    """The demo's containers: their names in Consul; times in seconds."""

    echo: str
    info: str
    check_interval: int
    drain: float


@dataclass(frozen=True)
class Haproxy:
    """The load balancer's settings; times in seconds."""

    balance: str
    check_interval: float
    check_fall: int
    check_rise: int
    connect_timeout: float
    idle_timeout: float
    hard_stop_after: float
    maxconn_limit: int
    wait_min: float
    wait_max: float
    query_wait: float


@dataclass(frozen=True)
class Deadlines:
    """How long each thing may take, in seconds; their sources stand in topology.yaml."""

    command: float
    connect: float
    election: float
    members: float
    register: float
    discovery: float
    removal: float
    loadbalancer: float
    reload: float
    page: float
    container: float
    host_up: float
    fault: float
    operation: float
    handover: float
    transfer: float
    lease: float
    leaderless: float
    stop: float
    answer: float
    keepalive: float
    resync: float
    reconverge: float
    recovery: float
    stabilisation: float
    anti_entropy: float
    sync_retry: float
    rejoin_age: float
    promotion: float
    prune: float
    outage: float


@dataclass(frozen=True)
class Topology:
    """All facts of one lab."""

    network: Network
    hosts: dict[str, Host]
    ssh: Ssh
    box: Box
    versions: Versions
    consul: Consul
    ports: Ports
    images: Images
    registrator: Registrator
    services: Services
    haproxy: Haproxy
    deadlines: Deadlines

    def with_role(self, role: str) -> list[Host]:
        """Return the hosts of one role, in the order of the file."""
        return [host for host in self.hosts.values() if host.role == role]


def load(extra: str | os.PathLike[str] | None = None, root: Path = ROOT) -> Topology:
    """Return the topology of `root` with its overrides.

    `extra` is the file of `--topology`; without it the one that CONSUL_DEMO_TOPOLOGY names, if any.
    Raises TopologyError when a file cannot be read or holds a wrong value.
    """
    named = extra or os.environ.get(VARIABLE)
    local = root / "topology.local.yaml"
    files = [root / "topology.yaml", *([local] if local.exists() else []), *([Path(named)] if named else [])]
    tree: Tree = {}
    origins: dict[str, str] = {}
    for file in files:
        _overlay(tree, _read(file), origins, str(file))
    topology: Topology = _Builder(origins, str(files[0])).build(Topology, tree, "")
    _check_addresses(topology, origins, str(files[0]))
    return topology


def _read(file: Path) -> Tree:
    try:
        tree = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TopologyError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise TopologyError(f"{file}: found {_kind(tree)}, wanted a mapping of sections")
    return tree


def _overlay(base: Tree, over: Tree, origins: dict[str, str], file: str, path: str = "") -> None:
    """Patch `base` with `over` and note in `origins` which file each value came from."""
    for key, value in over.items():
        where = f"{path}{key}"
        origins[where] = file
        if value is None:
            base.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict | None):
            _overlay(base.setdefault(key, {}), value, origins, file, f"{where}.")
        else:
            base[key] = value


class _Builder:
    """Turns a merged tree into dataclasses and refuses, with the file's name, whatever does not fit."""

    def __init__(self, origins: dict[str, str], default: str) -> None:
        self._origins = origins
        self._default = default

    def build(self, kind: type[Any], value: object, path: str) -> Any:  # noqa: ANN401
        """Return `value` as `kind`: a dataclass, a dict of hosts or a scalar."""
        if dataclasses.is_dataclass(kind):
            return self._section(kind, value, path)
        if typing.get_origin(kind) is dict:
            return self._hosts(value, path)
        return self._scalar(kind, value, path)

    def _section(self, kind: type[Any], value: object, path: str) -> object:
        hints = typing.get_type_hints(kind)
        if not isinstance(value, dict):
            raise self._error(path, value, f"a mapping with {', '.join(hints)}")
        for key in value:
            if key not in hints:
                raise self._error(_join(path, key), value[key], f"no such key; known are {', '.join(hints)}")
        for key in hints:
            if key not in value:
                raise self._error(_join(path, key), None, "a value")
        return kind(**{key: self.build(hint, value[key], _join(path, key)) for key, hint in hints.items()})

    def _hosts(self, value: object, path: str) -> dict[str, Host]:
        if not isinstance(value, dict) or not value:
            raise self._error(path, value, "a mapping of host names")
        hosts = {}
        for name, facts in value.items():
            where = _join(path, name)
            if not isinstance(facts, dict):
                raise self._error(where, facts, "a mapping with address, role, memory")
            hosts[name] = self._section(Host, {"name": name, **facts}, where)
        return typing.cast("dict[str, Host]", hosts)

    def _scalar(self, kind: type[Any], value: object, path: str) -> Any:  # noqa: ANN401
        if kind is str and isinstance(value, str) and value:
            return value
        number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if kind is float and number:
            return float(typing.cast("float", value))
        if kind is int and number and isinstance(value, int):
            if path.startswith("ports.") and value > 65535:
                raise self._error(path, value, "a port, 1 to 65535")
            return value
        wanted = {str: "a text", int: "a whole number above 0", float: "a number above 0"}[kind]
        raise self._error(path, value, wanted)

    def _error(self, path: str, found: object, wanted: str) -> TopologyError:
        return _error(self._origins, self._default, path, found, wanted)


def _error(origins: dict[str, str], default: str, path: str, found: object, wanted: str) -> TopologyError:
    return TopologyError(f"{origins.get(path, default)}: {path}: found {_kind(found)}, wanted {wanted}")


def _check_addresses(topology: Topology, origins: dict[str, str], default: str) -> None:
    """Refuse addresses that are malformed, outside the network or used twice, and unknown roles."""
    try:
        network = ipaddress.ip_network(topology.network.cidr)
    except ValueError as error:
        wanted = "a network like a.b.c.0/24"
        raise _error(origins, default, "network.cidr", topology.network.cidr, wanted) from error
    named = {f"hosts.{host.name}.address": host.address for host in topology.hosts.values()}
    seen: dict[str, str] = {}
    addresses = {"network.gateway": topology.network.gateway, **named}
    # Of two equal ones the override's is to blame.
    for path, address in sorted(addresses.items(), key=lambda item: origins[item[0]] != default):
        try:
            inside = ipaddress.ip_address(address) in network
        except ValueError:
            inside = False
        if not inside:
            raise _error(origins, default, path, address, f"an address in {network}")
        if address in seen:
            raise _error(
                origins, default, path, address, f"an address of its own; {seen[address]} has this one"
            )
        seen[address] = path
    for host in topology.hosts.values():
        if host.role not in ROLES:
            raise _error(origins, default, f"hosts.{host.name}.role", host.role, f"one of {', '.join(ROLES)}")


def _kind(value: object) -> str:
    return "nothing" if value is None else repr(value)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
