#!/bin/bash
# Start registrator, which keeps Consul's list of this host's containers; nothing happens when it runs.
#
#   scripts/registrator.sh             start it, or make it anew if its image or settings changed
#   scripts/registrator.sh restart     end it and start a new one
#
# Exit codes: 0 it runs, 1 Docker refused, 2 wrong words or the wrong host.
set -euo pipefail
. /usr/local/lib/consul-demo.sh

on_role lb docker
case ${1:-} in
    '') ;;
    restart) docker rm --force registrator >/dev/null ;;
    *) refuse "unknown word '$1', wanted: restart or nothing" ;;
esac
options=(-ip "$DEMO_ADDRESS" -cleanup -resync "$DEMO_REGISTRATOR_RESYNC")
# The project's own also answers /health; another one that the topology names does not know that flag.
[[ $DEMO_IMAGES_REGISTRATOR != consul-demo/* ]] || options+=(-health "127.0.0.1:$DEMO_PORTS_REGISTRATOR_HEALTH")
run_container registrator "$DEMO_IMAGES_REGISTRATOR" --net=host --volume /var/run/docker.sock:/tmp/docker.sock -- \
    "${options[@]}" "consul://127.0.0.1:$DEMO_PORTS_CONSUL_HTTP"
