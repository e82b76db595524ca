# A Consul server.

MODE=server
. ./agent.sh
