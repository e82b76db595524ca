"""Echo services that a test launches and removes, by the operator's own commands."""

from __future__ import annotations

import time

from lab.consul import Instance
from lab.hosts import Lab
from lab.invariants import running
from lab.waiting import wait_for


class Fleet:
    """The instances one test launched; others that ran before it are left alone."""

    def __init__(self, lab: Lab) -> None:
        """Begin with none."""
        self._lab = lab
        self._limits = lab.topology.deadlines
        self._names: list[str] = []

    def launch(self, count: int = 1) -> list[str]:
        """Start `count` services with launch.sh and return their names, fep.SEQ."""
        names = self._lab.docker.script("launch", str(count), deadline=self._limits.container)
        self._names += names
        return names

    def serve(self, count: int = 1) -> list[str]:
        """Start `count` services, wait until HAProxy serves exactly what Docker runs, return their names."""
        names = self.launch(count)
        self.settle()
        return names

    def remove(self, *names: str) -> None:
        """Stop and remove services with remove.sh."""
        self._lab.docker.script("remove", *names, deadline=self._limits.container)
        self._names = [name for name in self._names if name not in names]

    def kill(self, name: str) -> None:
        """End a service as a crash does, at once, and remove what is left of it."""
        self._lab.docker.run("docker", "rm", "--force", name)
        self._names.remove(name)

    def dismiss(self) -> None:
        """Kill whatever is left: nobody is served any more that should have time to go elsewhere."""
        if self._names:
            self._lab.docker.run("docker", "rm", "--force", *self._names, deadline=self._limits.container)
        self._names = []

    def heard(self) -> float:
        """Start one more; return after how many seconds the load balancer's agent told who waits for news.

        After a server went without a word this may take as long as gRPC's keepalive. Raises Unmet.
        """
        self.launch()
        begun, echo = time.monotonic(), self._lab.topology.services.echo
        wait_for(
            lambda: self._lab.lb.agent.awaited(echo),
            until=lambda told: told == running(self._lab),
            within=self._limits.keepalive + self._limits.discovery,
            what="the news of a service",
        )
        return time.monotonic() - begun

    def settle(self) -> set[Instance]:
        """Wait until HAProxy serves exactly the instances that Docker runs, and return those. Raises Unmet.

        Consul may take as long as the retry of an agent's full comparison with the catalog to hear of it:
        docs/known-issues.md.
        """
        expected, echo = running(self._lab), self._lab.topology.services.echo
        wait_for(
            lambda: self._lab.docker.agent.instances(echo),
            until=lambda found: found == expected,
            within=self._limits.discovery + self._limits.sync_retry,
            what=f"in Consul {sorted(i.id for i in expected)}",
        )
        wait_for(
            self._lab.haproxy.servers,
            until=lambda servers: (
                {n for n, s in servers.items() if s.up} == {i.id for i in expected}
                and len(servers) == len(expected)
            ),
            within=self._limits.discovery + self._limits.loadbalancer,
            what=f"HAProxy's servers {sorted(i.id for i in expected)}",
        )
        return expected
