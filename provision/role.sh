#!/bin/bash
# Turn this host into what the topology says it is. Vagrant runs it, as root, on each `up` and `provision`;
# the facts come as DEMO_* variables. A second run changes nothing; the last line counts the changes.
set -euo pipefail
cd "$(dirname "$0")"
. ./library.sh

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for part in base "$DEMO_ROLE"; do
    . "./$part.sh"
done | tee "$log"
echo "$DEMO_NAME: $(grep -c '^changed: ' "$log" || true) changed"
