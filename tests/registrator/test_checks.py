"""Check definitions from SERVICE_CHECK_*."""

from __future__ import annotations

from typing import Any

import pytest

from images.registrator.registrator.checks import definition, digest

CONTAINER = "0123456789abcdef"


@pytest.mark.parametrize(
    ("meta", "wanted"),
    [
        ({}, None),
        ({"check_interval": "1s"}, None),
        ({"check_tcp": "true"}, {"TCP": "192.0.2.1:8080", "Interval": "10s"}),
        (
            {
                "check_tcp": "x",
                "check_interval": "1s",
                "check_timeout": "2s",
                "check_initial_status": "passing",
            },
            {"TCP": "192.0.2.1:8080", "Interval": "1s", "Timeout": "2s", "Status": "passing"},
        ),
        (
            {"check_http": "/h?a=b", "check_http_method": "HEAD", "check_tcp": "true"},
            {"HTTP": "http://192.0.2.1:8080/h?a=b", "Method": "HEAD", "Interval": "10s"},
        ),
        (
            {"check_https": "/h", "check_tls_skip_verify": "1"},
            {"HTTP": "https://192.0.2.1:8080/h", "TLSSkipVerify": True, "Interval": "10s"},
        ),
        ({"check_ttl": "30s", "check_interval": "1s", "check_timeout": "1s"}, {"TTL": "30s"}),
        (
            {"check_script": "curl 'a b' $SERVICE_IP:$SERVICE_PORT", "check_timeout": "1s"},
            {"Args": ["curl", "a b", "192.0.2.1:8080"], "Interval": "10s"},
        ),
        ({"check_cmd": "/c x"}, {"Args": ["check-cmd", "0123456789ab", "80", "/c x"], "Interval": "10s"}),
        (
            {"check_grpc": "1", "check_grpc_use_tls": "1", "check_deregister_after": "5m"},
            {
                "GRPC": "192.0.2.1:8080",
                "GRPCUseTLS": True,
                "Interval": "10s",
                "DeregisterCriticalServiceAfter": "5m",
            },
        ),
    ],
)
def test_definitions(meta: dict[str, str], wanted: dict[str, Any] | None) -> None:
    """Each variable has the effect that the original's documentation gives it."""
    assert definition(meta, "192.0.2.1", 8080, CONTAINER, 80) == wanted


def test_ipv6() -> None:
    """An IPv6 address is bracketed where a port follows."""
    check = definition({"check_tcp": "1"}, "2001:db8::1", 80, CONTAINER, 80)

    assert check == {"TCP": "[2001:db8::1]:80", "Interval": "10s"}


def test_a_script_that_no_shell_could_read() -> None:
    """A quote that never ends is an error, not a crash of all."""
    with pytest.raises(ValueError, match="No closing quotation"):
        definition({"check_script": "echo 'a"}, "192.0.2.1", 80, CONTAINER, 80)


def test_digest() -> None:
    """Definitions differ in their digests, whatever the order of their keys."""
    assert digest({"TCP": "a", "Interval": "b"}) == digest({"Interval": "b", "TCP": "a"})
    assert len({digest(None), digest({"TCP": "a"}), digest({"TCP": "b"})}) == 3
