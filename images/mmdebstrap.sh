#!/bin/bash
# Make a Debian root file system from the machine's own package sources, without documentation.
#
#   SUITE=bookworm images/mmdebstrap.sh VARIANT PACKAGES.txt OUTPUT.tar [OPTION...]
#
# PACKAGES.txt holds one package a line; # begins a comment. The tar is not compressed, whatever its name.
set -euo pipefail
variant=$1 packages=$2 output=$3
shift 3
include=$(sed 's/#.*//; /^\s*$/d' "$packages" | paste -sd,)
mmdebstrap --quiet --format=tar --variant="$variant" --include="$include" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$@" "$SUITE" "$output"
