#!/bin/bash
# Start the load balancer: HAProxy, and consul-template beside it, in one container.
#
#   scripts/haproxy.sh             start it, or make it anew if its image or settings changed
#   scripts/haproxy.sh restart     end it, with every connection it holds, and start a new one
#
# Exit codes: 0 it runs, 1 Docker refused, 2 wrong words or the wrong host.
set -euo pipefail
. /usr/local/lib/consul-demo.sh

on_role lb
case ${1:-} in
    '') ;;
    restart) docker rm --force haproxy >/dev/null ;;
    *) refuse "unknown word '$1', wanted: restart or nothing" ;;
esac
facts=()
for variable in ${!DEMO_*}; do
    facts+=(--env "$variable=${!variable}")
done
limit=$(ulimit -Hn)
run_container haproxy "$DEMO_IMAGES_HAPROXY" --net=host --ulimit "nofile=$limit:$limit" \
    --volume haproxy-servers:/var/lib/haproxy-servers "${facts[@]}" --
