"""The hosts of the lab by role, and what can be asked of each."""

from __future__ import annotations

import functools
import shlex
import socket
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

import consul
import paramiko
import requests
import testinfra
import testinfra.backend

from lab import haproxy, topology
from lab.consul import Agent
from lab.errors import CommandError, LabError
from lab.shell import DeadlineParamiko
from lab.tunnel import Tunnel

CONSUL_ROLES = frozenset({"lb", "docker", "server"})


class Node:
    """One host: `name`, `address` and `role` as the topology says, `shell` is testinfra's host."""

    def __init__(
        self, facts: topology.Host, spec: str, lab: topology.Topology, ssh_config: Path | None
    ) -> None:
        """Connect to nothing yet; `spec` is a testinfra host specification."""
        self.name, self.address, self.role = facts.name, facts.address, facts.role
        self.limits = lab.deadlines
        self.ssh_port = lab.ssh.port
        self._topology = lab
        self._spec = spec
        self._options = {"timeout": int(lab.deadlines.connect)} | (
            {"ssh_config": str(ssh_config)} if ssh_config else {}
        )
        self.shell = testinfra.get_host(spec, **self._options)

    def reach(self) -> None:
        """Log in. Raises LabError when the host does not let us within the connect deadline."""
        try:
            self.run("true", deadline=self._topology.deadlines.connect)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise LabError(
                f"{self.name}: no login at {self._spec}: {type(error).__name__}: {error}"
            ) from error

    def run(self, *words: str, deadline: float | None = None) -> str:
        """Run a command, given in words, and return its stdout.

        Raises CommandError when its exit code is not 0 and CommandTimeoutError after `deadline` seconds.
        """
        result = self.shell.run(shlex.join(words), deadline=deadline)
        if result.rc:
            said = result.stderr or result.stdout
            raise CommandError(f"{self.name}: {shlex.join(words)}: exit code {result.rc}: {said}")
        return str(result.stdout)

    def hang_up(self) -> None:
        """Drop the connections to the host, perhaps of its life before; the next command logs in anew."""
        for backend in {self._backend, self.shell.backend}:
            if "client" in vars(backend):
                backend.client.close()
                del backend.client

    def url(self) -> str:
        """Return where the HTTP API of the host's agent is reached: directly, or else through SSH."""
        port = self._topology.ports.consul_http
        try:
            socket.create_connection((self.address, port), self.limits.connect).close()
        except OSError:
            return f"http://127.0.0.1:{self.tunnel(port).port}"
        return f"http://{self.address}:{port}"

    def script(self, name: str, *words: str, deadline: float | None = None) -> list[str]:
        """Run one of the operator's commands and return the lines it printed."""
        return self.run(f"scripts/{name}.sh", *words, deadline=deadline).splitlines()

    def tunnel(self, port: int) -> Tunnel:
        """Return a way from this machine to a port that listens on the host's loopback."""
        return Tunnel(self._transport, ("127.0.0.1", port), self._topology.deadlines.connect)

    @functools.cached_property
    def agent(self) -> Agent:
        """The Consul agent of this host."""
        ports = self._topology.ports
        return Agent(self.name, self.tunnel(ports.consul_http), self.tunnel(ports.consul_dns), self._topology)

    @functools.cached_property
    def _backend(self) -> DeadlineParamiko:
        """The paramiko connection: the shell's own, or one of the same login beside another backend."""
        if isinstance(self.shell.backend, DeadlineParamiko):
            return self.shell.backend
        scheme, _, rest = self._spec.partition("://")
        if scheme not in {"ssh", "safe-ssh"}:
            raise LabError(
                f"{self.name}: {self._spec}: Consul's API is asked through SSH, wanted ssh:// or paramiko://"
            )
        backend = testinfra.backend.get_backend(f"paramiko://{rest}", **self._options)
        assert isinstance(backend, DeadlineParamiko)
        return backend

    def _transport(self) -> paramiko.Transport:
        transport = self._backend.client.get_transport()
        if transport is None or not transport.is_active():
            del self._backend.client
            transport = self._backend.client.get_transport()
        assert isinstance(transport, paramiko.Transport)
        return transport


