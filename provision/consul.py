"""Write the configuration of this host's Consul agent to standard output: `consul.py server|client`.

The facts come as DEMO_* environment variables. Timing and addresses are the topology's; what is fixed here
is what the demo means: data is kept, agents never leave the cluster only because they are stopped
(hashicorp/consul#454), and the API answers on every address of the host, as the lab is fenced.
"""

import json
import os
import sys


def configuration(mode: str, fact: dict[str, str]) -> dict[str, object]:
    """Return the agent's configuration as a tree; `mode` is server or client."""
    common: dict[str, object] = {
        "datacenter": fact["CONSUL_DATACENTER"],
        "node_name": fact["NAME"],
        "data_dir": fact["CONSUL_DATA_DIR"],
        "bind_addr": fact["ADDRESS"],
        "client_addr": "0.0.0.0",
        "retry_join": fact["SERVERS"].split(),
        "retry_interval": f"{fact['CONSUL_RETRY_INTERVAL']}s",
        "performance": {"raft_multiplier": int(fact["CONSUL_RAFT_MULTIPLIER"])},
        "ports": {
            "server": int(fact["PORTS_CONSUL_RPC"]),
            "serf_lan": int(fact["PORTS_CONSUL_SERF"]),
            "serf_wan": -1,
            "http": int(fact["PORTS_CONSUL_HTTP"]),
            "dns": int(fact["PORTS_CONSUL_DNS"]),
        },
        "leave_on_terminate": False,
        "skip_leave_on_interrupt": True,
        "disable_update_check": True,
    }
    if mode == "server":
        common |= {
            "server": True,
            "bootstrap_expect": int(fact["CONSUL_BOOTSTRAP_EXPECT"]),
            "ui_config": {"enabled": True},
        }
    return common


def main() -> None:
    """Print the configuration as JSON with sorted keys, so that equal facts give an equal file."""
    fact = {name.removeprefix("DEMO_"): value for name, value in os.environ.items() if name.startswith("DEMO_")}
    print(json.dumps(configuration(sys.argv[1], fact), indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
