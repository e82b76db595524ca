#!/bin/bash
# HAProxy, and beside it consul-template, which tells it about its servers. The container lives as long as
# HAProxy does; consul-template is started again whenever it ends, and HAProxy serves on meanwhile.
set -euo pipefail
run=/run/lb
servers=/var/lib/haproxy-servers/servers.cfg
mkdir -p "$run"
python3 /usr/local/lib/lb/configure.py "$run"

# The last good list of servers outlives the container; without one HAProxy begins with none.
haproxy -c -f "$run/base.cfg" -f "$servers" >/dev/null 2>&1 || echo "backend $DEMO_SERVICES_ECHO" > "$servers"

haproxy -W -S "$run/master.sock" -f "$run/base.cfg" -f "$servers" &
haproxy=$!
# Begun anew it installs the list that it renders first, though it be the one that its predecessor rendered.
while kill -0 "$haproxy" 2>/dev/null; do
    rm -f "$run/candidate.cfg"
    consul-template -config "$run/consul-template.json" -log-level warn || true
    sleep 1
done &
trap 'kill -USR1 "$haproxy"; wait "$haproxy"' TERM
wait "$haproxy"
