# What the operator's commands share. Sourced, never run; it answers -h and reads the facts.

. /etc/consul-demo.env

refuse() { # WHY...: say what is wrong with the words typed, and end
    echo "$(basename "$0"): $*" >&2
    echo "try: scripts/$(basename "$0") -h" >&2
    exit 2
}

on_role() { # ROLE...: refuse unless this host has one of the roles
    [[ " $* " == *" $DEMO_ROLE "* ]] || refuse "this is $DEMO_NAME; it works on: $*"
}

run_container() { # NAME IMAGE [DOCKER-OPTION...] -- [ARGUMENT...]: the container runs, made anew if it differs
    local name=$1 image=$2 options=() id fingerprint
    shift 2
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    id=$(docker image inspect --format '{{.Id}}' "$image") || refuse "the image $image is not loaded"
    fingerprint=$(printf '%s\n' "$id" "${options[@]}" -- "$@" | sha256sum | cut -c 1-16)
    if [ "$(docker inspect --format '{{.State.Running}} {{.Config.Labels.fingerprint}}' "$name" 2>/dev/null)" = "true $fingerprint" ]; then
        return
    fi
    docker rm --force "$name" >/dev/null 2>&1 || true
    docker run --detach --name "$name" --restart always --label "fingerprint=$fingerprint" "${options[@]}" "$image" "$@" >/dev/null
    echo "changed: container $name started"
}

if [ "${1:-}" = -h ]; then
    sed -n '2,${/^#/!q; s/^# \{0,1\}//p}' "$0"
    exit
fi