class LoadBalancer:
    """HAProxy on its host: what it serves, and as which process."""

    def __init__(self, node: Node, lab: topology.Topology) -> None:
        """Ask through SSH."""
        self._node = node
        self._backend = lab.services.echo
        self._url = f"http://127.0.0.1:{node.tunnel(lab.ports.haproxy_stats).port}/;csv"
        self._timeout = lab.deadlines.command

    def servers(self) -> dict[str, haproxy.Server]:
        """Return the servers that HAProxy has now, by name, which is their ID in Consul."""
        answer = requests.get(self._url, timeout=self._timeout)
        answer.raise_for_status()
        return haproxy.servers(answer.text, self._backend)

    def worker(self) -> int:
        """Return the pid, in its container, of the worker that takes new connections.

        Raises LookupError while there is none, as when the master starts again.
        """
        return haproxy.worker(self._processes())

    def old_workers(self) -> list[int]:
        """Return the pids of the workers that only serve what they already had."""
        return haproxy.old_workers(self._processes())

    def reloads(self) -> int:
        """Return how often HAProxy has reloaded since its container started."""
        return haproxy.reloads(self._processes())

    def consul_template(self) -> int:
        """Return the pid, on the host, of consul-template. Raises LookupError while there is none."""
        return haproxy.consul_template(self._node.run("docker", "top", "haproxy", "-eo", "pid,comm"))

    def _processes(self) -> str:
        program = (
            "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/lb/master.sock');"
            "s.sendall(b'show proc\\n'); s.shutdown(socket.SHUT_WR);"
            "print(b''.join(iter(lambda: s.recv(65536), b'')).decode())"
        )
        return self._node.run("docker", "exec", "haproxy", "python3", "-c", program)


class Lab:
    """The hosts of the lab; a role that no wanted host has raises LabError when it is asked for."""

    def __init__(self, facts: topology.Topology, nodes: dict[str, Node]) -> None:
        """Take the hosts by their names in the topology."""
        self.topology = facts
        self.nodes = nodes

    @property
    def whole(self) -> bool:
        """Whether every host of the topology is wanted: of a part the health of the whole cannot be asked."""
        return self.nodes.keys() == self.topology.hosts.keys()

    def with_role(self, role: str) -> list[Node]:
        """Return the hosts of one role in the topology's order. Raises LabError without any."""
        found = [node for node in self.nodes.values() if node.role == role]
        if not found:
            raise LabError(f"no host of the role {role} among the wanted ones: {', '.join(self.nodes)}")
        return found

    @property
    def client(self) -> Node:
        """The host that the load comes from."""
        return self.with_role("client")[0]

    @property
    def lb(self) -> Node:
        """The load balancer's host."""
        return self.with_role("lb")[0]

    @property
    def docker(self) -> Node:
        """The host of the echo services."""
        return self.with_role("docker")[0]

    @property
    def servers(self) -> list[Node]:
        """The Consul servers."""
        return self.with_role("server")

    @property
    def agents(self) -> list[Node]:
        """Every host with a Consul agent."""
        return [node for node in self.nodes.values() if node.role in CONSUL_ROLES]

    @functools.cached_property
    def haproxy(self) -> LoadBalancer:
        """HAProxy on the load balancer's host."""
        return LoadBalancer(self.lb, self.topology)

    def leader(self, asked: Iterable[Node] = ()) -> Node:
        """Return the server that leads, as the first of `asked`, or else of all servers, says that knows one.

        Raises LookupError while none of them knows.
        """
        answers = []
        for node in asked or self.servers:
            try:
                answers.append(node.agent.leader())
            except (OSError, consul.ConsulException) as error:
                answers.append(type(error).__name__)
            for server in self.servers:
                if answers[-1].partition(":")[0] == server.address:
                    return server
        raise LookupError(f"no leader among the servers; their answers: {answers}")


def match(specs: list[str], facts: topology.Topology) -> dict[str, str]:
    """Return topology name -> specification for `--hosts`; a host is named by its name or its address.

    Raises LabError for a specification that fits no host of the topology, or a host named twice.
    """
    found: dict[str, str] = {}
    for spec in specs:
        login = urllib.parse.urlsplit(spec if "://" in spec else f"paramiko://{spec}")
        names = [h.name for h in facts.hosts.values() if login.hostname in {h.name.lower(), h.address}]
        if not names:
            known = ", ".join(f"{host.name} ({host.address})" for host in facts.hosts.values())
            raise LabError(f"--hosts: {spec}: no such host in the topology; it knows {known}")
        if names[0] in found:
            raise LabError(f"--hosts: {spec}: {names[0]} is named twice")
        found[names[0]] = spec
    return {name: found[name] for name in facts.hosts if name in found}
