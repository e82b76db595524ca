"""Write the load balancer's fixed configuration into the folder given: base.cfg and consul-template.json.

The facts come as DEMO_* environment variables. maxconn follows from the limit of open files that this
container really has, because HAProxy needs two a connection and refuses to start when it asks for more.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

# Descriptors HAProxy needs beside its connections: listeners, checks, pipes, its sockets to the master.
RESERVED = 200

BASE = """\
# Written at the container's start from the lab's facts; the servers are in a file of their own.
global
    master-worker
    log stdout format raw local0 notice
    maxconn {maxconn}
    stats socket {run}/worker.sock mode 600 level admin expose-fd listeners
    hard-stop-after {hard_stop_after}s

defaults
    mode tcp
    log global
    option tcplog
    option dontlog-normal
    balance {balance}
    maxconn {maxconn}
    # A server that refuses or is silent costs the connection a moment, not its life.
    option redispatch 1
    retries 3
    timeout connect {connect_timeout}ms
    timeout client {idle_timeout}s
    timeout server {idle_timeout}s
    default-server check inter {check_interval}ms fall {check_fall} rise {check_rise}

frontend demo
    bind :{front}
    default_backend {echo}

frontend stats
    mode http
    bind :{stats}
    timeout client 10s
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /
    stats refresh 2s
"""


def maxconn(descriptors: int, limit: int) -> int:
    """Return how many connections fit into so many descriptors, at most `limit`."""
    return min((descriptors - RESERVED) // 2, limit)


def base(fact: dict[str, str], descriptors: int, run: str) -> str:
    """Return base.cfg."""
    return BASE.format(
        run=run,
        maxconn=maxconn(descriptors, int(fact["HAPROXY_MAXCONN_LIMIT"])),
        hard_stop_after=fact["HAPROXY_HARD_STOP_AFTER"],
        balance=fact["HAPROXY_BALANCE"],
        connect_timeout=_milliseconds(fact["HAPROXY_CONNECT_TIMEOUT"]),
        idle_timeout=fact["HAPROXY_IDLE_TIMEOUT"],
        check_interval=_milliseconds(fact["HAPROXY_CHECK_INTERVAL"]),
        check_fall=fact["HAPROXY_CHECK_FALL"],
        check_rise=fact["HAPROXY_CHECK_RISE"],
        front=fact["PORTS_HAPROXY_FRONT"],
        stats=fact["PORTS_HAPROXY_STATS"],
        echo=fact["SERVICES_ECHO"],
    )


def consul_template(fact: dict[str, str], run: str) -> str:
    """Return consul-template's configuration: it asks for ever, and its command is no shell's."""
    return json.dumps(
        {
            "consul": {
                "address": f"127.0.0.1:{fact['PORTS_CONSUL_HTTP']}",
                "retry": {"enabled": True, "attempts": 0, "backoff": "250ms", "max_backoff": "5s"},
            },
            # A store founded anew has lower indexes than the one before: a query that waits for an old one
            # sees no change until its time is up. An answer that is lost on the way costs as much.
            "block_query_wait": f"{_milliseconds(fact['HAPROXY_QUERY_WAIT'])}ms",
            "wait": {
                "min": f"{_milliseconds(fact['HAPROXY_WAIT_MIN'])}ms",
                "max": f"{_milliseconds(fact['HAPROXY_WAIT_MAX'])}ms",
            },
            "template": [
                {
                    "source": "/etc/lb/servers.ctmpl",
                    "destination": f"{run}/candidate.cfg",
                    "command": ["/usr/local/lib/lb/install-servers", run],
                    "command_timeout": "30s",
                }
            ],
        },
        indent=2,
    )


def _milliseconds(seconds: str) -> int:
    return round(float(seconds) * 1000)


def main() -> None:
    """Write both files into the folder that the command line names."""
    run = sys.argv[1]
    fact = {
        name.removeprefix("DEMO_"): value for name, value in os.environ.items() if name.startswith("DEMO_")
    }
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    Path(run, "base.cfg").write_text(base(fact, descriptors, run))
    Path(run, "consul-template.json").write_text(consul_template(fact, run))


if __name__ == "__main__":
    main()
