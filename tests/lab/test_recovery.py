"""What the recovery of an outage reads from configurations, gossip and files, without any host."""

from __future__ import annotations

from typing import Any

import pytest

from lab.recovery import DAY, advertised, alive, refusal
from lab.topology import load

LIMIT = load().deadlines.rejoin_age


@pytest.mark.parametrize(
    ("configuration", "address"),
    [
        ({"advertise_addr": "192.0.2.1", "bind_addr": "192.0.2.2"}, "192.0.2.1"),
        ({"bind_addr": "192.0.2.2"}, "192.0.2.2"),
        ({"bind_addr": "0.0.0.0"}, "192.0.2.9"),
        ({"bind_addr": "{{ GetPrivateIP }}"}, "192.0.2.9"),
        ({}, "192.0.2.9"),
    ],
)
def test_the_address_is_the_one_told_to_the_others(configuration: dict[str, str], address: str) -> None:
    """A server is known by what it advertises, else binds to, else by the topology's word."""
    assert advertised(configuration, "192.0.2.9") == address


def member(name: str, address: str, status: int = 1, role: str = "consul") -> dict[str, Any]:
    """Return a member as Consul's agent lists it."""
    return {"Name": name, "Addr": address, "Status": status, "Tags": {"role": role}}


def test_a_server_alive_elsewhere_is_not_lost() -> None:
    """Failed servers, survivors and client agents do not count."""
    members = [
        member("server1", "192.0.2.1"),
        member("server2", "192.0.2.2"),
        member("server3", "192.0.2.3", status=4),
        member("docker", "192.0.2.4", role="node"),
    ]
    assert alive(members, {"192.0.2.1"}) == ["server2"]


@pytest.mark.parametrize("away", [0, LIMIT])
def test_a_server_that_was_not_away_for_long_may_start(away: float) -> None:
    """Up to the limit nothing is said."""
    assert not refusal("server1", "/data/server_metadata.json", away, LIMIT)


def test_a_server_that_was_away_for_too_long_is_named_with_the_remedy() -> None:
    """Consul would refuse to start; the sentence holds the commands of the runbook."""
    reason = refusal("server1", "/data/server_metadata.json", 8 * DAY, LIMIT)
    assert reason.startswith("server1: was last seen 8.0 days ago and refuses to start after 7 ")
    assert "sudo rm /data/server_metadata.json; sudo systemctl kill --signal=KILL consul;" in reason
