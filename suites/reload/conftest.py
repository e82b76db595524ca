"""What a load of very many short connections needs of the hosts on its path."""

from collections.abc import Iterator

import pytest

from lab.hosts import Lab, Node

SETTING = "/proc/sys/net/ipv4/tcp_tw_reuse"


@pytest.fixture(scope="session", autouse=True)
def reused_ports(lab: Lab) -> Iterator[None]:
    """The client and the load balancer use the port of a closed connection again after a second.

    Otherwise it rests for a minute. Measured so: with 23,000 ports of 28,000 at rest on each, 256 opens at a
    time fell from 2,800 a second to 250; with the setting they stayed at 1,500 beside 5,000 held ones. Kept
    until the session's end, because whoever comes next would find hardly a port free.
    """
    before = {node: node.run("cat", SETTING).strip() for node in (lab.client, lab.lb)}
    try:
        for node in before:
            set_reuse(node, "1")
        yield
    finally:
        for node, value in before.items():
            set_reuse(node, value)


@pytest.fixture
def quiet_client(lab: Lab) -> Iterator[None]:
    """The kernel counts of the client's host are the load's alone: the monitor is stopped for the while.

    It connects from there to Consul, HAProxy and the echo services: what those refuse or reset, as a service
    that is removed may, would be counted among the load's.
    """
    lab.client.run("sudo", "systemctl", "stop", "monitor")
    try:
        yield
    finally:
        lab.client.run("sudo", "systemctl", "start", "monitor")


def set_reuse(node: Node, value: str) -> None:
    """Write the kernel's setting, which is the network namespace's own."""
    node.run("sudo", "sh", "-c", f"echo {value} > {SETTING}")
