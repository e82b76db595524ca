#!/bin/bash
# Stop and remove echo services.
#
#   scripts/remove.sh              all of them
#   scripts/remove.sh NAME...      the ones named, as in: scripts/remove.sh fep.2 fep.3
#
# Prints the name of each one removed.
# Exit codes: 0 all are gone, 1 Docker refused one, 2 wrong words, an unknown name or the wrong host.
set -euo pipefail
. /usr/local/lib/consul-demo.sh

on_role docker
mapfile -t running < <(docker ps --all --filter "name=^$DEMO_SERVICES_ECHO\.[0-9]+$" --format '{{.Names}}')
for name in "$@"; do
    [[ " ${running[*]} " == *" $name "* ]] || refuse "no echo service is named '$name'"
done
[ $# -gt 0 ] || set -- "${running[@]}"
[ $# -gt 0 ] || exit 0
docker stop "$@" >/dev/null
docker rm "$@"
