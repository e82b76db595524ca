#!/bin/bash
# Restart this host's Consul agent; its data is kept.
#
#   scripts/consul.sh restart server [-join ADDRESS]   on a server; -join also joins the cluster at ADDRESS
#   scripts/consul.sh restart client                   on a client agent
#
# Exit codes: 0 restarted, 1 it did not come back or could not join, 2 wrong words or the wrong host.
set -euo pipefail
. /usr/local/lib/consul-demo.sh

[ "${1:-}" = restart ] || refuse "unknown word '${1:-}', wanted: restart"
mode=${2:-}
case $mode in
    server | client) ;;
    *) refuse "unknown word '$mode', wanted: server or client" ;;
esac
join=
if [ $# -gt 2 ]; then
    [ "$mode" = server ] && [ "$3" = -join ] && [ $# = 4 ] || refuse "unknown words '${*:3}', wanted: -join ADDRESS (on a server)"
    join=$4
fi
actual=$(systemctl is-enabled consul >/dev/null 2>&1 && { grep -q '"server": true' /etc/consul.d/consul.json && echo server || echo client; }) || true
[ -n "$actual" ] || refuse "$DEMO_NAME runs no Consul agent"
[ "$mode" = "$actual" ] || refuse "the agent of $DEMO_NAME is a $actual"

sudo systemctl restart consul
for _ in $(seq $((${DEMO_DEADLINES_COMMAND%.*} * 10))); do
    if curl --silent --fail --output /dev/null "http://127.0.0.1:$DEMO_PORTS_CONSUL_HTTP/v1/agent/self"; then
        [ -z "$join" ] || consul join "$join"
        exit
    fi
    sleep 0.1
done
echo "consul.sh: the agent does not answer within ${DEMO_DEADLINES_COMMAND} s; see: journalctl -u consul" >&2
exit 1
