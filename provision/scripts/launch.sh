#!/bin/bash
# Start echo services in containers: fep.SEQ, where SEQ goes on from the last one used.
#
#   scripts/launch.sh [N]     start N of them, 1 without N; prints the name of each
#
# Each serves an echo and, over HTTP, its number of connections; registrator tells Consul of both ports.
# Exit codes: 0 all N run, 1 Docker refused one, 2 wrong words or the wrong host.
set -euo pipefail
. /usr/local/lib/consul-demo.sh

on_role docker
[ $# -le 1 ] || refuse "too many words, wanted: a number or nothing"
[[ ${1:-1} =~ ^[1-9][0-9]*$ ]] || refuse "'$1' is no number of services"

# The next N sequence numbers whose two ports nobody on this host listens on.
exec 9>>/var/lib/consul-demo/sequence.lock
flock 9
sequence=$(cat /var/lib/consul-demo/sequence 2>/dev/null || echo 0)
taken=$(ss --tcp --listening --numeric --no-header | awk '{sub(/.*:/, "", $4); print $4}')
numbers=()
while [ ${#numbers[@]} -lt "${1:-1}" ]; do
    sequence=$((sequence + 1))
    grep -qxE "$((DEMO_PORTS_ECHO_BASE + sequence))|$((DEMO_PORTS_INFO_BASE + sequence))" <<< "$taken" || numbers+=("$sequence")
done
echo "$sequence" > /var/lib/consul-demo/sequence
exec 9>&-

launch() { # SEQ
    docker run --detach --name "$DEMO_SERVICES_ECHO.$1" --hostname "$DEMO_SERVICES_ECHO.$1" \
        --publish "$((DEMO_PORTS_ECHO_BASE + $1)):$DEMO_PORTS_FEP_ECHO" \
        --publish "$((DEMO_PORTS_INFO_BASE + $1)):$DEMO_PORTS_FEP_INFO" \
        --env "SERVICE_${DEMO_PORTS_FEP_ECHO}_NAME=$DEMO_SERVICES_ECHO" \
        --env "SERVICE_${DEMO_PORTS_FEP_INFO}_NAME=$DEMO_SERVICES_INFO" \
        --env SERVICE_CHECK_TCP=true --env "SERVICE_CHECK_INTERVAL=${DEMO_SERVICES_CHECK_INTERVAL}s" \
        "$DEMO_IMAGES_FEP" --echo "$DEMO_PORTS_FEP_ECHO" --info "$DEMO_PORTS_FEP_INFO" --drain "$DEMO_SERVICES_DRAIN" >/dev/null
    echo "$DEMO_SERVICES_ECHO.$1"
}
export -f launch
export "${!DEMO_@}"
printf '%s\n' "${numbers[@]}" | xargs --max-args=1 --max-procs="$(nproc)" bash -c 'launch "$0"' || exit 1
