"""Consul's check definitions from SERVICE_CHECK_* metadata."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

Definition = dict[str, Any]
STATUSES = ("passing", "warning", "critical")
KINDS = ("http", "https", "cmd", "script", "ttl", "tcp", "grpc")
TIMED = ("http", "https", "tcp", "grpc")


def definition(
    meta: Mapping[str, str], address: str, port: int, container: str, exposed: int
) -> Definition | None:
    """Return the check that a service asks for, None without any; of several the first of KINDS counts.

    Raise ValueError for a script that a shell could not read.
    """
    kind = next((kind for kind in KINDS if meta.get(f"check_{kind}")), None)
    if kind is None:
        return None
    value = meta[f"check_{kind}"]
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    secure = kind in ("https", "grpc")
    script = value.replace("$SERVICE_IP", address).replace("$SERVICE_PORT", str(port))
    commands = {
        "cmd": lambda: ["check-cmd", container[:12], str(exposed), value],
        "script": lambda: shlex.split(script),
    }
    check = {
        "HTTP": f"{kind}://{target}{value}" if kind in ("http", "https") else None,
        "Method": meta.get(f"check_{kind}_method"),
        "Args": commands.get(kind, list)(),
        "TTL": value if kind == "ttl" else None,
        "TCP": target if kind == "tcp" else None,
        "GRPC": target if kind == "grpc" else None,
        "GRPCUseTLS": kind == "grpc" and "check_grpc_use_tls" in meta,
        "TLSSkipVerify": secure and "check_tls_skip_verify" in meta,
        "Interval": meta.get("check_interval", "10s") if kind != "ttl" else None,
        "Timeout": meta.get("check_timeout") if kind in TIMED else None,
        "Status": meta.get("check_initial_status"),
        "DeregisterCriticalServiceAfter": meta.get("check_deregister_after"),
    }
    return {key: item for key, item in check.items() if item}


def digest(check: Definition | None) -> str:
    """Return a short hash of a definition: the agent does not tell what it was given."""
    return hashlib.sha256(json.dumps(check, sort_keys=True).encode()).hexdigest()[:12]
