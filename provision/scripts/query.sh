#!/bin/bash
# Show what Consul answers for a service, as DNS and as HTTP.
#
#   scripts/query.sh [SERVICE]     the echo service without SERVICE
#
# Exit codes: 0 at least one healthy instance, 1 none or no answer, 2 wrong words or the wrong host.
set -euo pipefail
. /usr/local/lib/consul-demo.sh

on_role lb docker server
[ $# -le 1 ] || refuse "too many words, wanted: a service or nothing"
service=${1:-$DEMO_SERVICES_ECHO}

echo "DNS: $service.service.consul SRV"
dig +short +tcp @127.0.0.1 -p "$DEMO_PORTS_CONSUL_DNS" "$service.service.consul" SRV | sort
echo "HTTP: healthy instances of $service"
curl --silent --fail "http://127.0.0.1:$DEMO_PORTS_CONSUL_HTTP/v1/health/service/$service?passing" | python3 -c '
import json, sys
instances = sorted((e["Service"]["ID"], e["Service"]["Address"] or e["Node"]["Address"], e["Service"]["Port"]) for e in json.load(sys.stdin))
for instance in instances:
    print("{} {}:{}".format(*instance))
sys.exit(not instances)'
