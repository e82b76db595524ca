"""The stack around the monitor, of real parts on loopback: three Consul servers, HAProxy, the monitor."""

from __future__ import annotations

import json
import signal
import socket
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from .rig import Fep, Network, Process, binary, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message
    from pathlib import Path

ECHO, INFO, NODE = "fep", "fepinfo", "docker"
ECHO_PORT, INFO_PORT = 32768, 5000  # inside the containers, as registrator's IDs have them
HTTP, RPC, SERF = 18500, 18300, 18301
INTERVAL = 0.4  # s: the monitor's, so that the tests need not wait for seconds


def http(url: str, body: object = None, **headers: str) -> tuple[int, Message, str]:
    """Return status, headers and text of an answer; with a body, which becomes JSON, it is a PUT."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method="GET" if body is None else "PUT")
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def served(process: Process, url: str, **headers: str) -> str:
    """Wait until a program serves an address; return what it answers there. Fails when the program ends."""

    def answer() -> str:
        assert process.is_running(), process.output()
        return http(url, **headers)[2]

    return wait_for(answer)


class Agent:
    """One Consul server, at an address of loopback of its own."""

    def __init__(self, name: str, address: str, servers: list[str], folder: Path) -> None:
        """Start it; it finds the other servers by itself."""
        self.name = name
        self.address = address
        self.endpoint = f"{address}:{HTTP}"
        self._folder = folder
        off = dict.fromkeys(("dns", "grpc", "grpc_tls", "serf_wan"), -1)
        settings = {
            "node_name": name,
            "server": True,
            "bootstrap_expect": len(servers),
            "bind_addr": address,
            "client_addr": address,
            "data_dir": str(folder / name),
            "ports": {**off, "http": HTTP, "server": RPC, "serf_lan": SERF},
            "retry_join": [f"{server}:{SERF}" for server in servers],
            "retry_interval": "1s",
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
            "log_level": "error",
        }
        self._settings = folder / f"{name}.json"
        self._settings.write_text(json.dumps(settings))
        self.start()

    def start(self) -> None:
        """Start it, with the data it had."""
        log = self._folder / f"{self.name}.log"
        self._frozen = False
        self._process = Process(log, binary("consul"), "agent", f"-config-file={self._settings}")

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, by default without a word to the others."""
        self._process.end(number)

    def freeze(self) -> None:
        """Stop its clock: it accepts connections and never answers."""
        self._frozen = True
        self._process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._frozen = False
        self._process.send(signal.SIGCONT)

    def is_running(self) -> bool:
        """Return whether it runs and is not frozen."""
        return self._process.is_running() and not self._frozen

    def call(self, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Return the JSON that its API answers; raises OSError on any other status than 200."""
        status, _, text = http(f"http://{self.endpoint}/v1{path}", body)
        if status != 200:
            raise OSError(f"{path}: {status} {text}")
        return json.loads(text)


class Cluster:
    """Three Consul servers, and the instances that are registered with them."""

    def __init__(self, folder: Path, network: Network) -> None:
        """Start the servers and wait until all three vote and know who leads."""
        self.docker = f"{network.prefix}.3"
        servers = [f"{network.prefix}.{number}" for number in (4, 5, 6)]
        names = ("server1", "server2", "server3")
        self.agents = [Agent(name, at, servers, folder) for name, at in zip(names, servers, strict=True)]
        wait_for(self.is_whole)

    def is_whole(self) -> bool:
        """Return whether all servers vote and agree on a leader."""
        leaders = {agent.call("/status/leader") for agent in self.agents}
        peers = self.agents[0].call("/operator/raft/configuration")["Servers"]
        return len(leaders) == 1 and "" not in leaders and [peer["Voter"] for peer in peers] == [True] * 3

    def running(self) -> list[Agent]:
        """Return the servers that run."""
        return [agent for agent in self.agents if agent.is_running()]

    def leader(self) -> Agent:
        """Return the server that leads."""
        rpc = wait_for(lambda: self.running()[0].call("/status/leader"))
        return next(agent for agent in self.agents if rpc == f"{agent.address}:{RPC}")

    def heal(self) -> None:
        """Thaw who is frozen, start who is down, and wait until all is well."""
        for agent in self.agents:
            agent.thaw()
            if not agent.is_running():
                agent.start()
        wait_for(self.is_whole)

    def register(self, container: str, echo: int, info: int, check: str = "passing") -> None:
        """Register both services of a container on the docker host, as registrator names them."""
        for service, inner, port in ((ECHO, ECHO_PORT, echo), (INFO, INFO_PORT, info)):
            service_id = f"{NODE}:{container}:{inner}"
            registration = {"ID": service_id, "Service": service, "Address": "127.0.0.1", "Port": port}
            status = {"CheckID": service_id, "ServiceID": service_id, "Name": "check", "Status": check}
            self._write("register", {"Service": registration, "Check": status, "Address": self.docker})

    def add(self, *feps: Fep) -> None:
        """Register instances."""
        for fep in feps:
            self.register(fep.name, fep.echo_port, fep.info_port)

    def remove(self, *containers: str) -> None:
        """Take containers out of Consul."""
        for container in containers:
            for inner in (ECHO_PORT, INFO_PORT):
                self._write("deregister", {"ServiceID": f"{NODE}:{container}:{inner}"})

    def clear(self) -> None:
        """Take all containers out of Consul."""
        self._write("deregister", {})

    def _write(self, what: str, body: dict[str, object]) -> None:
        wait_for(lambda: self.running()[0].call(f"/catalog/{what}", {"Node": NODE, **body}) is True)

    def stop(self) -> None:
        """End all servers."""
        for agent in self.running():
            agent.stop()


class Haproxy:
    """A real HAProxy whose servers are named after their service IDs."""

    def __init__(self, folder: Path, network: Network, feps: Iterable[Fep]) -> None:
        """Start it before the instances."""
        self.at, self._stats, self._master = (network.endpoint() for _ in range(3))
        self.url = f"http://{self._stats[0]}:{self._stats[1]}/"
        self._configuration = folder / "haproxy.cfg"
        self._log = folder / "haproxy.log"
        self.write(feps)
        self.start()

    def write(self, feps: Iterable[Fep]) -> None:
        """Write the configuration with these instances as servers."""
        servers = "\n".join(
            f"    server {NODE}:{fep.name}:{ECHO_PORT} 127.0.0.1:{fep.echo_port} check" for fep in feps
        )
        self._configuration.write_text(
            "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 60s\n    timeout server 60s\n"
            f"frontend demo\n    bind {self.at[0]}:{self.at[1]}\n    default_backend {ECHO}\n"
            f"frontend stats\n    mode http\n    bind {self._stats[0]}:{self._stats[1]}\n"
            f"    stats enable\n    stats uri /\nbackend {ECHO}\n{servers}\n"
        )

    def start(self) -> None:
        """Start it and wait until its statistics are there."""
        master = f"{self._master[0]}:{self._master[1]}"
        command = (binary("haproxy"), "-W", "-S", master, "-f", str(self._configuration))
        self._process = Process(self._log, *command)
        served(self._process, self.url)

    def reload(self) -> None:
        """Let a new worker take over.

        A new worker serves before the master has finished its own start, and HAProxy 2.6 loses a signal
        that comes in between: so the master has to answer first.
        """
        wait_for(self._processes)
        self._process.send(signal.SIGUSR2)

    def _processes(self) -> bytes:
        """Return what the master says of its processes."""
        with socket.create_connection(self._master, timeout=5) as master:
            master.sendall(b"show proc\n")
            master.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: master.recv(4096), b""))

    def stop(self) -> None:
        """End it, with its workers."""
        self._process.end()


class Monitor:
    """The program under test, as a process of its own."""

    def __init__(self, folder: Path, network: Network, consul: Iterable[str], *flags: str) -> None:
        """Start it and wait until it serves."""
        self.at = network.endpoint()
        self.listen = f"{self.at[0]}:{self.at[1]}"
        self.url = f"http://{self.listen}"
        agents = [f"--consul={agent}" for agent in consul]
        names = (f"--echo={ECHO}", f"--info={INFO}", f"--interval={INTERVAL}")
        self._command = [
            *(sys.executable, "-m", "tools.monitor", f"--listen={self.listen}", *agents, *names, *flags)
        ]
        self._log = folder / f"monitor-{self.at[1]}.log"
        self.start()

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.process = Process(self._log, *self._command)
        served(self.process, f"{self.url}/api/state")

    def stop(self) -> None:
        """End it, unless it has ended; a monitor that wrote anything but its address had an accident."""
        assert self.process.end() == 0
        assert set(self.process.output().splitlines()) == {f"monitor: {self.url}/"}

    def state(self) -> Any:  # noqa: ANN401
        """Return /api/state."""
        return json.loads(http(f"{self.url}/api/state")[2])

    def texts(self) -> list[str]:
        """Return the lines of the event log, oldest first."""
        events: dict[str, dict[str, str]] = self.state()["events"]
        return [event["text"] for _, event in sorted(events.items(), key=lambda item: int(item[0]))]

    def wait(self, *path: str, equals: object) -> None:
        """Wait until a value of the state is as expected; None stands for absent."""

        def question() -> bool:
            value = self.state()
            for key in path:
                value = (value or {}).get(key)
            return bool(value == equals)

        wait_for(question)
