"""Consul's check definitions from SERVICE_CHECK_* metadata."""

from __future__ import annotations

import hashlib
import json
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Definition = dict[str, Any]
KINDS = ("http", "https", "cmd", "script", "ttl", "tcp", "grpc")


def truth(text: str) -> bool:
    """Return whether a value switches something on: anything but empty, 0 and false."""
    return text.lower() not in ("", "0", "false")


def definition(
    meta: Mapping[str, str], address: str, port: int, container: str, exposed: int
) -> Definition | None:
    """Return the check a service asks for; of several kinds the first of KINDS counts; None without any."""
    kind = next((kind for kind in KINDS if meta.get(f"check_{kind}")), None)
    if kind is None:
        return None
    value, host = meta[f"check_{kind}"], f"[{address}]" if ":" in address else address
    target = f"{host}:{port}"
    command = value.replace("$SERVICE_IP", address).replace("$SERVICE_PORT", str(port))
    bodies: dict[str, Definition] = {
        "http": {"http": f"http://{target}{value}", "method": meta.get("check_http_method")},
        "https": {"http": f"https://{target}{value}", "method": meta.get("check_https_method")},
        "cmd": {"args": ["check-cmd", container[:12], str(exposed), value]},
        "script": {"args": shlex.split(command)} if kind == "script" else {},
        "ttl": {"ttl": value},
        "tcp": {"tcp": target},
        "grpc": {
            "grpc": target,
            "grpc_use_tls": truth(meta.get("check_grpc_use_tls", "")) or None,
            "tls_skip_verify": truth(meta.get("check_tls_skip_verify", "")) or None,
        },
    }
    common = {
        "interval": None if kind == "ttl" else meta.get("check_interval", "10s"),
        "timeout": meta.get("check_timeout") if kind in ("http", "https", "tcp", "grpc") else None,
        "status": meta.get("check_initial_status"),
        "deregistercriticalserviceafter": meta.get("check_deregister_after"),
    }
    return {key: item for key, item in (bodies[kind] | common).items() if item is not None}


def digest(check: Definition | None) -> str:
    """Return a short hash of a definition: the agent does not tell what it was given."""
    return hashlib.sha256(json.dumps(check, sort_keys=True).encode()).hexdigest()[:12]
