# What the provisioners share: each function brings one thing into a state and reports a change.
# Sourced, never run.

artifacts=/opt/consul-demo/artifacts
facts=/etc/consul-demo.env

changed() { # WHAT...: report one change
    echo "changed: $*"
}

content() { # FILE [MODE]: make FILE hold standard input; true when that was a change
    local new
    new=$(mktemp)
    cat > "$new"
    if cmp --silent "$new" "$1"; then
        rm "$new"
        return 1
    fi
    install -D --mode "${2:-644}" "$new" "$1"
    rm "$new"
    changed "$1"
}

template() { # NAME FILE [MODE]: make FILE hold templates/NAME with ${DEMO_...} filled in
    python3 -c 'import os, string, sys; print(string.Template(sys.stdin.read()).substitute(os.environ), end="")' \
        < "templates/$1" | content "$2" "${3:-644}"
}

copy() { # SOURCE FILE MODE: make FILE a copy of SOURCE; true when that was a change
    content "$2" "$3" < "$1"
}

setting() { # NAME VALUE: a setting of the kernel, now and after each boot
    echo "$1 = $2" | content "/etc/sysctl.d/90-$1.conf" || true
    [ "$(sysctl --values "$1")" = "$2" ] && return
    sysctl --quiet --write "$1=$2"
    changed "$1 = $2"
}

reuse_ports() { # the port of a closed connection is free again after a second, not a minute
    # With 23,000 ports of 28,000 at rest on the load's way, 256 opens at a time fell from 2,800 a second to 250.
    setting net.ipv4.tcp_tw_reuse 1
}

with_role() { # ROLE: print the addresses of the hosts that have it, a line each
    for host in $DEMO_HOSTS; do
        IFS='=' read -r _ address role <<< "$host"
        [ "$role" != "$1" ] || echo "$address"
    done
}

unit() { # NAME: a systemd unit is enabled and runs; true when it was started
    systemctl is-enabled --quiet "$1" || systemctl enable --quiet "$1"
    systemctl is-active --quiet "$1" && return 1
    systemctl start "$1"
    changed "$1 started"
}

image() { # NAME: the Docker image of artifacts/images/NAME.tar is loaded under its tag
    local archive=$artifacts/images/$1.tar wanted
    wanted=sha256:$(tar --extract --to-stdout --file "$archive" manifest.json | grep -o '[0-9a-f]\{64\}\.json' | cut -d. -f1)
    docker image inspect "$wanted" >/dev/null 2>&1 && return
    docker load --quiet --input "$archive"
    changed "image $1"
}

tool() { # NAME: the Python program of artifacts/tools/NAME.tar runs as the command NAME; true when it is new
    local archive=$artifacts/tools/$1.tar
    content "/usr/local/bin/$1" 755 <<EOF || true
#!/bin/sh
PYTHONPATH=/opt/$1 exec python3 -m $1 "\$@"
EOF
    ! sha256sum --check --status "/opt/$1/digest" 2>/dev/null || return 1
    rm -rf "/opt/$1"
    mkdir "/opt/$1"
    tar --extract --file "$archive" --directory "/opt/$1"
    sha256sum "$archive" > "/opt/$1/digest"
    changed "tool $1"
}
