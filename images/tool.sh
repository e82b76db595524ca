#!/bin/bash
# Pack the program tools/NAME with the libraries it requires into a tar that a host unpacks.
#
#   PYTHON=.venv/bin/python images/tool.sh NAME OUTPUT.tar
set -euo pipefail
here=$(dirname "$(realpath "$0")")
output=$(realpath -m "$2")
work=$(mktemp -d "$output.XXXX")
trap 'rm -rf "$work"' EXIT

"$here/wheels.sh" "$here/../tools/$1/requirements.txt" "$work"
cp -r "$here/../tools/$1" "$work/$1"
find "$work" -name __pycache__ -prune -exec rm -r {} +
tar --create --file "$output" --directory "$work" .
